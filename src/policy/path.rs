//! How a path is read: only where every router would read it alike.

use super::spelling::{encoded_byte, is_unreserved};

/// The longest path that matches a route, in bytes.
pub(crate) const MAX_PATH: usize = 8_192;

/// A path without one trailing slash; `None` if routers may read it differently: an empty or dot segment, a backslash, `;`
/// or `#`, a byte that is not visible ASCII, or a percent-encoding that is malformed, not UTF-8, unnecessary, or of a
/// slash, a backslash, a percent sign or a control.
#[inline]
pub(super) fn unambiguous(path: &[u8]) -> Option<&[u8]> {
    if path.len() > MAX_PATH || path.first() != Some(&b'/') {
        return None;
    }
    // Most paths need no second look; this finds out without a branch for each byte.
    #[expect(clippy::indexing_slicing, reason = "there is a class for each byte")]
    let bytes = path.iter().fold(0, |found, byte| found | CLASSES[usize::from(*byte)]);
    if bytes & REFUSED != 0 || (bytes & SUSPECT != 0 && !(sound_dots(path) && sound_percents(path))) {
        return None;
    }
    let pairs = path.iter().zip(path.iter().skip(1));
    if pairs.fold(false, |found, (byte, next)| found | ((*byte == b'/') & (*next == b'/'))) {
        return None;
    }
    Some(path.strip_suffix(b"/").filter(|path| !path.is_empty()).unwrap_or(path))
}

/// The class of each byte: 0 if always fine.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "256 bytes are counted")]
        let class = match byte as u8 {
            b'\\' | b';' | b'#' | b'?' => REFUSED,
            b'.' | b'%' => SUSPECT,
            b'!'..=b'~' => 0,
            _ => REFUSED,
        };
        #[expect(clippy::indexing_slicing, reason = "the loop ends with the array")]
        {
            classes[byte] = class;
        }
        byte += 1;
    }
    classes
};
const REFUSED: u8 = 1;
const SUSPECT: u8 = 2;

/// Whether no segment is `.` or `..`.
fn sound_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|segment| !matches!(segment, b"." | b".."))
}

/// Whether every `%` begins the UTF-8 encoding of a character that all routers take for part of a segment. Some decode
/// overlong forms, such as `%C0%AE` for a dot.
fn sound_percents(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(sign) = rest.iter().position(|byte| *byte == b'%') {
        let Some((first, after)) = rest.get(sign..).and_then(encoded_byte) else { return false };
        rest = after;
        let more = match first {
            0..0x80 => 0,
            0xC2..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF4 => 3,
            _ => return false,
        };
        let mut character = [first, 0, 0, 0];
        for byte in character.iter_mut().skip(1).take(more) {
            let Some((next, after)) = encoded_byte(rest) else { return false };
            (*byte, rest) = (next, after);
        }
        let text = character.get(..=more).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if text.is_none() || (more == 0 && !is_plainly_encoded(first)) {
            return false;
        }
    }
    true
}

/// Whether every router reads this byte, percent-encoded, as part of a segment.
fn is_plainly_encoded(byte: u8) -> bool {
    !(is_unreserved(byte) || byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b'%'))
}
