package bpos_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

const (
	store  = "yourstore"
	target = "/api/v1/products"
)

var start = bpos.Now{Wall: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Monotonic: time.Hour}

// memory is a registry in memory that is closed with the test.
func memory(t testing.TB) *bpos.Registry {
	t.Helper()
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	return registry
}

// file is the path of a registry file with no keys.
func file(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`{"version": 1, "keys": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func create(t testing.TB, registry *bpos.Registry, spec bpos.KeySpec) bpos.NewKey {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "Website Sync"
	}
	if spec.Store == "" {
		spec.Store = store
	}
	if spec.Scopes == nil {
		spec.Scopes = []string{"products:read"}
	}
	key, err := registry.Create(spec)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// get asks for the products with a key.
func get(key bpos.NewKey) bpos.Request {
	return bpos.Request{APIKey: key.Secret.Expose(), Store: store, Method: "GET", Target: target}
}

func expect(t testing.TB, what string, decision bpos.Decision, status int, reason bpos.Reason) {
	t.Helper()
	if decision.Status() != status || decision.Reason() != reason || decision.Allowed() != (status == 200) {
		t.Errorf("%s: found %v; expected %d %v", what, decision, status, reason)
	}
}

func expectError(t testing.TB, what string, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: found the error %v; expected %v", what, err, kind)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error %q does not say %q", what, err, text)
		}
	}
}

func TestAStoreThatIsNotNamedMatchesNoKey(t *testing.T) {
	registry := memory(t)
	request := get(create(t, registry, bpos.KeySpec{}))

	empty := strings.Repeat("x", 3)[3:]
	for what, name := range map[string]string{"the zero string": "", "an empty slice": empty, "another": "other"} {
		request := request
		request.Store = name
		expect(t, what, registry.Authorize(request), 401, bpos.ReasonWrongStore)
		expect(t, what+", scope", registry.AuthorizeScope(request, bpos.ScopeProductsRead), 401, bpos.ReasonWrongStore)
	}
	for what, name := range map[string][]byte{"nil": nil, "no bytes": {}, "an empty slice": []byte("x")[:0]} {
		bytes := bytesOf(request)
		bytes.Store = name
		expect(t, what, registry.AuthorizeBytes(bytes), 401, bpos.ReasonWrongStore)
	}

	request.Store, request.AnyStore = "", true
	expect(t, "any store", registry.Authorize(request), 200, bpos.ReasonAllowed)
	expect(t, "any store, in bytes", registry.AuthorizeBytes(bytesOf(request)), 200, bpos.ReasonAllowed)
	expect(t, "any store, scope", registry.AuthorizeScope(request, bpos.ScopeProductsRead), 200, bpos.ReasonAllowed)
}

func TestAKeyIsItsBytesAndALength(t *testing.T) {
	registry := memory(t)
	key := create(t, registry, bpos.KeySpec{})
	request := get(key)
	secret := request.APIKey
	for what, presented := range map[string]string{
		"a NUL inside": secret[:10] + "\x00" + secret[10:], "a NUL behind": secret + "\x00", "a NUL before": "\x00" + secret,
		"not UTF-8": secret + "\xff", "two keys": secret + "," + secret,
	} {
		request.APIKey = presented
		expect(t, what, registry.Authorize(request), 401, bpos.ReasonMalformedKey)
		expect(t, what+", in bytes", registry.AuthorizeBytes(bytesOf(request)), 401, bpos.ReasonMalformedKey)
	}
	request.APIKey = ""
	expect(t, "no key", registry.Authorize(request), 401, bpos.ReasonMissingKey)

	long := strings.Repeat(secret, 3)
	request.APIKey = long[len(secret) : 2*len(secret)]
	expect(t, "a part of a longer string", registry.Authorize(request), 200, bpos.ReasonAllowed)
}

func TestTheZeroDecisionDenies(t *testing.T) {
	var decision bpos.Decision
	expect(t, "zero", decision, 500, bpos.ReasonInternal)
	if body := string(decision.Body()); !strings.Contains(body, `"status":500`) {
		t.Errorf("the body is %s", body)
	}
	for name, value := range decision.Headers() {
		if name != "Content-Type" || value != "application/problem+json" {
			t.Errorf("there is a header %s: %s", name, value)
		}
	}
	if text := decision.String(); text != "500 internal" {
		t.Errorf("it prints as %q", text)
	}
}

func TestReasonsAndStatusesAreThoseOfTheHeader(t *testing.T) {
	header, err := os.ReadFile("../../include/bpos.h")
	if err != nil {
		t.Fatal(err)
	}
	reasons := []bpos.Reason{
		bpos.ReasonInternal, bpos.ReasonKeyInURL, bpos.ReasonMissingKey, bpos.ReasonMalformedKey, bpos.ReasonUnknownKey,
		bpos.ReasonRevokedKey, bpos.ReasonDisabledKey, bpos.ReasonExpiredKey, bpos.ReasonWrongStore, bpos.ReasonUnmappedRoute,
		bpos.ReasonInsufficientScope, bpos.ReasonTestMode, bpos.ReasonRateLimited, bpos.ReasonAllowed,
	}
	statuses := []bpos.Status{
		0, bpos.ErrInvalidArgument, bpos.ErrIO, bpos.ErrFormat, bpos.ErrNotFound, bpos.ErrConflict, bpos.ErrPermission,
		bpos.ErrNotDurable, bpos.ErrReadOnly, bpos.ErrStale, bpos.ErrLimit, bpos.ErrPanic,
	}
	found := 0
	constants := regexp.MustCompile(`BPOS_(REASON|ERR)_([A-Z_]+) = (\d+),`)
	for _, constant := range constants.FindAllStringSubmatch(string(header), -1) {
		number, err := strconv.Atoi(constant[3])
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(constant[2])
		if constant[1] == "REASON" {
			if reason := bpos.Reason(number); reasons[number] != reason || reason.String() != name {
				t.Errorf("reason %d is %v, and the constant %d; expected %s", number, reason, reasons[number], name)
			}
		} else if status := bpos.Status(number); statuses[number] != status || status.Error() != "bpos: "+name {
			t.Errorf("status %d is %v, and the constant %d; expected %s", number, status, statuses[number], name)
		}
		found++
	}
	if found != len(reasons)+len(statuses)-1 {
		t.Errorf("the header has %d reasons and errors; expected %d", found, len(reasons)+len(statuses)-1)
	}
}

func TestReasonsAndStatusesOfANewerLibraryAreNotFoundHere(t *testing.T) {
	for _, number := range []uint32{14, 99, 1 << 31, 1<<32 - 1} {
		if name := bpos.Reason(number).String(); name != "internal" {
			t.Errorf("reason %d is %q", number, name)
		}
	}
	if name := bpos.Status(-5).Error(); name != "bpos: unknown" {
		t.Errorf("status -5 is %q", name)
	}
}

func TestAScopeIsNamedByTheHost(t *testing.T) {
	registry := memory(t)
	request := get(create(t, registry, bpos.KeySpec{}))
	scope, err := registry.Scope("products:read")
	if err != nil || scope != bpos.ScopeProductsRead {
		t.Fatalf("products:read is %d, %v", scope, err)
	}
	expect(t, "held", registry.AuthorizeScope(request, scope), 200, bpos.ReasonAllowed)
	expect(t, "not held", registry.AuthorizeScope(request, bpos.ScopeSalesRead), 403, bpos.ReasonInsufficientScope)
	expect(t, "none", registry.AuthorizeScope(request, 0), 500, bpos.ReasonInternal)
	expect(t, "unknown", registry.AuthorizeScope(request, 99), 500, bpos.ReasonInternal)
	none, err := registry.Scope("products:raed")
	expectError(t, "a misspelt scope", err, bpos.ErrNotFound, `"products:raed"`, "spelling", "Policy")
	if none != 0 {
		t.Errorf("a misspelt scope is %d", none)
	}
}

func TestTimesOutOfRangeDeny(t *testing.T) {
	registry := memory(t)
	request := get(create(t, registry, bpos.KeySpec{}))
	expect(t, "negative", registry.AuthorizeAt(request, bpos.Now{Wall: start.Wall, Monotonic: -1 * time.Second}), 500,
		bpos.ReasonInternal)
	expect(t, "too large", registry.AuthorizeAt(request, bpos.Now{Wall: start.Wall, Monotonic: 1<<63 - 1}), 500,
		bpos.ReasonInternal)
	expect(t, "the zero time", registry.AuthorizeAt(request, bpos.Now{}), 200, bpos.ReasonAllowed)
}

func TestADecisionAllocatesNothing(t *testing.T) {
	registry := memory(t)
	allowed := get(create(t, registry, bpos.KeySpec{RateLimit: 1000}))
	usedUp := get(create(t, registry, bpos.KeySpec{RateLimit: 1}))
	usedUp.Method = "HEAD"
	registry.Authorize(usedUp)
	forbidden, unknown := allowed, allowed
	forbidden.Method, unknown.APIKey = "PATCH", "bpos_nobodyhasthiskey0000"
	inBytes := bytesOf(allowed)

	for what, call := range map[string]struct {
		make   func() bpos.Decision
		status int
	}{
		"200":           {func() bpos.Decision { return registry.Authorize(allowed) }, 200},
		"200, in bytes": {func() bpos.Decision { return registry.AuthorizeBytes(inBytes) }, 200},
		"200, scope":    {func() bpos.Decision { return registry.AuthorizeScope(allowed, bpos.ScopeProductsRead) }, 200},
		"200, in time":  {func() bpos.Decision { return registry.AuthorizeAt(allowed, start) }, 200},
		"401":           {func() bpos.Decision { return registry.Authorize(unknown) }, 401},
		"403":           {func() bpos.Decision { return registry.Authorize(forbidden) }, 403},
		"429":           {func() bpos.Decision { return registry.Authorize(usedUp) }, 429},
		"429, scope":    {func() bpos.Decision { return registry.AuthorizeScope(usedUp, bpos.ScopeProductsRead) }, 429},
		"500":           {func() bpos.Decision { return registry.AuthorizeScope(allowed, 0) }, 500},
	} {
		other := 0
		allocations := testing.AllocsPerRun(100, func() {
			if call.make().Status() != call.status {
				other++
			}
		})
		if allocations != 0 || other != 0 {
			t.Errorf("%s: %v allocations; %d calls had another status", what, allocations, other)
		}
	}
}

func TestAThousandGoroutinesSeeTheirOwnDecisionsAndErrors(t *testing.T) {
	const goroutines, rounds = 1000, 20
	registry := memory(t)
	keys := make([]bpos.NewKey, goroutines)
	for i := range keys {
		keys[i] = create(t, registry, bpos.KeySpec{Store: fmt.Sprint("store", i), RateLimit: i%10 + 1})
	}
	var group sync.WaitGroup
	for i, key := range keys {
		group.Add(1)
		go func() {
			defer group.Done()
			request := get(key)
			request.Store = key.Record.Store
			for round := range rounds {
				decision := registry.AuthorizeAt(request, start)
				status, remaining := 200, i%10-round
				if remaining < 0 {
					status, remaining = 429, 0
				}
				if decision.Status() != status || decision.KeyID() != key.Record.ID || decision.Store() != key.Record.Store ||
					decision.Limit() != i%10+1 || decision.Remaining() != remaining {
					t.Errorf("goroutine %d, round %d: %v, %d of %d left", i, round, decision, decision.Remaining(), decision.Limit())
				}
				missing := fmt.Sprintf("key_missing%dround%d", i, round)
				_, err := registry.Get(missing)
				expectError(t, missing, err, bpos.ErrNotFound, `"`+missing+`"`)
			}
		}()
	}
	group.Wait()
}

func TestARegistryFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	policy := bpos.Policy([]byte(`{"scopes": [{"name": "till:open"}], "routes": []}`))
	registry, err := bpos.Init(path, policy)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	key := create(t, registry, bpos.KeySpec{Scopes: []string{"till:open"}})
	if of, err := os.Stat(path); err != nil || of.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", of, err)
	}
	again, err := bpos.Init(path, policy)
	expectError(t, "a file that exists", err, bpos.ErrConflict, path)
	if again != nil {
		t.Error("there is a registry")
	}
	_, err = bpos.Init("/nowhere/keys.json")
	expectError(t, "a folder that does not", err, bpos.ErrIO, "/nowhere/keys.json")

	opened, err := bpos.Open(path, policy)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if _, err := opened.Get(key.Record.ID); err != nil {
		t.Errorf("the key is not in the file: %v", err)
	}
	refused := filepath.Join(filepath.Dir(path), "refused.json")
	_, err = bpos.Init(refused, bpos.Policy(nil))
	expectError(t, "no policy", err, bpos.ErrFormat)
	if _, err := os.Stat(refused); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made in spite of it: %v", err)
	}
}

func TestWhatCannotBeOpenedIsAClearError(t *testing.T) {
	sound := file(t)
	others := file(t)
	if err := os.Chmod(others, 0o666); err != nil {
		t.Fatal(err)
	}
	notUTF8 := filepath.Join(t.TempDir(), "keys\xff.json")
	for what, attempt := range map[string]struct {
		path    string
		options []bpos.Option
		kind    error
		texts   []string
	}{
		"no file":              {"/nowhere/keys.json", nil, bpos.ErrIO, []string{"/nowhere/keys.json"}},
		"no path":              {"", nil, bpos.ErrIO, nil},
		"a NUL in the path":    {sound + "\x00.json", nil, bpos.ErrIO, []string{`keys.json\0.json`}},
		"a path not UTF-8":     {notUTF8, nil, bpos.ErrIO, []string{"keys"}},
		"a folder":             {filepath.Dir(sound), nil, bpos.ErrIO, nil},
		"others may write":     {others, nil, bpos.ErrPermission, []string{others, "chmod"}},
		"a policy not in JSON": {sound, []bpos.Option{bpos.Policy([]byte("\n\n  {{"))}, bpos.ErrFormat, []string{"line 3"}},
		"a policy not read":    {sound, []bpos.Option{bpos.Policy(nil)}, bpos.ErrFormat, []string{"expected a policy"}},
		"an empty policy":      {sound, []bpos.Option{bpos.Policy([]byte{})}, bpos.ErrFormat, nil},
	} {
		registry, err := bpos.Open(attempt.path, attempt.options...)
		if registry != nil {
			t.Errorf("%s: there is a registry", what)
		}
		expectError(t, what, err, attempt.kind, attempt.texts...)
	}

	var failure *bpos.Error
	_, err := bpos.FromJSON([]byte(`{"version": 2, "keys": []}`))
	if !errors.As(err, &failure) || failure.Status != bpos.ErrFormat || !strings.Contains(failure.Message, "version") {
		t.Errorf("a newer document: %v", err)
	}
	_, err = bpos.FromJSON([]byte(`{"version": 1, "keys": [
  {"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": [],
   "rate_limit": 7000, "sha256": "0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53"}]}`))
	if !errors.As(err, &failure) || failure.Line != 3 || failure.Column != 21 || failure.InFile {
		t.Errorf("a wrong limit on line 3: %+v", failure)
	}
	_, err = bpos.Open("/nowhere/keys.json")
	if !errors.As(err, &failure) || failure.Line != 0 || failure.Column != 0 || failure.InFile {
		t.Errorf("an error without a place: %+v", failure)
	}
	_, err = bpos.FromJSON(nil)
	expectError(t, "no document", err, bpos.ErrFormat)

	if err := os.WriteFile(notUTF8, []byte(`{"version": 1, "keys": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	registry, err := bpos.Open(notUTF8)
	if err != nil {
		t.Errorf("a path that is not UTF-8, of a file that is there: %v", err)
	}
	registry.Close()
}

func TestAnyPolicyOfTheHost(t *testing.T) {
	policy := `{"scopes": [{"name": "till:open", "writes": true}],
		"routes": [{"method": "POST", "path": "/till", "scope": "till:open"}]}`
	registry, err := bpos.FromJSON([]byte(`{"version": 1, "keys": []}`), bpos.Policy([]byte(policy)))
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	request := get(create(t, registry, bpos.KeySpec{Scopes: []string{"till:open"}}))
	request.Method, request.Target = "POST", "/till"
	expect(t, "the host's route", registry.Authorize(request), 200, bpos.ReasonAllowed)
	request.Method, request.Target = "GET", target
	expect(t, "a route of the built-in policy", registry.Authorize(request), 403, bpos.ReasonUnmappedRoute)
}

func TestANilRegistryIsAnErrorAndADenial(t *testing.T) {
	var registry *bpos.Registry
	refuses(t, registry, bpos.ErrInvalidArgument)
	expectError(t, "Close", registry.Close(), bpos.ErrInvalidArgument, "nil")
}

// refuses sees that no call of a registry does anything.
func refuses(t *testing.T, registry *bpos.Registry, kind error) {
	t.Helper()
	request := bpos.Request{APIKey: "bpos_nobodyhasthiskey0000", Store: store, Method: "GET", Target: target}
	expect(t, "Authorize", registry.Authorize(request), 500, bpos.ReasonInternal)
	expect(t, "AuthorizeAt", registry.AuthorizeAt(request, start), 500, bpos.ReasonInternal)
	expect(t, "AuthorizeBytes", registry.AuthorizeBytes(bytesOf(request)), 500, bpos.ReasonInternal)
	expect(t, "AuthorizeScope", registry.AuthorizeScope(request, 1), 500, bpos.ReasonInternal)
	expect(t, "AuthorizeScopeAt", registry.AuthorizeScopeAt(request, 1, start), 500, bpos.ReasonInternal)
	errs := map[string]error{
		"Reload": registry.Reload(), "Apply": registry.Apply([]byte("[]")), "Revoke": registry.Revoke("key_1"),
		"Remove": registry.Remove("key_1"), "Disable": registry.Disable("key_1"), "Enable": registry.Enable("key_1"),
	}
	errs["Commit"] = registry.Edit().Commit()
	_, errs["ReloadIfChanged"] = registry.ReloadIfChanged()
	_, errs["Export"] = registry.Export()
	_, errs["Stats"] = registry.Stats()
	_, errs["Scope"] = registry.Scope("products:read")
	_, errs["Create"] = registry.Create(bpos.KeySpec{Name: "Sync", Store: store})
	_, errs["Update"] = registry.Update("key_1", bpos.KeyPatch{})
	_, errs["Rotate"] = registry.Rotate("key_1", 0)
	_, errs["Get"] = registry.Get("key_1")
	_, errs["List"] = registry.List(store)
	_, errs["ListAll"] = registry.ListAll()
	_, errs["ListPage"] = registry.ListPage(store, "", 9)
	_, errs["ListAllPage"] = registry.ListAllPage("key_1", 9)
	for what, err := range errs {
		expectError(t, what, err, kind)
	}
}

func TestAFileThatIsNotSharedIsReadAgain(t *testing.T) {
	path := file(t)
	writer, err := bpos.Open(path, bpos.Unshared())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	reader, err := bpos.Open(path, bpos.ReadOnly(), bpos.Unshared())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_, err = reader.Create(bpos.KeySpec{Name: "Sync", Store: store})
	expectError(t, "a change", err, bpos.ErrReadOnly)

	if changed, err := reader.ReloadIfChanged(); changed || err != nil {
		t.Errorf("before a change: %v, %v", changed, err)
	}
	old, err := writer.Export()
	if err != nil {
		t.Fatal(err)
	}
	request := get(create(t, writer, bpos.KeySpec{}))
	expect(t, "before", reader.Authorize(request), 401, bpos.ReasonUnknownKey)
	if changed, err := reader.ReloadIfChanged(); !changed || err != nil {
		t.Errorf("after a change: %v, %v", changed, err)
	}
	expect(t, "after", reader.Authorize(request), 200, bpos.ReasonAllowed)

	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	expectError(t, "an older file", reader.Reload(), bpos.ErrStale)
	expect(t, "still", reader.Authorize(request), 200, bpos.ReasonAllowed)
	expectError(t, "memory", memory(t).Reload(), bpos.ErrInvalidArgument)
}

func TestARegistryInMemoryIsFed(t *testing.T) {
	source, copied := memory(t), memory(t)
	request := get(create(t, source, bpos.KeySpec{}))
	document, err := source.Export()
	if err != nil {
		t.Fatal(err)
	}
	records := document[strings.Index(string(document), "[") : strings.LastIndex(string(document), "]")+1]
	if err := copied.Apply(records); err != nil {
		t.Fatal(err)
	}
	expect(t, "applied", copied.Authorize(request), 200, bpos.ReasonAllowed)
	expectError(t, "a bad record", copied.Apply([]byte(`[{"id": "key_2"}]`)), bpos.ErrFormat)
	expectError(t, "no records", copied.Apply(nil), bpos.ErrFormat)

	stats, err := copied.Stats()
	if err != nil || stats.Keys != 1 || stats.Allowed != 1 || stats.Denied["unknown_key"] != 0 || len(stats.Denied) == 0 {
		t.Errorf("the statistics are %+v, %v", stats, err)
	}
}
