//! The counts of a registry.

use std::sync::atomic::{AtomicU64, Ordering};

use super::usage::Usage;
use crate::decision::{DENY_REASONS, REASON_NAMES};

/// The counts of a registry since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many keys there are.
    pub keys: usize,
    /// The revision of the document.
    pub revision: u64,
    /// How many requests were admitted.
    pub allowed: u64,
    pub(crate) denied: [u64; DENY_REASONS],
}

impl Stats {
    /// How many requests were denied, by the name of the reason.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
        REASON_NAMES.into_iter().zip(self.denied)
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
    pub(crate) allowed: u64,
    pub(crate) denied: [u64; DENY_REASONS],
}

impl Counts {
    pub(crate) fn add(&self, usage: Usage<'_>) {
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
    pub(crate) fn add(&mut self, usage: Usage<'_>) {
        self.allowed += usage.admitted();
        for (sum, count) in self.denied.iter_mut().zip(usage.denied()) {
            *sum += count;
        }
    }
}
