//! Counters without shared cache lines.

use crate::sync::atomics::{AtomicU64, Ordering};

/// How many lanes have their own counters.
const OWN: usize = 8;

/// How many sums a tally has.
pub(crate) const CELLS: usize = 8;

/// [`CELLS`] sums, each spread over the lanes (see [`crate::sync::hazard`]) that add to it.
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
    /// Adds one to a sum, from the caller's own lane. Ignores a sum that does not exist.
    #[inline]
    pub(crate) fn add(&self, lane: usize, cell: usize) {
        match self.lanes.get(lane) {
            // Nothing else writes here meanwhile, so no atomic exchange is needed.
            Some(own) => own.0.get(cell).into_iter().for_each(|sum| {
                sum.store(sum.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }),
            None => self.others.0.get(cell).into_iter().for_each(|sum| {
                sum.fetch_add(1, Ordering::Relaxed);
            }),
        }
    }

    /// The sums, exact once no thread is adding.
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
