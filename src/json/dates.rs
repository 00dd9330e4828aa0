//! Dates as documents have them, and as the library counts them: milliseconds since 1970.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// Dates are reckoned without a time zone: the library's instants end a day before the year 9999 does, and
/// `9999-12-31T23:59:59Z` is what many write for "never".
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Reads an RFC 3339 date in UTC, to the millisecond, as milliseconds since 1970.
///
/// ```
/// assert_eq!(bpos::parse_date("1970-01-01T00:00:01.250Z"), Some(1_250));
/// assert_eq!(bpos::parse_date("1970-01-01"), None);
/// ```
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let (date, fraction) = text.strip_suffix('Z')?.split_at_checked(19)?;
    let fits = |byte: u8, pattern| if pattern == b'0' { byte.is_ascii_digit() } else { byte == pattern };
    let whole = date.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, pattern)| fits(byte, pattern));
    let exact = match fraction.strip_prefix('.') {
        Some(digits) => (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => fraction.is_empty(),
    };
    // The library would read a leap second as the second before.
    if !whole || !exact || date.ends_with("60") {
        return None;
    }
    let date = text.strip_suffix('Z')?.parse::<DateTime>().ok()?;
    i64::try_from(date.duration_since(EPOCH).as_millis()).ok()
}

/// Writes milliseconds since 1970 as [`parse_date`] reads them, always with three digits after the second. Empty for a
/// year that is not one of 0 to 9999.
///
/// ```
/// assert_eq!(bpos::date_text(1_250), "1970-01-01T00:00:01.250Z");
/// ```
#[must_use]
pub fn date_text(unix_ms: i64) -> String {
    EPOCH.checked_add(SignedDuration::from_millis(unix_ms)).map(|date| format!("{date:.3}Z")).unwrap_or_default()
}
