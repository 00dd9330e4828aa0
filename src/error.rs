//! What went wrong when a registry, a policy or a change was not accepted.

use std::fmt;

/// Why a call failed, for a person and for a program.
///
/// The text says what was wrong, where, and what was expected; it never holds a key. Programs branch on
/// [`Error::kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Box<str>,
}

/// The kinds of [`Error`], the same as the statuses of the C ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument has no meaning here: a memory registry was told to reload, for instance.
    InvalidArgument,
    /// The operating system refused to open, read or write the registry file.
    Io,
    /// A document is not what its format asks for. The text names the key, the member, line and column.
    Format,
    /// There is no key with that id.
    NotFound,
    /// The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
    Conflict,
    /// The registry file may be written by others, or belongs to somebody else.
    Permission,
    /// The change could not be written. What it took away is in force in this process all the same; what it would have
    /// granted is not. The text says which.
    NotDurable,
    /// The registry was opened read-only.
    ReadOnly,
    /// The document is older (its `revision` is lower) than what is in force.
    Stale,
    /// Something is larger than its stated maximum.
    Limit,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into_boxed_str() }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The line of the document that it is about, from 1; 0 if it is about none.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.placed().1
    }

    /// How many bytes of the line were read; 0 if it is about no document.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.placed().2
    }

    /// The member that it is about, such as `rate_limit`.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.message.split_once("member `")?.1.split_once('`').map(|(member, _)| member)
    }

    /// The text without the document and the place.
    #[must_use]
    pub fn message(&self) -> &str {
        let text = self.placed().0;
        let text = text.strip_prefix("the registry document: ").unwrap_or(text);
        text.strip_prefix("the policy: ").unwrap_or(text)
    }

    fn placed(&self) -> (&str, u32, u32) {
        let found = self.message.rsplit_once(" at line ").and_then(|(text, place)| {
            let (line, column) = place.split_once(" column ")?;
            Some((text, line.parse().ok()?, column.parse().ok()?))
        });
        found.unwrap_or((&self.message, 0, 0))
    }

    /// The same failure, with the place it comes from before its text.
    pub(crate) fn within(self, place: impl fmt::Display) -> Self {
        Self::new(self.kind, format!("{place}: {}", self.message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
