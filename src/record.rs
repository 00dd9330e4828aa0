//! A key's record: everything the registry knows of a key but its digest.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::key::{Digest, HINT_LEN, PREFIX};
use crate::scope::ScopeSet;
use crate::text::{KeyId, Store};

/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 200;
/// Requests in any 60 seconds that a key may have.
pub(crate) const RATE_LIMIT: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The limit of a record that states none.
pub(crate) const DEFAULT_RATE_LIMIT: u32 = 60;

/// A key's record as the registry document has it. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct KeyRecord {
    pub(crate) id: KeyId,
    pub(crate) name: Box<str>,
    /// Shared by the keys of a store.
    pub(crate) store: Arc<Store>,
    pub(crate) hint: Option<Hint>,
    /// As given, not closed over what they include.
    pub(crate) scopes: ScopeSet,
    pub(crate) rate_limit: u32,
    pub(crate) test_mode: bool,
    pub(crate) enabled: bool,
    pub(crate) expires_at: Option<i64>,
    pub(crate) created_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) retiring: Option<Box<Retiring>>,
}

/// A secret that a rotation replaced: it works until its end of grace.
#[derive(Debug, Clone)]
pub(crate) struct Retiring {
    pub(crate) digest: Digest,
    pub(crate) until: i64,
}

/// The first characters of a secret, by which people tell keys apart.
pub(crate) type Hint = [u8; HINT_LEN];

/// Reads `bpos_` and four letters or digits.
pub(crate) fn parse_hint(text: &str) -> Result<Hint, Error> {
    text.as_bytes()
        .strip_prefix(PREFIX)
        .and_then(|shown| Hint::try_from(shown).ok())
        .filter(|shown| shown.iter().all(u8::is_ascii_alphanumeric))
        .ok_or_else(|| expected("\"bpos_\" and the first 4 letters or digits of the secret", text))
}

pub(crate) fn hint_text(hint: Hint) -> String {
    PREFIX.iter().chain(&hint).map(|byte| char::from(*byte)).collect()
}

/// Reads a key's id: it is written to logs, so it is plain, and it must not be a key by mistake.
pub(crate) fn parse_id(text: &str) -> Result<KeyId, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let sound = !text.is_empty() && text.bytes().all(plain) && !text.as_bytes().starts_with(PREFIX);
    KeyId::new(text)
        .filter(|_| sound && crate::key::redact(text).1 == 0)
        .ok_or_else(|| expected("1 to 31 letters, digits or any of \"_-.:\", not beginning with \"bpos_\"", text))
}

/// Reads a key's name: for people, so nothing in it may confuse a terminal or a log.
pub(crate) fn parse_name(text: &str) -> Result<Box<str>, Error> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains(is_control) {
        return Err(expected("1 to 200 bytes without control characters", text));
    }
    Ok(text.into())
}

/// Reads a store's name.
pub(crate) fn parse_store(text: &str) -> Result<Store, Error> {
    Store::new(text)
        .filter(|_| !text.is_empty() && !text.contains(is_control))
        .ok_or_else(|| expected("1 to 63 bytes without control characters", text))
}

/// Characters that move the cursor, break lines or turn the direction of writing.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text is escaped and cut, and a key in it masked: it may be anything.
fn expected(what: &str, found: &str) -> Error {
    const SHOWN: usize = 40;
    let (masked, _) = crate::key::redact(found);
    let shown: String = masked.chars().take(SHOWN).collect();
    let more = if masked.len() > shown.len() { " and more" } else { "" };
    Error::new(ErrorKind::Format, format!("expected {what}; found {shown:?}{more}"))
}
