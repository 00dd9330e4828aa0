//! The rules for a key's members, whether from a document, a form or a host.

use super::api_key::PREFIX;
use super::masking::{EXCERPT, excerpt, redact};
use super::record::Hint;
use crate::error::{Error, ErrorKind};
use crate::text::{KeyId, Store};

/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 200;
/// Requests in any 60 seconds that a key may have.
pub(crate) const RATE_LIMIT: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The limit of a record without one.
pub(crate) const DEFAULT_RATE_LIMIT: u32 = 60;

/// Reads `bpos_` and four letters or digits.
pub(crate) fn parse_hint(text: &str) -> Result<Hint, Error> {
    text.as_bytes()
        .strip_prefix(PREFIX)
        .and_then(|shown| Hint::of(shown.try_into().ok()?))
        .ok_or_else(|| expected("\"bpos_\" and the first 4 letters or digits of the secret", text))
}

/// Reads a key's id: plain, since it is logged, and not a key by mistake.
pub(crate) fn parse_id(text: &str) -> Result<KeyId, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let sound = !text.is_empty() && text.bytes().all(plain) && !text.as_bytes().starts_with(PREFIX);
    KeyId::new(text)
        .filter(|_| sound && !holds_key(text))
        .ok_or_else(|| expected("1 to 31 letters, digits or any of \"_-.:\", not beginning with \"bpos_\"", text))
}

/// Reads a key's name: nothing in it may confuse a terminal or a log.
pub(crate) fn parse_name(text: &str) -> Result<Box<str>, Error> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains(is_control) {
        return Err(expected("1 to 200 bytes without control characters", text));
    }
    refuse_key(text, "name")?;
    Ok(text.into())
}

/// Reads a store's name.
pub(crate) fn parse_store(text: &str) -> Result<Store, Error> {
    let store = Store::new(text)
        .filter(|_| !text.is_empty() && !text.contains(is_control))
        .ok_or_else(|| expected("1 to 63 bytes without control characters", text))?;
    refuse_key(text, "store")?;
    Ok(store)
}

/// Refuses an API key where a label belongs: names and stores are stored, listed and exported in plain text.
fn refuse_key(text: &str, what: &str) -> Result<(), Error> {
    if !holds_key(text) {
        return Ok(());
    }
    let what = format!("a {what}, which is stored in plain text, not an API key: if this is a key in use, replace it");
    Err(expected(&what, text))
}

fn holds_key(text: &str) -> bool {
    // Fast for most of a document's millions of texts: every key has one of these.
    text.contains(['_', '%']) && redact(text).1 > 0
}

/// Checks an expiry that is not from a document: a document must be able to hold it.
pub(crate) fn check_expiry(unix_ms: i64) -> Result<i64, Error> {
    const YEARS_0_TO_9999: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;
    let found = || {
        Error::new(ErrorKind::Format, format!("expected a year from 0 to 9999; found {unix_ms} ms"))
            .in_member("expires_at")
    };
    Some(unix_ms).filter(|unix_ms| YEARS_0_TO_9999.contains(unix_ms)).ok_or_else(found)
}

/// Checks a limit that is not from a document.
pub(crate) fn check_rate_limit(limit: u32) -> Result<u16, Error> {
    let found = || Error::new(ErrorKind::Format, format!("expected 1 to 1000; found {limit}")).in_member("rate_limit");
    u16::try_from(limit).ok().filter(|_| RATE_LIMIT.contains(&limit)).ok_or_else(found)
}

/// Characters that move the cursor, break lines or turn the direction of writing.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text may be anything: it is escaped and cut, and keys in it are masked.
fn expected(what: &str, found: &str) -> Error {
    let shown = excerpt(found);
    let more = if found.chars().nth(EXCERPT).is_some() { " and more" } else { "" };
    Error::new(ErrorKind::Format, format!("expected {what}; found {shown:?}{more}"))
}
