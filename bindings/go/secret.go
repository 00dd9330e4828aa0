package bpos

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
)

// A Secret is the plaintext of a new key. It does not show itself: package fmt, encoding/json and log/slog print
// "bpos_abcd" and asterisks. Copies of a Secret share the plaintext.
type Secret struct {
	plaintext **plaintext // where package fmt may not call Format, it follows one pointer, but not two
	masked    string
}

// Expose returns the plaintext: give it to whoever asked for the key. It is empty after Wipe. The text that it returns
// is a copy, which Wipe cannot reach.
func (s Secret) Expose() string {
	if s.plaintext == nil {
		return ""
	}
	return string(**s.plaintext)
}

// Wipe overwrites the plaintext, in all copies of this Secret. It must not run while another goroutine calls Expose.
func (s Secret) Wipe() {
	if s.plaintext != nil {
		clear(**s.plaintext)
		**s.plaintext = nil
	}
}

// String returns the masked text.
func (s Secret) String() string {
	return s.masked
}

// Format prints the masked text, whatever the verb.
func (s Secret) Format(state fmt.State, _ rune) {
	io.WriteString(state, s.masked) //nolint:errcheck // package fmt looks after its own errors
}

// MarshalText returns the masked text, also for encoding/json.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.masked), nil
}

// LogValue returns the masked text.
func (s Secret) LogValue() slog.Value {
	return slog.StringValue(s.masked)
}

// plaintext is a secret as it stands in the library's answer, taken out of it without a copy but its own.
type plaintext []byte

func (p *plaintext) UnmarshalJSON(quoted []byte) error {
	*p = bytes.Clone(bytes.Trim(quoted, `"`)) // a key is letters, digits and one "_", so that none is escaped
	return nil
}

func newSecret(text plaintext, hint string) Secret {
	at := &text
	return Secret{plaintext: &at, masked: hint + "****"}
}
