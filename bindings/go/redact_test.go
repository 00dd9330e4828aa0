package bpos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/brotherpos/bpos/bindings/go"
)

const leak = "bpos_abcdEFGH0123456789canary"

func TestAKeyInATextIsMasked(t *testing.T) {
	for text, expected := range map[string]string{
		"":                             "",
		"nothing to see in this line":  "nothing to see in this line",
		"GET /?k=" + leak + " 200":     "GET /?k=bpos_abcd******************** 200",
		leak + " Café \xff " + leak:    "bpos_abcd******************** Café \xff bpos_abcd********************",
		"bpos_abcdEFGH01234567":        "bpos_abcd************",
		"bpos_abcdEFGH0123456, almost": "bpos_abcdEFGH0123456, almost",
	} {
		if found := bpos.Redact(text); found != expected {
			t.Errorf("%q became %q; expected %q", text, found, expected)
		}
	}
	if found := bpos.Redact("?k=bpos%5F" + leak[5:]); strings.Contains(found, "canary") {
		t.Errorf("an encoded key became %q", found)
	}
}

type (
	stringer struct{ inside string }
	marshals struct{ inside string }
	valuer   struct{ inside any }
	twoFaced struct{ inside string }
	panics   struct{ Text string }
	tree     struct {
		Text string
		Next *tree
	}
)

func (s stringer) String() string               { return s.inside }
func (m marshals) MarshalText() ([]byte, error) { return []byte(m.inside), nil }
func (f twoFaced) String() string               { return "safe" }
func (f twoFaced) MarshalJSON() ([]byte, error) { return []byte(`"safe"`), nil }
func (f twoFaced) MarshalText() ([]byte, error) { return []byte(f.inside), nil }
func (v valuer) LogValue() slog.Value           { return slog.AnyValue(v.inside) }
func (p panics) MarshalJSON() ([]byte, error)   { panic("no JSON of this") }

func TestALogHoldsNoKey(t *testing.T) {
	err := fmt.Errorf("asking: %w", errors.New("refused "+leak))
	values := map[string]any{
		"string": leak, "error": err, "Stringer": stringer{leak}, "*Stringer": &stringer{leak},
		"TextMarshaler": marshals{leak}, "TextMarshaler alone": twoFaced{leak},
		"bytes": []byte(leak), "raw JSON": json.RawMessage(`{"k":"` + leak + `"}`), "struct": tree{Text: leak},
		"behind a pointer": tree{Next: &tree{Text: leak}}, "map": map[string]any{leak: 1}, "slice": []string{"x", leak},
		"LogValuer": valuer{leak}, "LogValuer of a group": valuer{[]slog.Attr{slog.String("k", leak)}},
		"LogValuer of an error": valuer{err}, "panics": panics{leak}, "group": []slog.Attr{slog.Group("g", "e", err)},
	}
	for what, value := range values {
		var bare bytes.Buffer
		for form, plain := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var log bytes.Buffer
			slog.New(plain(&bare)).Info("x", "k", value)
			logger := slog.New(bpos.RedactHandler(plain(&log)))
			logger.Info("asked with "+leak, what, value, leak, 1)
			logger.With(what, value, leak, 2).WithGroup(leak).Info("in a group", slog.Group(leak, what, value))
			if strings.Contains(log.String(), "canary") {
				t.Errorf("%s as %s: the log holds the key:\n%s", what, form, &log)
			}
			if !strings.Contains(log.String(), "asked with bpos_abcd***") || strings.Count(log.String(), "\n") != 2 {
				t.Errorf("%s as %s: the log lost something:\n%s", what, form, &log)
			}
		}
		if !strings.Contains(bare.String(), "canary") {
			t.Errorf("%s shows nothing: no log without redaction holds the key", what)
		}
	}
}

func TestARequestIsPrintedWithoutItsKey(t *testing.T) {
	request := bpos.Request{APIKey: leak, Store: "yourstore", Method: "GET", Target: "/api/v1/products?k=" + leak}
	of := bpos.RequestBytes{APIKey: []byte(leak), AnyStore: true, Method: []byte("GET"), Target: []byte("/?k=" + leak)}
	expected := `"GET" "/api/v1/products?k=bpos_abcd********************" store="yourstore" key="bpos_abcd********************"`
	ofExpected := `"GET" "/?k=bpos_abcd********************" store="(any)" key="bpos_abcd********************"`
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if found := fmt.Sprintf(form, request); found != expected {
			t.Errorf("%s: found %s; expected %s", form, found, expected)
		}
		if found := fmt.Sprintf(form, of); found != ofExpected {
			t.Errorf("%s: found %s; expected %s", form, found, ofExpected)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("asked", "request", request, "of", of)
	if strings.Contains(log.String(), "canary") {
		t.Errorf("a log without RedactHandler: %s", &log)
	}
}

func TestWhatHoldsNoKeyIsLoggedAsItIs(t *testing.T) {
	var plain, masked bytes.Buffer
	without := &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}
	for _, logger := range []*slog.Logger{
		slog.New(slog.NewJSONHandler(&plain, without)), slog.New(bpos.RedactHandler(slog.NewJSONHandler(&masked, without))),
	} {
		logger.Info("left out")
		logger.With("a", 1).WithGroup("g").Warn("seen", "error", errors.New("no"), "bytes", []byte("yes"),
			"tree", tree{Next: &tree{}},
			"map", map[string]int{"x": 1}, "nil", nil, slog.Group("empty"), slog.Any("any", valuer{3}), "float", 1.5)
	}
	if plain.String() != masked.String() || plain.Len() == 0 {
		t.Errorf("found\n%s; expected\n%s", &masked, &plain)
	}
}

func TestItIsAHandlerAsSlogWantsThem(t *testing.T) {
	var log bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		log.Reset()
		return bpos.RedactHandler(slog.NewJSONHandler(&log, nil))
	}, func(t *testing.T) map[string]any {
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
	if bpos.RedactHandler(slog.DiscardHandler).Enabled(context.Background(), slog.LevelError) {
		t.Error("it is enabled where the other is not")
	}
}
