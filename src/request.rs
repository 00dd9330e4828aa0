//! What a request brings: its method, its target, its key and its store.

use std::fmt;

/// A request to decide on. Borrows everything, copies nothing.
///
/// ```
/// let header: Option<&str> = None; // the X-API-Key header, if there is one
/// let request = bpos::Request::new("GET", "/api/v1/products?page=2").api_key(header).store("yourstore");
/// # let _ = request;
/// ```
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) api_key: Option<&'a [u8]>,
    pub(crate) store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A request with its method (`GET`) and its target as it was received: path and query, not decoded.
    pub fn new(method: impl Into<Field<'a>>, target: impl Into<Field<'a>>) -> Self {
        Self {
            method: method.into().0.unwrap_or_default(),
            target: target.into().0.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The value of its `X-API-Key` header: a `&str`, a `&[u8]`, or an `Option` of one.
    #[must_use]
    pub fn api_key(self, key: impl Into<Field<'a>>) -> Self {
        Self { api_key: key.into().0, ..self }
    }

    /// The store that it is for: a `&str`, a `&[u8]`, or an `Option` of one. `None` leaves the check out; an empty
    /// text matches no key.
    #[must_use]
    pub fn store(self, store: impl Into<Field<'a>>) -> Self {
        Self { store: store.into().0, ..self }
    }
}

/// Shows everything but the key.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| crate::key::redact(&String::from_utf8_lossy(bytes)).0;
        f.debug_struct("Request")
            .field("method", &text(self.method))
            .field("target", &text(self.target))
            .field("api_key", &self.api_key.map(|_| "…"))
            .field("store", &self.store.map(text))
            .finish()
    }
}

/// A part of a request, which may be absent. Made from a `&str`, a `&[u8]`, or an `Option` of one.
#[derive(Clone, Copy)]
pub struct Field<'a>(Option<&'a [u8]>);

impl<'a> From<&'a [u8]> for Field<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Some(bytes))
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self(Some(text.as_bytes()))
    }
}

impl<'a> From<&'a String> for Field<'a> {
    fn from(text: &'a String) -> Self {
        Self(Some(text.as_bytes()))
    }
}

impl<'a> From<Option<&'a [u8]>> for Field<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self(bytes)
    }
}

impl<'a> From<Option<&'a str>> for Field<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self(text.map(str::as_bytes))
    }
}
