package bpos

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

const apiKeyHeader = "X-Api-Key" // X-API-Key as net/http writes it

// Middleware returns a middleware for net/http: it asks store which store a request is for, decides, and either answers
// with the denial or passes the request on, as [Decision.Serve] does.
//
// A store that is empty matches no key: [StoreOfHost] finds the one that the host names. If store is nil, every request
// is denied, 500; if it panics, the panic propagates, and the request goes no further.
func (r *Registry) Middleware(
	store func(*http.Request) string, options ...MiddlewareOption,
) func(http.Handler) http.Handler {
	var m middleware
	for _, option := range options {
		option(&m)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			var decision Decision // a denial, 500
			if store != nil {
				m.follow(r)
				decision = r.AuthorizeRequest(request, store(request))
			}
			decision.Serve(w, request, next)
		})
	}
}

// A MiddlewareOption says what [Registry.Middleware] does besides deciding.
type MiddlewareOption func(*middleware)

type middleware struct {
	notReloaded func(error) // nil: the file is not looked at
}

// FollowFile makes the middleware look, before each request, whether the registry file has changed, and if so read it
// again. Changes made by bpos need no FollowFile, unless the registry is [Unshared]; it is for that, and for a file that
// something else writes. It costs one call to the operating system. While one request reads the file, others are decided
// by the keys that were in force before.
//
// If the file cannot be read, the old keys stay in force, notReloaded is told why, and the next request tries again. If
// notReloaded is nil, the failure goes to package log/slog.
func FollowFile(notReloaded func(error)) MiddlewareOption {
	if notReloaded == nil {
		notReloaded = func(err error) { slog.Error("bpos: not reloaded, the old keys stay in force", "error", err) }
	}
	return func(m *middleware) { m.notReloaded = notReloaded }
}

func (m *middleware) follow(r *Registry) {
	if m.notReloaded == nil {
		return
	}
	if _, err := r.ReloadIfChanged(); err != nil {
		m.notReloaded(err)
	}
}

// AuthorizeRequest decides on a request, now: the part of Middleware for a host that writes its own, which logs the
// decision, say, before it calls [Decision.Serve].
func (r *Registry) AuthorizeRequest(request *http.Request, store string) Decision {
	return r.Authorize(HTTPRequest(request, store))
}

// HTTPRequest takes the facts of a request for [Registry.Authorize]. The target is the one that the client sent, also
// behind [http.StripPrefix]. Where something else has rewritten the path of the URL, the target is empty, and no route
// matches.
func HTTPRequest(request *http.Request, store string) Request {
	return Request{APIKey: apiKey(request.Header), Store: store, Method: request.Method, Target: target(request)}
}

// apiKey is the key that the client presents. One of several could be checked here and another be used elsewhere: by a
// proxy, or by a framework that takes the last and not the first. HTTP reads them as one value, joined by commas (RFC
// 9110, section 5.3), and no key has a comma: what stands for them is malformed.
func apiKey(header http.Header) string {
	switch values := header[apiKeyHeader]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		return ","
	}
}

// target is the path and the query as they were received, not decoded. If something between has rewritten the path that
// the router goes by, what was received says nothing of what will be served, and the target is empty, which matches no
// route. Only a prefix may be gone, which [http.StripPrefix] takes off.
func target(request *http.Request) string {
	received := request.RequestURI
	if received == "" { // it came from no server
		return request.URL.RequestURI()
	}
	if received[0] != '/' { // it has a host of its own, as clients write it to a proxy; or it is "*"
		absolute, err := url.ParseRequestURI(received)
		if err != nil {
			return ""
		}
		received = absolute.RequestURI()
	}
	path, _, _ := strings.Cut(received, "?")
	if path != request.URL.EscapedPath() && !endsIn(path, request.URL.Path) {
		return ""
	}
	return received
}

// endsIn tells whether the segments of a decoded path are the last ones of an encoded one.
func endsIn(encoded, path string) bool {
	decoded, err := url.PathUnescape(encoded)
	before, found := strings.CutSuffix(decoded, path)
	return err == nil && found && (strings.HasPrefix(path, "/") || strings.HasSuffix(before, "/"))
}

// Serve answers a request as the decision says. A denial is the answer: status, headers, and a body if the method is
// not HEAD. If the request is allowed, its headers are set on the answer, and next gets the request with the decision
// in its context and without the key.
func (d Decision) Serve(w http.ResponseWriter, request *http.Request, next http.Handler) {
	if !d.Allowed() {
		d.write(w, request.Method != http.MethodHead)
		return
	}
	d.setHeaders(w)
	inner := request.WithContext(NewContext(request.Context(), d))
	inner.Header = request.Header.Clone()
	inner.Header.Del(apiKeyHeader)
	next.ServeHTTP(w, inner)
}

// WriteTo writes a denial: headers, status and body. If the request is allowed it only sets the headers, and the host
// writes the answer.
func (d Decision) WriteTo(w http.ResponseWriter) {
	if !d.Allowed() {
		d.write(w, true)
		return
	}
	d.setHeaders(w)
}

func (d Decision) write(w http.ResponseWriter, withBody bool) {
	d.setHeaders(w)
	w.WriteHeader(d.Status())
	if withBody {
		w.Write(d.Body()) //nolint:errcheck // the client is gone, and nobody is left to tell
	}
}

func (d Decision) setHeaders(w http.ResponseWriter) {
	for name, value := range d.Headers() {
		w.Header().Set(name, value)
	}
}

type contextKey struct{}

// NewContext returns a context that carries a decision.
func NewContext(ctx context.Context, decision Decision) context.Context {
	return context.WithValue(ctx, contextKey{}, decision)
}

// FromContext returns the decision that Middleware has put into the context of a request.
func FromContext(ctx context.Context) (Decision, bool) {
	decision, ok := ctx.Value(contextKey{}).(Decision)
	return decision, ok
}
