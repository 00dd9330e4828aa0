//! Counters that threads add to without sharing a cache line.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering};

/// How many threads can count at once without touching each other's cache line.
const STRIPES: usize = 8;

/// How many things one tally counts.
pub(crate) const CELLS: usize = 8;

/// [`CELLS`] sums, each spread over [`STRIPES`] cache lines.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stripes: [Stripe; STRIPES],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe([AtomicU64; CELLS]);

impl Tally {
    /// Adds one to a sum. A sum that does not exist is not counted.
    #[inline]
    pub(crate) fn add(&self, cell: usize) {
        if let Some(sum) = self.stripes.get(stripe()).and_then(|stripe| stripe.0.get(cell)) {
            sum.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sums. Each is exact once the threads that add to it have stopped.
    pub(crate) fn sums(&self) -> [u64; CELLS] {
        let mut sums = [0u64; CELLS];
        for stripe in &self.stripes {
            for (sum, cell) in sums.iter_mut().zip(&stripe.0) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
        }
        sums
    }
}

/// This thread's stripe, by the address of a variable of its own: threads' blocks lie pages apart, so the bits above
/// a page tell them apart.
#[inline]
fn stripe() -> usize {
    thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
    let address = HERE.with(|here| std::ptr::from_ref(here).addr());
    (address >> 12).wrapping_mul(FIBONACCI) >> (usize::BITS - STRIPES.trailing_zeros())
}

/// 2^64 divided by the golden ratio, cut to this machine's word: its multiples spread evenly.
#[expect(clippy::cast_possible_truncation, reason = "a shorter word needs no more")]
const FIBONACCI: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;
