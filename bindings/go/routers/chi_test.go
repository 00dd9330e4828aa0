// Package routers_test has routers that serve a path for another one, with bpos in front. It is a module of its own, so
// that the binding depends on nothing.
package routers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

const policy = `{
	"scopes": [{"name": "orders:read"}, {"name": "orders:admin"}],
	"routes": [
		{"method": "GET", "path": "/orders/{id}", "scope": "orders:read"},
		{"method": "GET", "path": "/orders/export", "scope": "orders:admin"}
	]
}`

func shop() http.Handler {
	router := chi.NewRouter()
	router.Use(middleware.URLFormat)
	router.Get("/orders/export", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "all orders")
	})
	router.Get("/orders/{id}", func(w http.ResponseWriter, request *http.Request) {
		fmt.Fprint(w, "order "+chi.URLParam(request, "id"))
	})
	return router
}

// ask is what a client gets: what the shop serves, or the denial's code.
func ask(handler http.Handler, target, key string) string {
	request := httptest.NewRequest("GET", target, nil)
	request.Header.Set("X-API-Key", key)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if _, denial, found := strings.Cut(answer.Body.String(), `"code":"`); found {
		code, _, _ := strings.Cut(denial, `"`)
		return code
	}
	return answer.Body.String()
}

func TestWhatChiServesAsTheExportIsNoOrder(t *testing.T) {
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`), bpos.Policy([]byte(policy)))
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	key := func(scope string) string {
		key, err := registry.Create(bpos.KeySpec{Name: scope, Store: "yourstore", Scopes: []string{scope}})
		if err != nil {
			t.Fatal(err)
		}
		return key.Secret.Expose()
	}
	reads, exports := key("orders:read"), key("orders:admin")
	behind := registry.Middleware(func(*http.Request) string { return "yourstore" })(shop())

	for _, target := range []string{"/orders/export.json", "/orders/export.", "/orders/export.xml?page=2"} {
		if served := ask(shop(), target, reads); served != "all orders" {
			t.Errorf("chi alone does not fold %s, and serves %q", target, served)
		}
		for _, key := range []string{reads, exports} {
			if served := ask(behind, target, key); served != "unmapped_route" {
				t.Errorf("%s: %q", target, served)
			}
		}
	}
	for _, expected := range [][3]string{
		{"/orders/export", reads, "insufficient_scope"},
		{"/orders/export", exports, "all orders"},
		{"/orders/17.json", reads, "order 17"},
	} {
		if served := ask(behind, expected[0], expected[1]); served != expected[2] {
			t.Errorf("%s: %q; expected %q", expected[0], served, expected[2])
		}
	}
}
