//! The digest of a key.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::text::hex_digit;

/// A block of SHA-256.
pub(crate) type Block = [u8; 64];

/// The SHA-256 of a whole key, as four big-endian numbers: all that is stored of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u64; 4]);

/// Hides the digest, which stands for a secret.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// The digest of a message that fits in one padded block.
    #[inline(always)]
    pub(super) fn of_block(block: &Block) -> Self {
        let mut state: [u32; 8] =
            [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
        sha2::block_api::compress256(&mut state, std::slice::from_ref(block));
        let [a, b, c, d, e, f, g, h] = state.map(u64::from);
        Self([a << 32 | b, c << 32 | d, e << 32 | f, g << 32 | h])
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
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
        // Without a branch for each of a document's many digits.
        let mut all = 0;
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| hex_digit(digit).unwrap_or(u8::MAX));
            all |= high | low;
            *byte = high << 4 | low;
        }
        (all < 16).then(|| Self::from_bytes(&bytes))
    }

    pub(crate) fn to_hex(self) -> String {
        let [a, b, c, d] = self.0;
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }

    /// Where to look for it in a table: any part of a digest is uniformly distributed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hex_survives_a_round_trip(bytes in any::<[u8; 32]>()) {
            let digest = Digest::from_bytes(&bytes);
            let hex = digest.to_hex();
            prop_assert_eq!(Digest::from_hex(&hex), Some(digest));
            prop_assert!(Digest::from_hex(&hex[1..]).is_none());
            prop_assert!(Digest::from_hex(&(hex + "0")).is_none());
        }
    }

    #[test]
    fn a_digest_of_capitals_is_refused() {
        assert!(Digest::from_hex(&"A".repeat(64)).is_none());
    }
}
