//! What people write instead: a map from digests to records, and a limiter.
//!
//! Their limiters are token buckets. These agree with bpos while a key asks no more often than its limit in its first
//! minute, and while a key whose limit is 1 asks again within a minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, RwLock};
use std::time::Instant;

use dashmap::DashMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};

use crate::authority::{
    ALLOWED, Authority, INSUFFICIENT_SCOPE, Need, RATE_LIMITED, REVOKED_KEY, UNKNOWN_KEY, WRONG_STORE,
};
use crate::keys::{self, Call, hex};

struct Record {
    store: String,
    scopes: u32,
    revoked: bool,
}

impl Record {
    fn new(n: usize) -> Self {
        Self { store: keys::store(n), scopes: 1 << Need::ProductsRead as u32, revoked: false }
    }

    /// Why the record alone denies a request.
    fn denies(&self, store: &[u8], scope: Need) -> Option<u32> {
        if self.revoked {
            Some(REVOKED_KEY)
        } else if self.store.as_bytes() != store {
            Some(WRONG_STORE)
        } else if self.scopes & 1 << scope as u32 == 0 {
            Some(INSUFFICIENT_SCOPE)
        } else {
            None
        }
    }
}

/// A key's digest as a map's key.
pub(crate) trait MapKey: Clone + Eq + Hash + Send + Sync {
    fn from_digest(digest: [u8; 32]) -> Self;
}

impl MapKey for String {
    fn from_digest(digest: [u8; 32]) -> Self {
        hex(&digest)
    }
}

impl MapKey for [u8; 32] {
    fn from_digest(digest: [u8; 32]) -> Self {
        digest
    }
}

/// `sha2`, `DashMap`, and `governor`'s keyed limiter.
pub(crate) struct Composed<K: MapKey> {
    records: DashMap<K, Record>,
    limiter: DefaultKeyedRateLimiter<K>,
}

impl<K: MapKey> Authority for Composed<K> {
    fn with_limit(keys: usize, limit: u32) -> Self {
        let limit = NonZeroU32::new(limit).expect("a limit is at least 1");
        let records = (0..keys).map(|n| (K::from_digest(keys::digest(n)), Record::new(n))).collect();
        Self { records, limiter: RateLimiter::keyed(Quota::per_minute(limit)) }
    }

    fn named(&self, Call { key, store }: Call<'_>, scope: Need) -> u32 {
        let digest = K::from_digest(Sha256::digest(key).into());
        let Some(record) = self.records.get(&digest) else { return UNKNOWN_KEY };
        if let Some(reason) = record.denies(store, scope) {
            return reason;
        }
        if self.limiter.check_key(&digest).is_ok() { ALLOWED } else { RATE_LIMITED }
    }
}

/// The standard library's `HashMap` behind its `RwLock`, with a bucket behind a `Mutex` for each key.
pub(crate) struct Locked {
    keys: RwLock<HashMap<[u8; 32], Limited>>,
    limit: f64,
}

struct Limited {
    record: Record,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Authority for Locked {
    fn with_limit(keys: usize, limit: u32) -> Self {
        let limit = f64::from(limit);
        let filled_at = Instant::now();
        let keys = (0..keys).map(|n| {
            let bucket = Mutex::new(Bucket { tokens: limit, filled_at });
            (keys::digest(n), Limited { record: Record::new(n), bucket })
        });
        Self { keys: RwLock::new(keys.collect()), limit }
    }

    fn named(&self, Call { key, store }: Call<'_>, scope: Need) -> u32 {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let keys = self.keys.read().expect("no thread has panicked");
        let Some(Limited { record, bucket }) = keys.get(&digest) else { return UNKNOWN_KEY };
        if let Some(reason) = record.denies(store, scope) {
            return reason;
        }
        let mut bucket = bucket.lock().expect("no thread has panicked");
        let now = Instant::now();
        let refilled = now.duration_since(bucket.filled_at).as_secs_f64() * self.limit / 60.0;
        bucket.tokens = (bucket.tokens + refilled).min(self.limit);
        bucket.filled_at = now;
        if bucket.tokens < 1.0 {
            return RATE_LIMITED;
        }
        bucket.tokens -= 1.0;
        ALLOWED
    }
}
