package bpos_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

func TestChangesAreMadeTogether(t *testing.T) {
	registry := memory(t)
	spec := bpos.KeySpec{Name: "Trial <run>", Store: "Café", Scopes: []string{"customers:write"}, RateLimit: 7,
		ExpiresAt: start.Wall.Add(time.Hour), TestMode: true}
	alone := create(t, registry, spec)
	old, rotated := create(t, registry, bpos.KeySpec{}), create(t, registry, bpos.KeySpec{})
	disabled, removed := create(t, registry, bpos.KeySpec{}), create(t, registry, bpos.KeySpec{})
	if err := registry.Disable(old.Record.ID); err != nil {
		t.Fatal(err)
	}
	name, limit := "Website \"Sync\"", 300

	edit := registry.Edit()
	created := edit.Create(spec)
	spec.Scopes[0] = "changed afterwards"
	edit.Enable(old.Record.ID)
	updated := edit.Update(old.Record.ID, bpos.KeyPatch{Name: &name, RateLimit: &limit})
	second := edit.Rotate(rotated.Record.ID, time.Hour+999*time.Millisecond)
	edit.Disable(disabled.Record.ID)
	edit.Revoke(removed.Record.ID)
	edit.Remove(removed.Record.ID) // which sees that it was revoked
	last := edit.Create(bpos.KeySpec{Name: "No scope", Store: store})
	if !reflect.DeepEqual(*created, bpos.NewKey{}) || !reflect.DeepEqual(*updated, bpos.Record{}) {
		t.Errorf("before the Commit there are %+v, %+v", *created, *updated)
	}
	expect(t, "before the Commit", registry.Authorize(get(old)), 401, bpos.ReasonDisabledKey)
	if err := edit.Commit(); err != nil {
		t.Fatal(err)
	}

	expected := alone.Record
	expected.ID, expected.Hint, expected.CreatedAt = created.Record.ID, created.Secret.Expose()[:9], created.Record.CreatedAt
	if !reflect.DeepEqual(created.Record, expected) || created.Record.ID == alone.Record.ID {
		t.Errorf("created %+v;\nexpected %+v", created.Record, expected)
	}
	request := bpos.Request{APIKey: created.Secret.Expose(), Store: "Café", Method: "GET", Target: "/api/v1/customers"}
	expect(t, "created", registry.Authorize(request), 200, bpos.ReasonAllowed)
	if updated.ID != old.Record.ID || updated.Name != name || updated.RateLimit != limit || !updated.Enabled {
		t.Errorf("updated to %+v", *updated)
	}
	expect(t, "enabled", registry.Authorize(get(old)), 200, bpos.ReasonAllowed)
	if second.Record.ID != rotated.Record.ID || second.Record.RetiringUntil.IsZero() {
		t.Errorf("rotated to %+v", second.Record)
	}
	expect(t, "rotated", registry.Authorize(get(*second)), 200, bpos.ReasonAllowed)
	expect(t, "in grace", registry.Authorize(get(rotated)), 200, bpos.ReasonAllowed)
	expect(t, "disabled", registry.Authorize(get(disabled)), 401, bpos.ReasonDisabledKey)
	expect(t, "removed", registry.Authorize(get(removed)), 401, bpos.ReasonUnknownKey)
	if last.Record.Name != "No scope" || last.Secret.Expose() == "" || len(last.Record.Scopes) != 0 {
		t.Errorf("created %+v last", last.Record)
	}
	expectError(t, "a second Commit", edit.Commit(), bpos.ErrInvalidArgument, "committed")
	if err := registry.Edit().Commit(); err != nil {
		t.Errorf("no changes: %v", err)
	}
}

func TestOfChangesThatAreNotAllRightNoneIsMade(t *testing.T) {
	path := file(t)
	registry, err := bpos.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	key, inUse := create(t, registry, bpos.KeySpec{RateLimit: 1000}), create(t, registry, bpos.KeySpec{})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	limit := 0
	for what, attempt := range map[string]struct {
		change func(*bpos.Edit)
		kind   error
		text   string
	}{
		"no key":              {func(e *bpos.Edit) { e.Enable("key_none") }, bpos.ErrNotFound, "key_none"},
		"a key in use":        {func(e *bpos.Edit) { e.Remove(inUse.Record.ID) }, bpos.ErrConflict, "in use"},
		"a revoked key":       {func(e *bpos.Edit) { e.Rotate(key.Record.ID, 0) }, bpos.ErrConflict, "revoked"},
		"a spec without name": {func(e *bpos.Edit) { e.Create(bpos.KeySpec{Store: store}) }, bpos.ErrFormat, "name"},
		"a scope that is not": {
			func(e *bpos.Edit) { e.Update(key.Record.ID, bpos.KeyPatch{Scopes: []string{"raed"}}) },
			bpos.ErrFormat, "raed",
		},
		"a limit of 0": {
			func(e *bpos.Edit) { e.Update(key.Record.ID, bpos.KeyPatch{RateLimit: &limit}) },
			bpos.ErrFormat, "1 to 1000",
		},
		"two expiries": {func(e *bpos.Edit) {
			e.Update(key.Record.ID, bpos.KeyPatch{ExpiresAt: start.Wall, NoExpiry: true})
		}, bpos.ErrFormat, "NoExpiry"},
		"a negative grace": {func(e *bpos.Edit) { e.Rotate(key.Record.ID, -1) }, bpos.ErrInvalidArgument, "-1ns"},
		"a long grace":     {func(e *bpos.Edit) { e.Rotate(key.Record.ID, 367*24*time.Hour) }, bpos.ErrLimit, "366"},
		"a name not UTF-8": {
			func(e *bpos.Edit) { e.Create(bpos.KeySpec{Name: "\xff", Store: store}) },
			bpos.ErrFormat, `\xff`,
		},
		"an id not UTF-8": {func(e *bpos.Edit) { e.Revoke("key\xff") }, bpos.ErrFormat, `\xff`},
		"an id of JSON": {
			func(e *bpos.Edit) { e.Disable(`"},{"revoke":"` + key.Record.ID) },
			bpos.ErrNotFound, "},{",
		},
	} {
		edit := registry.Edit()
		made := edit.Create(bpos.KeySpec{Name: "Not made", Store: store})
		edit.Revoke(key.Record.ID)
		attempt.change(edit)
		expectError(t, what, edit.Commit(), attempt.kind, attempt.text, "change 3")
		if made.Secret.Expose() != "" || made.Record.ID != "" {
			t.Errorf("%s: a key was made", what)
		}
		expect(t, what, registry.Authorize(get(key)), 200, bpos.ReasonAllowed)
	}
	edit := registry.Edit()
	for range 100_001 {
		edit.Enable(key.Record.ID)
	}
	expectError(t, "too many", edit.Commit(), bpos.ErrLimit, "100000")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file became %s, %v", after, err)
	}
}

func TestAnEditThatCannotBeWrittenTakesAwayAllTheSame(t *testing.T) {
	path := file(t)
	registry, err := bpos.Open(path, bpos.Unshared())
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	key := create(t, registry, bpos.KeySpec{})
	folder := path[:strings.LastIndex(path, "/")]
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	edit := registry.Edit()
	edit.Revoke(key.Record.ID)
	made := edit.Create(bpos.KeySpec{Name: "Not made", Store: store})
	expectError(t, "no folder", edit.Commit(), bpos.ErrNotDurable)
	expect(t, "revoked", registry.Authorize(get(key)), 401, bpos.ReasonRevokedKey)
	if made.Secret.Expose() != "" {
		t.Error("a key was made")
	}

	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"version": 1, "revision": 9, "keys": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expectError(t, "a key that is gone", edit.Commit(), bpos.ErrNotFound, "change 1")
}

func TestASecretOfAnEditDoesNotShowItself(t *testing.T) {
	edit := memory(t).Edit()
	key := edit.Create(bpos.KeySpec{Name: "Sync", Store: store})
	if err := edit.Commit(); err != nil {
		t.Fatal(err)
	}
	secret := key.Secret.Expose()
	if masked := key.Secret.String(); masked != secret[:9]+"****" {
		t.Errorf("it prints as %q", masked)
	}
	key.Secret.Wipe()
	if key.Secret.Expose() != "" {
		t.Error("it is not wiped")
	}
}
