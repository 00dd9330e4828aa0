//! The live set of keys: digest in, credential out, without a lock.
//!
//! A [`Table`] is filled by one writer at a time while any number of threads read it. Credentials are never changed and
//! never moved: a change appends a new one and then points the digest's slot at it, in one store. A reader therefore
//! sees the old credential or the new one, whole, and a process that forks at any moment leaves a sound table to its
//! child. When the room for appending is used up, the writer makes a new table, and frees
//! the old one when nobody reads it any more.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::{Digest, KeyEntry, Record};
use crate::limit::Account;
use crate::policy::ScopeSet;
use crate::sync::huge;

/// A secret's digest, and all that a decision reads of its key: two cache lines that are fetched together.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Credential {
    pub(crate) digest: Digest,
    /// Closed over what they include.
    pub(crate) scopes: ScopeSet,
    /// Denied from this time on; `i64::MAX` if never. For a retiring secret, its end of grace or the key's expiry.
    pub(crate) ends_at: i64,
    pub(crate) account: Account,
    pub(crate) is_revoked: bool,
    pub(crate) record: Record,
}

/// A place in a table. Its credential is written once.
#[repr(align(128))]
struct Cell(OnceLock<Credential>);

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Cell>() == 128);

impl Credential {
    /// The record with this secret's digest.
    pub(crate) fn entry(&self) -> KeyEntry {
        KeyEntry { digest: self.digest, record: self.record.clone() }
    }

    /// Whether it is of a secret that a rotation replaced.
    pub(crate) fn is_retiring(&self) -> bool {
        self.record.details.retiring.as_deref().is_some_and(|retiring| retiring.digest == self.digest)
    }
}

/// An open-addressed hash table of [`Credential`]s.
pub(crate) struct Table {
    /// 0, or the upper half of a digest's prefix and, in the lower half, the number of its credential; number 0 where
    /// a digest was removed. A power of two of them, a quarter or more of them 0.
    slots: Box<[AtomicU64]>,
    credentials: Box<[Cell]>,
}

/// The number of a credential in its table, from 1.
pub(crate) type Number = u32;

const NUMBER_BITS: u32 = 32;

impl Table {
    /// A table with room for so many credentials to be appended.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let slots = (capacity + capacity / 3 + 1).next_power_of_two();
        Self { slots: filled(slots, || AtomicU64::new(0)), credentials: filled(capacity, || Cell(OnceLock::new())) }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.credentials.len()
    }

    /// The credential with this digest.
    #[inline]
    pub(crate) fn find(&self, digest: &Digest) -> Option<&Credential> {
        self.probe(digest).and_then(|(_, _, credential)| credential)
    }

    /// The credential with this number.
    pub(crate) fn get(&self, number: Number) -> Option<&Credential> {
        self.credentials.get((number as usize).checked_sub(1)?)?.0.get()
    }

    /// The credentials that can be found, in the order in which they were appended.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Number, &Credential)> {
        let numbered = self.credentials.iter().zip(1..).filter_map(|(cell, number)| Some((number, cell.0.get()?)));
        numbered.filter(|(number, credential)| self.number(&credential.digest) == Some(*number))
    }

    /// The credentials of the current secrets: one for each key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Credential> {
        self.iter().map(|(_, credential)| credential).filter(|credential| !credential.is_retiring())
    }

    /// Appends a credential and makes it the one of its digest. `number` is one more than the last; the writer counts,
    /// and makes a larger table when there is no room.
    pub(crate) fn insert(&self, number: Number, credential: Credential) {
        let digest = credential.digest;
        let appended = (number as usize)
            .checked_sub(1)
            .and_then(|index| self.credentials.get(index))
            .is_some_and(|cell| cell.0.set(credential).is_ok());
        debug_assert!(appended, "the writer counts");
        if appended {
            self.point(&digest, number);
        }
    }

    /// Forgets a digest: it is unknown from now on.
    pub(crate) fn remove(&self, digest: &Digest) {
        if self.find(digest).is_some() {
            self.point(digest, 0);
        }
    }

    /// The number of the credential with this digest.
    pub(crate) fn number(&self, digest: &Digest) -> Option<Number> {
        let (_, word, credential) = self.probe(digest)?;
        credential.map(|_| number_of(word))
    }

    fn point(&self, digest: &Digest, number: Number) {
        if let Some((slot, _, _)) = self.probe(digest) {
            slot.store(tag(digest) | u64::from(number), Ordering::Release);
        }
    }

    /// The slot of a digest, with what it held and the credential found there, or the slot where it would go.
    #[inline]
    fn probe(&self, digest: &Digest) -> Option<(&AtomicU64, u64, Option<&Credential>)> {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the lower bits")]
        let start = digest.prefix() as usize;
        for step in 0..self.slots.len() {
            let slot = self.slots.get(start.wrapping_add(step) & mask)?;
            let word = slot.load(Ordering::Acquire);
            if word == 0 {
                return Some((slot, word, None));
            }
            if word & TAG == tag(digest)
                && let Some(credential) = self.get(number_of(word))
                && credential.digest.equals(digest)
            {
                return Some((slot, word, Some(credential)));
            }
        }
        None
    }
}

fn filled<T>(count: usize, value: impl FnMut() -> T) -> Box<[T]> {
    let mut values = huge::vec_with_capacity(count);
    values.resize_with(count, value);
    values.into_boxed_slice()
}

const TAG: u64 = u64::MAX << NUMBER_BITS;

fn tag(digest: &Digest) -> u64 {
    // Never 0: a removed digest's slot must not look empty, or others behind it would not be found.
    (digest.prefix() | 1 << NUMBER_BITS) & TAG
}

fn number_of(word: u64) -> Number {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let number = word as Number;
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document;
    use crate::limit::Usages;
    use crate::policy::Policy;

    fn credential(sha256: &str) -> Credential {
        let json = format!(r#"[{{"id":"k","name":"n","store":"s","scopes":[],"sha256":"{sha256}"}}]"#);
        let key = document::parse_records(json.as_bytes(), &Policy::default(), |_| Ok(())).unwrap().remove(0);
        let account = Usages::new(None).open();
        let (digest, record) = (key.digest, key.record);
        Credential { digest, scopes: ScopeSet::EMPTY, ends_at: 0, account, is_revoked: false, record }
    }

    /// A digest that differs in any one bit, where it is looked up or in the last byte, is another.
    #[test]
    fn all_of_a_digest_is_compared() {
        let table = Table::with_capacity(1);
        let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        table.insert(1, credential(sha256));
        assert!(table.find(&Digest::from_hex(sha256).unwrap()).is_some());
        for place in 0..64 {
            for bit in 0..4 {
                let digit = u32::from_str_radix(&sha256[place..=place], 16).unwrap() ^ (1 << bit);
                let other = format!("{}{digit:x}{}", &sha256[..place], &sha256[place + 1..]);
                assert!(table.find(&Digest::from_hex(&other).unwrap()).is_none(), "{other}");
            }
        }
    }

    /// Removing and adding again leaves every other digest where it can be found.
    #[test]
    fn a_removed_digest_hides_no_other() {
        let digests: Vec<String> = (0..8).map(|n| format!("{:016x}{n:048x}", 5)).collect(); // all begin alike
        let table = Table::with_capacity(9);
        for (number, sha256) in (1..).zip(&digests) {
            table.insert(number, credential(sha256));
        }
        let digest = |n: usize| Digest::from_hex(&digests[n]).unwrap();
        table.remove(&digest(3));
        for n in 0..8 {
            assert_eq!(table.find(&digest(n)).is_some(), n != 3, "{n}");
        }
        table.insert(9, credential(&digests[3]));
        assert_eq!(table.iter().count(), 8);
        assert!(table.find(&digest(3)).is_some());
    }
}
