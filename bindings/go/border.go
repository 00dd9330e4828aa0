package bpos

// #include <bpos.h>
import "C"

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// How Go's values cross the border to C, and back.

// pointer and length are a text as C takes it. What pointer gives is never NULL, which C would take for an absent text.
func pointer(text string) *C.char {
	if text == "" {
		return &empty
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text)))
}

func length(text string) C.size_t {
	return C.size_t(len(text))
}

var empty C.char

// view is a text that shares its bytes: for the length of a call, in which nobody changes them.
func view(shared []byte) string {
	return unsafe.String(unsafe.SliceData(shared), len(shared))
}

// text copies a text that C wrote into an array of its struct.
func text(chars []C.char) string {
	written := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(chars))), len(chars))
	if end := bytes.IndexByte(written, 0); end >= 0 {
		written = written[:end]
	}
	return string(written)
}

// form writes what C takes as JSON. Go's package would replace what is not UTF-8, and with that name another store.
func form(value any, texts ...string) (string, error) {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return "", &Error{Status: ErrFormat, Message: fmt.Sprintf("expected UTF-8; found %q", Redact(text))}
		}
	}
	written, err := json.Marshal(value)
	if err != nil {
		return "", &Error{Status: ErrFormat, Message: err.Error()}
	}
	return view(written), nil
}

// into reads what C answers as JSON.
func into(value any) func(answer []byte) error {
	return func(answer []byte) error {
		if err := json.Unmarshal(answer, value); err != nil {
			return fmt.Errorf("bpos: the library's answer is not what this package reads: %w", err)
		}
		return nil
	}
}

// try gives a call a place of its own for its error: a goroutine changes threads, so it could not be the thread's.
func try(call func(failure *C.bpos_error) C.bpos_status) error {
	failure := C.bpos_error{size: C.sizeof_bpos_error}
	if status := call(&failure); status != C.BPOS_OK {
		return &Error{
			Status:  Status(status),
			Message: text(failure.message[:]),
			Line:    int(failure.line),
			Column:  int(failure.column),
			InFile:  failure.in_file != 0,
		}
	}
	return nil
}

// call makes a call that can fail, while the registry is open.
func (r *Registry) call(call func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status) error {
	if r == nil {
		return errNil
	}
	registry, in := r.enter()
	if registry == nil {
		return ErrClosed
	}
	defer r.leave(in)
	return try(func(failure *C.bpos_error) C.bpos_status { return call(registry, failure) })
}

// answer is call for one that answers with a text, which is wiped once it was read.
func (r *Registry) answer(
	read func(answer []byte) error,
	call func(registry *C.bpos_registry, out *C.bpos_buffer, failure *C.bpos_error) C.bpos_status,
) error {
	var out C.bpos_buffer
	defer C.bpos_buffer_free(&out)
	err := r.call(func(registry *C.bpos_registry, failure *C.bpos_error) C.bpos_status {
		return call(registry, &out, failure)
	})
	if err != nil {
		return err
	}
	return read(unsafe.Slice((*byte)(unsafe.Pointer(out.data)), out.len))
}

// enter begins a call, which leave ends. It returns no registry if there is none, or none any more.
func (r *Registry) enter() (*C.bpos_registry, *lane) {
	if r == nil {
		return nil, nil
	}
	registry, in := r.lifetime.enter()
	return (*C.bpos_registry)(registry), in
}

func (r *Registry) leave(in *lane) {
	r.lifetime.leave(in)
}
