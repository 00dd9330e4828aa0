// A shop's HTTP API in Go behind bpos. This file is what a host has to do; the shop itself, in shop.go, is made up.
//
//	go run . --registry keys.json --store yourstore
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/brotherpos/bpos/bindings/go"
)

func main() {
	if err := serve(); err != nil {
		logf("server: %v", err)
		os.Exit(1)
	}
}

func serve() error {
	path := flag.String("registry", "", "the registry file with the keys; read again when it was edited")
	address := flag.String("listen", "127.0.0.1:0", "where to listen; port 0 takes a free one")
	oneStore := flag.String("store", "", "the store that every request is for; without it, the request's host names it")
	domain := flag.String("domain", "brotherpos.ca", "the domain that the stores' hosts are one level below")
	flag.Parse()

	// This program never changes a key, so it asks not to be able to.
	registry, err := bpos.Open(*path, bpos.ReadOnly())
	if err != nil {
		return err
	}
	defer registry.Close()

	// Signals are caught before anybody is told that the server listens.
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())

	store := func(request *http.Request) string { return bpos.StoreOfHost(request, *domain) }
	if *oneStore != "" {
		store = func(*http.Request) string { return *oneStore }
	}
	server := &http.Server{Handler: authorize(registry, store, newShop()), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-stop.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// authorize lets a request through to the shop, or answers it with its denial. It is registry.Middleware(store,
// bpos.FollowFile(nil)), and logs. It stands before the router: what is no route of the shop passes it too, so nothing
// is answered unauthorized.
func authorize(registry *bpos.Registry, store func(*http.Request) string, shop http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		// What bpos changes is in force already. This is for a file that somebody has edited: it costs one call to the
		// operating system, and a mistake in the file is logged.
		if _, err := registry.ReloadIfChanged(); err != nil {
			logf("not reloaded, the old keys stay in force: %v", err)
		}
		decision := registry.AuthorizeRequest(request, store(request))
		logf("%s %s %v", request.Method, request.RequestURI, decision)
		// A shared cache does not know X-API-Key: it would hand one client's answer to the next.
		w.Header().Set("Cache-Control", "no-store")
		decision.Serve(w, request, shop)
	})
}

// logf writes one line to stderr, in which nothing of the client's can be a key, a line break or a control character.
func logf(format string, values ...any) {
	visible := func(char rune) rune {
		if unicode.IsControl(char) {
			return unicode.ReplacementChar
		}
		return char
	}
	fmt.Fprintln(os.Stderr, strings.Map(visible, bpos.Redact(fmt.Sprintf(format, values...))))
}
