//! What threads and processes share memory by: the atomics, hazard pointers over them, and which process this is.
//!
//! The lowest room: uses nothing of the crate. `tests/loom` runs [`hazard`] and `limit/window.rs` over its model of
//! [`atomics`].

pub(crate) mod atomics;
pub(crate) mod hazard;
pub(crate) mod process;
