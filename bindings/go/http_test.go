package bpos_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
)

// shop answers every request that gets to it with what it learned.
func shop(w http.ResponseWriter, request *http.Request) {
	decision, found := bpos.FromContext(request.Context())
	fmt.Fprintf(w, "%v %s %s key=%q", found, decision.Store(), request.URL.Path, request.Header.Values("X-API-Key"))
}

func named(*http.Request) string { return store }

// ask sends what a client wrote, byte for byte, to a server with a handler.
func ask(t *testing.T, handler http.Handler, wire string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	method, _, _ := strings.Cut(wire, " ")
	wire += "\nHost: yourstore.example\nConnection: close\n\n"
	fmt.Fprint(connection, strings.ReplaceAll(wire, "\n", "\r\n"))
	answer, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestAnAllowedRequestReachesTheHandlerWithoutTheKey(t *testing.T) {
	registry := memory(t)
	secret := create(t, registry, bpos.KeySpec{}).Secret.Expose()
	handler := registry.Middleware(named)(http.HandlerFunc(shop))
	answer, body := ask(t, handler, "GET /api/v1/products?page=2 HTTP/1.1\nX-API-Key: "+secret)
	if answer.StatusCode != 200 || body != "true yourstore /api/v1/products key=[]" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if header := answer.Header; header.Get("RateLimit-Policy") != `"default";q=60;w=60` ||
		header.Get("RateLimit") != `"default";r=59;t=61` {
		t.Errorf("the headers are %v", header)
	}

	request := httptest.NewRequest("GET", target, nil)
	request.Header.Set("X-API-Key", secret)
	handler.ServeHTTP(httptest.NewRecorder(), request)
	if request.Header.Get("X-API-Key") != secret {
		t.Error("the caller's own request was changed")
	}
}

func TestADenialIsTheAnswer(t *testing.T) {
	registry := memory(t)
	secret := create(t, registry, bpos.KeySpec{RateLimit: 1}).Secret.Expose()
	other := create(t, registry, bpos.KeySpec{}).Secret.Expose()
	sameKey := "\nX-API-Key: " + secret
	used := create(t, registry, bpos.KeySpec{RateLimit: 1})
	registry.Authorize(get(used))

	handler := registry.Middleware(named)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request went through")
	}))
	for what, attempt := range map[string]struct {
		wire   string
		status int
		code   string
	}{
		"no key":             {"GET /api/v1/products HTTP/1.1", 401, "missing_key"},
		"an empty key":       {"GET /api/v1/products HTTP/1.1\nX-API-Key:", 401, "missing_key"},
		"two keys":           {"GET /api/v1/products HTTP/1.1" + sameKey + "\nX-API-Key: " + other, 401, "invalid_key"},
		"the same key twice": {"GET /api/v1/products HTTP/1.1" + sameKey + "\nx-api-key: " + secret, 401, "invalid_key"},
		"a key and nothing":  {"GET /api/v1/products HTTP/1.1" + sameKey + "\nX-API-Key:", 401, "invalid_key"},
		"keys and a comma":   {"GET /api/v1/products HTTP/1.1" + sameKey + ", " + other, 401, "invalid_key"},
		"the key in the URL": {"GET /api/v1/products?k=" + secret + " HTTP/1.1" + sameKey, 401, "key_in_url"},
		"encoded":            {"GET /api/v1/products?k=bpos%5F" + secret[5:] + " HTTP/1.1" + sameKey, 401, "key_in_url"},
		"in an absolute URL": {"GET http://shop/api/v1/products?k=" + secret + " HTTP/1.1" + sameKey, 401, "key_in_url"},
		"an encoded path":    {"GET /api/v1/%70roducts/..%2fsales HTTP/1.1" + sameKey, 403, "unmapped_route"},
		"a double slash":     {"GET //api/v1/products HTTP/1.1" + sameKey, 403, "unmapped_route"},
		"no path":            {"GET * HTTP/1.1" + sameKey, 403, "unmapped_route"},
		"a tunnel":           {"CONNECT shop:443 HTTP/1.1" + sameKey, 403, "unmapped_route"},
		"another scope":      {"GET /api/v1/sales HTTP/1.1" + sameKey, 403, "insufficient_scope"},
		"the limit":          {"GET /api/v1/products HTTP/1.1\nX-API-Key: " + used.Secret.Expose(), 429, "rate_limited"},
	} {
		answer, body := ask(t, handler, attempt.wire)
		if answer.StatusCode != attempt.status || !strings.Contains(body, `"code":"`+attempt.code+`"`) {
			t.Errorf("%s: found %d %s; expected %d %s", what, answer.StatusCode, body, attempt.status, attempt.code)
		}
		if answer.Header.Get("Content-Type") != "application/problem+json" ||
			(attempt.status == 401) != (answer.Header.Get("WWW-Authenticate") == `ApiKey realm="bpos"`) ||
			(attempt.status == 429) != (answer.Header.Get("Retry-After") != "") {
			t.Errorf("%s: the headers are %v", what, answer.Header)
		}
		if strings.Contains(body, secret[5:]) {
			t.Errorf("%s: the answer holds the key", what)
		}
	}
}

func TestHEADHasTheHeadersAndNoBody(t *testing.T) {
	handler := memory(t).Middleware(named)(http.HandlerFunc(shop))
	recorder := httptest.NewRecorder() // unlike a server, it takes a body
	handler.ServeHTTP(recorder, httptest.NewRequest("HEAD", target, nil))
	if recorder.Code != 401 || recorder.Body.Len() != 0 || recorder.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v %q", recorder.Code, recorder.Header(), recorder.Body)
	}
}

func TestTheTargetIsTheOneThatTheClientSent(t *testing.T) {
	registry := memory(t)
	sameKey := "\nX-API-Key: " + create(t, registry, bpos.KeySpec{}).Secret.Expose()
	handler := registry.Middleware(named)(http.HandlerFunc(shop))
	for what, attempt := range map[string]struct {
		handler http.Handler
		target  string
		status  int
	}{
		"as it is":                       {handler, "/api/v1/products", 200},
		"absolute":                       {handler, "http://shop.example/api/v1/products?page=2", 200},
		"a prefix taken off":             {http.StripPrefix("/api", handler), "/api/v1/products", 200},
		"a prefix taken off to fit":      {http.StripPrefix("/x", handler), "/x/api/v1/products", 403},
		"absolute, and to fit":           {http.StripPrefix("/x", handler), "http://shop.example/x/api/v1/products", 403},
		"absolute, and a prefix off":     {http.StripPrefix("/api", handler), "http://shop.example/api/v1/products", 200},
		"rewritten":                      {rewritten(handler, "/api/v1/products"), "/api/v1/categories", 403},
		"rewritten, to the same":         {rewritten(handler, "/api/v1/products"), "/api/v1/products", 200},
		"rewritten within a segment":     {rewritten(handler, "roducts"), "/api/v1/products", 403},
		"absolute, and rewritten":        {rewritten(handler, "/x"), "http://shop.example/api/v1/products", 403},
		"a fragment":                     {handler, "/api/v1/products#x", 403},
		"encoded, which Go would decode": {handler, "/api/v1/product%73/1%2F2", 403},
	} {
		answer, body := ask(t, attempt.handler, "GET "+attempt.target+" HTTP/1.1"+sameKey)
		if answer.StatusCode != attempt.status {
			t.Errorf("%s: found %d %s; expected %d", what, answer.StatusCode, body, attempt.status)
		}
	}

	request, err := http.NewRequest("GET", "http://shop.example/api/v1/products?page=2", nil) // it comes from no server
	if err != nil {
		t.Fatal(err)
	}
	expected := bpos.Request{Method: "GET", Target: "/api/v1/products?page=2", Store: store}
	if facts := bpos.HTTPRequest(request, store); facts != expected {
		t.Errorf("the facts are %+v", facts)
	}
}

// rewritten changes the path that a router goes by, before the handler.
func rewritten(handler http.Handler, path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request.URL.Path, request.URL.RawPath = path, ""
		handler.ServeHTTP(w, request)
	})
}

func TestAStoreThatCannotBeFoundLetsNobodyThrough(t *testing.T) {
	registry := memory(t)
	secret := create(t, registry, bpos.KeySpec{}).Secret.Expose()
	closed, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	var none *bpos.Registry

	for what, attempt := range map[string]struct {
		registry *bpos.Registry
		store    func(*http.Request) string
		status   int
	}{
		"the right one":     {registry, named, 200},
		"empty":             {registry, func(*http.Request) string { return "" }, 401},
		"no function":       {registry, nil, 500},
		"a closed registry": {closed, named, 500},
		"a nil registry":    {none, named, 500},
		"a panic":           {registry, func(*http.Request) string { panic("no database") }, 0},
	} {
		reached := false
		handler := attempt.registry.Middleware(attempt.store)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			reached = true
		}))
		recorder := httptest.NewRecorder()
		recorder.Code = 0
		request := httptest.NewRequest("GET", target, nil)
		request.Header.Set("X-API-Key", secret)
		panicked := func() (panicked any) {
			defer func() { panicked = recover() }()
			handler.ServeHTTP(recorder, request)
			return nil
		}()
		if (panicked != nil) != (what == "a panic") || reached != (what == "the right one") {
			t.Errorf("%s: it panicked with %v; the handler was reached: %v", what, panicked, reached)
		}
		if attempt.status != 200 && recorder.Code != attempt.status {
			t.Errorf("%s: found %d; expected %d", what, recorder.Code, attempt.status)
		}
	}
}

func TestAnUnsharedRegistrySeesARevocationAtTheNextRequestIfItFollowsTheFile(t *testing.T) {
	path := file(t)
	other, err := bpos.Open(path, bpos.Unshared()) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	key := create(t, other, bpos.KeySpec{})
	registry, err := bpos.Open(path, bpos.ReadOnly(), bpos.Unshared())
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()

	var failures []error
	notReloaded := func(err error) { failures = append(failures, err) }
	handler := registry.Middleware(named, bpos.FollowFile(notReloaded))(http.HandlerFunc(shop))
	expectStatus := func(what string, handler http.Handler, key bpos.NewKey, status int) {
		t.Helper()
		request := httptest.NewRequest("GET", target, nil)
		request.Header.Set("X-API-Key", key.Secret.Expose())
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != status {
			t.Errorf("%s: found %d; expected %d", what, recorder.Code, status)
		}
	}
	expectStatus("before", handler, key, 200)
	late := create(t, other, bpos.KeySpec{})
	if err := other.Revoke(key.Record.ID); err != nil {
		t.Fatal(err)
	}
	expectStatus("without FollowFile", registry.Middleware(named)(http.HandlerFunc(shop)), key, 200)
	expectStatus("revoked", handler, key, 401)
	expectStatus("created", handler, late, 200)

	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(failures) != 0 {
		t.Errorf("there were the failures %v", failures)
	}
	expectStatus("a broken file, and a key that is in force", handler, late, 200)
	expectStatus("a broken file, and one that is not", handler, key, 401)
	if len(failures) != 2 {
		t.Fatalf("there were %d failures: %v", len(failures), failures)
	}
	expectError(t, "the failure", failures[0], bpos.ErrFormat, path)

	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	logging := registry.Middleware(named, bpos.FollowFile(nil))(http.HandlerFunc(shop))
	expectStatus("a failure that goes to slog", logging, late, 200)
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, path) {
		t.Errorf("the log is %q", text)
	}
}

func TestADecisionWritesItself(t *testing.T) {
	registry := memory(t)
	allowed := registry.Authorize(get(create(t, registry, bpos.KeySpec{})))
	recorder := httptest.NewRecorder()
	recorder.Code = 0
	allowed.WriteTo(recorder)
	if recorder.Code != 0 || recorder.Body.Len() != 0 || recorder.Header().Get("RateLimit") == "" {
		t.Errorf("allowed: %d %v %q", recorder.Code, recorder.Header(), recorder.Body)
	}
	denied := registry.Authorize(bpos.Request{})
	recorder = httptest.NewRecorder()
	denied.WriteTo(recorder)
	if recorder.Code != 401 || !bytes.Equal(recorder.Body.Bytes(), denied.Body()) || recorder.Body.Len() == 0 {
		t.Errorf("denied: %d %q", recorder.Code, recorder.Body)
	}
	if _, found := bpos.FromContext(context.Background()); found {
		t.Error("there is a decision in an empty context")
	}
}
