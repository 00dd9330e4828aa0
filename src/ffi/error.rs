//! Failures of cold functions: a status, and the details in the caller's struct.

use std::ffi::c_char;

use super::constants::bpos_status_code::*;
use super::constants::{bpos_status, bpos_status_code};
use super::guard::{Panicked, guard, without_cancellation};
use super::pointers::{Misuse, Out, Sizable};
use crate::error::{Error, ErrorKind};

/// Details of a failure, for a program and for a person.
///
/// The caller owns it, sets `size` to sizeof(bpos_error) and passes it to one call; it holds no pointer and needs no
/// freeing. One thread may use it at a time. Every function that takes one takes NULL too, and then returns only the
/// status. A call that succeeds writes BPOS_OK, an empty message and zeros. With a `size` below 512 or over 4096, or a
/// misaligned struct, the call returns BPOS_ERR_INVALID_ARGUMENT, does nothing and writes nothing. No more than `size`
/// bytes are written; fields of a newer header than this library's are set to zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpos_error {
    /// sizeof(bpos_error), set by the caller. Not changed.
    pub size: u32,
    /// What the function returned.
    pub code: bpos_status,
    /// What is wrong, where, and what was expected: UTF-8, NUL-terminated, cut if it is longer. Never holds a key.
    pub message: [c_char; 504],
    /// The line of the document that is wrong, counted from 1. 0 if the error is not about a place in a document.
    pub line: u32,
    /// The column in that line, counted from 1, in bytes: where the wrong value ends, or where an array or object begins.
    /// 0 if the error is not about a place in a document.
    pub column: u32,
    /// On BPOS_ERR_NOT_DURABLE: 1 if the registry file has the change, but may lose it if the machine stops now; 0 if the
    /// change was not written. 0 for every other code.
    pub in_file: u32,
}

// SAFETY: as declared above. A struct of `MIN_SIZE` ends with a whole field.
unsafe impl Sizable for bpos_error {
    /// That of version 0.1.0, which ended with the message.
    const MIN_SIZE: u32 = 512;
}

const _: () = {
    assert!(size_of::<bpos_error>() == 524 && align_of::<bpos_error>() == 4);
    assert!(std::mem::offset_of!(bpos_error, size) == 0);
    assert!(std::mem::offset_of!(bpos_error, code) == 4);
    assert!(std::mem::offset_of!(bpos_error, message) == 8);
    assert!(std::mem::offset_of!(bpos_error, line) == 512);
    assert!(std::mem::offset_of!(bpos_error, column) == 516);
    assert!(std::mem::offset_of!(bpos_error, in_file) == 520);
};

/// Why a cold function failed.
pub(super) enum Failure {
    Core(Error),
    Misuse(Misuse),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

/// Runs a cold function, and reports the outcome.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
pub(super) unsafe fn report(error: *mut bpos_error, call: impl FnOnce() -> Result<(), Failure>) -> bpos_status {
    let out = if error.is_null() {
        None
    } else {
        // SAFETY: as asked of our caller.
        match unsafe { Out::new(error, "error") } {
            Ok(out) => Some(out),
            Err(_) => return BPOS_ERR_INVALID_ARGUMENT as bpos_status,
        }
    };
    let found = outcome(without_cancellation(|| guard(call)));
    if let Some(mut out) = out {
        let size = out.size;
        out.write(bpos_error { size, ..found });
    }
    found.code
}

fn outcome(result: Result<Result<(), Failure>, Panicked>) -> bpos_error {
    match result {
        Ok(Ok(())) => bpos_error::new(BPOS_OK, ""),
        Ok(Err(Failure::Core(error))) => bpos_error {
            line: error.line().unwrap_or(0),
            column: error.column().unwrap_or(0),
            in_file: u32::from(error.is_in_file()),
            ..bpos_error::new(code(error.kind()), &error.to_string())
        },
        Ok(Err(Failure::Misuse(Misuse { argument, fault }))) => {
            bpos_error::new(BPOS_ERR_INVALID_ARGUMENT, &format!("the argument {argument} {fault}"))
        }
        Err(panicked) => bpos_error::new(BPOS_ERR_PANIC, &panicked.message()),
    }
}

impl bpos_error {
    fn new(code: bpos_status_code, message: &str) -> Self {
        Self { size: 0, code: code as bpos_status, message: fitted(message), line: 0, column: 0, in_file: 0 }
    }
}

/// The status of a kind of error. Exhaustive: a new kind needs a number.
fn code(kind: ErrorKind) -> bpos_status_code {
    match kind {
        ErrorKind::InvalidArgument => BPOS_ERR_INVALID_ARGUMENT,
        ErrorKind::Io => BPOS_ERR_IO,
        ErrorKind::Format => BPOS_ERR_FORMAT,
        ErrorKind::NotFound => BPOS_ERR_NOT_FOUND,
        ErrorKind::Conflict => BPOS_ERR_CONFLICT,
        ErrorKind::Permission => BPOS_ERR_PERMISSION,
        ErrorKind::NotDurable => BPOS_ERR_NOT_DURABLE,
        ErrorKind::ReadOnly => BPOS_ERR_READ_ONLY,
        ErrorKind::Stale => BPOS_ERR_STALE,
        ErrorKind::Limit => BPOS_ERR_LIMIT,
    }
}

/// A text with zeros behind it, cut between two characters if it is too long.
fn fitted<const N: usize>(text: &str) -> [c_char; N] {
    let mut bytes = [0; N];
    let kept = text.get(..text.floor_char_boundary(N - 1)).unwrap_or_default();
    for (byte, kept) in bytes.iter_mut().zip(kept.bytes()) {
        // A NUL would end the text for C.
        *byte = if kept == 0 { b'?' } else { kept } as c_char;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_two_characters() {
        let cases = [
            ("", ""),
            ("abc", "abc"),
            ("abcdefg", "abcdefg"),
            ("abcdefgh", "abcdefg"),
            ("abcdef\u{e9}", "abcdef"),
            ("abcde\u{e9}", "abcde\u{e9}"),
            ("abc\u{1F600}", "abc\u{1F600}"),
            ("abcd\u{1F600}", "abcd"),
            ("a\0b", "a?b"),
        ];
        for (text, expected) in cases {
            let fitted: [c_char; 8] = fitted(text);
            let mut wanted = [0; 8];
            for (place, byte) in wanted.iter_mut().zip(expected.bytes()) {
                *place = byte as c_char;
            }
            assert_eq!(fitted, wanted, "{text:?}");
        }
    }

    #[test]
    fn not_durable_says_whether_the_file_has_the_change() {
        for (is_in_file, expected) in [(true, 1), (false, 0)] {
            let error = Error::new(ErrorKind::Io, "no space left").not_durable("as a test has it", is_in_file);
            let found = outcome(Ok(Err(error.into())));
            assert_eq!((found.code, found.in_file), (BPOS_ERR_NOT_DURABLE as bpos_status, expected));
        }
        let found = outcome(Ok(Err(Error::new(ErrorKind::Io, "no space left").into())));
        assert_eq!((found.code, found.in_file), (BPOS_ERR_IO as bpos_status, 0));
    }

    #[test]
    fn every_kind_has_the_number_of_its_name() {
        let kinds = [
            (ErrorKind::InvalidArgument, 1),
            (ErrorKind::Io, 2),
            (ErrorKind::Format, 3),
            (ErrorKind::NotFound, 4),
            (ErrorKind::Conflict, 5),
            (ErrorKind::Permission, 6),
            (ErrorKind::NotDurable, 7),
            (ErrorKind::ReadOnly, 8),
            (ErrorKind::Stale, 9),
            (ErrorKind::Limit, 10),
        ];
        for (kind, number) in kinds {
            assert_eq!(code(kind) as bpos_status, number, "{kind:?}");
        }
    }
}
