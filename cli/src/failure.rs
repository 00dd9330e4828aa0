//! What went wrong, and the exit code that says so to a script.

use std::fmt;
use std::process::ExitCode;

use bpos::ErrorKind;

/// The exit codes. Numbers are for ever; `--help`, the man page and docs/operating.md list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// `check`: the request is denied. `lint`: there are findings.
    No = 1,
    /// The command line, or a value in it, is not as it must be. The number is clap's.
    Usage = 2,
    /// A file cannot be read or written, or others may write it.
    Io = 3,
    /// There is no key with that id.
    NotFound = 4,
    /// The change contradicts what is there.
    Conflict = 5,
    /// The change could not be written, or may not survive.
    NotDurable = 6,
    /// The registry file or the policy file has mistakes in it.
    Document = 7,
}

/// Why a command failed: a text for a person, and a code for a script.
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

    /// A command line that cannot be obeyed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The library refused to open a registry, or to read a policy.
    pub(crate) fn opening(error: &bpos::Error) -> Self {
        Self::new(exit_of(error.kind(), Exit::Document), error.to_string())
    }

    /// The library refused a change: what is malformed then is what was asked for.
    pub(crate) fn changing(error: &bpos::Error) -> Self {
        let mut failure = Self::new(exit_of(error.kind(), Exit::Usage), error.to_string());
        if failure.exit == Exit::NotDurable {
            // What the library keeps in force in its process ends with this one.
            failure.message.push_str("\nThat process was this command: run it again once the file can be written");
        }
        failure
    }
}

/// The code for an error of the library; `malformed` is the one for a text or a number that it cannot accept.
fn exit_of(kind: ErrorKind, malformed: Exit) -> Exit {
    match kind {
        ErrorKind::Io | ErrorKind::Permission | ErrorKind::ReadOnly => Exit::Io,
        ErrorKind::NotFound => Exit::NotFound,
        // Two keys with one id are a mistake in a document that is opened, and a contradiction in a change.
        ErrorKind::Conflict if malformed == Exit::Document => Exit::Document,
        ErrorKind::Conflict | ErrorKind::Stale => Exit::Conflict,
        ErrorKind::NotDurable => Exit::NotDurable,
        _ => malformed,
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Io, error.to_string())
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
