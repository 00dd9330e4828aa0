//! The atomics that `window.rs` is written over; `tests/loom` puts its model of them in their place.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
