//! Policies and options.

use super::reader::{Reader, Step, Value, findings, read};
#[allow(unused_imports, reason = "the documentation names it")]
use crate::error::{Error, ErrorKind};
use crate::policy::{MAX_ROUTES, Policy, PolicyBuilder, ScopeSet, check_method, check_path};
use crate::shared::Sharing;

const WHAT: &str = "the policy";

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
        read(json, WHAT, policy)
    }

    /// Everything that is wrong with a policy's document, in the order of its text, at most 10,000 findings. None if
    /// [`Policy::from_json`] takes it.
    ///
    /// ```
    /// let findings = bpos::Policy::findings(br#"{"scopes": [{"name": ""}, {"name": "a", "write": true}], "routes": []}"#);
    /// assert_eq!(findings.len(), 2);
    /// assert_eq!((findings[1].line(), findings[1].column()), (Some(1), Some(47)));
    /// assert_eq!(findings[1].message(), "scope 2: unknown member \"write\"; expected one of name, includes, writes");
    /// ```
    #[must_use]
    pub fn findings(json: &[u8]) -> Vec<Error> {
        findings(json, WHAT, policy)
    }
}

/// The options of a registry: a policy, if there is one, whether it is only read, and whether it is shared.
pub(crate) fn parse_options(json: &[u8]) -> Result<(Option<Policy>, bool, Sharing), Error> {
    const EXPECTED: &str = "an object of options, policy, read_only and shared";
    read(json, "the options", |reader, value| {
        let object = reader.object(value, EXPECTED, &["policy", "read_only", "shared"])?;
        let policy = reader.optional(&object, "policy", policy);
        let read_only = reader.optional(&object, "read_only", Reader::boolean);
        let shared = reader.optional(&object, "shared", sharing);
        Some((policy, read_only.unwrap_or(false), shared.unwrap_or_default()))
    })
}

/// A boolean, or an object with the folder.
fn sharing<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Option<Sharing> {
    if !value.is_object() {
        return reader.boolean_or(value, "an object with the member dir").map(Sharing::from);
    }
    let object = reader.object(value, "an object with the member dir", &["dir"])?;
    reader.required(&object, "dir", |reader, value| reader.parsed(value, "a folder", |dir| Ok(Sharing::In(dir.into()))))
}

fn policy<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Option<Policy> {
    const EXPECTED: &str = "a policy, an object with the members scopes and routes";
    let object = reader.object(value, EXPECTED, &["scopes", "routes"])?;
    let mut builder = PolicyBuilder::new();
    let scopes = reader.required(&object, "scopes", |reader, value| {
        reader.list(value, "an array", ("scope", ScopeSet::CAPACITY), |reader, number, value| {
            scope(reader, number, value, &mut builder)
        })
    });
    // A scope may include one that stands behind it, so all names come first. Without a single one, all that follows would be
    // wrong for that alone.
    if builder.has_scopes() {
        for (item, name, included) in scopes.iter().flatten() {
            reader.inside(*item, |reader| {
                reader.inside(Step::Member("includes"), |reader| {
                    reader.scopes(*included, |scope| builder.include(name, scope))
                })
            });
        }
    }
    let routes = reader.required(&object, "routes", |reader, value| {
        reader.list(value, "an array", ("route", MAX_ROUTES), |reader, number, value| {
            route(reader, number, value, &mut builder)
        })
    });
    scopes.and(routes).map(|_| builder.build())
}

/// Adds a scope by its name. What it includes comes later: gives where that is, if it includes any.
fn scope<'a>(
    reader: &mut Reader<'a>,
    number: usize,
    value: Value<'a>,
    builder: &mut PolicyBuilder,
) -> Option<(Step<'a>, String, Value<'a>)> {
    let object = reader.object(value, "a scope, an object with the member name", &["name", "includes", "writes"])?;
    let writes = reader.optional(&object, "writes", Reader::boolean);
    let name = reader.required(&object, "name", |reader, value| {
        reader.parsed(value, "a name", |name| builder.scope(name, writes).map(|()| name.to_owned()))
    });
    Some((Step::Item("scope", number, value), name.unwrap_or_default(), object.get("includes")?))
}

fn route<'a>(reader: &mut Reader<'a>, number: usize, value: Value<'a>, builder: &mut PolicyBuilder) -> Option<()> {
    const EXPECTED: &str = "a route, an object with the members method, path and scope";
    let object = reader.object(value, EXPECTED, &["method", "path", "scope", "writes"])?;
    let method = reader.required(&object, "method", |reader, value| {
        reader.parsed(value, "a method", |text| check_method(text).map(|()| text.to_owned()))
    });
    let path = reader.required(&object, "path", |reader, value| {
        reader.parsed(value, "a path", |text| check_path(text).map(|()| text.to_owned()))
    });
    let need =
        reader.required(&object, "scope", |reader, value| reader.parsed(value, "a scope", |name| builder.need(name)));
    let writes = reader.optional(&object, "writes", Reader::boolean);
    let (method, path, need) = (method?, path?, need?);
    reader.optional(&object, "path", |reader, value| {
        builder.route(number, &method, &path, need, writes).map_err(|error| reader.refuse(value, &error)).ok()
    })
}
