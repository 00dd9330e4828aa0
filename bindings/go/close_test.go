package bpos_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
)

func TestAClosedRegistryIsAnErrorAndADenial(t *testing.T) {
	registry := memory(t)
	request := get(create(t, registry, bpos.KeySpec{}))
	expect(t, "before", registry.Authorize(request), 200, bpos.ReasonAllowed)
	for range 3 {
		if err := registry.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	expect(t, "after", registry.Authorize(request), 500, bpos.ReasonInternal)
	refuses(t, registry, bpos.ErrClosed)
}

func TestClosingAmongThousandsOfCalls(t *testing.T) {
	for range 50 {
		registry := memory(t)
		request := get(create(t, registry, bpos.KeySpec{RateLimit: 1000}))
		const goroutines = 32
		var callers, closers sync.WaitGroup
		var calls atomic.Int64
		begun := make(chan struct{}, goroutines)
		for i := range goroutines {
			callers.Add(1)
			go func() {
				defer callers.Done()
				begun <- struct{}{}
				for {
					decision := registry.Authorize(request)
					_, err := registry.Get("key_none")
					calls.Add(1)
					switch decision.Status() {
					case 200, 429:
					case 500:
						if _, err = registry.Stats(); !errors.Is(err, bpos.ErrClosed) {
							t.Errorf("after the end, Stats: %v", err)
						}
						return
					default:
						t.Errorf("goroutine %d: %v", i, decision)
					}
					if !errors.Is(err, bpos.ErrNotFound) && !errors.Is(err, bpos.ErrClosed) {
						t.Errorf("goroutine %d: %v", i, err)
					}
				}
			}()
		}
		for range goroutines {
			<-begun
		}
		for range 3 {
			closers.Add(1)
			go func() {
				defer closers.Done()
				if err := registry.Close(); err != nil {
					t.Error(err)
				}
				expect(t, "after Close", registry.Authorize(request), 500, bpos.ReasonInternal)
			}()
		}
		closers.Wait()
		callers.Wait()
	}
}

// Another process has the registry file's lock, and a Create waits for it. Close waits for the Create, which succeeds.
func TestACallInFlightFinishesBeforeTheEnd(t *testing.T) {
	path := file(t)
	registry, err := bpos.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	lock := flock(t, path+".lock")
	created, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := registry.Create(bpos.KeySpec{Name: "Sync", Store: store})
		created <- err
	}()
	for !isLocked(t, path+".queue") { // by the Create, which waits for the lock then
		runtime.Gosched()
	}
	go func() { closed <- registry.Close() }()
	for registry.Authorize(bpos.Request{}).Status() != 500 { // which the end has begun with
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("Close came back while a call was in flight")
	case err := <-created:
		t.Errorf("the Create did not wait: %v", err)
	default:
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-created; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	again, err := bpos.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if keys, err := again.List(store); err != nil || len(keys) != 1 {
		t.Errorf("the file has the keys %v, %v; expected one", keys, err)
	}
}

// flock takes a file's lock as another process would: by an open file of its own.
func flock(t *testing.T, path string) *os.File {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func isLocked(t *testing.T, path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func TestCloseFreesAtOnce(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing else frees anything
	grown := grows(t, func(registry *bpos.Registry) { registry.Close() })
	if most := registries / 4 * sizeOfOne; grown > most {
		t.Errorf("after %d registries were closed, %d KiB more are in use; expected at most %d", registries, grown, most)
	}
}

func TestARegistryThatNobodyClosedIsFreedByTheCollector(t *testing.T) {
	grown := grows(t, func(registry *bpos.Registry) {
		registry = nil
		runtime.GC()
		ran := make(chan struct{}) // cleanups that were queued before this one have begun
		runtime.AddCleanup(new([16]int), func(int) { close(ran) }, 0)
		runtime.GC()
		<-ran
	})
	if most := registries / 4 * sizeOfOne; grown > most {
		t.Errorf("after %d registries were dropped, %d KiB more are in use; expected at most %d", registries, grown, most)
	}
}

// In each call, and between any two, the collector runs.
func TestTheCollectorFreesNoRegistryInUse(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Add(1)
	go func() {
		defer collector.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	for i := range 200 {
		key, decision := lastUse(t, i)
		if decision.KeyID() != key.Record.ID || decision.Status() != 200 {
			t.Errorf("round %d: %v", i, decision)
		}
	}
	close(stop)
	collector.Wait()
}

// lastUse makes a registry whose last use is a call.
func lastUse(t *testing.T, i int) (bpos.NewKey, bpos.Decision) {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		t.Fatal(err)
	}
	key := create(t, registry, bpos.KeySpec{Name: fmt.Sprint("Key ", i)})
	request := get(key)
	return key, registry.Authorize(request)
}

// ---- How much memory registries take ----

const (
	registries = 40
	sizeOfOne  = 10_000 * 200 / 1024 // KiB at least: 10,000 keys of 200 bytes
)

// large is a registry document of some megabytes in memory.
var large = sync.OnceValue(func() []byte {
	var keys []string
	for i := range 10_000 {
		keys = append(keys, fmt.Sprintf(`{"id": "key_%d", "name": "Key", "store": "s", "sha256": "%x", "scopes": []}`,
			i, sha256.Sum256([]byte{byte(i), byte(i >> 8)})))
	}
	return []byte(`{"version": 1, "keys": [` + strings.Join(keys, ",") + `]}`)
})

// grows opens registries, and does the same with each. It returns by how many KiB more the process then uses.
func grows(t *testing.T, end func(*bpos.Registry)) int {
	open := func() {
		registry, err := bpos.FromJSON(large())
		if err != nil {
			t.Fatal(err)
		}
		end(registry)
	}
	for range registries {
		open() // what the first ones take stays with the allocator, in each thread's arena
	}
	before := residentKiB(t)
	for range registries {
		open()
	}
	return residentKiB(t) - before
}

func residentKiB(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var size int
	if _, err := fmt.Sscan(after, &size); err != nil {
		t.Fatal(err)
	}
	return size
}
