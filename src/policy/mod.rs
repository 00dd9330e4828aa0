//! The policy: its scopes, what they include, and which scope each route needs.
//!
//! [`lookup`] is the finished policy, which decisions ask; [`builder`] builds one, and [`built_in`] the documentation's.
//! [`path`] checks a path, and [`routes`] looks it up; [`spelling`] and [`folding`] find paths that routers read
//! differently. May use `text` and `error`.

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
