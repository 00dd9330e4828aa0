//! What is written, where: results to standard output, everything else to standard error.

use std::io::{ErrorKind, Write, stderr, stdout};

use bpos::KeyRecord;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::{Exit, Failure, Outcome};
use crate::time::{distance_text, time_text};

/// Writes a result. A reader that has seen enough and went away is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    match write_out(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new(Exit::Io, format!("standard output: {error}"))),
    }
}

/// Writes a result as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Outcome {
    let json = serde_json::to_string(value)
        .map_err(|error| Failure::new(Exit::Io, format!("the answer could not be written as JSON: {error}")))?;
    print(&format!("{json}\n"))
}

/// Writes all of a text, or says that it could not.
pub(crate) fn write_out(text: &[u8]) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Tells a person something. No key and no control character comes through, whatever the text is made of.
pub(crate) fn tell(text: &str) {
    let (masked, _) = bpos::redact(text);
    let _ = writeln!(stderr(), "{}", escaped(&masked)); // without a reader there is nobody to tell
}

/// A text in which nothing moves the cursor, hides itself or turns the direction of writing. Line breaks stay.
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

/// A text as a word of a command line, which a shell reads as that text.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,%+@".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Columns that line up, with two spaces between them.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escaped(cell).replace('\n', " ")).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            match widths.get_mut(column) {
                Some(width) => *width = (*width).max(cell.width()),
                None => widths.push(cell.width()),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        let start = text.len();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
        }
        text.truncate(start + text.get(start..).unwrap_or_default().trim_end().len());
        text.push('\n');
    }
    text
}

/// A key as this command writes it as JSON: what was used of it is known to the servers, not here.
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
}

/// What a request with the key meets first, in the order of the decision.
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
    let time = |unix_ms: i64| format!("{} ({})", time_text(unix_ms), distance_text(unix_ms, now_ms));
    let or_none = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    let mut rows = vec![
        ("id", record.id.clone()),
        ("name", record.name.clone()),
        ("store", record.store.clone()),
        ("state", state(record, now_ms).to_owned()),
        ("scopes", or_none(Some(record.scopes.join(", ")).filter(|scopes| !scopes.is_empty()), "none")),
        ("rate limit", format!("{} requests in any 60 seconds", record.rate_limit)),
        ("test mode", if record.test_mode { "on: it can only read" } else { "off" }.to_owned()),
        ("expires", or_none(record.expires_at.map(time), "never")),
        ("created", or_none(record.created_at.map(time), "unknown")),
        ("begins with", or_none(record.hint.clone().map(|hint| format!("{hint}…")), "unknown")),
    ];
    rows.extend(record.revoked_at.map(|at| ("revoked", time(at))));
    rows.extend(record.retiring_until.map(|until| ("old secret until", time(until))));
    table(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let rows = [["ID", "NAME", "X"], ["1", "商店", "y"], ["22", "", ""]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        assert_eq!(table(&rows), "ID  NAME  X\n1   商店  y\n22\n");
    }

    #[test]
    fn nothing_in_a_text_moves_the_cursor() {
        assert_eq!(escaped("a\u{1b}[2Jb\u{202e}c\u{200b}\r\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{200b}\\u{d}\nd");
    }
}
