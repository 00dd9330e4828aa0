//! Builds a policy: scopes first, then what they include, then routes.

use super::lookup::{Need, Policy, PolicyScope, Route};
use super::path::unambiguous;
use super::routes::{Routes, Segment, Tree};
use super::scope::{BUILT_IN, Scope, ScopeSet};
use super::spelling::Spellings;
use crate::error::{Error, ErrorKind};
use crate::text::ScopeName;

/// How many routes a policy can have.
pub(crate) const MAX_ROUTES: usize = 4_096;
/// The longest template of a route, in bytes.
const MAX_TEMPLATE: usize = 512;
/// How many parameters a template can have.
const MAX_PARAMETERS: usize = 3;
/// The longest method of a route, in bytes.
const MAX_METHOD: usize = 32;

/// Builds a policy. Refused parts are left out.
pub(crate) struct PolicyBuilder {
    policy: Policy,
    routes: Routes<Vec<Route>>,
}

impl PolicyBuilder {
    pub(crate) fn new() -> Self {
        let routes = Tree::new(Routes::new());
        let policy = Policy { scopes: Vec::new(), places: Vec::new(), routes, spellings: Spellings::default() };
        Self { policy, routes: Routes::new() }
    }

    /// Adds a scope.
    pub(crate) fn scope(&mut self, name: &str, writes: Option<bool>) -> Result<(), Error> {
        let policy = &mut self.policy;
        let place = policy.scopes.len();
        if place == ScopeSet::CAPACITY {
            return Err(Error::new(ErrorKind::Limit, "a policy has at most 64 scopes"));
        }
        let printable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let text = ScopeName::new(name).filter(|_| printable).ok_or_else(|| {
            format_error(format!("a scope's name has 1 to 63 visible ASCII characters; found {name:?}"))
        })?;
        if policy.place(name).is_some() {
            return Err(format_error(format!("duplicate scope {name:?}")));
        }
        let known = BUILT_IN.iter().position(|built_in| *built_in == name);
        let number = known.unwrap_or_else(|| policy.places.len().max(BUILT_IN.len()));
        if policy.places.len() <= number {
            policy.places.resize(number + 1, None);
        }
        if let Some(entry) = policy.places.get_mut(number) {
            *entry = u8::try_from(place).ok();
        }
        let scope = Scope::at(u32::try_from(number).unwrap_or(u32::MAX));
        let writes = writes.unwrap_or(!name.ends_with(":read"));
        policy.scopes.push(PolicyScope { name: text, scope, writes, closure: ScopeSet::only(place) });
        Ok(())
    }

    /// Lets a scope include another. Both were added before.
    pub(crate) fn include(&mut self, scope: &str, included: &str) -> Result<(), Error> {
        let other = self.policy.place(included).ok_or_else(|| self.policy.unknown_scope(included))?;
        if let Some(entry) = self.policy.place(scope).and_then(|place| self.policy.scopes.get_mut(place)) {
            entry.closure = entry.closure.union(ScopeSet::only(other));
        }
        Ok(())
    }

    pub(crate) fn has_scopes(&self) -> bool {
        !self.policy.scopes.is_empty()
    }

    /// What a route with a scope of this name needs.
    pub(crate) fn need(&self, scope: &str) -> Result<Need, Error> {
        let known = self.policy.scope(scope).and_then(|scope| self.policy.need(scope));
        known.ok_or_else(|| self.policy.unknown_scope(scope))
    }

    /// Adds a route. `number` is its place in the document.
    pub(crate) fn route(
        &mut self,
        number: usize,
        method: &str,
        path: &str,
        need: Need,
        writes: Option<bool>,
    ) -> Result<(), Error> {
        check_method(method)?;
        let template = template(path)?;
        for segment in &template {
            if let Segment::Literal(text) = segment {
                self.policy.spellings.add(text);
            }
        }
        let methods = self.routes.entry(template.into_iter(), Vec::<Route>::new);
        if let Some(first) = methods.iter().find(|known| *known.method == *method) {
            return Err(format_error(format!("route {} already serves {method} {path}", first.number)));
        }
        let writes = writes.unwrap_or(!matches!(method, "GET" | "HEAD"));
        methods.push(Route { method: method.into(), need: Need { writes, ..need }, number });
        Ok(())
    }

    /// The policy, with the closure of every scope.
    pub(crate) fn build(mut self) -> Policy {
        let direct: Vec<ScopeSet> = self.policy.scopes.iter().map(|scope| scope.closure).collect();
        // Each round follows one more inclusion, and no chain is longer than the list.
        for _ in 0..direct.len() {
            for scope in &mut self.policy.scopes {
                let reached = scope.closure.places().filter_map(|place| direct.get(place));
                scope.closure = reached.fold(scope.closure, |set, more| set.union(*more));
            }
        }
        self.policy.routes = Tree::new(self.routes);
        self.policy
    }
}

/// Checks the method of a route.
pub(crate) fn check_method(method: &str) -> Result<(), Error> {
    let token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
    if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(token) {
        let message = format!("a method is 1 to 32 capital letters, \"-\" or \"_\"; found {method:?}");
        return Err(format_error(message));
    }
    Ok(())
}

/// Checks the path of a route.
pub(crate) fn check_path(path: &str) -> Result<(), Error> {
    template(path).map(|_| ())
}

/// The segments of a route's path. Names of parameters are dropped: paths that differ only in those are the same.
fn template(path: &str) -> Result<Vec<Segment<'_>>, Error> {
    let wrong = |why: &str| Err(format_error(format!("{why}; found {path:?}")));
    if path.len() > MAX_TEMPLATE {
        return wrong("a path has at most 512 bytes");
    }
    let clean = unambiguous(path.as_bytes()) == Some(path.as_bytes());
    let Some(segments) = path.strip_prefix('/').filter(|_| clean) else {
        return wrong("a path begins with '/', does not end with one, and has nothing that routers read differently");
    };
    let segments: Vec<Segment<'_>> = segments.split('/').map(segment).collect();
    if segments
        .iter()
        .any(|segment| matches!(segment, Segment::Literal(text) if text.contains(&b'{') || text.contains(&b'}')))
    {
        return wrong("a parameter is a whole segment, '{' and '}' around letters, digits or '_'");
    }
    if segments.iter().filter(|segment| **segment == Segment::Parameter).count() > MAX_PARAMETERS {
        return wrong("a path has at most 3 parameters");
    }
    Ok(segments)
}

fn segment(text: &str) -> Segment<'_> {
    let named = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) if named(name) => Segment::Parameter,
        _ => Segment::Literal(text.as_bytes()),
    }
}

fn format_error(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}
