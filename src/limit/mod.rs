//! The rate limit and the counts: an exact sliding window, what one key used, and what a registry counted.
//!
//! [`window`] is the algorithm and knows nothing of where its slots live; [`usage`] owns them. May use `sync`, `clock`
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
