//! `bpos scopes`: the scopes that a key can have.

use bpos::Policy;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::titled_table;

#[derive(Serialize)]
struct ScopeView<'a> {
    name: &'a str,
    id: u32,
    includes: Vec<&'a str>,
    writes: bool,
}

pub(crate) fn run(context: &Context) -> Outcome {
    let policy = context.policy()?;
    let scopes: Vec<_> = policy.scopes().filter_map(|name| view(&policy, name)).collect();
    let row = |scope: &ScopeView<'_>| {
        let access = if scope.writes { "writes" } else { "reads" };
        [scope.name.to_owned(), scope.id.to_string(), access.to_owned(), scope.includes.join(" ")]
    };
    context.print(&scopes, || titled_table(["SCOPE", "NUMBER", "ACCESS", "INCLUDES"], scopes.iter().map(row)))
}

fn view<'a>(policy: &'a Policy, name: &'a str) -> Option<ScopeView<'a>> {
    let scope = policy.scope(name)?;
    Some(ScopeView { name, id: scope.id(), includes: policy.includes(scope).collect(), writes: policy.writes(scope)? })
}
