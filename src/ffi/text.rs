//! Text written to C's buffers, and C's text changed in place.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use super::guard::guard_or;
use super::pointers;

/// Masks every API key in a text, percent-encoded ones too: "bpos_" and the next four characters stay, and
/// the rest becomes asterisks. For log lines, in place; the length stays the same.
///
/// text, len: need not be UTF-8, and need not end with a NUL. NULL masks nothing.
///
/// Returns how many keys were masked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_redact(text: *mut c_char, len: usize) -> usize {
    guard_or(0, || {
        // SAFETY: as the caller of every export promises.
        unsafe { pointers::text_mut(text, len, "text") }.map_or(0, crate::key::redact_in_place)
    })
}

/// Writes as much of a text as fits, with a NUL after it if anything fits; returns the full length.
pub(super) fn print(text: &str, room: &mut [MaybeUninit<u8>]) -> usize {
    if let Some(most) = room.len().checked_sub(1) {
        let kept = text.as_bytes().iter().take(most).chain(&[0]);
        for (place, byte) in room.iter_mut().zip(kept) {
            place.write(*byte);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_its_room() {
        for (capacity, expected) in [(0, "####"), (1, "\0###"), (2, "a\0##"), (3, "ab\0#"), (4, "abc\0")] {
            let mut room = [MaybeUninit::new(b'#'); 4];
            let (lent, _) = room.split_at_mut(capacity);
            assert_eq!(print("abc", lent), 3);
            // SAFETY: all of it was written above.
            let bytes = room.map(|byte| unsafe { byte.assume_init() });
            assert_eq!(bytes, expected.as_bytes(), "{capacity}");
        }
    }
}
