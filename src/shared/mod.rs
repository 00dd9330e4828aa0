//! Memory for counting, of this process alone or shared by all that open one registry.
//!
//! [`pieces`] hands it out, from the heap or from a mapped file. For a shared registry, [`anchor`] is the small file beside
//! the registry that says which mapped file that is and who is in, [`mapping`] the mapped file, [`index`] finds the entry of
//! a key in it, and [`attach`] brings them together, and [`sweep`] removes what is left
//! of registries that are gone. May use `sync`, `text` and `error`.

mod anchor;
mod attach;
mod index;
mod mapping;
pub(crate) mod pieces;
mod sharing;
mod sweep;

pub(crate) use attach::{SharedOptions, SharedState, or_alone};
pub(crate) use index::Entry;
pub use sharing::Sharing;

#[cfg(test)]
mod tests;
