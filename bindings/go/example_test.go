package bpos_test

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

func Example() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`)) // or bpos.Open("keys.json")
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	key, err := registry.Create(bpos.KeySpec{Name: "Website Sync", Store: "yourstore", Scopes: []string{"products:read"}})
	if err != nil {
		log.Fatal(err)
	}

	request := bpos.Request{APIKey: key.Secret.Expose(), Store: "yourstore", Method: "GET", Target: "/api/v1/products"}
	decision := registry.Authorize(request)
	fmt.Println(decision.Status(), decision.Reason(), decision.Store(), decision.Remaining())

	request.Target = "/api/v1/sales"
	decision = registry.Authorize(request)
	fmt.Println(decision.Status(), decision.Reason(), decision.RequiredScope())
	// Output:
	// 200 allowed yourstore 59
	// 403 insufficient_scope sales:read
}

func ExampleRegistry_Middleware() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()

	shop := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		decision, _ := bpos.FromContext(request.Context())
		fmt.Fprintln(w, "products of", decision.Store())
	})
	store := func(*http.Request) string { return "yourstore" }
	server := httptest.NewServer(registry.Middleware(store)(shop))
	defer server.Close()

	answer, err := http.Get(server.URL + "/api/v1/products")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	fmt.Println(answer.Header.Get("WWW-Authenticate"))
	// Output:
	// 401 Unauthorized
	// ApiKey realm="bpos"
}

// A middleware of the host's own, which logs each decision.
func ExampleDecision_Serve() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()

	shop := http.NotFoundHandler()
	logged := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		decision := registry.AuthorizeRequest(request, "yourstore")
		fmt.Println(request.Method, request.URL.Path, decision)
		decision.Serve(w, request, shop)
	})
	logged.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/products", nil))
	// Output:
	// GET /api/v1/products 401 missing_key
}

func ExampleRegistry_AuthorizeAt() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	once := bpos.KeySpec{Name: "Once a minute", Store: "yourstore", Scopes: []string{"sales:read"}, RateLimit: 1}
	key, err := registry.Create(once)
	if err != nil {
		log.Fatal(err)
	}

	// A test hands the time in, and does not sleep.
	start := time.Now()
	request := bpos.Request{APIKey: key.Secret.Expose(), Store: "yourstore", Method: "GET", Target: "/api/v1/sales"}
	for _, passed := range []time.Duration{0, 20 * time.Second, 61 * time.Second} {
		decision := registry.AuthorizeAt(request, bpos.Now{Wall: start.Add(passed), Monotonic: passed})
		fmt.Println(passed, decision.Status(), decision.RetryAfter())
	}
	// Output:
	// 0s 200 0s
	// 20s 429 41s
	// 1m1s 200 0s
}

func ExampleRegistry_Rotate() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	spec := bpos.KeySpec{Name: "Website Sync", Store: "yourstore", Scopes: []string{"products:read"}}
	first, err := registry.Create(spec)
	if err != nil {
		log.Fatal(err)
	}
	second, err := registry.Rotate(first.Record.ID, 7*24*time.Hour) // for a week both work
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []bpos.NewKey{first, second} {
		request := bpos.Request{APIKey: key.Secret.Expose(), Store: "yourstore", Method: "GET", Target: "/api/v1/products"}
		fmt.Println(registry.Authorize(request).Reason())
	}
	// Output:
	// allowed
	// allowed
}

func ExampleRegistry_Edit() {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	spec := bpos.KeySpec{Name: "Website Sync", Store: "yourstore", Scopes: []string{"products:read"}}
	leaked, err := registry.Create(spec)
	if err != nil {
		log.Fatal(err)
	}

	edit := registry.Edit()
	edit.Revoke(leaked.Record.ID)
	instead := edit.Create(spec) // filled in by Commit
	if err := edit.Commit(); err != nil {
		log.Fatal(err)
	}
	for _, key := range []bpos.NewKey{leaked, *instead} {
		request := bpos.Request{APIKey: key.Secret.Expose(), Store: "yourstore", Method: "GET", Target: "/api/v1/products"}
		fmt.Println(registry.Authorize(request).Reason())
	}
	// Output:
	// revoked_key
	// allowed
}

func ExampleError() {
	_, err := bpos.Open("/nowhere/keys.json")
	fmt.Println(errors.Is(err, bpos.ErrIO))

	var failure *bpos.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Status) // failure.Message is for people
	}
	// Output:
	// true
	// bpos: io
}

func ExampleRedactHandler() {
	withoutTime := func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}
	text := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.New(bpos.RedactHandler(text)).Info("asked", "target", "/api/v1/products?key=bpos_4f9hQ2mZk81LxTpWv0Ye")
	// Output:
	// level=INFO msg=asked target="/api/v1/products?key=bpos_4f9h****************"
}
