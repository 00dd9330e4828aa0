//! Why a command failed, and the exit code that tells a script.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use bpos::ErrorKind;

/// The exit codes. Their numbers never change; `--help`, the man page and docs/operating.md list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// `check`: the request is denied. `lint`: there are mistakes.
    No = 1,
    /// The command line, or a value in it, is invalid. The number is clap's.
    Usage = 2,
    /// A file cannot be read or written, or others may write to it.
    Io = 3,
    /// No key has that id.
    NotFound = 4,
    /// The change conflicts with the registry.
    Conflict = 5,
    /// The change could not be written, or may be lost.
    NotDurable = 6,
    /// The registry file or the policy file has mistakes.
    Document = 7,
}

/// Why a command failed: a text for people and an exit code for scripts.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) exit: Exit,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }

    /// The command line, or a value in it, is invalid.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same for the value of an option, such as `--expires`.
    pub(crate) fn option(option: &str) -> impl FnOnce(String) -> Self {
        move |message| Self::usage(format!("{option}: {message}"))
    }

    /// Something could not be read or written.
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(Exit::Io, format!("{what}: {error}"))
    }

    /// The library could not open a registry or read a policy.
    pub(crate) fn opening(error: &bpos::Error) -> Self {
        Self::new(exit_of(error.kind(), Exit::Document), error.to_string())
    }

    /// The library refused a change: if something is malformed, it is what was asked for.
    pub(crate) fn changing(error: &bpos::Error) -> Self {
        let mut failure = Self::new(exit_of(error.kind(), Exit::Usage), error.to_string());
        if failure.exit == Exit::NotDurable {
            // The library says what stays in force in its process, which ends here.
            failure.message.push_str("\nThat process was this command: run it again once the file can be written");
        }
        failure
    }

    /// The same, with the file that it is about.
    pub(crate) fn within(self, path: &Path) -> Self {
        Self { message: format!("{path:?}: {}", self.message), ..self }
    }
}

/// The exit code for an error of the library; `malformed` is the one for a value that the library does not accept.
fn exit_of(kind: ErrorKind, malformed: Exit) -> Exit {
    match kind {
        ErrorKind::Io | ErrorKind::Permission | ErrorKind::ReadOnly => Exit::Io,
        ErrorKind::NotFound => Exit::NotFound,
        // Two keys with the same id are a mistake in a document, and a conflict in a change.
        ErrorKind::Conflict if malformed == Exit::Document => Exit::Document,
        ErrorKind::Conflict | ErrorKind::Stale => Exit::Conflict,
        ErrorKind::NotDurable => Exit::NotDurable,
        _ => malformed,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
