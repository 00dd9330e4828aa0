package main

/*
#cgo pkg-config: bpos
#include <bpos.h>
#include <stdlib.h>

// The bare crossing: what bpos_authorize_at takes, and nothing done with it.
static __attribute__((noinline)) int32_t cross(const bpos_registry *registry, const char *api_key, size_t api_key_len,
        const char *store, size_t store_len, const char *method, size_t method_len, const char *target,
        size_t target_len, int64_t unix_ms, uint64_t monotonic_us, bpos_decision *out) {
    __asm__ volatile("");
    return 200;
}
#cgo noescape cross
#cgo nocallback cross

enum { ROUTED, SCOPED, NOW };

typedef struct facts {
    const char *keys; // one after another
    size_t key_len, keys_count;
    const char *store, *method, *target;
    size_t store_len, method_len, target_len;
    uint64_t step_us;
} facts;

// Asks one key after another, from the one that is next, and counts the answers that are as expected.
static size_t ask(const bpos_registry *registry, int how, const facts *f, uint64_t *next, size_t calls,
        int32_t expected) {
    size_t right = 0, wrong = 0;
    for (; calls > 0; calls--, ++*next) {
        // The key depends on the answer before it: no call begins before the last has ended, as it is from Go.
        const char *key = f->keys + (*next + wrong) % f->keys_count * f->key_len;
        const uint64_t us = *next * f->step_us;
        const int64_t ms = 1800000000000 + (int64_t)(us / 1000);
        bpos_decision decision = {.size = sizeof decision};
        int32_t status = 0;
        switch (how) {
        case ROUTED:
            status = bpos_authorize_at(registry, key, f->key_len, f->store, f->store_len, f->method, f->method_len,
                                       f->target, f->target_len, ms, us, &decision);
            break;
        case SCOPED:
            status = bpos_authorize_scope_at(registry, key, f->key_len, f->store, f->store_len,
                                             BPOS_SCOPE_PRODUCTS_READ, ms, us, &decision);
            break;
        case NOW:
            status = bpos_authorize(registry, key, f->key_len, f->store, f->store_len, f->method, f->method_len,
                                    f->target, f->target_len, &decision);
            break;
        }
        wrong = (size_t)((status ^ expected) | (decision.status ^ expected));
        right += wrong == 0;
    }
    return right;
}
*/
import "C"

import (
	"unsafe"

	"github.com/brotherpos/bpos/bindings/go"
)

// crossing calls a function of C that does nothing, with what Authorize takes.
func crossing(n int) (right int) {
	var decision C.bpos_decision
	char := func(text string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(text))) }
	for range n {
		right += int(C.cross(nil, char(unknown), C.size_t(len(unknown)), char(store), C.size_t(len(store)),
			char(method), C.size_t(len(method)), char(target), C.size_t(len(target)), 0, 0, &decision)) / 200
	}
	return right
}

// inC asks a registry in a loop in C: one crossing for many calls.
type inC struct {
	registry *C.bpos_registry
	facts    C.facts
	next     *C.uint64_t
}

func loopInC(registry *bpos.Registry, keys *keys) *inC {
	return &inC{
		registry: *(**C.bpos_registry)(unsafe.Pointer(registry)), // its first field
		next:     (*C.uint64_t)(&keys.asked),
		facts: C.facts{
			keys: C.CString(keys.text), key_len: keyLength, keys_count: C.size_t(keys.count),
			store: C.CString(store), store_len: C.size_t(len(store)),
			method: C.CString(method), method_len: C.size_t(len(method)),
			target: C.CString(target), target_len: C.size_t(len(target)),
			step_us: C.uint64_t(keys.step.Microseconds()),
		}, // the texts are for the life of this program
	}
}

func (c *inC) routed() calls { return c.calls(C.ROUTED, c.facts, 200) }

func (c *inC) scoped() calls { return c.calls(C.SCOPED, c.facts, 200) }

// now asks one key, now.
func (c *inC) now(key string, expected int) calls {
	facts := c.facts
	facts.keys, facts.keys_count = C.CString(key), 1
	return c.calls(C.NOW, facts, expected)
}

func (c *inC) calls(how C.int, facts C.facts, expected int) calls {
	return func(n int) int {
		return int(C.ask(c.registry, how, &facts, c.next, C.size_t(n), C.int32_t(expected)))
	}
}
