//! Failures of cold functions: a status, and a message in a struct of the caller's.

use std::ffi::c_char;

use super::constants::bpos_status_code::*;
use super::constants::{bpos_status, bpos_status_code};
use super::guard::{Panicked, guard, without_cancellation};
use super::pointers::{Misuse, Out, Sizable};
use crate::error::{Error, ErrorKind};

/// What went wrong in a cold function, for a program and for a person.
///
/// The caller owns it, sets `size` to sizeof(bpos_error) and passes it to one call; it holds no pointer and needs no
/// freeing. One thread may use it at a time. Every function that takes one takes NULL too, and then says only the status.
/// A call that succeeds writes BPOS_OK and an empty message. One that is smaller than this version of the ABI has
/// it, larger than 4096 bytes, or misaligned, is BPOS_ERR_INVALID_ARGUMENT: the call does nothing and writes nothing. What
/// one of a later version has more is set to zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpos_error {
    /// sizeof(bpos_error), set by the caller. Not changed.
    pub size: u32,
    /// What the function returned.
    pub code: bpos_status,
    /// What is wrong, where, and what was expected: UTF-8, NUL-terminated, cut if it is longer. Never holds a key.
    pub message: [c_char; 504],
}

// SAFETY: it is so: see above.
unsafe impl Sizable for bpos_error {}

const _: () = {
    assert!(size_of::<bpos_error>() == 512 && align_of::<bpos_error>() == 4);
    assert!(std::mem::offset_of!(bpos_error, size) == 0);
    assert!(std::mem::offset_of!(bpos_error, code) == 4);
    assert!(std::mem::offset_of!(bpos_error, message) == 8);
};

/// Why a cold function does not succeed.
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

/// Runs what a cold function does, and reports how it went.
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
    let (code, message) = outcome(without_cancellation(|| guard(call)));
    if let Some(mut out) = out {
        let size = out.size;
        out.write(bpos_error { size, code: code as bpos_status, message: fitted(&message) });
    }
    code as bpos_status
}

fn outcome(result: Result<Result<(), Failure>, Panicked>) -> (bpos_status_code, String) {
    match result {
        Ok(Ok(())) => (BPOS_OK, String::new()),
        Ok(Err(Failure::Core(error))) => (code(error.kind()), error.to_string()),
        Ok(Err(Failure::Misuse(misuse))) => {
            (BPOS_ERR_INVALID_ARGUMENT, format!("the argument {} {}", misuse.argument, misuse.fault))
        }
        Err(panicked) => (BPOS_ERR_PANIC, panicked.message()),
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
