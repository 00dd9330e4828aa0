package bpos

// #include <bpos.h>
import "C"

import (
	"bytes"
	"cmp"
	"encoding/json"
	"runtime"
	"unsafe"
)

// A Registry holds the keys of a platform, ready to decide on requests. Any number of goroutines may use and change it
// at once: once a change returns, every decision that starts later uses it.
//
// [Open], [Init] and [FromJSON] make one, and Close frees it.
type Registry struct {
	lifetime lifetime
	cleanup  runtime.Cleanup
}

// Open opens a registry file. Changes are written to it. All processes that open it share it: they count together, and a
// change by one, such as the bpos command, is in force in all of them once it was made. Nothing has to be called.
// [Unshared] turns that off, and [SharedIn] says where the shared memory is.
//
// It fails with [ErrIO] if the file cannot be read or cannot be shared, with [ErrPermission] if others may write to it,
// with [ErrStale] if it is older than what is in force in other processes, and with [ErrFormat], [ErrConflict] or
// [ErrLimit] if the document or an option is not valid.
func Open(path string, options ...Option) (*Registry, error) {
	form := optionsJSON(options)
	return open(func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_open(pointer(path), length(path), pointer(form), length(form), out, failure)
	})
}

// Init creates a registry file without keys, which must not exist yet, and opens it. The file belongs to this process's
// user, and only that user may read and write it.
//
// It fails with [ErrConflict] if the file exists already, and otherwise as Open does.
func Init(path string, options ...Option) (*Registry, error) {
	form := optionsJSON(options)
	return open(func(out **C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_init(pointer(path), length(path), pointer(form), length(form), out, failure)
	})
}

// FromJSON makes a registry in memory from a registry document: your own database is the source of truth, and you pass
// its changes to [Registry.Apply]. Nothing is ever written. It fails as Open does for a document.
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
	// A safety net for a registry that nobody closed. It is unreachable by then, so nobody is in a call.
	registry.cleanup = runtime.AddCleanup(registry, free, unsafe.Pointer(opened))
	return registry, nil
}

func free(registry unsafe.Pointer) {
	C.bpos_registry_close((*C.bpos_registry)(registry))
}

// Close frees the registry. It waits for the calls in flight, which finish normally; later ones return [ErrClosed], and
// Authorize a denial, 500. A second Close does nothing.
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

// Reload reads the registry file again and decides by it from then on. All or nothing: after a failure nothing has
// changed. Keys that are still in the file keep their window and their counts; a key that was revoked here stays
// revoked. It is for files that something else than bpos writes, and for an [Unshared] registry.
//
// It fails as Open does, with [ErrStale] if the file is older than the document in force, and with [ErrInvalidArgument]
// if the registry is in memory.
func (r *Registry) Reload() error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_reload(registry, failure)
	})
}

// ReloadIfChanged is Reload if the file has changed since it was last read or written here. The check is one call to
// the operating system, so a host can make it before each request. It returns whether the file had changed. After a
// failure the next call tries again.
func (r *Registry) ReloadIfChanged() (changed bool, err error) {
	var flag C.uint8_t
	err = r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_reload_if_changed(registry, &flag, failure)
	})
	return flag == 1, err
}

// Apply applies changes to a registry in memory: a JSON array of records as in the registry document. A record with a
// known id replaces the present one, and keeps its window; others are added. If one is refused, none is applied.
//
// It fails with [ErrFormat] or [ErrLimit] for a malformed record, with [ErrConflict] for a duplicate id or digest or a
// revoked key brought back, and with [ErrInvalidArgument] if the registry is a file.
func (r *Registry) Apply(records []byte) error {
	text := view(records)
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_registry_apply(registry, pointer(text), length(text), failure)
	})
}

// Export returns the registry document that is in force. It holds digests, and no keys.
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

// Stats is what a registry has counted: of keys, by all processes that share it; of denials that belong to no key, and of
// keys that were removed, by this process.
type Stats struct {
	Keys     int               `json:"keys"`
	Revision uint64            `json:"revision"` // of the document in force
	Allowed  uint64            `json:"allowed"`
	Denied   map[string]uint64 `json:"denied"` // by the name of the reason
}

// Stats reads the counters of every key, so its cost grows with their number.
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
	shared    any // nil, false, or the folder of the shared memory
}

// ReadOnly makes a registry that refuses every change with [ErrReadOnly], for a program that only decides.
func ReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// Policy replaces the built-in policy with the host's own: a JSON object with scopes and routes. A nil or empty one,
// such as from a file that could not be read, is [ErrFormat].
func Policy(document []byte) Option {
	return func(o *options) { o.policy, o.hasPolicy = document, true }
}

// Unshared makes a registry that shares nothing with the other processes that open its file. Each counts on its own, so
// W processes admit up to W times a key's limit, and each hears of changes only by [Registry.Reload] and
// [Registry.ReloadIfChanged], which [FollowFile] calls.
func Unshared() Option {
	return func(o *options) { o.shared = false }
}

// SharedIn says in which folder the memory is that the processes share, if not in /dev/shm: for containers, a volume in
// memory that all of them mount. All processes must name the same folder.
func SharedIn(folder string) Option {
	return func(o *options) { o.shared = map[string]string{"dir": folder} }
}

// optionsJSON passes the policy on unchanged, so that the line and column of an error are those in the author's file.
func optionsJSON(list []Option) string {
	var o options
	for _, option := range list {
		option(&o)
	}
	form := `{"read_only":false`
	if o.readOnly {
		form = `{"read_only":true`
	}
	if o.shared != nil {
		shared, _ := json.Marshal(o.shared) // neither type above can fail
		form += `,"shared":` + string(shared)
	}
	if o.hasPolicy {
		form += `,"policy":` + cmp.Or(string(o.policy), "null")
	}
	return form + "}"
}
