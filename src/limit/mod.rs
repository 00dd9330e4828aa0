//! The rate limit and the counts: an exact sliding window, the usage of a key, and the sums of a registry.
//!
//! [`window`] is the algorithm over borrowed slots; [`usage`] owns the slots. May use `sync`, `clock`
//! and `decision`.

mod stats;
mod tally;
mod usage;
mod window;

pub(crate) use stats::Counts;
pub use stats::Stats;
pub(crate) use tally::Tally;
pub(crate) use usage::Usage;
pub(crate) use window::Verdict;
