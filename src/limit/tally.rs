//! Counters without shared cache lines.

use crate::shared::pieces::LINE;
use crate::sync::atomics::{AtomicU64, Ordering};

/// How many lanes have their own line.
const OWN: usize = 8;

/// The lines of a tally: those, and one for all other lanes.
pub(crate) const LINES: usize = OWN + 1;

/// How many sums a tally has.
pub(crate) const CELLS: usize = LINE;

/// Sums, each spread over the lanes (see [`crate::sync::hazard`]) that add to it, in [`LINES`] lines of memory.
#[derive(Clone, Copy)]
pub(crate) struct Tally<'a>(pub(crate) &'a [AtomicU64]);

impl Tally<'_> {
    /// Adds one to a sum, from the caller's own lane. Ignores a sum that does not exist.
    #[inline]
    pub(crate) fn add(self, lane: usize, cell: usize) {
        if cell >= CELLS {
            return;
        }
        let Some(sum) = self.0.get(lane.min(OWN) * LINE + cell) else { return };
        if lane < OWN {
            // Nothing else writes here meanwhile, so no atomic exchange is needed.
            sum.store(sum.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        } else {
            sum.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sums, exact once no thread is adding.
    pub(crate) fn sums(self) -> [u64; CELLS] {
        let mut sums = [0u64; CELLS];
        for lane in self.0.chunks(LINE) {
            for (sum, cell) in sums.iter_mut().zip(lane) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
        }
        sums
    }
}
