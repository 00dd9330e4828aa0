package bpos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

func TestTheLifeOfAKey(t *testing.T) {
	path := file(t)
	registry, err := bpos.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()

	expiry := time.Date(2031, 5, 6, 7, 8, 9, 10_999_999, time.FixedZone("", 3600))
	spec := bpos.KeySpec{Name: "Trial <run>", Store: "Café", Scopes: []string{"customers:write"}, RateLimit: 120,
		ExpiresAt: expiry, TestMode: true}
	key, err := registry.Create(spec)
	if err != nil {
		t.Fatal(err)
	}
	record := key.Record
	expected := bpos.Record{ID: record.ID, Name: spec.Name, Store: spec.Store, Hint: key.Secret.Expose()[:9],
		Scopes: spec.Scopes, RateLimit: 120, ExpiresAt: time.Date(2031, 5, 6, 6, 8, 9, 10_000_000, time.UTC), TestMode: true,
		Enabled: true, CreatedAt: record.CreatedAt, Usage: record.Usage}
	if !reflect.DeepEqual(record, expected) || !strings.HasPrefix(record.ID, "key_") || record.CreatedAt.IsZero() {
		t.Errorf("created %+v;\n expected %+v", record, expected)
	}

	// Every member is changed, and then back.
	name, limit, no, yes := "Website Sync", 7, false, true
	changed, err := registry.Update(record.ID, bpos.KeyPatch{Name: &name, Scopes: []string{}, RateLimit: &limit,
		NoExpiry: true, TestMode: &no, Enabled: &no})
	expected.Name, expected.Scopes, expected.RateLimit, expected.ExpiresAt = name, []string{}, limit, time.Time{}
	expected.TestMode, expected.Enabled = false, false
	if err != nil || !reflect.DeepEqual(changed, expected) {
		t.Errorf("changed to %+v, %v;\n expected %+v", changed, err, expected)
	}
	changed, err = registry.Update(record.ID,
		bpos.KeyPatch{Scopes: spec.Scopes, ExpiresAt: expiry, TestMode: &yes, Enabled: &yes})
	if err != nil || !slices.Equal(changed.Scopes, spec.Scopes) || !changed.ExpiresAt.Equal(record.ExpiresAt) ||
		!changed.TestMode || !changed.Enabled || changed.Name != name || changed.RateLimit != limit {
		t.Errorf("changed back to %+v, %v", changed, err)
	}
	if same, err := registry.Update(record.ID, bpos.KeyPatch{}); err != nil || !reflect.DeepEqual(same, changed) {
		t.Errorf("changed nothing: %+v, %v", same, err)
	}

	for range 2 { // one that is disabled stays so
		if err := registry.Disable(record.ID); err != nil {
			t.Error(err)
		}
	}
	request := bpos.Request{APIKey: key.Secret.Expose(), Store: "Café", Method: "GET", Target: "/api/v1/customers"}
	expect(t, "disabled", registry.Authorize(request), 401, bpos.ReasonDisabledKey)
	for range 2 {
		if err := registry.Enable(record.ID); err != nil {
			t.Error(err)
		}
	}
	expect(t, "enabled", registry.Authorize(request), 200, bpos.ReasonAllowed)
	used, err := registry.Get(record.ID)
	if err != nil || used.Usage.Allowed != 1 || used.Usage.Denied["disabled_key"] != 1 || used.Usage.LastUsedAt.IsZero() {
		t.Errorf("used: %+v, %v", used.Usage, err)
	}

	expectError(t, "removing a live key", registry.Remove(record.ID), bpos.ErrConflict)
	if err := registry.Revoke(record.ID); err != nil {
		t.Error(err)
	}
	expect(t, "revoked", registry.Authorize(request), 401, bpos.ReasonRevokedKey)
	_, err = registry.Update(record.ID, bpos.KeyPatch{Enabled: &yes})
	expectError(t, "enabling a revoked key by a patch", err, bpos.ErrConflict)
	expectError(t, "enabling a revoked key", registry.Enable(record.ID), bpos.ErrConflict, record.ID)
	expectError(t, "disabling no key", registry.Disable("key_none"), bpos.ErrNotFound, "key_none")
	if keys, err := registry.List("Café"); err != nil || len(keys) != 1 || keys[0].RevokedAt.IsZero() {
		t.Errorf("listed: %+v, %v", keys, err)
	}
	if err := registry.Remove(record.ID); err != nil {
		t.Error(err)
	}
	expect(t, "removed", registry.Authorize(request), 401, bpos.ReasonUnknownKey)
	_, err = registry.Get(record.ID)
	expectError(t, "a removed key", err, bpos.ErrNotFound, record.ID)
	expectError(t, "revoking it", registry.Revoke(record.ID), bpos.ErrNotFound, record.ID)

	if document, err := os.ReadFile(path); err != nil || strings.Contains(string(document), key.Secret.Expose()) {
		t.Errorf("the file holds a secret, or not even itself: %v", err)
	}
}

func TestASecretIsRotated(t *testing.T) {
	registry := memory(t)
	first := create(t, registry, bpos.KeySpec{})
	second, err := registry.Rotate(first.Record.ID, 90*time.Minute+999*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if second.Record.ID != first.Record.ID || second.Secret.Expose() == first.Secret.Expose() {
		t.Errorf("rotated to %+v", second)
	}
	expect(t, "in grace", registry.Authorize(get(first)), 200, bpos.ReasonAllowed)
	expect(t, "new", registry.Authorize(get(second)), 200, bpos.ReasonAllowed)
	end := bpos.Now{Wall: second.Record.RetiringUntil}
	expect(t, "at the end of grace", registry.AuthorizeAt(get(first), end), 401, bpos.ReasonExpiredKey)

	third, err := registry.Rotate(first.Record.ID, 999*time.Millisecond)
	if err != nil || !third.Record.RetiringUntil.IsZero() {
		t.Errorf("rotated without grace: %+v, %v", third.Record, err)
	}
	expect(t, "without grace", registry.Authorize(get(second)), 401, bpos.ReasonUnknownKey)
	_, err = registry.Rotate(first.Record.ID, -1)
	expectError(t, "a negative grace", err, bpos.ErrInvalidArgument, "-1ns")
	_, err = registry.Rotate(first.Record.ID, 367*24*time.Hour)
	expectError(t, "a long grace", err, bpos.ErrLimit)
	_, err = registry.Rotate("key_none", 0)
	expectError(t, "no key", err, bpos.ErrNotFound)
	expect(t, "still", registry.Authorize(get(third)), 200, bpos.ReasonAllowed)
}

func TestWhatIsNoSoundSpecOrPatchIsRefused(t *testing.T) {
	registry := memory(t)
	scopes := []string{"products:read"}
	for what, attempt := range map[string]struct {
		spec bpos.KeySpec
		text string
	}{
		"no name":               {bpos.KeySpec{Store: store, Scopes: scopes}, "name"},
		"no store":              {bpos.KeySpec{Name: "Sync", Scopes: scopes}, "store"},
		"a scope that is not":   {bpos.KeySpec{Name: "Sync", Store: store, Scopes: []string{"raed"}}, "raed"},
		"a limit too high":      {bpos.KeySpec{Name: "Sync", Store: store, RateLimit: 1001}, "1 to 1000"},
		"a limit below nothing": {bpos.KeySpec{Name: "Sync", Store: store, RateLimit: -1}, "1 to 1000"},
		"a name not UTF-8":      {bpos.KeySpec{Name: "Sync\xff", Store: store}, `Sync\xff`},
		"a store not UTF-8":     {bpos.KeySpec{Name: "Sync", Store: "store\xff"}, `store\xff`},
		"a scope not UTF-8":     {bpos.KeySpec{Name: "Sync", Store: store, Scopes: []string{"\xff"}}, `\xff`},
		"a far expiry": {bpos.KeySpec{Name: "Sync", Store: store, ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			"year"},
	} {
		_, err := registry.Create(attempt.spec)
		expectError(t, what, err, bpos.ErrFormat, attempt.text)
	}
	if keys, err := registry.ListAll(); err != nil || keys == nil || len(keys) != 0 {
		t.Errorf("there are the keys %+v, %v", keys, err)
	}

	id := create(t, registry, bpos.KeySpec{}).Record.ID
	bad, zero := "\xff", 0
	for what, patch := range map[string]bpos.KeyPatch{
		"a name not UTF-8": {Name: &bad}, "a scope not UTF-8": {Scopes: []string{bad}}, "a limit of 0": {RateLimit: &zero},
		"two expiries": {ExpiresAt: start.Wall, NoExpiry: true},
	} {
		_, err := registry.Update(id, patch)
		expectError(t, what, err, bpos.ErrFormat)
	}
	_, err := registry.Get("key\xff\x00")
	expectError(t, "an id of any bytes", err, bpos.ErrNotFound)
	_, err = registry.Get("")
	expectError(t, "an empty id", err, bpos.ErrNotFound)
}

func TestASpecIsNotChanged(t *testing.T) {
	registry := memory(t)
	scopes := append(make([]string, 0, 8), "products:read", "mine")
	create(t, registry, bpos.KeySpec{Scopes: scopes[:1]})
	name, id := "Website Sync", create(t, registry, bpos.KeySpec{}).Record.ID
	if _, err := registry.Update(id, bpos.KeyPatch{Name: &name, Scopes: scopes[:1]}); err != nil {
		t.Fatal(err)
	}
	if scopes[1] != "mine" {
		t.Errorf("the caller's slice became %q", scopes)
	}
}

func TestKeysAreListedByStore(t *testing.T) {
	registry := memory(t)
	for _, name := range []string{"a", "b", "a"} {
		create(t, registry, bpos.KeySpec{Store: name})
	}
	for store, count := range map[string]int{"a": 2, "b": 1, "c": 0, "": 0} {
		if keys, err := registry.List(store); err != nil || len(keys) != count {
			t.Errorf("store %q has %d keys, %v; expected %d", store, len(keys), err, count)
		}
	}
	if keys, err := registry.ListAll(); err != nil || len(keys) != 3 {
		t.Errorf("there are %d keys, %v; expected 3", len(keys), err)
	}
}

func TestKeysAreListedInPages(t *testing.T) {
	registry := memory(t)
	ids := map[string]string{}
	for _, name := range []string{"1", "2", "3", "4", "5"} {
		spec := bpos.KeySpec{Name: name, Store: "a"}
		if name == "3" {
			spec.Store = "b"
		}
		ids[name] = create(t, registry, spec).Record.ID
	}
	inA := func(after string, most int) ([]bpos.Record, error) { return registry.ListPage("a", after, most) }
	for _, attempt := range []struct {
		page     func(after string, most int) ([]bpos.Record, error)
		after    string
		most     int
		expected string
	}{
		{inA, "", 0, ""}, {inA, "", 3, "124"}, {inA, "", math.MaxInt, "1245"},
		{inA, "1", 1, "2"}, {inA, "3", 9, "45"}, {inA, "4", 9, "5"}, {inA, "5", 9, ""},
		{registry.ListAllPage, "", 2, "12"}, {registry.ListAllPage, "2", 2, "34"}, {registry.ListAllPage, "4", 2, "5"},
	} {
		page, err := attempt.page(ids[attempt.after], attempt.most)
		names := ""
		for _, record := range page {
			names += record.Name
		}
		if err != nil || page == nil || names != attempt.expected {
			t.Errorf("%d behind %q: %q, %v; expected %q", attempt.most, attempt.after, names, err, attempt.expected)
		}
	}
	_, err := registry.ListPage("a", "key_none", 9)
	expectError(t, "no key", err, bpos.ErrNotFound, "key_none")
	_, err = registry.ListAllPage("", -1)
	expectError(t, "less than none", err, bpos.ErrInvalidArgument, "-1")
}

func TestAPatchIsTheSameInJSON(t *testing.T) {
	name, limit, on, date := "Sync", 7, true, start.Wall.Add(250*time.Millisecond)
	for expected, patch := range map[string]bpos.KeyPatch{
		`{}`:                  {},
		`{"expires_at":null}`: {NoExpiry: true},
		`{"scopes":[]}`:       {Scopes: []string{}},
		`{"enabled":true}`:    {Enabled: &on},
		`{"scopes":["sales:read"],"test_mode":true}`:              {Scopes: []string{"sales:read"}, TestMode: &on},
		`{"name":"Sync","rate_limit":7}`:                          {Name: &name, RateLimit: &limit},
		`{"rate_limit":7,"expires_at":"2030-01-01T00:00:00.25Z"}`: {RateLimit: &limit, ExpiresAt: date},
	} {
		written, err := json.Marshal(patch)
		if err != nil || string(written) != expected {
			t.Errorf("found %s, %v; expected %s", written, err, expected)
		}
		var read bpos.KeyPatch
		if err := json.Unmarshal(written, &read); err != nil || !reflect.DeepEqual(read, patch) {
			t.Errorf("%s was read as %+v, %v", written, read, err)
		}
	}
}

func TestASecretDoesNotShowItself(t *testing.T) {
	key := create(t, memory(t), bpos.KeySpec{})
	secret := key.Secret.Expose()
	hidden := struct{ secret bpos.Secret }{key.Secret} // package fmt may call none of its methods
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("made", "key", key, "secret", key.Secret, "hidden", hidden)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "key", key, "secret", key.Secret, "hidden", hidden)
	inJSON, err := json.Marshal([]any{key, key.Secret, &key, map[string]any{"secret": key.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(inJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%T", "%p"} {
		shown += fmt.Sprintf(verb+" "+verb+" "+verb+" "+verb, key, key.Secret, &key.Secret, hidden)
	}
	for what, form := range map[string]string{
		"the secret": secret, "its hexadecimal": fmt.Sprintf("%x", secret),
		"its bytes": strings.Trim(fmt.Sprint([]byte(secret[9:])), "[]"),
	} {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(form)) {
			t.Errorf("%s is shown:\n%s", what, shown)
		}
	}
	if text := fmt.Sprint(key.Secret); text != secret[:9]+"****" {
		t.Errorf("it prints as %q", text)
	}

	copied := key.Secret
	key.Secret.Wipe()
	if copied.Expose() != "" || key.Secret.Expose() != "" || copied.String() != secret[:9]+"****" {
		t.Errorf("after Wipe it is %q, and prints as %v", copied.Expose(), copied)
	}
	key.Secret.Wipe()
	var zero bpos.Secret
	zero.Wipe()
	if zero.Expose() != "" || zero.String() != "" {
		t.Errorf("the zero Secret is %q", zero.Expose())
	}
}
