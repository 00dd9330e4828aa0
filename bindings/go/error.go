package bpos

// #include <bpos.h>
import "C"

import "errors"

// An Error says why a call failed: a status for the program, a message for a person.
//
//	errors.Is(err, bpos.ErrNotFound)
//
// is true for an Error whose Status is ErrNotFound.
type Error struct {
	Status  Status
	Message string // what is wrong, where, and what was expected; never holds a key
	Line    int    // the line of the document that is wrong, from 1; 0 if the error is not about a place in a document
	Column  int    // the column in that line, from 1, in bytes; 0 likewise
	InFile  bool   // on ErrNotDurable: the file has the change, but may lose it if the machine stops now
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

// A Status is the kind of an [Error]. A future library may have others than those below.
type Status int32

// The statuses. Their numbers never change.
const (
	ErrInvalidArgument Status = 1  // an argument has no meaning here, such as a reload of a registry in memory
	ErrIO              Status = 2  // the operating system refused to open, read or write the registry file
	ErrFormat          Status = 3  // a document does not follow its format
	ErrNotFound        Status = 4  // no key has that id, or no scope has that name
	ErrConflict        Status = 5  // the change contradicts what is in force
	ErrPermission      Status = 6  // the registry file is writable by others, or belongs to another user
	ErrNotDurable      Status = 7  // the file may not keep the change; what it takes away is in force here
	ErrReadOnly        Status = 8  // the registry was opened read-only
	ErrStale           Status = 9  // the document is older than the one in force
	ErrLimit           Status = 10 // something is larger than its maximum, or memory ran out
	ErrPanic           Status = 11 // bpos panicked; this is a bug in bpos; the registry can still be used
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

var errNil = &Error{Status: ErrInvalidArgument, Message: "the registry is nil: check the error of Open"}
