//! The policy: which scopes there are, what they include, and which scope each route needs.
//!
//! [`lookup`] is the policy in use and the part that a decision asks; [`builder`] makes one, and [`built_in`] the
//! documentation's. A path is read by [`path`] and met with the tree of [`routes`]; [`spelling`] and [`folding`] know the
//! paths that some routers read in another way. May use `text` and `error`.

mod builder;
mod built_in;
mod folding;
mod lookup;
mod path;
mod routes;
mod scope;
mod spelling;

pub(crate) use builder::{MAX_ROUTES, PolicyBuilder, check_method, check_path};
pub(crate) use lookup::Need;
pub use lookup::Policy;
#[cfg(all(test, feature = "ffi"))]
pub(crate) use scope::BUILT_IN;
pub use scope::Scope;
pub(crate) use scope::ScopeSet;
