//! An API key as it travels: its form, its digest, and how it is found and masked in text.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// What every key begins with.
pub(crate) const PREFIX: &[u8; 5] = b"bpos_";

/// How many letters and digits follow it.
pub(crate) const SECRET_LEN: std::ops::RangeInclusive<usize> = 16..=123;

/// How many of them a hint shows.
pub(crate) const HINT_LEN: usize = 4;

/// A key in the right form: `bpos_` and 16 to 123 ASCII letters and digits, nothing trimmed and nothing folded.
#[derive(Clone, Copy)]
pub(crate) struct ApiKey<'a>(&'a [u8]);

impl<'a> ApiKey<'a> {
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Self::parse_length(bytes).filter(|key| key.is_alphanumeric())
    }

    /// The first half of [`ApiKey::parse`]: all but [`ApiKey::is_alphanumeric`], which must hold before the key is used.
    #[inline]
    pub(crate) fn parse_length(bytes: &'a [u8]) -> Option<Self> {
        let secret = bytes.strip_prefix(PREFIX)?;
        SECRET_LEN.contains(&secret.len()).then_some(Self(bytes))
    }

    /// Whether all of the secret is letters and digits.
    #[inline]
    pub(crate) fn is_alphanumeric(self) -> bool {
        // The length that keys are made in, told to the compiler.
        match (self.0.last_chunk::<36>(), self.0.len()) {
            (Some(secret), 41) => all_alphanumeric(secret),
            _ => self.0.strip_prefix(PREFIX).is_some_and(all_alphanumeric),
        }
    }

    /// Lays the key out for hashing.
    #[inline(always)]
    pub(crate) fn lay_out(self, block: &'a mut Block) -> LaidOut<'a> {
        if lay_out(self.0, block) { LaidOut::OneBlock(block) } else { LaidOut::Long(self.0) }
    }
}

/// What SHA-256 takes at a time.
pub(crate) type Block = [u8; 64];

/// A key that is ready to be hashed. Most are short enough for one block of SHA-256, with its padding.
pub(crate) enum LaidOut<'a> {
    OneBlock(&'a Block),
    Long(&'a [u8]),
}

impl LaidOut<'_> {
    /// The digest. It costs half as much when some atomic exchange lies between the layout and this: the block was
    /// written in small pieces and is read in large ones, which a processor's store buffer cannot serve.
    #[inline(always)]
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::OneBlock(block) => Digest(hash_block(block)),
            Self::Long(key) => Digest::from_bytes(&Sha256::digest(key).into()),
        }
    }
}

/// The SHA-256 of a whole key, as four big-endian numbers: all that is ever stored of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u64; 4]);

/// Says nothing of the digest: it is of no use to a reader, and stands for a secret.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Self(words)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self::from_bytes(&bytes))
    }

    pub(crate) fn to_hex(self) -> String {
        let [a, b, c, d] = self.0;
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }

    /// Where to look for it in a table: digests are uniformly distributed, so any part of one is.
    #[inline]
    pub(crate) fn prefix(&self) -> u64 {
        let [prefix, ..] = self.0;
        prefix
    }

    /// Compares in constant time.
    #[inline]
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |difference, (word, other)| difference | (word ^ other));
        difference.ct_eq(&0).into()
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Without a branch for each byte: all are looked at, whatever the first wrong one is.
#[inline(always)]
fn all_alphanumeric(text: &[u8]) -> bool {
    text.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_alphanumeric())
}

/// Writes a message of at most 55 bytes, with its padding, to the one block of SHA-256 that it fills (FIPS 180-4,
/// 5.1.1). The block is all zeros before; a longer message leaves it so.
#[inline]
fn lay_out(message: &[u8], block: &mut Block) -> bool {
    let (text, length) = block.split_at_mut(56);
    let Some((text, [end, ..])) = text.split_at_mut_checked(message.len()) else { return false };
    // Likewise.
    match (text.as_mut_array::<41>(), message.as_array::<41>()) {
        (Some(text), Some(message)) => *text = *message,
        _ => text.copy_from_slice(message),
    }
    *end = 0x80;
    length.copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    true
}

/// SHA-256 of a message that is one block with its padding.
#[inline(always)]
fn hash_block(block: &Block) -> [u64; 4] {
    let mut state: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    sha2::block_api::compress256(&mut state, std::slice::from_ref(block));
    let [a, b, c, d, e, f, g, h] = state.map(u64::from);
    [a << 32 | b, c << 32 | d, e << 32 | f, g << 32 | h]
}

/// Whether a query carries a key, however it is percent-encoded.
pub(crate) fn in_query(query: &[u8]) -> bool {
    find_keys(percent_decoded(query)).next().is_some()
}

/// Masks every key in a text, as it stands or percent-encoded, and says how many there were. What stays of each is its
/// hint, `bpos_` and the next four characters, and then asterisks.
///
/// For log lines: a key that a client put where it does not belong must not be written down. It does not find a key
/// that is cut short of 16 letters and digits, or encoded in another way.
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

/// The beginning of a text that may be anything, for an error: keys masked before it is cut. To be printed escaped.
pub(crate) fn excerpt(text: &str) -> String {
    redact(text).0.chars().take(EXCERPT).collect()
}

/// Like [`redact`], in place and on bytes that need not be UTF-8.
pub fn redact_in_place(text: &mut [u8]) -> usize {
    // Twice: "%A" before a key swallows its first letter when it is decoded, and hides nothing when it is not.
    let plain = find_keys(as_it_stands(text)).collect();
    let plain = mask(text, plain);
    let encoded = find_keys(percent_decoded(text)).collect();
    plain + mask(text, encoded)
}

/// Masks all that was found, and says how many there were.
fn mask(text: &mut [u8], found: Vec<Found>) -> usize {
    let keys = found.len();
    for Found { hint_end, end } in found {
        text.get_mut(hint_end..end).unwrap_or_default().fill(b'*');
    }
    keys
}

/// A key in a text: where its hint ends and where it ends itself.
struct Found {
    hint_end: usize,
    end: usize,
}

/// The keys among characters, each of which comes with the position after it: `bpos_` and at least 16 letters or
/// digits.
fn find_keys(mut characters: impl Iterator<Item = (u8, usize)>) -> impl Iterator<Item = Found> {
    let mut matched = 0; // characters of the prefix
    let mut secret: Option<(usize, Found)> = None; // letters and digits after a prefix
    std::iter::from_fn(move || {
        loop {
            let Some((byte, end)) = characters.next() else {
                return secret.take().and_then(long_enough);
            };
            let mut complete = None;
            match &mut secret {
                Some((length, found)) if byte.is_ascii_alphanumeric() => {
                    *length += 1;
                    found.end = end;
                    if *length <= HINT_LEN {
                        found.hint_end = end;
                    }
                }
                _ => complete = secret.take().and_then(long_enough),
            }
            // The letters of a secret can be the first of another prefix, so both are followed.
            matched = if PREFIX.get(matched) == Some(&byte) { matched + 1 } else { usize::from(byte == b'b') };
            if matched == PREFIX.len() {
                matched = 0;
                secret = Some((0, Found { hint_end: end, end }));
            }
            if complete.is_some() {
                return complete;
            }
        }
    })
}

fn long_enough((length, found): (usize, Found)) -> Option<Found> {
    (length >= *SECRET_LEN.start()).then_some(found)
}

fn as_it_stands(text: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    text.iter().copied().zip(1..)
}

/// The bytes of a text, `%XX` read as one, each with the position after it.
fn percent_decoded(text: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let rest = text.get(position..)?;
        let (byte, length) = match rest {
            [b'%', high, low, ..] => match percent_byte(*high, *low) {
                Some(byte) => (byte, 3),
                None => (b'%', 1),
            },
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        position += length;
        Some((byte, position))
    })
}

/// The byte that `%` and these two digits stand for.
pub(crate) fn percent_byte(high: u8, low: u8) -> Option<u8> {
    Some(nibble(high.to_ascii_lowercase())? << 4 | nibble(low.to_ascii_lowercase())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "bpos_abcdefghijklmnopqrstuvwxyz0123456789";

    proptest! {
        #[test]
        fn one_block_is_sha256(message in proptest::collection::vec(any::<u8>(), 0..=128)) {
            let expected = Digest::from_bytes(&Sha256::digest(&message).into());
            let mut block = [0; 64];
            prop_assert_eq!(lay_out(&message, &mut block), message.len() <= 55);
            prop_assert!(message.len() > 55 || Digest(hash_block(&block)) == expected);
        }

        #[test]
        fn hex_survives_a_round_trip(bytes in any::<[u8; 32]>()) {
            let digest = Digest::from_bytes(&bytes);
            let hex = digest.to_hex();
            prop_assert_eq!(Digest::from_hex(&hex), Some(digest));
            prop_assert!(Digest::from_hex(&hex[1..]).is_none());
            prop_assert!(Digest::from_hex(&(hex + "0")).is_none());
        }

        /// Whatever surrounds a key, its secret does not survive.
        #[test]
        fn redaction_leaves_no_key(before in "[ -~]{0,20}", after in "[^0-9A-Za-z]{0,20}") {
            let (line, keys) = redact(&format!("{before}{KEY}{after}"));
            prop_assert!(keys >= 1);
            prop_assert!(!line.contains(KEY));
            prop_assert_eq!(redact(&line).1, 0, "nothing is left to mask in {:?}", line);
        }
    }

    #[test]
    fn a_digest_of_capitals_is_refused() {
        assert!(Digest::from_hex(&"A".repeat(64)).is_none());
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
            ("bpos_1234567890123456bpos_abcdefghijklmnop", "bpos_1234****************_abcd************", 2),
            ("bbpos_1234567890123456", "bbpos_1234************", 1),
            ("é bpos_1234567890123456é", "é bpos_1234************é", 1),
        ];
        for (text, expected, keys) in cases {
            assert_eq!(redact(text), (expected.to_string(), keys), "{text}");
        }
    }
}
