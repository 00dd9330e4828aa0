//! The rate limit and the counts: an exact sliding window, the usage of a key, and the sums of a registry.
//!
//! [`window`] is the algorithm over borrowed slots; [`usage`] has the slots, in pieces of memory; [`standing`] is what processes that share
//! it tell each other. May use `sync`, `clock`, `shared`
//! and `decision`.

mod standing;
mod stats;
mod tally;
mod usage;
mod window;

pub(crate) use standing::{Abandoned, Standing};
pub(crate) use stats::Counts;
pub use stats::Stats;
pub(crate) use usage::{Account, Usage, Usages};
pub(crate) use window::Verdict;
