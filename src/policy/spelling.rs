//! The literals of a policy's routes that a path can spell in another way: `/all%3Aexport` for `/all:export`.

use std::cmp::Ordering;

use crate::text::percent_byte;

/// The literals with a character that can be percent-encoded in a path.
///
/// Many routers decode a segment before they look for its route. Compared undecoded, it would match the route of a
/// parameter instead, perhaps with a lesser scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spellings(Alike);

impl Spellings {
    pub(crate) fn add(&mut self, text: &[u8]) {
        // Unreserved characters have one spelling: the policy refuses a path that encodes them.
        if !text.iter().copied().all(is_unreserved) {
            self.0.add(text, compare);
        }
    }

    /// Whether a segment of the path is one of the texts when decoded, but not as it stands.
    pub(crate) fn has_other(&self, path: &[u8]) -> bool {
        // Most policies have no such text, and most paths nothing encoded.
        !self.0.is_empty()
            && path.contains(&b'%')
            && path
                .split(|byte| *byte == b'/')
                .any(|segment| segment.contains(&b'%') && self.0.has_other(segment, segment, compare))
    }
}

/// Texts in the order of an equivalence, then of their bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Alike(Vec<Box<[u8]>>);

impl Alike {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, text: &[u8], compare: fn(&[u8], &[u8]) -> Ordering) {
        if let Err(place) = self.0.binary_search_by(|known| compare(known, text).then((**known).cmp(text))) {
            self.0.insert(place, text.into());
        }
    }

    /// Whether one of the texts is equivalent to `text` and not the same as `segment`.
    pub(super) fn has_other(&self, text: &[u8], segment: &[u8], compare: fn(&[u8], &[u8]) -> Ordering) -> bool {
        let first = self.0.partition_point(|known| compare(known, text).is_lt());
        let mut alike = self.0.iter().skip(first).take_while(|known| compare(known, text).is_eq());
        alike.any(|known| **known != *segment)
    }
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    decoded(one).cmp(decoded(other))
}

pub(crate) fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (byte, after) = encoded_byte(text).or_else(|| text.split_first().map(|(byte, after)| (*byte, after)))?;
        text = after;
        Some(byte)
    })
}

/// Whether a character needs no encoding anywhere (RFC 3986, section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The percent-encoded byte at the beginning of a text, and the rest.
pub(crate) fn encoded_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, after @ ..] => Some((percent_byte(*high, *low)?, after)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(path: &str) -> bool {
        let mut spellings = Spellings::default();
        for text in ["plain", "all:export", "all:exports", "@me", "%C3%A9t%C3%A9", "a%20b", "%3A", ":"] {
            spellings.add(text.as_bytes());
        }
        spellings.has_other(path.as_bytes())
    }

    #[test]
    fn a_text_that_is_spelled_in_another_way_is_found() {
        for path in [
            "all%3Aexport",
            "items/all%3aexport/x",
            "%40me",
            "%C3%A9t%c3%a9",
            "%c3%a9t%c3%a9/",
            "%40m%65",
            "%3a",
            "%3A",
        ] {
            assert!(other(path), "{path}");
        }
    }

    #[test]
    fn a_text_as_it_stands_and_another_text_are_none() {
        for path in
            ["all:export", "a%20b", "%C3%A9t%C3%A9", ":", "all%3Aexpor", "all%3Aexportx", "%40you", "plain", "", "%"]
        {
            assert!(!other(path), "{path}");
        }
    }
}
