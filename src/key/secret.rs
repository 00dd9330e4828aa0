//! New keys: drawn without bias from the operating system's generator, shown once, wiped afterwards.

use zeroize::Zeroizing;

use super::api_key::{ApiKey, PREFIX};
use super::digest::Digest;
use super::forms::KeyRecord;
use super::record::Hint;
use crate::error::{Error, ErrorKind};
use crate::text::KeyId;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many characters of a secret are random: about 178 bits.
const RANDOM: usize = 30;
/// How many follow, the CRC-32 of those.
const CHECKSUM: usize = 6;
/// A whole key: one block of SHA-256 holds it with its padding.
const LENGTH: usize = PREFIX.len() + RANDOM + CHECKSUM;
/// How many characters of an id are random.
const ID_RANDOM: usize = 20;

/// The plaintext of a key: not printable, not copyable, wiped on drop.
///
/// ```compile_fail
/// fn print(secret: bpos::Secret) { println!("{secret:?}") }
/// ```
pub struct Secret(Box<Zeroizing<[u8; LENGTH]>>);

/// A key that was just created or rotated: the only time that its plaintext is available.
///
/// ```compile_fail
/// fn print(new: bpos::NewKey) { println!("{new:?}") }
/// ```
pub struct NewKey {
    /// The plaintext. Hand it over and forget it.
    pub key: Secret,
    /// The record in the registry.
    pub record: KeyRecord,
}

impl Secret {
    /// Draws a new one.
    pub(crate) fn draw() -> Result<Self, Error> {
        let mut secret = Self(Box::new(Zeroizing::new([0; LENGTH])));
        let (prefix, rest) = secret.0.split_at_mut(PREFIX.len());
        let (random, checksum) = rest.split_at_mut(RANDOM);
        prefix.copy_from_slice(PREFIX);
        without_trace(|| {
            draw_base62(random)?;
            write_checksum(random, checksum);
            Ok(())
        })?;
        Ok(secret)
    }

    /// The plaintext. Do not log or keep it.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Made of ASCII only.
        std::str::from_utf8(&self.0[..]).unwrap_or_default()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        without_trace(|| {
            let mut block = Zeroizing::new([0; 64]);
            Some(ApiKey::parse(&self.0[..])?.padded_block(&mut block).digest())
        })
    }

    pub(crate) fn hint(&self) -> Option<Hint> {
        Hint::of(*self.0.get(PREFIX.len()..)?.first_chunk()?)
    }
}

/// A new id: `key_` and 20 random characters, which have nothing to do with the secret.
pub(crate) fn draw_id() -> Result<KeyId, Error> {
    let mut text = *b"key_00000000000000000000";
    if let Some(random) = text.last_chunk_mut::<ID_RANDOM>() {
        draw_base62(random)?;
    }
    let text = std::str::from_utf8(&text).unwrap_or_default();
    KeyId::new(text).ok_or_else(|| Error::new(ErrorKind::Limit, "an id is too long"))
}

/// Whether a key ends in the checksum of its random part, as every key made by bpos does. For people and scanners: a key
/// without one may be mistyped, or imported. No decision depends on it.
///
/// ```
/// assert!(!bpos::has_checksum("bpos_abcdefghijklmnopqrstuvwxyz0123456789"));
/// ```
#[must_use]
pub fn has_checksum(key: &str) -> bool {
    let Some((random, checksum)) =
        key.as_bytes().strip_prefix(PREFIX).and_then(|secret| secret.split_at_checked(RANDOM))
    else {
        return false;
    };
    let mut expected = [0; CHECKSUM];
    write_checksum(random, &mut expected);
    checksum == expected
}

/// Runs code on a secret and wipes the stack that it used, where the compiler may have spilled pieces of the secret.
fn without_trace<T>(act: impl FnOnce() -> T) -> T {
    /// More than any use here needs.
    const DEPTH: usize = 4096;
    #[inline(never)]
    fn apart<T>(act: impl FnOnce() -> T) -> T {
        act()
    }
    #[inline(never)]
    fn wipe() {
        std::hint::black_box(&mut Zeroizing::new([0_u8; DEPTH])[..]);
    }
    let done = apart(act);
    wipe();
    done
}

/// Fills a text with independent, uniformly distributed characters.
fn draw_base62(text: &mut [u8]) -> Result<(), Error> {
    /// The largest multiple of 62 in a byte; values from here on would bias the characters.
    const FAIR: u8 = 248;
    let mut pool = Zeroizing::new([0; 64]);
    let mut filled = 0;
    while filled < text.len() {
        getrandom::fill(&mut pool[..]).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the operating system gives no random numbers: {error}"))
        })?;
        let fair = pool.iter().filter(|byte| **byte < FAIR);
        for (character, byte) in text.iter_mut().skip(filled).zip(fair) {
            *character = base62(usize::from(*byte));
            filled += 1;
        }
    }
    Ok(())
}

#[expect(clippy::indexing_slicing, reason = "a remainder by 62")]
fn base62(number: usize) -> u8 {
    BASE62[number % 62]
}

/// Writes the CRC-32 (IEEE) of a text in base62, padded with zeros.
fn write_checksum(text: &[u8], checksum: &mut [u8]) {
    let mut rest = crc32fast::hash(text) as usize;
    for digit in checksum.iter_mut().rev() {
        *digit = base62(rest);
        rest /= 62;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of the range of a CRC, worked out by hand: 0 is all zeros, and 2^32 - 1 has six digits in base62.
    #[test]
    fn a_checksum_is_the_crc_in_base62() {
        let checksum = |text: &[u8]| {
            let mut checksum = [0; CHECKSUM];
            write_checksum(text, &mut checksum);
            String::from_utf8(checksum.to_vec()).unwrap()
        };
        assert_eq!(checksum(b""), "000000"); // CRC-32 of nothing is 0
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262, the check value of the published algorithm.
        let digits = [3, 45, 35, 27, 22, 14].map(|digit: usize| char::from(BASE62[digit]));
        let value = [3_u64, 45, 35, 27, 22, 14].into_iter().fold(0, |value, digit| value * 62 + digit);
        assert_eq!(value, 3_421_780_262);
        assert_eq!(checksum(b"123456789"), digits.into_iter().collect::<String>());
    }

    /// A fair generator fails here once in a thousand million runs: its bounds are some 7 deviations away. One that takes
    /// the remainder of a byte by 62 has a chi-square of more than 6,000 in each position.
    #[test]
    fn a_million_keys_are_distinct_and_uniform_and_have_their_checksum() {
        const KEYS: usize = 1_000_000;
        /// Chi-square with 61 degrees of freedom exceeds it with a probability of 1e-11.
        const CHI_SQUARE: f64 = 170.0;
        let mut counts = [[0_u64; 62]; RANDOM];
        let mut keys = Vec::with_capacity(KEYS);
        for _ in 0..KEYS {
            let secret = Secret::draw().unwrap();
            let key: [u8; LENGTH] = **secret.0;
            assert!(key.starts_with(b"bpos_") && ApiKey::parse(&key).is_some());
            for (counts, character) in counts.iter_mut().zip(&key[5..35]) {
                counts[BASE62.iter().position(|known| known == character).unwrap()] += 1;
            }
            assert_eq!(key[35..], naive_checksum(&key[5..35]));
            assert!(has_checksum(secret.expose()));
            keys.push(key);
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), KEYS, "no two are the same");

        let chi_square = |counts: &[u64]| {
            let expected = counts.iter().sum::<u64>() as f64 / 62.0;
            counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum::<f64>()
        };
        let positions = counts.map(|counts| chi_square(&counts));
        assert!(positions.iter().all(|found| *found < CHI_SQUARE), "{positions:?}");
        // The bound of 1 % needs the 30 million characters of all positions together: one deviation is 0.14 %.
        let pooled: [u64; 62] = std::array::from_fn(|character| counts.iter().map(|counts| counts[character]).sum());
        let expected = (KEYS * RANDOM) as f64 / 62.0;
        let worst = pooled.iter().map(|count| (*count as f64 / expected - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 0.01, "a character is {worst} away from its share");
        assert!(chi_square(&pooled) < CHI_SQUARE, "{pooled:?}");
    }

    /// The checksum from its definition: the CRC-32 bit by bit, then digits from the last to the first.
    fn naive_checksum(text: &[u8]) -> [u8; CHECKSUM] {
        let mut crc = u32::MAX;
        for byte in text {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            }
        }
        let (mut rest, mut digits) = (u64::from(!crc), [b'0'; CHECKSUM]);
        for digit in digits.iter_mut().rev() {
            let value = u8::try_from(rest % 62).unwrap();
            *digit = match value {
                0..10 => b'0' + value,
                10..36 => b'A' + value - 10,
                _ => b'a' + value - 36,
            };
            rest /= 62;
        }
        digits
    }

    #[test]
    fn ids_are_distinct_and_uniform() {
        const IDS: usize = 100_000;
        let mut counts = [[0_u64; 62]; ID_RANDOM];
        let mut ids = std::collections::HashSet::new();
        for _ in 0..IDS {
            let id = draw_id().unwrap();
            let random = id.as_str().strip_prefix("key_").unwrap();
            assert_eq!(random.len(), ID_RANDOM);
            for (counts, character) in counts.iter_mut().zip(random.bytes()) {
                counts[BASE62.iter().position(|known| *known == character).unwrap()] += 1;
            }
            assert!(ids.insert(id));
        }
        let expected = IDS as f64 / 62.0;
        for counts in counts {
            let found = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum::<f64>();
            assert!(found < 170.0, "{counts:?}");
        }
    }
}
