package bpos_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
)

const servedFile = "BPOS_TEST_SERVED_FILE" // the registry that this program serves by, if it is not to test

func TestMain(m *testing.M) {
	if path := os.Getenv(servedFile); path != "" {
		fmt.Fprintln(os.Stderr, serve(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serve is a server that reloads nothing. It ends with its standard input.
func serve(path string) error {
	registry, err := bpos.Open(path, bpos.ReadOnly())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr())
	return http.Serve(listener, registry.Middleware(named)(http.HandlerFunc(shop)))
}

// server starts a process that serves by a registry file, and returns its address. It ends with the test.
func server(t *testing.T, path string) string {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), servedFile+"="+path)
	process.Stderr = os.Stderr
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		process.Wait()
	})
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal("the server did not start: ", err)
	}
	return "http://" + strings.TrimSpace(address) + target
}

// asked is the status with which a server answers a key.
func asked(t *testing.T, address, secret string) int {
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("X-API-Key", secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// command runs the bpos command on a registry, and returns what it prints.
func command(t *testing.T, path string, words ...string) string {
	t.Helper()
	printed, err := exec.Command(os.Getenv("BPOS_COMMAND"), append(words, "--registry", path)...).Output()
	if err != nil {
		t.Fatal(words, err)
	}
	return strings.TrimSpace(string(printed))
}

func TestServersOfOneFileShareALimitAndHearOfChangesByTheCommand(t *testing.T) {
	if os.Getenv("BPOS_COMMAND") == "" {
		t.Skip("BPOS_COMMAND does not name the command")
	}
	path := file(t)
	key := command(t, path, "key", "create", "--name", "Sync", "--store", store, "--scope", "products:read", "--rate-limit", "60")
	servers := make([]string, 4)
	for i := range servers {
		servers[i] = server(t, path)
	}

	var admitted, limited atomic.Int32
	var asking sync.WaitGroup
	for _, address := range servers {
		asking.Add(1)
		go func() {
			defer asking.Done()
			for range 100 {
				switch asked(t, address, key) {
				case 200:
					admitted.Add(1)
				case 429:
					limited.Add(1)
				}
			}
		}()
	}
	asking.Wait()
	if admitted.Load() != 60 || limited.Load() != 340 {
		t.Errorf("they admitted %d and limited %d", admitted.Load(), limited.Load())
	}

	expectEach := func(what, key string, status int) {
		t.Helper()
		for i, address := range servers {
			if found := asked(t, address, key); found != status {
				t.Errorf("%s, server %d: found %d; expected %d", what, i, found, status)
			}
		}
	}
	registry := opened(t, path, bpos.ReadOnly())
	records, err := registry.ListAll()
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	for range 5 { // each time another key
		later := command(t, path, "key", "create", "--name", "Later", "--store", store, "--scope", "products:read")
		expectEach("created", later, 200)
	}
	command(t, path, "key", "revoke", records[0].ID)
	expectEach("revoked", key, 401)
}
