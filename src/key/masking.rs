//! Keys found and masked in text, so that none is written to a log.

use super::api_key::{HINT_LEN, PREFIX, SECRET_LEN};
use crate::text::percent_byte;

/// Whether a query carries a key, however it is percent-encoded.
pub(crate) fn in_query(query: &[u8]) -> bool {
    find_keys(query).next().is_some()
}

/// Masks every key in a text, percent-encoded or not, and counts them. What remains of each is `bpos_`, the next four
/// characters, and asterisks.
///
/// For log lines, where a client may have put a key. All letters and digits after `bpos_` are masked. A key cut to fewer
/// than 16 of them, or encoded otherwise, is not found. For text in pieces there is [`Redactor`](crate::Redactor).
///
/// ```
/// let (line, keys) = bpos::redact("GET /?k=bpos_abcdEFGH0123456789 200");
/// assert_eq!((line.as_str(), keys), ("GET /?k=bpos_abcd************** 200", 1));
/// ```
#[must_use]
pub fn redact(text: &str) -> (String, usize) {
    let mut bytes = text.as_bytes().to_vec();
    let keys = redact_in_place(&mut bytes);
    // Only ASCII was replaced, by ASCII.
    (String::from_utf8_lossy(&bytes).into_owned(), keys)
}

/// How many characters of a text an error shows.
pub(crate) const EXCERPT: usize = 40;

/// The beginning of any text, for an error: keys masked, then cut. Print it escaped.
pub(crate) fn excerpt(text: &str) -> String {
    redact(text).0.chars().take(EXCERPT).collect()
}

/// Like [`redact`], in place and on bytes that need not be UTF-8.
pub fn redact_in_place(text: &mut [u8]) -> usize {
    // All are found before one is masked: they can overlap.
    let found: Vec<Found> = find_keys(text).collect();
    for Found { hint_end, end, .. } in &found {
        mask(text, *hint_end, *end);
    }
    found.len()
}

pub(crate) fn mask(text: &mut [u8], from: usize, to: usize) {
    text.get_mut(from..to).unwrap_or_default().fill(b'*');
}

/// A key in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hint_end: usize,
    pub(crate) end: usize,
    /// Whether it ends because the text does.
    pub(crate) open: bool,
}

/// What begins at a position of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Nothing,
    Key(Found),
    /// Perhaps the beginning of a key: the text ends too early to tell.
    Unsure,
}

/// The keys of a text.
fn find_keys(text: &[u8]) -> impl Iterator<Item = Found> {
    (0..text.len()).filter_map(|start| match key_at(text, start) {
        Start::Key(found) => Some(found),
        Start::Nothing | Start::Unsure => None,
    })
}

/// Looks for a key at a position: `bpos_` and at least 16 letters and digits, each plain or percent-encoded.
///
/// The position can be inside a percent-encoding: in `%Abpos_…` the `b` is a digit when decoded, and a letter when not.
#[inline]
pub(crate) fn key_at(text: &[u8], start: usize) -> Start {
    match text.get(start) {
        Some(b'b' | b'%') => longer_key_at(text, start),
        _ => Start::Nothing,
    }
}

fn longer_key_at(text: &[u8], start: usize) -> Start {
    let mut end = start;
    for expected in PREFIX {
        match character(text, end) {
            Some((byte, next)) if byte == *expected => end = next,
            Some(_) => return Start::Nothing,
            None => return Start::Unsure,
        }
    }
    let Run { length, hint_end, end, open } = run_at(text, end);
    match (length >= *SECRET_LEN.start(), open) {
        (true, _) => Start::Key(Found { hint_end, end, open }),
        (false, true) => Start::Unsure,
        (false, false) => Start::Nothing,
    }
}

/// A run of letters and digits, each plain or percent-encoded.
pub(crate) struct Run {
    length: usize,
    /// Where the characters of the hint end.
    hint_end: usize,
    pub(crate) end: usize,
    /// Whether they end because the text does.
    pub(crate) open: bool,
}

/// The run at a position.
pub(crate) fn run_at(text: &[u8], start: usize) -> Run {
    let mut run = Run { length: 0, hint_end: start, end: start, open: false };
    loop {
        match character(text, run.end) {
            Some((byte, next)) if byte.is_ascii_alphanumeric() => run.end = next,
            other => return Run { open: other.is_none(), ..run },
        }
        run.length += 1;
        if run.length == HINT_LEN {
            run.hint_end = run.end;
        }
    }
}

/// The character at a position, decoded, and where the next one begins. `None` at the end of the text, and at a
/// percent-encoding that the end cuts off.
#[inline]
fn character(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at..)? {
        [b'%', high, low, ..] => Some(percent_byte(*high, *low).map_or((b'%', at + 1), |byte| (byte, at + 3))),
        [b'%'] => None,
        [b'%', high] if high.is_ascii_hexdigit() => None,
        [byte, ..] => Some((*byte, at + 1)),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "bpos_abcdefghijklmnopqrstuvwxyz0123456789";

    proptest! {
        /// Whatever surrounds a key, and whatever of it is percent-encoded, its secret does not survive.
        #[test]
        fn redaction_leaves_no_key(
            before in "([ -~]{0,20}|[ -~]{0,5}%[0-9A-Fa-f]?)",
            spelling in proptest::collection::vec(0..4, KEY.len()),
            after in "[^0-9A-Za-z]{0,20}",
        ) {
            let spelled: Vec<String> = KEY.chars().zip(spelling).map(|(character, how)| match how {
                0 => format!("%{:02x}", u32::from(character)),
                1 => format!("%{:02X}", u32::from(character)),
                _ => character.to_string(),
            }).collect();
            let (hint, secret) = spelled.split_at(PREFIX.len() + HINT_LEN);
            let (hint, secret) = (hint.concat(), secret.concat());
            let (line, keys) = redact(&format!("{before}{hint}{secret}{after}"));
            prop_assert!(keys >= 1);
            let kept = before.len() + hint.len();
            prop_assert_eq!(&line[kept..], format!("{}{after}", "*".repeat(secret.len())));
            prop_assert_eq!(redact(&line).1, 0, "nothing is left to mask in {:?}", line);
        }

        /// The keys of a text are those of two readings of it, as it stands and decoded, and of those that begin in one
        /// and go on in the other.
        #[test]
        fn a_key_is_found_in_either_reading(text in "(%|6|2|4b|b|p|os|%5F|_|bpos_|[a-f0-9]{14,16}|%4[1-5]|-){1,12}") {
            let decoded: Vec<u8> = naive_decoding(text.as_bytes());
            let either = [text.as_bytes(), &*decoded].into_iter().any(naive_key);
            let any = (0..text.len()).any(|start| naive_key(&naive_decoding(&text.as_bytes()[start..])));
            prop_assert!(any || !either);
            prop_assert_eq!(in_query(text.as_bytes()), any, "{}", text);
            prop_assert_eq!(redact(&text).1 > 0, any, "{}", text);
        }
    }

    fn naive_decoding(text: &[u8]) -> Vec<u8> {
        match text {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = u8::from_str_radix(str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap();
                [&[byte][..], &naive_decoding(rest)].concat()
            }
            [byte, rest @ ..] => [&[*byte][..], &naive_decoding(rest)].concat(),
            [] => Vec::new(),
        }
    }

    fn naive_key(text: &[u8]) -> bool {
        text.windows(PREFIX.len() + 16).any(|part| {
            let (prefix, secret) = part.split_at(PREFIX.len());
            prefix == PREFIX && secret.iter().all(u8::is_ascii_alphanumeric)
        })
    }

    #[test]
    fn every_key_of_a_line_is_masked() {
        let cases = [
            ("nothing here", "nothing here", 0),
            ("bpos_cable", "bpos_cable", 0),
            ("bpos_123456789012345", "bpos_123456789012345", 0),
            ("bpos_1234567890123456", "bpos_1234************", 1),
            ("a=bpos_1234567890123456&b=bpos_abcdefghijklmnop.", "a=bpos_1234************&b=bpos_abcd************.", 2),
            ("bpos%5F1234567890123456", "bpos%5F1234************", 1),
            ("%62pos_%31234567890123456%", "%62pos_%31234************%", 1),
            ("bpos_abcbpos_1234567890123456", "bpos_abcbpos_1234************", 1),
            ("%Abpos_1234567890123456", "%Abpos_1234************", 1),
            ("%4bpos_1234567890123456", "%4bpos_1234************", 1),
            ("%Abpos_1%32%33%3456789012345%36", "%Abpos_1%32%33%34**************", 1),
            ("bpos_1234567890123456bpos_abcdefghijklmnop", "bpos_1234****************_abcd************", 2),
            ("bbpos_1234567890123456", "bbpos_1234************", 1),
            ("é bpos_1234567890123456é", "é bpos_1234************é", 1),
        ];
        for (text, expected, keys) in cases {
            assert_eq!(redact(text), (expected.to_string(), keys), "{text}");
        }
    }

    #[test]
    fn a_key_that_goes_on_percent_encoded_is_masked_to_its_end() {
        let cases = [
            ("bpos_AAAABBBBCCCCDDDD%45EEEFFFFGGGGHHHHIIII", "bpos_AAAA**********************************", 1),
            ("bpos_1234567890123456%3", "bpos_1234************%3", 1),
            ("bpos_1234567890123456%zz", "bpos_1234************%zz", 1),
            ("bpos_1234567890123456%2d7", "bpos_1234************%2d7", 1),
            ("bpos_AAAABBBBCCCCDDDD%62pos_1234567890123456", "bpos_AAAA******************_1234************", 2),
            ("bpos_AAAABBBBCCCCDDDD%4bpos_1234567890123456", "bpos_AAAA******************_1234************", 2),
        ];
        for (text, expected, keys) in cases {
            assert_eq!(redact(text), (expected.to_string(), keys), "{text}");
        }
    }
}
