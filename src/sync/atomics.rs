//! The atomics that `limit/window.rs` and `hazard.rs` are written over; `tests/loom` puts its model of them in their place.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

pub(crate) use std::thread::yield_now;

/// Between a write and a read whose places in the one total order of sequentially consistent accesses matter. Those
/// accesses have it already; loom does not model it, and puts a fence here.
#[inline(always)]
pub(crate) fn total_order() {}
