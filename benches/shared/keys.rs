//! Made-up keys, the documents that hold them, and the order in which requests present them.

use std::fmt::Write;
use std::ops::Range;

use sha2::{Digest, Sha256};

pub(crate) const KEY: usize = 41;
const STORE: usize = 12;

/// What a request brings. All of its kind have the same length.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) store: &'a [u8],
}

/// The calls in the order in which they come, one behind the other in memory, as a server's buffer is read. So what misses
/// the caches is what the authority under test keeps.
pub(crate) struct Calls {
    bytes: Vec<u8>,
}

impl Calls {
    /// One call for each key, in an order that has nothing to do with the one in which the keys were made.
    pub(crate) fn shuffled(keys: Range<usize>) -> Self {
        let mut order: Vec<usize> = keys.collect();
        fastrand::Rng::with_seed(order.len() as u64).shuffle(&mut order);
        Self::of(order)
    }

    pub(crate) fn of(keys: impl IntoIterator<Item = usize>) -> Self {
        let mut bytes = Vec::new();
        for n in keys {
            bytes.extend_from_slice(&key(n));
            bytes.extend_from_slice(store(n).as_bytes());
        }
        Self { bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / (KEY + STORE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Call<'_>> + Clone {
        self.bytes.chunks_exact(KEY + STORE).map(|call| {
            let (key, store) = call.split_at(KEY);
            Call { key, store }
        })
    }

    /// The calls in so many parts of the same length.
    pub(crate) fn split(self, parts: usize) -> Vec<Self> {
        let part = self.len() / parts * (KEY + STORE);
        self.bytes.chunks_exact(part).take(parts).map(|bytes| Self { bytes: bytes.to_vec() }).collect()
    }
}

/// What the keys of a document may do.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) limit: u32,
    pub(crate) revoked: bool,
}

/// A document with the first so many keys. Ten keys belong to a store.
pub(crate) fn document(keys: usize, terms: impl Fn(usize) -> Terms) -> Vec<u8> {
    let mut json = String::from(r#"{"version": 1, "keys": ["#);
    for n in 0..keys {
        let Terms { limit, revoked } = terms(n);
        let comma = if n == 0 { "" } else { ",\n" };
        let (id, store, digest) = (id(n), store(n), hex(&digest(n)));
        let revoked = if revoked { r#", "revoked_at": "2026-01-01T00:00:00Z""# } else { "" };
        write!(
            json,
            r#"{comma}{{"id": "{id}", "name": "Website Sync", "store": "{store}", "sha256": "{digest}", "scopes": ["products:read", "inventory:write"], "rate_limit": {limit}{revoked}}}"#
        )
        .expect("a String takes everything");
    }
    json.push_str("]}");
    json.into_bytes()
}

pub(crate) fn id(n: usize) -> String {
    format!("key_{n:020}")
}

pub(crate) fn store(n: usize) -> String {
    format!("store{:07}", n / 10)
}

/// The key of that number: "bpos_" and 36 digits.
pub(crate) fn key(n: usize) -> [u8; KEY] {
    // Multiplied by an odd constant, so that the digits of one tell nothing of the next one's.
    let mut digits = (n as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut key = *b"bpos_000000000000000000000000000000000000";
    for digit in key[5..].iter_mut().rev() {
        *digit += (digits % 10) as u8;
        digits /= 10;
    }
    key
}

pub(crate) fn digest(n: usize) -> [u8; 32] {
    Sha256::digest(key(n)).into()
}

/// A digest in hexadecimal, as many programs keep it.
pub(crate) fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(2 * digest.len());
    for byte in digest {
        hex.push(DIGITS[usize::from(byte >> 4)].into());
        hex.push(DIGITS[usize::from(byte & 15)].into());
    }
    hex
}
