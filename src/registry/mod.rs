//! The registry: the live set of keys, and everything that changes it, in memory and on disk.
//!
//! - [`live`]: the registry itself, how it is opened, and what those see of it who manage keys;
//! - [`table`], [`ids`] and [`order`]: digest to credential, for decisions; id to credential, for changes; and the order of
//!   the document, for lists;
//! - [`edit`] and [`lifecycle`]: what changes mean, and one function for each;
//! - [`commit`]: how an edit is made, in memory and on disk, with [`restriction`], what it takes away before any file is
//!   waited for; [`reload`]: how the file's changes come in; [`apply`]: how a host's records do; and [`in_force`], where
//!   they all end; [`sharing`]: how other processes hear of it;
//! - [`state`] and [`writer`]: what only those need who change, and the locks that put them in order;
//! - [`file`]: the registry file; [`stats`]: what was counted.
//!
//! May use everything but `authorize` and `ffi`.

mod apply;
mod commit;
mod edit;
mod file;
mod ids;
mod in_force;
mod lifecycle;
mod live;
mod order;
mod reload;
mod restriction;
mod sharing;
mod state;
mod stats;
mod table;
mod writer;

pub use edit::Edit;
#[cfg(feature = "ffi")]
pub(crate) use ids::unknown;
pub use live::{Options, Registry};
pub(crate) use table::{Credential, Table};
