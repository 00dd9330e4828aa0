package bpos_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
)

func opened(t *testing.T, path string, options ...bpos.Option) *bpos.Registry {
	t.Helper()
	registry, err := bpos.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	return registry
}

// admitted is how many of 100 requests the registries admit in turn.
func admitted(key bpos.NewKey, registries ...*bpos.Registry) int {
	count := 0
	for n := range 100 {
		if registries[n%len(registries)].Authorize(get(key)).Allowed() {
			count++
		}
	}
	return count
}

func TestRegistriesOfOneFileShareIt(t *testing.T) {
	path := file(t)
	one, other := opened(t, path), opened(t, path, bpos.ReadOnly())
	key, later := create(t, one, bpos.KeySpec{RateLimit: 60}), create(t, one, bpos.KeySpec{})
	if count := admitted(key, one, other); count != 60 {
		t.Errorf("of a limit of 60 they admit %d", count)
	}
	expect(t, "created", other.Authorize(get(later)), 200, bpos.ReasonAllowed)
	if err := one.Revoke(later.Record.ID); err != nil {
		t.Fatal(err)
	}
	expect(t, "revoked", other.Authorize(get(later)), 401, bpos.ReasonRevokedKey)
	record, err := other.Get(key.Record.ID)
	if err != nil || record.Usage.Allowed != 60 {
		t.Errorf("the usage is %+v, %v", record.Usage, err)
	}
}

func TestAnUnsharedRegistryCountsOnItsOwn(t *testing.T) {
	path := file(t)
	shared := opened(t, path)
	key := create(t, shared, bpos.KeySpec{RateLimit: 60})
	for _, registry := range []*bpos.Registry{shared, opened(t, path, bpos.Unshared())} {
		if count := admitted(key, registry); count != 60 {
			t.Errorf("of a limit of 60 it admits %d", count)
		}
	}
}

func TestTheSharedMemoryIsInTheFolderThatIsNamed(t *testing.T) {
	path, folder := file(t), t.TempDir()
	one, other := opened(t, path, bpos.SharedIn(folder)), opened(t, path, bpos.SharedIn(folder))
	if found, err := filepath.Glob(filepath.Join(folder, "bpos-*")); len(found) != 1 || err != nil {
		t.Errorf("the folder has %v, %v", found, err)
	}
	if count := admitted(create(t, one, bpos.KeySpec{RateLimit: 60}), one, other); count != 60 {
		t.Errorf("of a limit of 60 they admit %d", count)
	}
	_, err := bpos.Open(path)
	expectError(t, "another folder, while it is open", err, bpos.ErrIO, "shared.dir")
}

func TestARegistryThatCannotBeSharedSaysHowNotTo(t *testing.T) {
	path := file(t)
	if err := os.Mkdir(path+".shared", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := bpos.Open(path)
	expectError(t, "a folder in the way", err, bpos.ErrIO, `"shared": false`)
	opened(t, path, bpos.Unshared())
	_, err = bpos.Open(file(t), bpos.SharedIn(filepath.Join(t.TempDir(), "none")))
	expectError(t, "a folder that is not there", err, bpos.ErrIO, `"shared": false`)
}
