//! What went wrong when a registry, a policy or a change was not accepted.

use std::fmt;

/// Why a call failed, for a person and for a program.
///
/// The text says what was wrong, where, and what was expected; it never holds a key. Programs branch on
/// [`Error::kind`], and editors jump to [`Error::line`] and [`Error::column`].
///
/// ```
/// let error = bpos::Registry::from_json(b"{\"version\": 1,\n \"keys\": 7}").err().expect("7 is no array");
/// assert_eq!((error.kind(), error.line(), error.column()), (bpos::ErrorKind::Format, Some(2), Some(10)));
/// assert_eq!(error.member(), Some("keys"));
/// assert_eq!(
///     error.to_string(),
///     "the registry document: member `keys`: expected an array of key records; found 7 at line 2 column 10"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    /// What it is about: a file, a document.
    subject: String,
    message: String,
    place: Option<Place>,
    member: Option<&'static str>,
    is_in_file: bool,
}

/// A place in a text, both counted from 1. A column counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The kinds of [`Error`], the same as the statuses of the C ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument has no meaning here: a memory registry was told to reload, for instance.
    InvalidArgument,
    /// The operating system refused to open, read or write the registry file.
    Io,
    /// A document does not follow its format. The text names the key, the member, line and column.
    Format,
    /// No key has that id.
    NotFound,
    /// The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
    Conflict,
    /// The registry file is writable by others, or belongs to another user.
    Permission,
    /// The change may not survive: [`Error::is_in_file`] says whether the file has it. What it took away is in force in
    /// this process; what it would have granted is not.
    NotDurable,
    /// The registry was opened read-only.
    ReadOnly,
    /// The document is older (its `revision` is lower) than the one in force.
    Stale,
    /// Something is larger than its stated maximum.
    Limit,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (subject, message) = (String::new(), message.into());
        Self(Box::new(Inner { kind, subject, message, place: None, member: None, is_in_file: false }))
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is wrong, without the file or document that it is about and without the place in it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The line of the document that is wrong, counted from 1; `None` if the failure is not one of a document.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.0.place.map(|place| place.line)
    }

    /// The column in that line, counted from 1, in bytes: where the value that is wrong ends, or where an array or object
    /// begins.
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        self.0.place.map(|place| place.column)
    }

    /// The member of the document that is wrong, missing or there twice, such as `rate_limit`.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.0.member
    }

    /// Whether the registry file has the change, on [`ErrorKind::NotDurable`]: it was written, but could be lost if the
    /// machine stops now. `false` on every other kind.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.0.is_in_file
    }

    /// The same failure, of something larger: a part of a document, a file.
    pub(crate) fn within(mut self, subject: impl fmt::Display) -> Self {
        self.0.subject = format!("{subject}: {}", self.0.subject);
        self
    }

    /// The same failure, of a member of what was asked for.
    pub(crate) fn in_member(mut self, member: &'static str) -> Self {
        self.0.message = format!("{member}: {}", self.0.message);
        self.of_member(Some(member))
    }

    /// The same failure, and what else can be done.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.0.message = format!("{}; {hint}", self.0.message);
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    pub(crate) fn of_member(mut self, member: Option<&'static str>) -> Self {
        self.0.member = member;
        self
    }

    /// A change that may not survive, for this reason.
    pub(crate) fn not_durable(mut self, consequence: &str, is_in_file: bool) -> Self {
        self.0.message = format!("{}: not durable: {consequence}", self.0.message);
        self.0.kind = ErrorKind::NotDurable;
        self.0.is_in_file = is_in_file;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.subject, self.0.message)?;
        match self.0.place {
            Some(Place { line, column }) => write!(f, " at line {line} column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
