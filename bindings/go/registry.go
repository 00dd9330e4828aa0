package bpos

// #include <bpos.h>
import "C"

import (
	"bytes"
	"cmp"
	"runtime"
	"unsafe"
)

// A Registry holds the keys of a platform, ready to decide. Any number of goroutines may use it at once, and any of
// them may change it meanwhile: after a change returns, every decision that starts later is made with it.
//
// [Open], [Init] and [FromJSON] make one, and Close frees it.
type Registry struct {
	lifetime lifetime
	cleanup  runtime.Cleanup
}

// Open opens a registry file. Changes are written to it; those of other processes are seen by [Registry.Reload] and
// [Registry.ReloadIfChanged], and before each change.
//
// It fails with [ErrIO] if the file cannot be read, with [ErrPermission] if others may write it, and with [ErrFormat],
// [ErrConflict] or [ErrLimit] if it is no sound registry document, or if an option is not sound.
func Open(path string, options ...Option) (*Registry, error) {
	form := optionsJSON(options)
	return open(func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_open(pointer(path), length(path), pointer(form), length(form), out, failure)
	})
}

// Init makes a registry file without keys, which must not exist yet, and opens it. The file belongs to this process's
// user, who alone may read and write it.
//
// It fails with [ErrConflict] if such a file exists, and otherwise as Open does.
func Init(path string, options ...Option) (*Registry, error) {
	form := optionsJSON(options)
	return open(func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_init(pointer(path), length(path), pointer(form), length(form), out, failure)
	})
}

// FromJSON makes a registry in memory from a registry document: your own database is the source of truth, and
// [Registry.Apply] feeds its changes in. Nothing is ever written. It fails as Open does for a document.
func FromJSON(document []byte, options ...Option) (*Registry, error) {
	text, form := view(document), optionsJSON(options)
	return open(func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_from_json(pointer(text), length(text), pointer(form), length(form), out, failure)
	})
}

func open(call func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status) (*Registry, error) {
	if err := abiError(); err != nil {
		return nil, err
	}
	var opened *C.bpos_registry
	if err := try(func(failure *C.bpos_error) C.bpos_status { return call(&opened, failure) }); err != nil {
		return nil, err
	}
	registry := new(Registry)
	registry.lifetime.begin(unsafe.Pointer(opened))
	// A net for a registry that nobody closed. Who can still call it reaches it, so nobody is in a call by then.
	registry.cleanup = runtime.AddCleanup(registry, free, unsafe.Pointer(opened))
	return registry, nil
}

func free(registry unsafe.Pointer) {
	C.bpos_registry_close((*C.bpos_registry)(registry))
}

// Close frees the registry. It waits for the calls that are in flight, which finish as if nothing happened; later ones
// return [ErrClosed], and Authorize a denial, 500. A second Close does nothing.
func (r *Registry) Close() error {
	if r == nil {
		return errNil
	}
	r.lifetime.end(func(registry unsafe.Pointer) {
		r.cleanup.Stop()
		free(registry)
	})
	return nil
}

// Reload reads the registry file again and decides by it from now on. All or nothing: after a failure, what was in
// force stays. Keys whose id stays keep their window and their counts; a key that was revoked here stays revoked.
//
// It fails as Open does, with [ErrStale] if the file is older than what is in force, and with [ErrInvalidArgument] if
// the registry is in memory.
func (r *Registry) Reload() error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_reload(registry, failure)
	})
}

// ReloadIfChanged is Reload if the file has changed since it was last read or written here, which one call to the
// operating system finds out: for a host that looks every second or so. It says whether the file had changed. After a
// failure the next call tries again.
func (r *Registry) ReloadIfChanged() (changed bool, err error) {
	var flag C.uint8_t
	err = r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_reload_if_changed(registry, &flag, failure)
	})
	return flag == 1, err
}

// Apply feeds changes into a registry in memory: a JSON array of records as in the registry document. A record with a
// known id replaces the one before, and keeps its window; others are added. If one is refused, none is applied.
//
// It fails with [ErrFormat] or [ErrLimit] for a malformed record, with [ErrConflict] for a duplicate id or digest or a
// revoked key brought back, and with [ErrInvalidArgument] if the registry is a file.
func (r *Registry) Apply(records []byte) error {
	text := view(records)
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_apply(registry, pointer(text), length(text), failure)
	})
}

// Export returns the registry document that is in force. It holds digests, and no key.
func (r *Registry) Export() ([]byte, error) {
	var document []byte
	read := func(answer []byte) error {
		document = bytes.Clone(answer)
		return nil
	}
	err := r.answer(read, func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_export(registry, out, failure)
	})
	return document, err
}

// Stats is what a registry has counted in this process.
type Stats struct {
	Keys     int               `json:"keys"`
	Revision uint64            `json:"revision"` // of the document in force
	Allowed  uint64            `json:"allowed"`
	Denied   map[string]uint64 `json:"denied"` // by the name of the reason
}

// Stats reads the counters of every key, so its cost grows with them.
func (r *Registry) Stats() (Stats, error) {
	var stats Stats
	read := into(&stats)
	err := r.answer(read, func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_stats(registry, out, failure)
	})
	return stats, err
}

// An Option says how to open a registry.
type Option func(*options)

type options struct {
	policy    []byte
	hasPolicy bool
	readOnly  bool
}

// ReadOnly makes a registry that refuses every change with [ErrReadOnly], for a program that only decides.
func ReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// Policy brings a policy of the host's own: a JSON object with scopes and routes, in the place of the built-in one. One
// that is nil or empty, because it could not be read perhaps, is an error that is [ErrFormat].
func Policy(document []byte) Option {
	return func(o *options) { o.policy, o.hasPolicy = document, true }
}

// optionsJSON writes the policy as it came, so that the line and the column of an error are those of its author.
func optionsJSON(list []Option) string {
	var o options
	for _, option := range list {
		option(&o)
	}
	form := `{"read_only":false`
	if o.readOnly {
		form = `{"read_only":true`
	}
	if o.hasPolicy {
		form += `,"policy":` + cmp.Or(string(o.policy), "null")
	}
	return form + "}"
}
