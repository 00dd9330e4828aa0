package bpos

/*
#include <bpos.h>

#cgo noescape bpos_redact
#cgo nocallback bpos_redact
*/
import "C"

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"unsafe"
)

// Redact masks every API key in a text, percent-encoded ones too: "bpos_" and the next four characters stay, and the
// rest becomes asterisks.
func Redact(text string) string {
	const shortest = len("bpos_") + 16
	if len(text) < shortest {
		return text
	}
	if err := abiError(); err != nil {
		if strings.Contains(text, "bpos_") || strings.Contains(text, "%") {
			return err.Error() // instead of what may be a key that nobody can mask
		}
		return text
	}
	masked := []byte(text)
	if C.bpos_redact((*C.char)(unsafe.Pointer(&masked[0])), C.size_t(len(masked))) == 0 {
		return text
	}
	return view(masked)
}

// RedactHandler returns a handler that masks the API keys in whatever it passes on to another: in messages, in the
// names of groups and attributes, and in values. A value that is no text, such as an error, a Stringer or a struct,
// becomes its masked text if its text or its JSON holds a key; else it is passed on as it is.
func RedactHandler(handler slog.Handler) slog.Handler {
	return redactHandler{handler}
}

type redactHandler struct {
	next slog.Handler
}

func (h redactHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h redactHandler) Handle(ctx context.Context, record slog.Record) error {
	masked := slog.NewRecord(record.Time, record.Level, Redact(record.Message), record.PC)
	record.Attrs(func(attr slog.Attr) bool {
		masked.AddAttrs(redactAttr(attr))
		return true
	})
	return h.next.Handle(ctx, masked)
}

func (h redactHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return redactHandler{h.next.WithAttrs(redactAttrs(attrs))}
}

func (h redactHandler) WithGroup(name string) slog.Handler {
	return redactHandler{h.next.WithGroup(Redact(name))}
}

func redactAttrs(attrs []slog.Attr) []slog.Attr {
	masked := make([]slog.Attr, len(attrs))
	for i, attr := range attrs {
		masked[i] = redactAttr(attr)
	}
	return masked
}

func redactAttr(attr slog.Attr) slog.Attr {
	value := attr.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		value = slog.StringValue(Redact(value.String()))
	case slog.KindGroup:
		value = slog.GroupValue(redactAttrs(value.Group())...)
	case slog.KindAny:
		for _, text := range texts(value.Any()) {
			if masked := Redact(text); masked != text {
				value = slog.StringValue(masked)
				break
			}
		}
	}
	return slog.Attr{Key: Redact(attr.Key), Value: value}
}

// texts is what handlers make of a value: its text, as package fmt and slog.TextHandler write it, and its JSON.
func texts(value any) []string {
	if bytes := reflect.ValueOf(value); bytes.Kind() == reflect.Slice && bytes.Type().Elem().Kind() == reflect.Uint8 {
		return []string{string(bytes.Bytes())}
	}
	return []string{fmt.Sprintf("%+v", value), shown(func() ([]byte, error) { return json.Marshal(value) }), marshaled(value)}
}

// marshaled is the value's text as slog.TextHandler prefers it.
func marshaled(value any) string {
	if marshaler, ok := value.(encoding.TextMarshaler); ok {
		return shown(marshaler.MarshalText)
	}
	return ""
}

// shown is what a value writes of itself. One that panics may show what it panics with.
func shown(write func() ([]byte, error)) (text string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			text = fmt.Sprint(panicked)
		}
	}()
	written, _ := write()
	return string(written)
}
