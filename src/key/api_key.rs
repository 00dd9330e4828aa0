//! A presented API key: its form, and the block that is hashed.

use sha2::{Digest as _, Sha256};

use super::digest::{Block, Digest};

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
        // The usual length, known to the compiler.
        match (self.0.last_chunk::<36>(), self.0.len()) {
            (Some(secret), 41) => all_alphanumeric(secret),
            _ => self.0.strip_prefix(PREFIX).is_some_and(all_alphanumeric),
        }
    }

    /// Prepares the key for hashing, in a block of zeros.
    #[inline(always)]
    pub(crate) fn padded_block(self, block: &'a mut Block) -> PaddedBlock<'a> {
        if pad(self.0, block) { PaddedBlock::Whole(block) } else { PaddedBlock::TooLong(self.0) }
    }
}

/// A key ready for hashing. Most fit in one block of SHA-256 with its padding.
pub(crate) enum PaddedBlock<'a> {
    Whole(&'a Block),
    TooLong(&'a [u8]),
}

impl PaddedBlock<'_> {
    /// The digest. Costs half as much after an atomic exchange since the padding: the block was written in small pieces and
    /// is read in large ones, which the store buffer cannot forward.
    #[inline(always)]
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Whole(block) => Digest::of_block(block),
            Self::TooLong(key) => Digest::from_bytes(&Sha256::digest(key).into()),
        }
    }
}

/// Without a branch for each byte.
#[inline(always)]
fn all_alphanumeric(text: &[u8]) -> bool {
    text.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_alphanumeric())
}

/// Writes a message of at most 55 bytes, padded (FIPS 180-4, 5.1.1), to a block of zeros; false if it is longer.
#[inline]
fn pad(message: &[u8], block: &mut Block) -> bool {
    let (text, length) = block.split_at_mut(56);
    let Some((text, [end, ..])) = text.split_at_mut_checked(message.len()) else { return false };
    // The usual length, known to the compiler.
    match (text.as_mut_array::<41>(), message.as_array::<41>()) {
        (Some(text), Some(message)) => *text = *message,
        _ => text.copy_from_slice(message),
    }
    *end = 0x80;
    length.copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_padded_key_has_its_sha256(message in proptest::collection::vec(any::<u8>(), 0..=128)) {
            let expected = Digest::from_bytes(&Sha256::digest(&message).into());
            let mut block = [0; 64];
            let padded = ApiKey(&message).padded_block(&mut block);
            prop_assert_eq!(matches!(padded, PaddedBlock::Whole(_)), message.len() <= 55);
            prop_assert_eq!(padded.digest(), expected);
        }
    }
}
