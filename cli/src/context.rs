//! The common options: which registry, which policy, and how results are written.

use std::path::{Path, PathBuf};

use bpos::{Options, Policy, Registry, Sharing};
use serde::Serialize;

use crate::arguments::Common;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{print, print_json, tell};
use crate::progress::Progress;
use crate::source;

/// Part of the library's message about a scope that the policy does not have.
const UNKNOWN_SCOPE: &str = "unknown scope ";

/// Part of the library's message if a registry cannot be shared.
const CANNOT_SHARE: &str = "say \"shared\": false";

pub(crate) struct Context {
    common: Common,
}

impl Context {
    pub(crate) fn new(common: Common) -> Self {
        Self { common }
    }

    pub(crate) fn json(&self) -> bool {
        self.common.json
    }

    /// Writes a result: `value` for programs, `text` for people.
    pub(crate) fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Outcome {
        if self.json() { print_json(value) } else { print(&text()) }
    }

    /// The registry's path: the file that the command names, or `--registry`.
    pub(crate) fn registry_path(&self, named: Option<PathBuf>) -> Outcome<PathBuf> {
        let missing = || Failure::usage("no registry given; pass --registry FILE or set BPOS_REGISTRY");
        named.or_else(|| self.common.registry.clone()).ok_or_else(missing)
    }

    /// The policy file, if one was given.
    pub(crate) fn policy_file(&self) -> Option<&PathBuf> {
        self.common.policy.as_ref()
    }

    /// The scopes and routes: the policy file's, or the built-in ones.
    pub(crate) fn policy(&self) -> Outcome<Policy> {
        let Some(path) = self.policy_file() else { return Ok(Policy::default()) };
        let json = source::read(path)?;
        Policy::from_json(&json).map_err(|error| Failure::opening(&error).within(path))
    }

    /// Whether servers hear of a change by the memory that they share.
    pub(crate) fn is_shared(&self) -> bool {
        cfg!(target_os = "linux") && self.common.shared.as_deref() != Some(Path::new("off"))
    }

    /// What a registry is opened with.
    pub(crate) fn options(&self) -> Outcome<Options> {
        let shared = match &self.common.shared {
            None => Sharing::On,
            Some(off) if off == Path::new("off") => Sharing::Off,
            Some(folder) => Sharing::In(folder.clone()),
        };
        Ok(Options::default().policy(self.policy()?).shared(shared))
    }

    /// Opens the registry, to change it or only to read it.
    pub(crate) fn open(&self, read_only: bool) -> Outcome<Registry> {
        let (path, options) = (self.registry_path(None)?, self.options()?.read_only(read_only));
        let _progress = Progress::spinner("reading the registry");
        Registry::open_with(&path, options).map_err(|error| {
            let mut failure = Failure::opening(&error);
            if failure.exit == Exit::Document {
                failure.message.push_str("\nRun 'bpos lint' to list all of its mistakes");
            }
            if error.message().contains(CANNOT_SHARE) {
                failure
                    .message
                    .push_str("\nPass --shared as the servers are told: their folder, or 'off' if they share nothing");
            }
            failure
        })
    }

    /// After a message about an unknown scope, points out that no policy was given, which may be why.
    pub(crate) fn suggest_policy(&self, message: &str) {
        if self.common.policy.is_none() && message.contains(UNKNOWN_SCOPE) {
            tell(
                "These are the built-in scopes. If the server has its own policy, pass --policy FILE or set BPOS_POLICY",
            );
        }
    }
}
