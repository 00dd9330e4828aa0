//! Counters that threads add to without sharing a cache line.

use crate::sync::atomics::{AtomicU64, Ordering};

/// How many lanes have counters of their own.
const OWN: usize = 8;

/// How many things one tally counts.
pub(crate) const CELLS: usize = 8;

/// [`CELLS`] sums, each spread over the lanes of [`crate::hazard`] that it is added from.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lanes: [Sums; OWN],
    /// For all other lanes.
    others: Sums,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Sums([AtomicU64; CELLS]);

impl Tally {
    /// Adds one to a sum, from a lane that is the caller's own. A sum that does not exist is not counted.
    #[inline]
    pub(crate) fn add(&self, lane: usize, cell: usize) {
        match self.lanes.get(lane) {
            // Nobody else writes here meanwhile, so nothing need be exchanged.
            Some(own) => own.0.get(cell).into_iter().for_each(|sum| {
                sum.store(sum.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }),
            None => self.others.0.get(cell).into_iter().for_each(|sum| {
                sum.fetch_add(1, Ordering::Relaxed);
            }),
        }
    }

    /// The sums. Each is exact once the threads that add to it have stopped.
    pub(crate) fn sums(&self) -> [u64; CELLS] {
        let mut sums = [0u64; CELLS];
        for lane in self.lanes.iter().chain([&self.others]) {
            for (sum, cell) in sums.iter_mut().zip(&lane.0) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
        }
        sums
    }
}
