package bpos

// #include <bpos.h>
import "C"

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A KeySpec says what key to create.
type KeySpec struct {
	Name      string    `json:"name"`
	Store     string    `json:"store"`
	Scopes    []string  `json:"scopes"`               // none: the key can do nothing
	RateLimit int       `json:"rate_limit,omitempty"` // requests in any 60 seconds, 1 to 1000; 0 stands for 60
	ExpiresAt time.Time `json:"expires_at,omitzero"`  // to the millisecond; zero: never
	TestMode  bool      `json:"test_mode,omitempty"`  // the key can only read
}

// A KeyPatch says what to change in a key: the fields that are neither nil nor zero.
type KeyPatch struct {
	Name      *string
	Scopes    []string // replace all it had; nil leaves them
	RateLimit *int
	ExpiresAt time.Time // to the millisecond
	NoExpiry  bool      // removes the expiry
	TestMode  *bool
	Enabled   *bool
}

// A Record describes a key. It holds neither the key nor its digest.
type Record struct {
	ID            string    `json:"id"` // never changes; safe to log
	Name          string    `json:"name"`
	Store         string    `json:"store"`
	Hint          string    `json:"hint"` // "bpos_" and four characters, by which people tell keys apart
	Scopes        []string  `json:"scopes"`
	RateLimit     int       `json:"rate_limit"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"` // zero: never
	TestMode      bool      `json:"test_mode"`
	Enabled       bool      `json:"enabled"`
	CreatedAt     time.Time `json:"created_at,omitzero"`     // zero: not known
	RevokedAt     time.Time `json:"revoked_at,omitzero"`     // zero: it is not revoked
	RetiringUntil time.Time `json:"retiring_until,omitzero"` // until when the previous secret works too
	Usage         Usage     `json:"usage"`
}

// Usage is how a key was used, in all processes that share the registry.
type Usage struct {
	LastUsedAt time.Time         `json:"last_used_at,omitzero"` // zero: not yet
	Allowed    uint64            `json:"allowed"`
	Denied     map[string]uint64 `json:"denied"` // by the name of the reason
}

// A NewKey is a key that was just created, or just got a new secret. Its Secret is stored nowhere, and cannot be shown
// again.
type NewKey struct {
	Secret Secret `json:"key"` // masked in JSON
	Record Record `json:"record"`
}

// Create creates a key. When it returns, every decision that starts later accepts the key, and a file registry's file
// has it.
//
// It fails with [ErrFormat] if the spec is not valid, with [ErrLimit] if there are 2,000,000 keys, with [ErrReadOnly],
// and with what [Registry.Reload] fails with: then nothing has changed. [ErrNotDurable] means that the key was written
// but may be lost if the machine stops now; it is not in force here: find it with [Registry.List], revoke it, and
// create another.
func (r *Registry) Create(spec KeySpec) (NewKey, error) {
	document, err := specForm(spec)
	if err != nil {
		return NewKey{}, err
	}
	return r.newKey(func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_create(registry, pointer(document), length(document), out, failure)
	})
}

// Update changes parts of a key, and returns the changed record. Requests that were admitted before still count: a
// limit changes live. When it returns, the change is in force for every decision that starts later, and a file
// registry's file has it.
//
// It fails with [ErrNotFound], with [ErrConflict] if the key is revoked, with [ErrFormat] if the patch is not valid,
// with [ErrReadOnly], and with what [Registry.Reload] fails with: then nothing has changed. [ErrNotDurable] means
// that the file may not have the change: what it takes away is in force anyway, in all processes that share the registry,
// and what it grants is not. Change the key again once the file can be written.
func (r *Registry) Update(id string, patch KeyPatch) (Record, error) {
	document, err := patchForm(patch)
	if err != nil {
		return Record{}, err
	}
	return r.record(func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_update(registry, pointer(id), length(id), pointer(document), length(document), out, failure)
	})
}

// Disable disables a key until Enable. One that is already disabled stays disabled. When it returns, every decision
// that starts later denies the key. It fails as Update does.
func (r *Registry) Disable(id string) error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_disable(registry, pointer(id), length(id), failure)
	})
}

// Enable enables a disabled key again. It fails as Update does.
func (r *Registry) Enable(id string) error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_enable(registry, pointer(id), length(id), failure)
	})
}

// Rotate gives a key a new secret. Its id, limit and counts stay. The previous secret works until the end of the grace
// period, and never past the key's expiry; both share the limit. The grace period is in whole seconds, at most 366
// days: a fraction is cut off, and less than a second ends the previous secret at once. A secret still in its grace
// period from an earlier rotation stops working.
//
// It fails with [ErrNotFound], with [ErrConflict] if the key is revoked or expired, with [ErrInvalidArgument] if the
// grace is negative, with [ErrLimit] if it is too long, with [ErrReadOnly], and with what [Registry.Reload] fails with:
// then the previous secret still works. [ErrNotDurable] means that the file was written but may lose the change if the
// machine stops now: the previous secret works here until the file is read again; rotate the key again.
func (r *Registry) Rotate(id string, grace time.Duration) (NewKey, error) {
	seconds, err := wholeSeconds(grace)
	if err != nil {
		return NewKey{}, err
	}
	return r.newKey(func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_rotate(registry, pointer(id), length(id), C.uint64_t(seconds), out, failure)
	})
}

// Revoke revokes a key, permanently. When it returns, every decision that starts later denies it. A key that is already
// revoked stays as it is.
//
// It fails with [ErrNotFound] and [ErrReadOnly]: then nothing has changed. [ErrNotDurable] means that the file may not
// have the revocation: the key is denied anyway, in all processes that share the registry, but once they have ended, others
// may accept it. Revoke it again once the file can be written.
func (r *Registry) Revoke(id string) error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_revoke(registry, pointer(id), length(id), failure)
	})
}

// Remove removes the record of a key that is revoked or expired; its secret is unknown then, which is denied too.
//
// It fails with [ErrNotFound], with [ErrConflict] if the key is neither, with [ErrReadOnly], with [ErrNotDurable], and
// with what [Registry.Reload] fails with. After each of these the key is still denied.
func (r *Registry) Remove(id string) error {
	return r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_remove(registry, pointer(id), length(id), failure)
	})
}

// Get returns the record of a key. It fails with [ErrNotFound].
func (r *Registry) Get(id string) (Record, error) {
	return r.record(func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
		return C.bpos_key_get(registry, pointer(id), length(id), out, failure)
	})
}

// List returns the records of a store's keys, in the order of the document. See [Registry.ListPage] for many keys.
func (r *Registry) List(store string) ([]Record, error) {
	return r.list(pointer(store), length(store), "", math.MaxInt)
}

// ListAll returns the records of all keys. See [Registry.ListAllPage] for many keys.
func (r *Registry) ListAll() ([]Record, error) {
	return r.list(nil, 0, "", math.MaxInt)
}

// ListPage returns the first records of those that List returns, at most so many, or the first behind the key with the
// id after: a page, whose cost does not grow with the registry. An empty id stands for the first page, and a page
// without records is behind the last key.
//
// A key that is created meanwhile is behind all others, so whoever goes on from the last id of each page sees every key
// once that was there throughout.
//
// It fails with [ErrNotFound] if no key has the id, perhaps no longer: begin again; and with [ErrInvalidArgument] if
// most is negative.
func (r *Registry) ListPage(store, after string, most int) ([]Record, error) {
	return r.list(pointer(store), length(store), after, most)
}

// ListAllPage is ListPage for the keys of all stores.
func (r *Registry) ListAllPage(after string, most int) ([]Record, error) {
	return r.list(nil, 0, after, most)
}

// ---- JSON ----

func specForm(spec KeySpec) (string, error) {
	spec.ExpiresAt = date(spec.ExpiresAt)
	if spec.Scopes == nil {
		spec.Scopes = []string{} // and not null
	}
	return form(spec, slices.Concat(spec.Scopes, []string{spec.Name, spec.Store})...)
}

func patchForm(patch KeyPatch) (string, error) {
	texts := patch.Scopes
	if patch.Name != nil {
		texts = append(slices.Clone(texts), *patch.Name)
	}
	return form(patch, texts...)
}

func wholeSeconds(grace time.Duration) (uint64, error) {
	if grace < 0 {
		return 0, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("the grace is %v; expected 0 or more", grace)}
	}
	return uint64(grace / time.Second), nil
}

// MarshalJSON writes the members to change.
func (p KeyPatch) MarshalJSON() ([]byte, error) {
	form := keyPatch{p.Name, p.Scopes, p.RateLimit, nil, p.TestMode, p.Enabled}
	switch {
	case p.NoExpiry && !p.ExpiresAt.IsZero():
		return nil, errors.New("a key patch has both ExpiresAt and NoExpiry; expected one of them")
	case p.NoExpiry:
		form.ExpiresAt = json.RawMessage("null")
	case !p.ExpiresAt.IsZero():
		expiry, err := date(p.ExpiresAt).MarshalJSON()
		if err != nil {
			return nil, err
		}
		form.ExpiresAt = expiry
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads what MarshalJSON writes: an expiry that is null is NoExpiry.
func (p *KeyPatch) UnmarshalJSON(patch []byte) error {
	var form keyPatch
	if err := json.Unmarshal(patch, &form); err != nil {
		return err
	}
	*p = KeyPatch{Name: form.Name, Scopes: form.Scopes, RateLimit: form.RateLimit, TestMode: form.TestMode,
		Enabled: form.Enabled, NoExpiry: string(form.ExpiresAt) == "null"}
	if form.ExpiresAt != nil {
		return json.Unmarshal(form.ExpiresAt, &p.ExpiresAt)
	}
	return nil
}

type keyPatch struct {
	Name      *string         `json:"name,omitempty"`
	Scopes    []string        `json:"scopes,omitzero"`
	RateLimit *int            `json:"rate_limit,omitempty"`
	ExpiresAt json.RawMessage `json:"expires_at,omitempty"`
	TestMode  *bool           `json:"test_mode,omitempty"`
	Enabled   *bool           `json:"enabled,omitempty"`
}

// date is a time as the registry keeps it: in UTC, and to the millisecond. A fraction of one is cut off, so that no
// key lives longer than it should.
func date(moment time.Time) time.Time {
	return moment.UTC().Truncate(time.Millisecond)
}

// ---- Answers ----

type call = func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status

func (r *Registry) newKey(call call) (NewKey, error) {
	var answer struct {
		Key    plaintext `json:"key"`
		Record Record    `json:"record"`
	}
	if err := r.answer(into(&answer), call); err != nil {
		return NewKey{}, err
	}
	return NewKey{newSecret(answer.Key, answer.Record.Hint), answer.Record}, nil
}

func (r *Registry) record(call call) (Record, error) {
	var record Record
	err := r.answer(into(&record), call)
	return record, err
}

func (r *Registry) list(store *C.char, storeLength C.size_t, after string, most int) ([]Record, error) {
	if most < 0 {
		return nil, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("most is %d; expected 0 or more", most)}
	}
	var behind *C.char // NULL, for the first page
	if after != "" {
		behind = pointer(after)
	}
	var records []Record
	err := r.answer(into(&records),
		func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
			return C.bpos_key_list_page(registry, store, storeLength, behind, length(after), C.size_t(most), out, failure)
		})
	return records, err
}
