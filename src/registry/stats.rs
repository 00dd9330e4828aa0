//! What a registry has counted.

use std::sync::atomic::Ordering;

use super::live::Registry;
use crate::error::Error;
use crate::limit::Stats;

impl Registry {
    /// What the registry has counted. Reads the counters of every key, so its cost grows with them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.follow_others();
        let table = self.read();
        let mut counts = self.departed.load();
        for (count, unproved) in counts.denied.iter_mut().zip(self.usages.unproved()) {
            *count += unproved;
        }
        let mut keys = 0;
        for key in table.keys() {
            keys += 1;
            counts.add(self.usage(key));
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
        self.stats().to_json()
    }
}
