//! `bpos`: creates, lists, rotates and revokes API keys in a registry file, and explains the decisions made with it.

mod arguments;
mod check;
mod context;
mod failure;
mod generate;
mod init;
mod keys;
mod lint;
mod output;
mod progress;
mod redact;
mod scopes;
mod source;
mod time;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::tell;

fn main() -> ExitCode {
    // Comes first: clap's messages quote arguments, and one that holds a key must not be repeated.
    if let Err(failure) = refuse_keys(std::env::args_os()) {
        tell(&format!("bpos: {failure}"));
        return failure.exit.into();
    }
    let arguments = Arguments::parse();
    let context = Context::new(arguments.common);
    match run(&context, arguments.command) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(exit)) => exit.into(),
        Err(failure) => {
            tell(&format!("bpos: {failure}"));
            context.suggest_policy(&failure.message);
            failure.exit.into()
        }
    }
}

/// Runs a command; `Some` is the exit code of an answer that is no failure, but not a yes either.
fn run(context: &Context, command: Command) -> Outcome<Option<Exit>> {
    match command {
        Command::Check(check) => return check::run(context, &check),
        Command::Lint { file } => return lint::run(context, file),
        Command::Init { file } => init::run(context, file),
        Command::Key { command } => keys::run(context, command),
        Command::Scopes => scopes::run(context),
        Command::Redact => redact::run(context.json()),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { folder } => generate::manual(folder.as_deref()),
    }
    .map(|()| None)
}

/// Refuses a command line with a key in it. A target is exempt, so that people can ask what happens to keys in URLs.
fn refuse_keys(arguments: impl Iterator<Item = OsString>) -> Outcome {
    let mut exempt = false;
    for argument in arguments.skip(1) {
        let text = argument.to_string_lossy();
        let target = std::mem::replace(&mut exempt, text == "--target") || text.starts_with("--target=");
        if !target && bpos::redact(&text).1 > 0 {
            return Err(Failure::usage(
                "an argument holds a key. Never pass a key as an argument: 'ps' shows it, and the shell keeps it in its \
                 history. If the key is in use, clear the history and rotate the key. 'bpos check' reads a key from \
                 standard input; the other commands take the key's id (key_…)",
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
