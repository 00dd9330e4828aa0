//! The policy: which scopes there are, what they include, and which scope each route needs.

use once_cell::race::OnceBox;

use crate::error::{Error, ErrorKind};
use crate::routes::{Routes, Segment, Tree};
use crate::scope::{BUILT_IN, Scope, ScopeSet};
use crate::spelling::{Spellings, encoded_byte, is_unreserved};
use crate::text::ScopeName;

/// The longest path that matches a route, in bytes.
pub(crate) const MAX_PATH: usize = 8_192;
/// How many routes a policy can have.
pub(crate) const MAX_ROUTES: usize = 4_096;
/// The longest template of a route, in bytes.
pub(crate) const MAX_TEMPLATE: usize = 512;
/// How many parameters a template can have.
pub(crate) const MAX_PARAMETERS: usize = 3;
/// The longest method of a route, in bytes.
pub(crate) const MAX_METHOD: usize = 32;

/// Scopes, what they include, and the routes that need them. Immutable once made, and shared by any thread.
///
/// [`Policy::default`] is the one of the user documentation. A host may bring its own:
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
/// assert!(policy.scope("orders:write").is_some());
/// assert!(policy.scope("orders").is_none(), "names match whole");
/// # Ok::<(), bpos::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    scopes: Vec<PolicyScope>,
    /// The place in `scopes` of each scope, by its number; the documentation's keep theirs in every policy.
    places: Vec<Option<u8>>,
    routes: Tree<Vec<Route>>,
    spellings: Spellings,
}

#[derive(Debug, Clone)]
struct PolicyScope {
    name: ScopeName,
    scope: Scope,
    writes: bool,
    /// Itself and all that it includes, however indirectly.
    closure: ScopeSet,
}

/// What a route needs of a key.
#[derive(Debug, Clone)]
struct Route {
    method: Box<str>,
    need: Need,
}

/// The scope that an operation needs, and whether it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: Scope,
    pub(crate) bit: ScopeSet,
    pub(crate) writes: bool,
}

/// A policy as its document has it, before it is checked.
#[derive(Debug, Default)]
pub(crate) struct PolicySpec {
    pub(crate) scopes: Vec<ScopeSpec>,
    pub(crate) routes: Vec<RouteSpec>,
}

/// A scope of a policy's document.
#[derive(Debug)]
pub(crate) struct ScopeSpec {
    pub(crate) name: String,
    pub(crate) includes: Vec<String>,
    pub(crate) writes: Option<bool>,
}

/// A route of a policy's document.
#[derive(Debug)]
pub(crate) struct RouteSpec {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) scope: String,
    pub(crate) writes: Option<bool>,
}

/// What is wrong with a policy, and where: `("routes", 3, "scope")` is the scope of the fourth route.
pub(crate) struct Fault {
    pub(crate) list: &'static str,
    pub(crate) index: usize,
    pub(crate) member: &'static str,
    pub(crate) error: Error,
}

impl Policy {
    /// Reads a policy from its document: `{"scopes": […], "routes": […]}`.
    ///
    /// A scope has a `name` (1 to 63 bytes), `includes` (names of scopes, none by default) and `writes` (by default
    /// true unless the name ends in `:read`); there may be 64. A route has a `method`, a `path` (segments that are
    /// text or one `{parameter}`, of which there may be 3), the `scope` it needs, and `writes` (by default true
    /// unless the method is GET or HEAD). A GET route serves HEAD too. Scopes that the documentation names keep
    /// their numbers; the others are numbered from 12 in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] for a malformed document, an unknown or duplicate scope, or a duplicate route;
    /// [`ErrorKind::Limit`] for too many scopes or routes. The text names the line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        crate::document::parse_policy(json)
    }

    /// All that is wrong with a policy's document.
    #[must_use]
    pub fn findings(json: &[u8]) -> Vec<Error> {
        Self::from_json(json).err().into_iter().collect()
    }

    /// The scope with this whole name.
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

    /// The names of all scopes that this one includes, directly or through others, without its own, in the order of the
    /// policy; none for a scope that the policy does not have.
    ///
    /// ```
    /// let policy = bpos::Policy::default();
    /// let included: Vec<&str> = policy.includes(bpos::Scope::PRODUCTS_WRITE).collect();
    /// assert_eq!(included, ["products:read"]);
    /// ```
    pub fn includes(&self, scope: Scope) -> impl Iterator<Item = &str> {
        let closure = self.entry(scope).map_or(ScopeSet::EMPTY, |entry| entry.closure);
        let others = move |entry: &&PolicyScope| entry.scope != scope;
        closure.places().filter_map(|place| self.scopes.get(place)).filter(others).map(|entry| entry.name.as_str())
    }

    /// Whether an operation that needs this scope, and that the host names by its scope instead of a method and a path,
    /// writes, and so is denied to keys in test mode; `None` for a scope that the policy does not have.
    ///
    /// ```
    /// use bpos::{Policy, Scope};
    ///
    /// let policy = Policy::default();
    /// assert_eq!(policy.writes(Scope::WEBHOOKS_MANAGE), Some(true));
    /// assert_eq!(policy.writes(Scope::SALES_READ), Some(false));
    /// ```
    #[must_use]
    pub fn writes(&self, scope: Scope) -> Option<bool> {
        self.entry(scope).map(|entry| entry.writes)
    }

    /// What a call that names its scope needs.
    pub(crate) fn need(&self, scope: Scope) -> Option<Need> {
        let place = usize::from((*self.places.get(scope.index())?)?);
        let entry = self.scopes.get(place)?;
        Some(Need { scope, bit: ScopeSet::only(place), writes: entry.writes })
    }

    /// What the route of this method and path needs. Any doubt about the path is no match.
    pub(crate) fn route(&self, method: &[u8], path: &[u8]) -> Option<Need> {
        let path = unambiguous(path).filter(|path| !self.spellings.has_other(path))?;
        let routes = self.routes.find(path.strip_prefix(b"/")?)?;
        let with = |method: &[u8]| routes.iter().find(|route| route.method.as_bytes() == method);
        let found = with(method).or_else(|| if method == b"HEAD" { with(b"GET") } else { None })?;
        Some(found.need)
    }

    /// The set of one scope by its name, as keys hold it: not closed.
    pub(crate) fn bit(&self, name: &str) -> Option<ScopeSet> {
        self.place(name).map(ScopeSet::only)
    }

    /// A set with all that its scopes include.
    pub(crate) fn close(&self, set: ScopeSet) -> ScopeSet {
        set.places().filter_map(|place| self.scopes.get(place)).fold(set, |closed, scope| closed.union(scope.closure))
    }

    /// The names of the scopes of a set.
    pub(crate) fn names(&self, set: ScopeSet) -> impl Iterator<Item = &str> + Clone {
        set.places().filter_map(|place| Some(self.scopes.get(place)?.name.as_str()))
    }

    pub(crate) fn scope_name(&self, scope: Scope) -> ScopeName {
        self.entry(scope).map_or(ScopeName::EMPTY, |entry| entry.name)
    }

    fn entry(&self, scope: Scope) -> Option<&PolicyScope> {
        self.scopes.get(usize::from((*self.places.get(scope.index())?)?))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.scopes.iter().position(|scope| scope.name.is(name.as_bytes()))
    }

    /// Checks a policy and makes it ready for use.
    pub(crate) fn new(spec: &PolicySpec) -> Result<Self, Fault> {
        let mut policy = Self::empty();
        for (index, scope) in spec.scopes.iter().enumerate() {
            let fault = |error| Fault { list: "scopes", index, member: "name", error };
            policy.add_scope(scope).map_err(fault)?;
        }
        policy.include(&spec.scopes)?;
        policy.add_routes(&spec.routes)?;
        Ok(policy)
    }

    fn empty() -> Self {
        Self {
            scopes: Vec::new(),
            places: Vec::new(),
            routes: Tree::new(Routes::new()),
            spellings: Spellings::default(),
        }
    }

    fn add_scope(&mut self, spec: &ScopeSpec) -> Result<(), Error> {
        let place = self.scopes.len();
        if place == ScopeSet::CAPACITY {
            return Err(Error::new(ErrorKind::Limit, "a policy has at most 64 scopes"));
        }
        let printable = !spec.name.is_empty() && spec.name.bytes().all(|byte| byte.is_ascii_graphic());
        let name = ScopeName::new(&spec.name).filter(|_| printable).ok_or_else(|| {
            format_error(format!("a scope's name has 1 to 63 visible ASCII characters; found {:?}", spec.name))
        })?;
        if self.place(&spec.name).is_some() {
            return Err(format_error(format!("the scope {:?} is there twice", spec.name)));
        }
        let known = BUILT_IN.iter().position(|built_in| *built_in == spec.name);
        let number = known.unwrap_or_else(|| self.places.len().max(BUILT_IN.len()));
        if self.places.len() <= number {
            self.places.resize(number + 1, None);
        }
        if let Some(entry) = self.places.get_mut(number) {
            *entry = u8::try_from(place).ok();
        }
        let scope = Scope::at(u32::try_from(number).unwrap_or(u32::MAX));
        let writes = spec.writes.unwrap_or(!spec.name.ends_with(":read"));
        self.scopes.push(PolicyScope { name, scope, writes, closure: ScopeSet::only(place) });
        Ok(())
    }

    /// Closes every scope over what it includes.
    fn include(&mut self, specs: &[ScopeSpec]) -> Result<(), Fault> {
        let mut direct = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let mut set = ScopeSet::only(index);
            for name in &spec.includes {
                let bit = self.bit(name).ok_or_else(|| Fault {
                    list: "scopes",
                    index,
                    member: "includes",
                    error: self.unknown_scope(name),
                })?;
                set = set.union(bit);
            }
            direct.push(set);
        }
        // Each round follows one more inclusion, and no chain is longer than the list.
        for _ in 0..specs.len() {
            for (scope, start) in self.scopes.iter_mut().zip(&direct) {
                let reached = scope.closure.union(*start);
                scope.closure =
                    reached.places().filter_map(|place| direct.get(place)).fold(reached, |set, more| set.union(*more));
            }
        }
        Ok(())
    }

    fn add_routes(&mut self, specs: &[RouteSpec]) -> Result<(), Fault> {
        let mut routes = Routes::new();
        for (index, spec) in specs.iter().enumerate() {
            let fault = |(member, error)| Fault { list: "routes", index, member, error };
            if index == MAX_ROUTES {
                let error = Error::new(ErrorKind::Limit, format!("a policy has at most {MAX_ROUTES} routes"));
                return Err(fault(("path", error)));
            }
            let route = self.route_of(spec).map_err(fault)?;
            let template = template(&spec.path).map_err(|error| fault(("path", error)))?;
            for segment in &template {
                if let Segment::Literal(text) = segment {
                    self.spellings.add(text);
                }
            }
            let methods = routes.entry(template.into_iter(), Vec::<Route>::new);
            if methods.iter().any(|known| known.method == route.method) {
                let twice = format!("there are two routes for {} {}", spec.method, spec.path);
                return Err(fault(("path", format_error(twice))));
            }
            methods.push(route);
        }
        self.routes = Tree::new(routes);
        Ok(())
    }

    fn route_of(&self, spec: &RouteSpec) -> Result<Route, (&'static str, Error)> {
        let token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
        if spec.method.is_empty() || spec.method.len() > MAX_METHOD || !spec.method.bytes().all(token) {
            let error =
                format_error(format!("a method is 1 to 32 capital letters, \"-\" or \"_\"; found {:?}", spec.method));
            return Err(("method", error));
        }
        let mut need = self
            .scope(&spec.scope)
            .and_then(|scope| self.need(scope))
            .ok_or_else(|| ("scope", self.unknown_scope(&spec.scope)))?;
        need.writes = spec.writes.unwrap_or(!matches!(spec.method.as_str(), "GET" | "HEAD"));
        Ok(Route { method: spec.method.as_str().into(), need })
    }

    pub(crate) fn unknown_scope(&self, name: &str) -> Error {
        let known: Vec<&str> = self.scopes().collect();
        format_error(format!("there is no scope {name:?}; expected one of {}", known.join(", ")))
    }
}

/// The policy of the user documentation.
impl Default for Policy {
    fn default() -> Self {
        static DOCUMENTED: OnceBox<Policy> = OnceBox::new();
        DOCUMENTED.get_or_init(|| Box::new(documented())).clone()
    }
}

fn documented() -> Policy {
    const ROUTES: &[(&str, &[&str], &[&str])] = &[
        (
            "products:read",
            &["GET"],
            &["products", "products/{id}", "categories", "categories/{id}", "brands", "brands/{id}", "settings"],
        ),
        ("customers:read", &["GET"], &["customers", "customers/{id}", "customers/{id}/loyalty"]),
        ("sales:read", &["GET"], &["sales", "sales/{id}", "sales/{id}/items", "receipts", "receipts/{id}"]),
        (
            "inventory:read",
            &["GET"],
            &["inventory", "inventory/{id}", "inventory/adjustments", "inventory/adjustments/{id}"],
        ),
        ("loyalty:read", &["GET"], &["loyalty/tiers", "loyalty/rewards", "loyalty/transactions"]),
        ("gift_cards:read", &["GET"], &["gift-cards", "gift-cards/{id}"]),
        ("store_credits:read", &["GET"], &["store-credits", "store-credits/{id}"]),
        ("products:write", &["PATCH"], &["products/bulk"]),
        ("customers:write", &["POST"], &["customers"]),
        ("customers:write", &["PUT", "PATCH"], &["customers/{id}"]),
        ("inventory:write", &["POST"], &["inventory/adjustments"]),
        ("webhooks:manage", &["GET", "POST"], &["webhooks"]),
        ("webhooks:manage", &["GET", "PUT", "PATCH", "DELETE"], &["webhooks/{id}"]),
    ];
    let scope = |name: &&str| {
        let includes = match name.strip_suffix(":write") {
            Some(subject) => vec![format!("{subject}:read")],
            None => Vec::new(),
        };
        ScopeSpec { name: (*name).to_string(), includes, writes: None }
    };
    let routes = ROUTES.iter().flat_map(|(scope, methods, paths)| {
        methods.iter().flat_map(move |method| {
            paths.iter().map(move |path| RouteSpec {
                method: (*method).to_string(),
                path: format!("/api/v1/{path}"),
                scope: (*scope).to_string(),
                writes: None,
            })
        })
    });
    let spec = PolicySpec { scopes: BUILT_IN.iter().map(scope).collect(), routes: routes.collect() };
    // A policy that grants nothing stands in for one that cannot be built, and a test sees that this one can.
    Policy::new(&spec).unwrap_or_else(|_| Policy::empty())
}

/// The segments of a route's path. Parameters have no names here, so paths that differ only in those are the same.
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

/// A path without one trailing slash; `None` if a router might read it in another way than this one does: an empty or a
/// dot segment, a backslash, `;` or `#`, a byte that is not visible ASCII, a percent-encoding that is malformed, is not
/// UTF-8, or stands for a character that needs none, a slash, a backslash, a percent sign or a control.
#[inline]
fn unambiguous(path: &[u8]) -> Option<&[u8]> {
    if path.len() > MAX_PATH || path.first() != Some(&b'/') {
        return None;
    }
    // Most paths have nothing that needs a second look, and that is found out without a branch for each byte.
    #[expect(clippy::indexing_slicing, reason = "there is a class for each byte")]
    let bytes = path.iter().fold(0, |found, byte| found | CLASSES[usize::from(*byte)]);
    if bytes & REFUSED != 0 || (bytes & SUSPECT != 0 && !(sound_dots(path) && sound_percents(path))) {
        return None;
    }
    let pairs = path.iter().zip(path.iter().skip(1));
    if pairs.fold(false, |found, (byte, next)| found | ((*byte == b'/') & (*next == b'/'))) {
        return None;
    }
    Some(path.strip_suffix(b"/").filter(|path| !path.is_empty()).unwrap_or(path))
}

/// What a path's bytes are: no bit for those that are always fine.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "256 bytes are counted")]
        let class = match byte as u8 {
            b'\\' | b';' | b'#' | b'?' => REFUSED,
            b'.' | b'%' => SUSPECT,
            b'!'..=b'~' => 0,
            _ => REFUSED,
        };
        #[expect(clippy::indexing_slicing, reason = "the loop ends with the array")]
        {
            classes[byte] = class;
        }
        byte += 1;
    }
    classes
};
const REFUSED: u8 = 1;
const SUSPECT: u8 = 2;

/// Whether no segment is `.` or `..`.
fn sound_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|segment| !matches!(segment, b"." | b".."))
}

/// Whether every `%` begins the encoding of a character, in UTF-8, that all routers take for part of a segment. Some read
/// more than UTF-8, and a dot in `%C0%AE`.
fn sound_percents(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(sign) = rest.iter().position(|byte| *byte == b'%') {
        let Some((first, after)) = rest.get(sign..).and_then(encoded_byte) else { return false };
        rest = after;
        let more = match first {
            0..0x80 => 0,
            0xC2..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF4 => 3,
            _ => return false,
        };
        let mut character = [first, 0, 0, 0];
        for byte in character.iter_mut().skip(1).take(more) {
            let Some((next, after)) = encoded_byte(rest) else { return false };
            (*byte, rest) = (next, after);
        }
        let text = character.get(..=more).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if text.is_none() || (more == 0 && !is_plainly_encoded(first)) {
            return false;
        }
    }
    true
}

/// Whether every router reads this byte, percent-encoded, as part of a segment.
fn is_plainly_encoded(byte: u8) -> bool {
    !(is_unreserved(byte) || byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b'%'))
}

fn format_error(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}
