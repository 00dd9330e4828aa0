//! What is written where: results to standard output, everything else to standard error.

use std::io::{ErrorKind, Write, stderr, stdout};

use bpos::KeyRecord;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::{Exit, Failure, Outcome};
use crate::time::{time_and_distance, time_text};

/// Writes a result. A reader that has seen enough and is gone is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    match write_out(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::io("standard output")),
    }
}

/// Writes a result as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Outcome {
    print(&format!("{}\n", json_text(value)?))
}

/// A result as JSON, on one line.
pub(crate) fn json_text(value: &impl Serialize) -> Outcome<String> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(Exit::Io, format!("cannot write the result as JSON: {error}")))
}

/// Writes all of a text, or fails, even if the reader is gone.
pub(crate) fn write_out(text: &[u8]) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Tells people something. No key and no control character gets through, whatever the text contains.
pub(crate) fn tell(text: &str) {
    let (masked, _) = bpos::redact(text);
    let _ = writeln!(stderr(), "{}", escaped(&masked)); // nobody to tell if it fails
}

/// A text with everything escaped that moves the cursor, is invisible or changes the direction of writing. Line breaks stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let unseen = matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
            || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}');
        if unseen || (c.is_control() && c != '\n') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A text quoted as one word for a shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,%+@".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Rows with a row of titles above them.
pub(crate) fn titled_table<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    table(std::iter::once(titles.map(str::to_owned)).chain(rows))
}

/// Columns that line up, two spaces apart.
pub(crate) fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let one_line = |cell: String| escaped(&cell).replace('\n', " ");
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(one_line)).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A key as JSON. Its usage is missing: only the servers know it.
#[derive(Serialize)]
pub(crate) struct KeyView<'a> {
    id: &'a str,
    name: &'a str,
    store: &'a str,
    hint: Option<&'a str>,
    state: &'static str,
    scopes: &'a [String],
    rate_limit: u32,
    expires_at: Option<String>,
    test_mode: bool,
    enabled: bool,
    created_at: Option<String>,
    revoked_at: Option<String>,
    retiring_until: Option<String>,
}

impl<'a> KeyView<'a> {
    pub(crate) fn new(record: &'a KeyRecord, now_ms: i64) -> Self {
        Self {
            id: &record.id,
            name: &record.name,
            store: &record.store,
            hint: record.hint.as_deref(),
            state: state(record, now_ms),
            scopes: &record.scopes,
            rate_limit: record.rate_limit,
            expires_at: record.expires_at.map(time_text),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.created_at.map(time_text),
            revoked_at: record.revoked_at.map(time_text),
            retiring_until: record.retiring_until.map(time_text),
        }
    }

    pub(crate) fn list(records: &'a [KeyRecord], now_ms: i64) -> Vec<Self> {
        records.iter().map(|record| Self::new(record, now_ms)).collect()
    }
}

/// Whether requests with the key can be allowed; if not, the first reason in the order of the decision.
pub(crate) fn state(record: &KeyRecord, now_ms: i64) -> &'static str {
    if record.revoked_at.is_some() {
        "revoked"
    } else if !record.enabled {
        "disabled"
    } else if record.expires_at.is_some_and(|end| end <= now_ms) {
        "expired"
    } else {
        "active"
    }
}

/// Everything about one key, for people.
pub(crate) fn key_text(record: &KeyRecord, now_ms: i64) -> String {
    let time = |unix_ms| time_and_distance(unix_ms, now_ms);
    let or_none = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    let mut rows = vec![
        ("id", record.id.clone()),
        ("name", record.name.clone()),
        ("store", record.store.clone()),
        ("state", state(record, now_ms).to_owned()),
        ("scopes", or_none(Some(record.scopes.join(", ")).filter(|scopes| !scopes.is_empty()), "none")),
        ("rate limit", format!("{} requests in any 60 seconds", record.rate_limit)),
        ("test mode", if record.test_mode { "on: read-only" } else { "off" }.to_owned()),
        ("expires", or_none(record.expires_at.map(time), "never")),
        ("created", or_none(record.created_at.map(time), "unknown")),
        ("begins with", or_none(record.hint.clone().map(|hint| format!("{hint}…")), "unknown")),
    ];
    rows.extend(record.revoked_at.map(|at| ("revoked", time(at))));
    rows.extend(record.retiring_until.map(|until| ("old secret until", time(until))));
    table(rows.into_iter().map(|(name, value)| [name.to_owned(), value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let rows = [["ID", "NAME", "X"], ["1", "商店", "y"], ["22", "", ""]];
        assert_eq!(table(rows.map(|row| row.map(str::to_owned))), "ID  NAME  X\n1   商店  y\n22\n");
    }

    #[test]
    fn nothing_in_a_text_moves_the_cursor() {
        assert_eq!(escaped("a\u{1b}[2Jb\u{202e}c\u{200b}\r\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{200b}\\u{d}\nd");
    }
}
