package bpos_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

// The vectors lie in the source tree; BPOS_VECTORS names them if this package is elsewhere.
func vectorFiles(t *testing.T) []string {
	folder := os.Getenv("BPOS_VECTORS")
	if folder == "" {
		folder = "../../tests/vectors"
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no vectors in %s: name their folder in BPOS_VECTORS", folder)
	}
	return files
}

type vectors struct {
	Policy   json.RawMessage
	Registry json.RawMessage
	Cases    []struct {
		Name  string
		Calls []vectorCall
	}
}

type vectorCall struct {
	UnixMS      int64 `json:"unix_ms"`
	MonotonicUS int64 `json:"monotonic_us"`
	Key         *string
	KeyHex      string `json:"key_hex"`
	Store       *string
	Method      string
	Target      string
	Scope       string
	Times       int
	Expect      expectation
}

type expectation struct {
	Status        int
	Reason        string
	RequiredScope string `json:"required_scope"`
	Limit         int
	Remaining     int
	RetryAfterS   int    `json:"retry_after_s"`
	ResetS        int    `json:"reset_s"`
	TestMode      bool   `json:"test_mode"`
	KeyID         string `json:"key_id"`
	Store         string
	Headers       []string
	Body          any
}

func TestEveryVectorIsDecidedAsItSays(t *testing.T) {
	cases, calls := 0, 0
	for _, file := range vectorFiles(t) {
		var vectors vectors
		read(t, file, &vectors)
		var options []bpos.Option
		if vectors.Policy != nil {
			options = append(options, bpos.Policy(vectors.Policy))
		}
		for _, vector := range vectors.Cases {
			for _, inBytes := range []bool{false, true} {
				registry, err := bpos.FromJSON(vectors.Registry, options...)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for i, call := range vector.Calls {
					found := call.make(t, registry, inBytes)
					if !reflect.DeepEqual(found, call.Expect) {
						t.Errorf("%s: %s: call %d:\n   found %+v\nexpected %+v", file, vector.Name, i, found, call.Expect)
					}
					calls += max(call.Times, 1)
				}
				registry.Close()
			}
			cases++
		}
	}
	t.Logf("vectors: %d cases, %d calls with strings and as many with bytes", cases, calls/2)
	if cases == 0 || calls < cases {
		t.Error("there was nothing to compare")
	}
}

// make makes a call as often as it says, and returns what came of it.
func (c *vectorCall) make(t *testing.T, registry *bpos.Registry, inBytes bool) expectation {
	request := bpos.Request{Method: c.Method, Target: c.Target, AnyStore: c.Store == nil}
	if c.Key != nil {
		request.APIKey = *c.Key
	} else if key, err := hex.DecodeString(c.KeyHex); err == nil {
		request.APIKey = string(key)
	}
	if c.Store != nil {
		request.Store = *c.Store
	}
	now := bpos.Now{Wall: time.UnixMilli(c.UnixMS), Monotonic: time.Duration(c.MonotonicUS) * time.Microsecond}

	var decision bpos.Decision
	for range max(c.Times, 1) {
		switch {
		case c.Scope != "":
			scope, err := registry.Scope(c.Scope)
			if err != nil {
				t.Fatal(err)
			}
			decision = registry.AuthorizeScopeAt(request, scope, now)
		case inBytes:
			decision = registry.AuthorizeBytesAt(bytesOf(request), now)
		default:
			decision = registry.AuthorizeAt(request, now)
		}
		if decision.Status() != c.Expect.Status || decision.Reason().String() != c.Expect.Reason {
			t.Errorf("%+v: found %v; expected %d %s", c, decision, c.Expect.Status, c.Expect.Reason)
		}
		if decision.Allowed() != (c.Expect.Status == 200) {
			t.Errorf("%+v: Allowed is %v", c, decision.Allowed())
		}
	}
	return describe(t, registry, decision, c.Expect.RequiredScope)
}

// describe is a decision in the form of an expectation. Its scope is a number, except where the client is told the
// name.
func describe(t *testing.T, registry *bpos.Registry, decision bpos.Decision, scope string) expectation {
	found := expectation{
		Status: decision.Status(), Reason: decision.Reason().String(), RequiredScope: decision.RequiredScope(),
		Limit: decision.Limit(), Remaining: decision.Remaining(), RetryAfterS: int(decision.RetryAfter() / time.Second),
		ResetS: int(decision.Reset() / time.Second), TestMode: decision.TestMode(), KeyID: decision.KeyID(),
		Store: decision.Store(), Headers: []string{},
	}
	tellsScope := decision.Reason() == bpos.ReasonInsufficientScope || decision.Reason() == bpos.ReasonTestMode
	if number, err := registry.Scope(scope); !tellsScope && found.RequiredScope == "" && scope != "" {
		if err == nil && decision.Scope() == number {
			found.RequiredScope = scope
		}
	} else if scope == "" && decision.Scope() != 0 {
		found.RequiredScope = "one, although none is expected"
	}
	for name, value := range decision.Headers() {
		found.Headers = append(found.Headers, name+": "+value)
	}
	if body := decision.Body(); len(body) > 0 {
		if err := json.Unmarshal(body, &found.Body); err != nil {
			t.Errorf("the body is no JSON: %v: %s", err, body)
		}
	}
	told := struct{ Code string }{}
	if body := decision.Body(); len(body) > 0 && json.Unmarshal(body, &told) != nil || told.Code != decision.Code() {
		t.Errorf("the code is %q, and that of the body %s", decision.Code(), body)
	}
	return found
}

func bytesOf(request bpos.Request) bpos.RequestBytes {
	return bpos.RequestBytes{APIKey: []byte(request.APIKey), Store: []byte(request.Store), Method: []byte(request.Method),
		Target: []byte(request.Target), AnyStore: request.AnyStore}
}

func read(t *testing.T, file string, into any) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
