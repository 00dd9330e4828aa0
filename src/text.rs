//! Short text in a fixed-size block, and small text helpers.

use std::fmt;

/// Text without NUL, shorter than `N` bytes and padded with zeros: a C string.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Text<const N: usize>([u8; N]);

/// `key_` and 20 characters, or a host's own id: at most 31 bytes.
pub(crate) type KeyId = Text<32>;
/// A store's name: at most 63 bytes.
pub(crate) type Store = Text<64>;
/// A scope's name: at most 63 bytes.
pub(crate) type ScopeName = Text<64>;

impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = Self([0; N]);

    /// `None` if the text is too long or has a NUL.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        if text.len() >= N || text.contains('\0') {
            return None;
        }
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// Whether it is exactly these bytes.
    #[inline]
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        match self.0.split_at_checked(bytes.len()) {
            // The padding is not part of the text.
            Some((text, [0, ..])) => text == bytes && bytes.last() != Some(&0),
            _ => false,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        // It was made from a str.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text with its padding.
    pub(crate) fn padded(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The value of a lower-case hexadecimal digit.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The byte that `%` and these two digits stand for.
pub(crate) fn percent_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high.to_ascii_lowercase())? << 4 | hex_digit(low.to_ascii_lowercase())?)
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..=' ' if c != ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_bytes_are_the_text() {
        let text = Text::<8>::new("store").unwrap();
        assert_eq!(text.as_str(), "store");
        for (bytes, same) in [
            (&b"store"[..], true),
            (b"", false),
            (b"stor", false),
            (b"store\0", false),
            (b"store\0\0\0", false),
            (b"store\0\0\0\0", false),
            (b"storf", false),
            (b"Store", false),
        ] {
            assert_eq!(text.is(bytes), same, "{bytes:?}");
        }
    }

    #[test]
    fn a_text_has_a_longest_length_and_no_nul() {
        assert!(Text::<8>::new("1234567").is_some_and(|text| text.is(b"1234567") && text.as_str() == "1234567"));
        assert!(Text::<8>::new("12345678").is_none());
        assert!(Text::<8>::new("a\0b").is_none());
    }
}
