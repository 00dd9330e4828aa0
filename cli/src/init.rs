//! `bpos init`: an empty registry file.

use std::env;
use std::path::{Path, PathBuf};

use bpos::Registry;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{escaped, shell_word, tell};

pub(crate) fn run(context: &Context, file: Option<PathBuf>) -> Outcome {
    let path = context.registry_path(file)?;
    let registry = Registry::init(&path, context.options()?).map_err(|error| Failure::changing(&error))?;
    let shown = path.to_string_lossy();
    context.print(&json!({ "registry": shown, "revision": 0, "keys": 0 }), || {
        format!("created {}, a registry without keys\n", escaped(&shown))
    })?;
    match registry.policy().scopes().next() {
        Some(scope) if !context.json() => suggest_create(context, &path, scope),
        _ => {} // without a scope, no key would be of use
    }
    Ok(())
}

/// Tells a person the command that creates the first key.
fn suggest_create(context: &Context, path: &Path, scope: &str) {
    let registry = option_unless_set("--registry", "BPOS_REGISTRY", Some(path));
    let policy = option_unless_set("--policy", "BPOS_POLICY", context.policy_file().map(PathBuf::as_path));
    let scope = shell_word(scope);
    tell(&format!("next: bpos key create {registry}{policy}--name \"Website Sync\" --store yourstore --scope {scope}"));
}

/// The option that gives this file, quoted for a shell; nothing if the environment gives it already.
fn option_unless_set(option: &str, variable: &str, file: Option<&Path>) -> String {
    match file {
        Some(file) if env::var_os(variable).is_none_or(|set| file != Path::new(&set)) => {
            format!("{option} {} ", shell_word(&file.to_string_lossy()))
        }
        _ => String::new(),
    }
}
