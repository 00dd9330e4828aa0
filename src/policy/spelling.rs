//! The texts of a policy's routes that a path can spell in another way: `/all%3Aexport` for `/all:export`.

use std::cmp::Ordering;

use crate::text::percent_byte;

/// The texts that have a character which can stand in a path percent-encoded.
///
/// Many routers decode a segment before they look for its route. Where bpos compares what stands there, it would find
/// the route of a parameter, and with that perhaps a lesser scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spellings {
    /// In the order of what they are decoded, then of what stands there.
    texts: Vec<Box<[u8]>>,
}

impl Spellings {
    pub(crate) fn add(&mut self, text: &[u8]) {
        // What is unreserved has one spelling: the policy refuses a path with its encoding.
        if !text.iter().copied().all(is_unreserved) {
            let place = self.texts.binary_search_by(|known| compare(known, text).then((**known).cmp(text)));
            if let Err(place) = place {
                self.texts.insert(place, text.into());
            }
        }
    }

    /// Whether a segment of the path is one of the texts when it is decoded, and not as it stands.
    pub(crate) fn has_other(&self, path: &[u8]) -> bool {
        // Most policies have no such text, and most paths nothing that is encoded.
        !self.texts.is_empty()
            && path.contains(&b'%')
            && path.split(|byte| *byte == b'/').filter(|segment| segment.contains(&b'%')).any(|segment| {
                let first = self.texts.partition_point(|text| compare(text, segment) == Ordering::Less);
                let alike = self.texts.iter().skip(first).take_while(|text| compare(text, segment).is_eq());
                alike.into_iter().any(|text| **text != *segment)
            })
    }
}

/// How two texts compare when they are decoded.
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

/// The byte that a text begins with percent-encoded, and what follows it.
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
