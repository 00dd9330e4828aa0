//! The atomics that `limit/window.rs` and `hazard.rs` use; `tests/loom` replaces them by its model.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

pub(crate) use std::thread::yield_now;

/// Marks where the total order of sequentially consistent accesses matters. Loom does not model that order and puts a fence
/// here.
#[inline(always)]
pub(crate) fn total_order() {}
