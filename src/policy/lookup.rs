//! A policy in use: its scopes, and which of them each request needs.

use super::path::unambiguous;
use super::routes::Tree;
use super::scope::{Scope, ScopeSet};
use super::spelling::Spellings;
use crate::error::{Error, ErrorKind};
use crate::text::ScopeName;

/// Scopes, what they include, and the routes that need them. Immutable.
///
/// [`Policy::default`] is the documentation's. A host may bring its own:
///
/// ```
/// let policy = bpos::Policy::from_json(br#"{
///   "scopes": [
///     {"name": "orders:read"},
///     {"name": "orders:write", "includes": ["orders:read"]}
///   ],
///   "routes": [
///     {"method": "GET", "path": "/orders/{id}", "scope": "orders:read"},
///     {"method": "POST", "path": "/orders", "scope": "orders:write"},
///     {"method": "POST", "path": "/orders/search", "scope": "orders:read", "writes": false}
///   ]
/// }"#)?;
/// assert_eq!(policy.scopes().collect::<Vec<_>>(), ["orders:read", "orders:write"]);
/// let write = policy.scope("orders:write").expect("defined above");
/// assert_eq!((policy.name(write), policy.writes(write)), (Some("orders:write"), Some(true)));
/// assert!(policy.includes(write).eq(["orders:read"]));
/// assert!(policy.scope("orders").is_none(), "names match whole");
/// # Ok::<(), bpos::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) scopes: Vec<PolicyScope>,
    /// The place in `scopes` of each scope, by its number. The documentation's scopes have the same numbers in every policy.
    pub(super) places: Vec<Option<u8>>,
    pub(super) routes: Tree<Vec<Route>>,
    pub(super) spellings: Spellings,
}

#[derive(Debug, Clone)]
pub(super) struct PolicyScope {
    pub(super) name: ScopeName,
    pub(super) scope: Scope,
    pub(super) writes: bool,
    /// Itself and all that it includes, directly or not.
    pub(super) closure: ScopeSet,
}

/// A method of a route.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) method: Box<str>,
    pub(super) need: Need,
    /// Its place in the policy's document, counted from 1.
    pub(super) number: usize,
}

/// The scope that an operation needs, and whether it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: Scope,
    pub(crate) bit: ScopeSet,
    pub(crate) writes: bool,
}

impl Policy {
    /// The scope with this name.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<Scope> {
        self.place(name).and_then(|place| Some(self.scopes.get(place)?.scope))
    }

    /// A scope's name; `None` if this policy has no such scope.
    #[must_use]
    pub fn name(&self, scope: Scope) -> Option<&str> {
        Some(self.entry(scope)?.name.as_str())
    }

    /// The names of all its scopes, in the order of the policy.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|scope| scope.name.as_str())
    }

    /// The names of the scopes that a scope includes, directly or not, without itself; in the order of the policy.
    pub fn includes(&self, scope: Scope) -> impl Iterator<Item = &str> {
        let place = self.place_of(scope);
        let closure = self.entry(scope).map_or(ScopeSet::EMPTY, |entry| entry.closure);
        closure.places().filter(move |other| Some(*other) != place).filter_map(|place| self.name_at(place))
    }

    /// Whether operations of a scope write, unless their route says otherwise; `None` if this policy has no such scope.
    #[must_use]
    pub fn writes(&self, scope: Scope) -> Option<bool> {
        self.entry(scope).map(|entry| entry.writes)
    }

    /// What an operation of this scope needs.
    pub(crate) fn need(&self, scope: Scope) -> Option<Need> {
        let place = self.place_of(scope)?;
        let entry = self.scopes.get(place)?;
        Some(Need { scope, bit: ScopeSet::only(place), writes: entry.writes })
    }

    /// What the route of this method and path needs. An ambiguous path matches none.
    pub(crate) fn route(&self, method: &[u8], path: &[u8]) -> Option<Need> {
        let path = unambiguous(path).filter(|path| !self.spellings.has_other(path))?;
        let routes = self.routes.find(path.strip_prefix(b"/")?)?;
        let with = |method: &[u8]| routes.iter().find(|route| route.method.as_bytes() == method);
        let found = with(method).or_else(|| if method == b"HEAD" { with(b"GET") } else { None })?;
        Some(found.need)
    }

    /// Adds a scope to a set by name, without what it includes.
    pub(crate) fn add_to(&self, set: &mut ScopeSet, name: &str) -> Result<(), Error> {
        let scope = self.place(name).map(ScopeSet::only).ok_or_else(|| self.unknown_scope(name))?;
        if set.intersects(scope) {
            return Err(Error::new(ErrorKind::Format, format!("duplicate scope {name:?}")));
        }
        *set = set.union(scope);
        Ok(())
    }

    pub(crate) fn unknown_scope(&self, name: &str) -> Error {
        let known: Vec<&str> = self.scopes().collect();
        Error::new(ErrorKind::Format, format!("unknown scope {name:?}; expected one of {}", known.join(", ")))
    }

    /// The set with all that its scopes include.
    pub(crate) fn close(&self, set: ScopeSet) -> ScopeSet {
        set.places().filter_map(|place| self.scopes.get(place)).fold(set, |closed, scope| closed.union(scope.closure))
    }

    /// The names of the scopes of a set.
    pub(crate) fn names(&self, set: ScopeSet) -> impl Iterator<Item = &str> + Clone {
        set.places().filter_map(|place| self.name_at(place))
    }

    pub(crate) fn scope_name(&self, scope: Scope) -> Option<&ScopeName> {
        self.entry(scope).map(|entry| &entry.name)
    }

    fn entry(&self, scope: Scope) -> Option<&PolicyScope> {
        self.scopes.get(self.place_of(scope)?)
    }

    fn name_at(&self, place: usize) -> Option<&str> {
        self.scopes.get(place).map(|scope| scope.name.as_str())
    }

    fn place_of(&self, scope: Scope) -> Option<usize> {
        (*self.places.get(scope.index())?).map(usize::from)
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.scopes.iter().position(|scope| scope.name.is(name.as_bytes()))
    }
}
