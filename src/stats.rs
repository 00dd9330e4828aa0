//! What a registry has counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::decision::{DENY_REASONS, REASON_NAMES};
use crate::document;
use crate::error::Error;
use crate::registry::{Registry, keys_of};
use crate::usage::Usage;

/// What a registry has counted since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many keys there are.
    pub keys: usize,
    /// The revision of the document.
    pub revision: u64,
    /// How many requests were admitted.
    pub allowed: u64,
    denied: [u64; DENY_REASONS],
}

impl Stats {
    /// How many requests were denied, by reason, each with its name.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
        REASON_NAMES.into_iter().zip(self.denied)
    }
}

impl Registry {
    /// What the registry has counted. Reads the counters of every key, so its cost grows with them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let table = self.read();
        let mut counts = self.departed.load();
        for (count, unproved) in counts.denied.iter_mut().zip(self.unproved.sums()) {
            *count += unproved;
        }
        let mut keys = 0;
        for key in keys_of(&table) {
            keys += 1;
            counts.add(&key.usage);
        }
        let revision = self.revision.load(Ordering::Acquire);
        Stats { keys, revision, allowed: counts.allowed, denied: counts.denied }
    }

    /// What the registry has counted, as a JSON object:
    /// `{"keys": 3, "revision": 12, "allowed": 70, "denied": {"internal": 0, "key_in_url": 2, …}}`.
    ///
    /// # Errors
    ///
    /// None is known; the signature leaves room.
    pub fn stats_json(&self) -> Result<Vec<u8>, Error> {
        document::write_stats(&self.stats())
    }
}

/// Sums over keys.
#[derive(Default)]
pub(crate) struct Counts {
    allowed: AtomicU64,
    denied: [AtomicU64; DENY_REASONS],
}

/// The values of [`Counts`].
pub(crate) struct Sums {
    allowed: u64,
    denied: [u64; DENY_REASONS],
}

impl Counts {
    pub(crate) fn add(&self, usage: &Usage) {
        self.allowed.fetch_add(usage.admitted(), Ordering::Relaxed);
        for (sum, count) in self.denied.iter().zip(usage.denied()) {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn load(&self) -> Sums {
        let denied = std::array::from_fn(|reason| self.denied.get(reason).map_or(0, |sum| sum.load(Ordering::Relaxed)));
        Sums { allowed: self.allowed.load(Ordering::Relaxed), denied }
    }
}

impl Sums {
    fn add(&mut self, usage: &Usage) {
        self.allowed += usage.admitted();
        for (sum, count) in self.denied.iter_mut().zip(usage.denied()) {
            *sum += count;
        }
    }
}
