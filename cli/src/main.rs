//! `bpos`: creates, lists, rotates and revokes API keys in a registry file, and explains what is decided by it.

mod arguments;
mod check;
mod failure;
mod generate;
mod keys;
mod lint;
mod output;
mod progress;
mod redact;
mod scopes;
mod source;
mod time;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bpos::{Options, Policy, Registry};
use clap::Parser;

use crate::arguments::{Arguments, Command, Common};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{print, print_json, tell};
use crate::progress::Progress;

fn main() -> ExitCode {
    // Before anything that could quote it: an argument that holds a key is not to be shown once more.
    if let Err(failure) = refuse_keys(std::env::args_os()) {
        tell(&format!("bpos: {failure}"));
        return failure.exit.into();
    }
    let arguments = Arguments::parse();
    let context = Context { common: arguments.common };
    match run(&context, arguments.command) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(exit)) => exit.into(),
        Err(failure) => {
            tell(&format!("bpos: {failure}"));
            context.tell_of_policies(&failure.message);
            failure.exit.into()
        }
    }
}

/// Does what was asked; `Some` for an answer that is no failure and yet not yes.
fn run(context: &Context, command: Command) -> Outcome<Option<Exit>> {
    match command {
        Command::Init { file } => init(context, file).map(|()| None),
        Command::Key { command } => keys::run(context, command).map(|()| None),
        Command::Check(check) => check::run(context, &check),
        Command::Lint { file } => lint::run(context, file),
        Command::Scopes => scopes::run(context).map(|()| None),
        Command::Redact => redact::run(context.json()).map(|()| None),
        Command::Completions { shell } => generate::completions(shell).map(|()| None),
        Command::Man { folder } => generate::manual(folder.as_deref()).map(|()| None),
    }
}

fn init(context: &Context, file: Option<PathBuf>) -> Outcome {
    let path = match file {
        Some(file) => file,
        None => context.registry()?,
    };
    let registry = Registry::init(&path, context.options(false)?).map_err(|error| Failure::changing(&error))?;
    if context.json() {
        return print_json(&serde_json::json!({ "registry": path.to_string_lossy(), "revision": 0, "keys": 0 }));
    }
    print(&format!("made {}, a registry without keys\n", output::escaped(&path.to_string_lossy())))?;
    let Some(scope) = registry.policy().scopes().next() else { return Ok(()) }; // no key could have one
    let named = option_unless_set("--registry", "BPOS_REGISTRY", Some(&path));
    let policy = option_unless_set("--policy", "BPOS_POLICY", context.policy_file());
    let scope = output::shell_word(scope);
    tell(&format!("next: bpos key create {named}{policy}--name \"Website Sync\" --store yourstore --scope {scope}"));
    Ok(())
}

/// The option for a file that the environment does not name already, as a shell reads it.
fn option_unless_set(option: &str, variable: &str, file: Option<&PathBuf>) -> String {
    match file {
        Some(file) if env::var_os(variable).is_none_or(|named| file != Path::new(&named)) => {
            format!("{option} {} ", output::shell_word(&file.to_string_lossy()))
        }
        _ => String::new(),
    }
}

/// What the common options stand for.
pub(crate) struct Context {
    common: Common,
}

impl Context {
    pub(crate) fn json(&self) -> bool {
        self.common.json
    }

    /// The path of the registry file, which most commands need.
    pub(crate) fn registry(&self) -> Outcome<PathBuf> {
        let missing = || Failure::usage("no registry is named: say --registry FILE, or set BPOS_REGISTRY");
        self.common.registry.clone().ok_or_else(missing)
    }

    /// The policy file, if there is one.
    pub(crate) fn policy_file(&self) -> Option<&PathBuf> {
        self.common.policy.as_ref()
    }

    /// The scopes and routes.
    pub(crate) fn policy(&self) -> Outcome<Policy> {
        let Some(path) = &self.common.policy else { return Ok(Policy::default()) };
        let json = source::read(path)?;
        let place = |failure: Failure| Failure { message: format!("{path:?}: {failure}"), ..failure };
        Policy::from_json(&json).map_err(|error| place(Failure::opening(&error)))
    }

    /// After a message about a scope that is not there: that there are other scopes in a policy which was not named.
    pub(crate) fn tell_of_policies(&self, message: &str) {
        if self.common.policy.is_none() && message.contains("there is no scope ") {
            tell(
                "These are the built-in scopes. If the server has a policy of its own, name it with --policy FILE or in \
                 BPOS_POLICY",
            );
        }
    }

    /// Opens the registry: to change it, or to read it only.
    pub(crate) fn open(&self, read_only: bool) -> Outcome<Registry> {
        let (path, options) = (self.registry()?, self.options(read_only)?);
        let _progress = Progress::spinner("reading the registry");
        Registry::open_with(&path, options).map_err(|error| {
            let mut failure = Failure::opening(&error);
            if failure.exit == Exit::Document {
                failure.message.push_str("\n'bpos lint' tells all of its mistakes");
            }
            failure
        })
    }

    fn options(&self, read_only: bool) -> Outcome<Options> {
        Ok(Options::default().policy(self.policy()?).read_only(read_only))
    }
}

/// Refuses a command line with a key in it. A target is exempt: what is said of keys in URLs can be asked.
fn refuse_keys(arguments: impl Iterator<Item = OsString>) -> Outcome {
    let mut exempt = false;
    for argument in arguments.skip(1) {
        let text = argument.to_string_lossy();
        let target = std::mem::replace(&mut exempt, text == "--target") || text.starts_with("--target=");
        if !target && bpos::redact(&text).1 > 0 {
            return Err(Failure::usage(
                "an argument holds a key. Keys are never arguments: 'ps' shows them, and the shell keeps them in its \
                 history. If this one is in use, clear the history and rotate the key. 'bpos check' reads a key from \
                 standard input; the other commands take its id (key_…)",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_key_is_no_argument() {
        let refused = |arguments: &[&str]| refuse_keys(arguments.iter().map(OsString::from)).is_err();
        assert!(refused(&["bpos", "check", "bpos_0123456789abcdef"]));
        assert!(refused(&["bpos", "key", "revoke", "--name=x bpos_0123456789abcdef"]));
        assert!(!refused(&["bpos", "check", "--target", "/?k=bpos_0123456789abcdef"]));
        assert!(refused(&["bpos", "check", "--target", "/", "bpos_0123456789abcdef"]));
        assert!(!refused(&["bpos", "check", "--target=/?k=bpos_0123456789abcdef"]));
        assert!(!refused(&["bpos", "key", "show", "key_0123456789abcdef0123"]));
    }
}
