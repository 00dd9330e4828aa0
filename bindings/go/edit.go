package bpos

// #include <bpos.h>
import "C"

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// An Edit collects changes to keys, which [Edit.Commit] makes together: all or none, in one write of the file. Each
// change sees those before it. [Registry.Edit] begins one.
//
//	edit := registry.Edit()
//	edit.Revoke(leaked)
//	key := edit.Create(bpos.KeySpec{Name: "Website Sync", Store: "yourstore", Scopes: []string{"products:read"}})
//	if err := edit.Commit(); err != nil {
//		return err // nothing has changed
//	}
//	give(key.Secret.Expose())
//
// What Create, Update and Rotate return is zero until a successful Commit fills it in. One goroutine may use an Edit at
// a time.
type Edit struct {
	registry  *Registry
	changes   []string       // in JSON
	answers   []func(answer) // for each change, what to do with its answer
	err       error          // why the first bad change cannot be written as JSON
	committed bool
}

// Edit begins several changes, to be made together. Nothing happens before [Edit.Commit].
func (r *Registry) Edit() *Edit {
	return &Edit{registry: r}
}

// Create adds a new key, as [Registry.Create] makes it.
func (e *Edit) Create(spec KeySpec) *NewKey {
	document, err := specForm(spec)
	return e.newKey(err, `{"create":`, document, `}`)
}

// Update adds a change to parts of a key, as [Registry.Update] makes it.
func (e *Edit) Update(id string, patch KeyPatch) *Record {
	name, err := form(id, id)
	document, wrong := patchForm(patch)
	record := new(Record)
	e.add(cmp.Or(err, wrong), func(answer answer) { *record = answer.Record },
		`{"update":{"id":`, name, `,"patch":`, document, `}}`)
	return record
}

// Rotate adds a new secret for a key, as [Registry.Rotate] makes it.
func (e *Edit) Rotate(id string, grace time.Duration) *NewKey {
	name, err := form(id, id)
	seconds, wrong := wholeSeconds(grace)
	return e.newKey(cmp.Or(err, wrong), `{"rotate":{"id":`, name, `,"grace_s":`, fmt.Sprint(seconds), `}}`)
}

// Revoke adds the permanent revocation of a key, as by [Registry.Revoke].
func (e *Edit) Revoke(id string) { e.named("revoke", id) }

// Disable adds disabling a key, as by [Registry.Disable].
func (e *Edit) Disable(id string) { e.named("disable", id) }

// Enable adds enabling a disabled key, as by [Registry.Enable].
func (e *Edit) Enable(id string) { e.named("enable", id) }

// Remove adds removing a revoked or expired key, as by [Registry.Remove].
func (e *Edit) Remove(id string) { e.named("remove", id) }

// Commit makes the changes. When it returns, they are in force for every decision that starts later, and a file
// registry's file has them.
//
// It fails as the method of [Registry] for the change that is refused, whose number, counted from 1, is in the message;
// with [ErrLimit] if there are more than 100,000 changes; and with [ErrInvalidArgument] if the edit was committed
// before. Then nothing has changed. [ErrNotDurable] means that the file may not have the changes: what they take away
// is in force anyway, in all processes that share the registry, and what they grant is not. After a failure an Edit may
// be committed again; after ErrNotDurable check with [Registry.List] first whether its new keys were written.
func (e *Edit) Commit() error {
	switch {
	case e.committed:
		return &Error{Status: ErrInvalidArgument, Message: "the edit was already committed: begin another"}
	case e.err != nil:
		return e.err
	}
	document := "[" + strings.Join(e.changes, ",") + "]"
	var answers []answer
	err := e.registry.answer(into(&answers),
		func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status {
			return C.bpos_registry_edit(registry, pointer(document), length(document), out, failure)
		})
	if err != nil {
		return err
	}
	e.committed = true
	if len(answers) != len(e.answers) {
		return fmt.Errorf("bpos: the library gave %d answers to %d changes", len(answers), len(e.answers))
	}
	for i, take := range e.answers {
		take(answers[i])
	}
	return nil
}

// answer is the library's to one change: a new key and its record, or the record alone, or null.
type answer struct {
	Key plaintext `json:"key"`
	Of  Record    `json:"record"`
	Record
}

func (e *Edit) newKey(err error, change ...string) *NewKey {
	key := new(NewKey)
	e.add(err, func(answer answer) { *key = NewKey{newSecret(answer.Key, answer.Of.Hint), answer.Of} }, change...)
	return key
}

func (e *Edit) named(what, id string) {
	name, err := form(id, id)
	e.add(err, func(answer) {}, `{"`, what, `":`, name, `}`)
}

func (e *Edit) add(err error, take func(answer), change ...string) {
	e.changes, e.answers = append(e.changes, strings.Join(change, "")), append(e.answers, take)
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("change %d: %w", len(e.changes), err)
	}
}
