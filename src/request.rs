//! What a request brings: its method, its target, its key and its store.

use std::fmt;

/// A request to decide on. Borrows everything.
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
    /// A request with its method (`GET`) and its target as received: path and query, not decoded.
    pub fn new(method: impl Into<Field<'a>>, target: impl Into<Field<'a>>) -> Self {
        let [method, target] = [method.into(), target.into()].map(|field| field.0.unwrap_or_default());
        Self { method, target, ..Self::default() }
    }

    /// The value of its `X-API-Key` header: a `&str`, a `&[u8]`, or an `Option` of one.
    #[must_use]
    pub fn api_key(self, key: impl Into<Field<'a>>) -> Self {
        Self { api_key: key.into().0, ..self }
    }

    /// Its store: a `&str`, a `&[u8]`, or an `Option` of one. `None` skips the check; an empty text matches no key.
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

/// A part of a request, which may be absent: from a `&str`, a `&String`, a `&[u8]`, or an `Option` of text or bytes.
#[derive(Clone, Copy)]
pub struct Field<'a>(Option<&'a [u8]>);

macro_rules! field_from {
    ($($from:ty, $value:ident => $bytes:expr;)+) => {$(
        impl<'a> From<$from> for Field<'a> {
            fn from($value: $from) -> Self {
                Self($bytes)
            }
        }
    )+};
}

field_from! {
    &'a [u8], bytes => Some(bytes);
    &'a str, text => Some(text.as_bytes());
    &'a String, text => Some(text.as_bytes());
    Option<&'a [u8]>, bytes => bytes;
    Option<&'a str>, text => text.map(str::as_bytes);
}
