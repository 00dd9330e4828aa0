package bpos

/*
#include <bpos.h>

#cgo noescape bpos_decision_headers
#cgo nocallback bpos_decision_headers
#cgo noescape bpos_decision_body
#cgo nocallback bpos_decision_body
*/
import "C"

import (
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"
	"unsafe"
)

// A Decision is the answer to one request: what to do, why, and what to tell the client. The zero Decision is a denial.
// It stays valid without its registry.
type Decision struct {
	c C.bpos_decision
}

// Allowed tells whether the request is allowed.
func (d Decision) Allowed() bool {
	return d.c.status == 200
}

// Status returns the HTTP status: 200 if the request is allowed; 401, 403 or 429 if not; 500 if bpos could not decide.
func (d Decision) Status() int {
	if d.c.status == 0 {
		return 500
	}
	return int(d.c.status)
}

// Reason returns exactly why, for the host. The client is told what Code and Body say.
func (d Decision) Reason() Reason {
	return Reason(d.c.reason)
}

// Code returns what the client may be told of the reason, for a host that writes a body of its own: the code in Body.
// It is the reason's name, but "invalid_key" for the three reasons that a client must not tell apart. Empty if the
// request is allowed.
func (d Decision) Code() string {
	switch {
	case d.Allowed():
		return ""
	case abiError() != nil:
		return ReasonInternal.String()
	}
	return C.GoString(C.bpos_reason_code(C.uint32_t(d.c.reason)))
}

// KeyID returns the id of the key, for logs; empty unless the client proved that it holds the secret.
func (d Decision) KeyID() string {
	return text(d.c.key_id[:])
}

// Store returns the store that the key belongs to, whose data to serve; empty unless the client proved that it holds
// the secret. Not for the client on a denial.
func (d Decision) Store() string {
	return text(d.c.store[:])
}

// Scope returns the scope that the operation needs; 0 if the decision did not get that far.
func (d Decision) Scope() Scope {
	return Scope(d.c.required_scope)
}

// RequiredScope returns the name of the required scope on a 403 that tells the client of one; otherwise it is empty.
func (d Decision) RequiredScope() string {
	return text(d.c.scope[:])
}

// TestMode tells whether the key is in test mode. Known once the secret is proved.
func (d Decision) TestMode() bool {
	return d.c.test_mode != 0
}

// Limit returns the key's limit, requests in any 60 seconds, on 200 and 429; otherwise 0.
func (d Decision) Limit() int {
	return int(d.c.limit)
}

// Remaining returns how many more requests would be admitted now, after this one.
func (d Decision) Remaining() int {
	return int(d.c.remaining)
}

// RetryAfter returns, on 429, how long it takes until a request will be admitted again: whole seconds, rounded up, at
// least 1. Otherwise 0.
func (d Decision) RetryAfter() time.Duration {
	return time.Duration(d.c.retry_after_s) * time.Second
}

// Reset returns, on 200 and 429, how long it takes until one more request is free: whole seconds, rounded up.
// Otherwise 0.
func (d Decision) Reset() time.Duration {
	return time.Duration(d.c.reset_s) * time.Second
}

// String returns status, reason and key, for logs: "403 insufficient_scope key_4f9hQ2mZk81LxTpWv0Ye".
func (d Decision) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", d.Status(), d.Reason(), d.KeyID()))
}

// LogValue returns status, reason, key and store, for package log/slog.
func (d Decision) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("status", d.Status()), slog.String("reason", d.Reason().String()),
		slog.String("key_id", d.KeyID()), slog.String("store", d.Store()))
}

// Headers returns the names and values of the headers for the answer: WWW-Authenticate on 401, Retry-After on 429,
// RateLimit-Policy and RateLimit on 200 and 429, and on a denial the Content-Type of the body.
func (d Decision) Headers() iter.Seq2[string, string] {
	d.c.size = C.sizeof_bpos_decision // a zero Decision is answered as 500
	lines := written(func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.bpos_decision_headers(&d.c, buffer, capacity)
	})
	return func(yield func(name, value string) bool) {
		for line := range strings.SplitSeq(string(lines), "\r\n") {
			name, value, found := strings.Cut(line, ": ")
			if found && !yield(name, value) {
				return
			}
		}
	}
}

// Body returns the body for the answer: on a denial an RFC 9457 problem in JSON; when the request is allowed, nothing.
func (d Decision) Body() []byte {
	d.c.size = C.sizeof_bpos_decision
	return written(func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.bpos_decision_body(&d.c, buffer, capacity)
	})
}

// written returns what a function of C writes that tells, like snprintf, how long it is.
func written(write func(buffer *C.char, capacity C.size_t) C.size_t) []byte {
	if abiError() != nil {
		return nil // the decision of a nil registry, in a host that went on without one
	}
	for room := C.size_t(512); ; {
		buffer := make([]byte, room) // the last byte is for a NUL
		length := write((*C.char)(unsafe.Pointer(&buffer[0])), room)
		if length < room {
			return buffer[:length]
		}
		room = length + 1
	}
}
