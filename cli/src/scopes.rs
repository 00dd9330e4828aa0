//! `bpos scopes`: what a key can be allowed.

use bpos::{DenyReason, KeySpec, NewKey, Options, Registry, Request, Scope};
use serde::Serialize;

use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{print, print_json, table};

#[derive(Serialize)]
struct ScopeView {
    name: String,
    id: u32,
    includes: Vec<String>,
    writes: bool,
}

pub(crate) fn run(context: &Context) -> Outcome {
    let scopes = scopes(context)?;
    if context.json() {
        return print_json(&scopes);
    }
    let header = ["SCOPE", "NUMBER", "ACCESS", "INCLUDES"].map(str::to_owned).to_vec();
    let row = |scope: &ScopeView| {
        let access = if scope.writes { "writes" } else { "reads" };
        vec![scope.name.clone(), scope.id.to_string(), access.to_owned(), scope.includes.join(" ")]
    };
    print(&table(&std::iter::once(header).chain(scopes.iter().map(row)).collect::<Vec<_>>()))
}

/// What each scope is, asked of the decision itself: a key that has one scope, and one in test mode.
fn scopes(context: &Context) -> Outcome<Vec<ScopeView>> {
    let options = Options::default().policy(context.policy()?);
    let registry = Registry::from_json_with(br#"{"version": 1, "keys": []}"#, options)
        .map_err(|error| Failure::opening(&error))?;
    let names: Vec<(&str, Scope)> =
        registry.policy().scopes().filter_map(|name| Some((name, registry.scope(name)?))).collect();
    let mut views = Vec::new();
    for (name, scope) in &names {
        let spec = KeySpec::new("probe", "probe", [*name]).rate_limit(1_000);
        let key = registry.create(&spec).map_err(|error| Failure::changing(&error))?;
        let test_key = registry.create(&spec.test_mode(true)).map_err(|error| Failure::changing(&error))?;
        let decide = |key: &NewKey, scope| {
            registry.authorize_scope(&Request::default().api_key(key.key.expose()), scope).map_err(|no| no.reason())
        };
        let included = names.iter().filter(|(_, other)| other != scope && decide(&key, *other).is_ok());
        views.push(ScopeView {
            name: (*name).to_owned(),
            id: scope.id(),
            includes: included.map(|(name, _)| (*name).to_owned()).collect(),
            writes: decide(&test_key, *scope).err() == Some(DenyReason::TestMode),
        });
    }
    Ok(views)
}
