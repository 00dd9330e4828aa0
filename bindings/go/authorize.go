package bpos

/*
#include <bpos.h>

// The library keeps no argument, and calls nothing of Go. So what is passed may stay on Go's stack.
#cgo noescape bpos_authorize
#cgo nocallback bpos_authorize
#cgo noescape bpos_authorize_at
#cgo nocallback bpos_authorize_at
#cgo noescape bpos_authorize_scope
#cgo nocallback bpos_authorize_scope
#cgo noescape bpos_authorize_scope_at
#cgo nocallback bpos_authorize_scope_at
*/
import "C"

import (
	"fmt"
	"log/slog"
	"time"
)

// A Request is what a decision is about. [HTTPRequest] takes it from an *http.Request.
type Request struct {
	APIKey string // the X-API-Key header as received; empty if there is none
	Store  string // the store that the request is for; an empty one matches no key
	Method string // such as "GET"
	Target string // the request target, path and query, as received and not decoded

	// AnyStore skips the check of the store: a key of any store will do, and Store is ignored.
	AnyStore bool
}

// String returns the facts for a log, the key and the target masked.
func (q Request) String() string {
	store := q.Store
	if q.AnyStore {
		store = "(any)"
	}
	return fmt.Sprintf("%q %q store=%q key=%q", Redact(q.Method), Redact(q.Target), Redact(store), Redact(q.APIKey))
}

// GoString returns the same, for %#v.
func (q Request) GoString() string {
	return q.String()
}

// LogValue returns the same, for package log/slog.
func (q Request) LogValue() slog.Value {
	return slog.StringValue(q.String())
}

// RequestBytes is a [Request] for a host that has bytes. Nobody may change them during the call.
type RequestBytes struct {
	APIKey, Store, Method, Target []byte

	AnyStore bool
}

// String, GoString and LogValue are those of Request.
func (b RequestBytes) String() string {
	return b.view().String()
}

// GoString returns the same, for %#v.
func (b RequestBytes) GoString() string {
	return b.String()
}

// LogValue returns the same, for package log/slog.
func (b RequestBytes) LogValue() slog.Value {
	return b.view().LogValue()
}

// Authorize decides on a request by its method and target, now. It copies and allocates nothing in Go.
func (r *Registry) Authorize(request Request) (decision Decision) {
	registry, in := r.enter()
	if registry == nil {
		return decision
	}
	store, storeLength := request.store()
	decision.c.size = C.sizeof_bpos_decision
	C.bpos_authorize(registry, pointer(request.APIKey), length(request.APIKey), store, storeLength,
		pointer(request.Method), length(request.Method), pointer(request.Target), length(request.Target), &decision.c)
	r.leave(in)
	return decision
}

// AuthorizeBytes is Authorize for bytes.
func (r *Registry) AuthorizeBytes(request RequestBytes) Decision {
	return r.Authorize(request.view())
}

// Now is a moment on both clocks, for tests and replays.
type Now struct {
	// Wall decides whether a key has expired, and nothing else.
	Wall time.Time
	// Monotonic is a time since any start, the same for all calls. It decides the rate limit, and nothing else. What is
	// negative or more than 2^48-2 microseconds is denied, 500.
	Monotonic time.Duration
}

// AuthorizeAt is Authorize at a given time. A monotonic time before the key's last admission counts as that one.
func (r *Registry) AuthorizeAt(request Request, now Now) (decision Decision) {
	registry, in := r.enter()
	if registry == nil {
		return decision
	}
	store, storeLength := request.store()
	wall, monotonic := now.clocks()
	decision.c.size = C.sizeof_bpos_decision
	C.bpos_authorize_at(registry, pointer(request.APIKey), length(request.APIKey), store, storeLength,
		pointer(request.Method), length(request.Method), pointer(request.Target), length(request.Target),
		wall, monotonic, &decision.c)
	r.leave(in)
	return decision
}

// AuthorizeBytesAt is AuthorizeAt for bytes.
func (r *Registry) AuthorizeBytesAt(request RequestBytes, now Now) Decision {
	return r.AuthorizeAt(request.view(), now)
}

// A Scope is the number of a scope in a registry's policy. Zero is no scope: what needs it is denied, 500.
type Scope uint32

// The scopes of the built-in policy. [Registry.Scope] finds those of a policy of your own.
const (
	ScopeProductsRead     Scope = C.BPOS_SCOPE_PRODUCTS_READ
	ScopeCustomersRead    Scope = C.BPOS_SCOPE_CUSTOMERS_READ
	ScopeSalesRead        Scope = C.BPOS_SCOPE_SALES_READ
	ScopeInventoryRead    Scope = C.BPOS_SCOPE_INVENTORY_READ
	ScopeLoyaltyRead      Scope = C.BPOS_SCOPE_LOYALTY_READ
	ScopeGiftCardsRead    Scope = C.BPOS_SCOPE_GIFT_CARDS_READ
	ScopeStoreCreditsRead Scope = C.BPOS_SCOPE_STORE_CREDITS_READ
	ScopeProductsWrite    Scope = C.BPOS_SCOPE_PRODUCTS_WRITE
	ScopeCustomersWrite   Scope = C.BPOS_SCOPE_CUSTOMERS_WRITE
	ScopeInventoryWrite   Scope = C.BPOS_SCOPE_INVENTORY_WRITE
	ScopeWebhooksManage   Scope = C.BPOS_SCOPE_WEBHOOKS_MANAGE
)

// Scope returns the number of a scope, such as "products:read", or an error that is [ErrNotFound] if the policy has none
// of that whole name. Ask when the program starts, and stop there if it fails: with the 0 that comes beside the error,
// [Registry.AuthorizeScope] denies every request, 500.
func (r *Registry) Scope(name string) (Scope, error) {
	var scope Scope
	err := r.call(func(registry *C.bpos_registry, _ *C.bpos_error) C.bpos_status {
		scope = Scope(C.bpos_scope_id(registry, pointer(name), length(name)))
		return C.BPOS_OK
	})
	if err == nil && scope == 0 {
		err = &Error{Status: ErrNotFound, Message: fmt.Sprintf("the policy of this registry has no scope %q: check its "+
			"spelling; scopes of your own need a policy of your own, the option Policy", Redact(name))}
	}
	return scope, err
}

// AuthorizeScope decides on a request whose scope the host names, now: for a host that does its own routing. The
// operation writes if the scope is a write scope. Method and Target are ignored, so the host must refuse a key in the URL
// itself. A scope that is not in the policy, such as 0, is denied, 500, with [ReasonInternal].
func (r *Registry) AuthorizeScope(request Request, scope Scope) (decision Decision) {
	registry, in := r.enter()
	if registry == nil {
		return decision
	}
	store, storeLength := request.store()
	decision.c.size = C.sizeof_bpos_decision
	C.bpos_authorize_scope(registry, pointer(request.APIKey), length(request.APIKey),
		store, storeLength, C.uint32_t(scope), &decision.c)
	r.leave(in)
	return decision
}

// AuthorizeScopeAt is AuthorizeScope at a given time, as with AuthorizeAt.
func (r *Registry) AuthorizeScopeAt(request Request, scope Scope, now Now) (decision Decision) {
	registry, in := r.enter()
	if registry == nil {
		return decision
	}
	store, storeLength := request.store()
	wall, monotonic := now.clocks()
	decision.c.size = C.sizeof_bpos_decision
	C.bpos_authorize_scope_at(registry, pointer(request.APIKey), length(request.APIKey),
		store, storeLength, C.uint32_t(scope), wall, monotonic, &decision.c)
	r.leave(in)
	return decision
}

// store is what C takes for the store: NULL leaves the check out, so that only AnyStore may give it.
func (q *Request) store() (*C.char, C.size_t) {
	if q.AnyStore {
		return nil, 0
	}
	return pointer(q.Store), length(q.Store)
}

func (b *RequestBytes) view() Request {
	return Request{view(b.APIKey), view(b.Store), view(b.Method), view(b.Target), b.AnyStore}
}

func (n Now) clocks() (C.int64_t, C.uint64_t) {
	return C.int64_t(n.Wall.UnixMilli()), C.uint64_t(n.Monotonic.Microseconds())
}
