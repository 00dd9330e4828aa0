package bpos

// #include <bpos.h>
import "C"

import "errors"

// An Error is what a call failed with: a status for the program, a message for a person.
//
//	errors.Is(err, bpos.ErrNotFound)
//
// is true for an Error whose Status is ErrNotFound.
type Error struct {
	Status  Status
	Message string // what is wrong, where, and what was expected; never holds a key
}

func (e *Error) Error() string {
	return e.Status.Error() + ": " + e.Message
}

// Unwrap returns the status.
func (e *Error) Unwrap() error {
	return e.Status
}

// ErrClosed is what every call but Authorize and its kin returns once the registry is closed.
var ErrClosed = errors.New("bpos: the registry is closed")

// A Status says what kind of failure an [Error] is. A future library may have others than the ones below.
type Status int32

// The statuses. Their numbers never change.
const (
	ErrInvalidArgument Status = 1  // an argument has no meaning here, such as a reload of a registry in memory
	ErrIO              Status = 2  // the operating system refused to open, read or write the registry file
	ErrFormat          Status = 3  // a document is not what its format asks for
	ErrNotFound        Status = 4  // there is no key with that id, or no scope with that name
	ErrConflict        Status = 5  // the change contradicts what is in force
	ErrPermission      Status = 6  // the registry file may be written by others, or belongs to somebody else
	ErrNotDurable      Status = 7  // it is not sure that the file has the change; what it takes away is in force here
	ErrReadOnly        Status = 8  // the registry was opened read-only
	ErrStale           Status = 9  // the document is older than what is in force
	ErrLimit           Status = 10 // something is larger than its maximum, or there is no memory for it
	ErrPanic           Status = 11 // bpos panicked, which is a defect of it; the registry can still be used
)

// Error returns the name of the status, such as "bpos: not_found".
func (s Status) Error() string {
	if s >= 0 && int(s) < len(statusNames) {
		return "bpos: " + statusNames[s]
	}
	return "bpos: " + C.GoString(C.bpos_status_name(C.bpos_status(s))) // a newer library's
}

var statusNames = [...]string{
	"ok", "invalid_argument", "io", "format", "not_found", "conflict", "permission", "not_durable", "read_only", "stale",
	"limit", "panic",
}

var errNil = &Error{ErrInvalidArgument, "the registry is nil: check the error of Open"}
