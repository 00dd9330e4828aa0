//! Sharing memory between threads and across forks: atomics, hazard pointers, and the identity of this process; and memory
//! in huge pages.
//!
//! The lowest room: uses nothing of the crate. `tests/loom` runs [`hazard`] and `limit/window.rs` over its model of
//! [`atomics`].

pub(crate) mod atomics;
pub(crate) mod hazard;
pub(crate) mod huge;
pub(crate) mod process;
