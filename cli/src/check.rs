//! `bpos check`: how a request would be decided, check by check.
//!
//! The library decides; what is shown is its table up to the row that decided, with what an operator may know of each.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, stdin};

use bpos::{Denial, DenyReason, Grant, KeyRecord, Registry, Request, Scope, has_checksum};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Context;
use crate::arguments::Check;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{KeyView, print, print_json, table};
use crate::time::{distance_text, now_ms, time_text};

/// A longer line is no key; that there is more is all that has to be known of it.
const LONGEST_LINE: u64 = 64 * 1024;

/// The table of the decision: the reason of a denial, and what is so if the check is passed.
const CHECKS: [(DenyReason, &str); 12] = [
    (DenyReason::KeyInUrl, "the URL holds no key"),
    (DenyReason::MissingKey, "there is a key"),
    (DenyReason::MalformedKey, "it has the form of a key"),
    (DenyReason::UnknownKey, "the registry has it"),
    (DenyReason::RevokedKey, "it was not revoked"),
    (DenyReason::DisabledKey, "it is enabled"),
    (DenyReason::ExpiredKey, "it has not expired"),
    (DenyReason::WrongStore, "it belongs to the store"),
    (DenyReason::UnmappedRoute, "a route matches"),
    (DenyReason::InsufficientScope, "it has the scope"),
    (DenyReason::TestMode, "test mode allows it"),
    (DenyReason::RateLimited, "the limit is not used up"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Passed,
    Failed,
    /// The request leaves it out.
    Skipped,
    /// An earlier check has decided.
    NotReached,
    /// Only a server can tell.
    NotKnown,
}

#[derive(Serialize)]
struct Row {
    number: usize,
    check: &'static str,
    reason: &'static str,
    result: Verdict,
    detail: String,
}

#[derive(Serialize)]
struct Report<'a> {
    allowed: bool,
    status: u16,
    reason: &'static str,
    required_scope: Option<&'a str>,
    checks: &'a [Row],
    key: Option<KeyView<'a>>,
    /// What the client is told, of a denial.
    headers: BTreeMap<&'static str, String>,
    body: Option<Box<RawValue>>,
}

pub(crate) fn run(context: &Context, asked: &Check) -> Outcome<Option<Exit>> {
    let registry = context.open(true)?;
    let scope = asked.scope.as_deref().map(|name| scope(&registry, name)).transpose()?;
    let key = read_key()?;
    let request =
        Request::new(asked.method.as_deref().unwrap_or_default(), asked.target.as_deref().unwrap_or_default())
            .api_key(key.as_slice())
            .store(asked.store.as_deref());
    let decision = match scope {
        Some(scope) => registry.authorize_scope(&request, scope),
        None => registry.authorize(&request),
    };
    let explained = Explained::new(&registry, asked, &key, &decision);
    if context.json() {
        explained.print_json(&decision)?
    } else {
        explained.print(&decision)?
    }
    Ok(decision.is_err().then_some(Exit::No))
}

fn scope(registry: &Registry, name: &str) -> Outcome<Scope> {
    let unknown = || {
        let known: Vec<&str> = registry.policy().scopes().collect();
        Failure::usage(format!("--scope: there is no scope {name:?}; expected one of {}", known.join(", ")))
    };
    registry.scope(name).ok_or_else(unknown)
}

/// The first line of standard input without its end, or what a person types without seeing it.
fn read_key() -> Outcome<Vec<u8>> {
    if stdin().is_terminal() {
        let typed = rpassword::prompt_password("API key (not shown): ");
        return typed.map(String::into_bytes).map_err(|error| Failure::new(Exit::Io, format!("the terminal: {error}")));
    }
    let mut line = Vec::new();
    let read = stdin().lock().take(LONGEST_LINE).read_until(b'\n', &mut line);
    read.map_err(|error| Failure::new(Exit::Io, format!("standard input: {error}")))?;
    let text = line.strip_suffix(b"\n").map_or(&line[..], |text| text.strip_suffix(b"\r").unwrap_or(text));
    Ok(text.to_vec())
}

/// A decision with what is known of it.
struct Explained<'a> {
    registry: &'a Registry,
    asked: &'a Check,
    key: &'a [u8],
    record: Option<KeyRecord>,
    required_scope: Option<&'a str>,
    now_ms: i64,
    rows: Vec<Row>,
}

impl<'a> Explained<'a> {
    fn new(registry: &'a Registry, asked: &'a Check, key: &'a [u8], decision: &Result<Grant, Denial>) -> Self {
        let (id, scope) = match decision {
            Ok(grant) => (Some(grant.key_id()), grant.scope()),
            Err(denial) => (denial.key_id(), denial.required_scope()),
        };
        let record = id.and_then(|id| registry.get(id));
        let required_scope = scope.and_then(|scope| registry.policy().name(scope));
        let mut explained = Self { registry, asked, key, record, required_scope, now_ms: now_ms(), rows: Vec::new() };
        let decided = decision.as_ref().err().map(Denial::reason);
        explained.rows = CHECKS
            .iter()
            .enumerate()
            .map(|(index, (reason, check))| {
                let result = explained.verdict(*reason, decided);
                let detail = explained.detail(*reason, result);
                Row { number: index + 1, check, reason: reason.name(), result, detail }
            })
            .collect();
        explained
    }

    fn verdict(&self, reason: DenyReason, decided: Option<DenyReason>) -> Verdict {
        // Reasons are numbered in the order of the checks; `internal`, 0, decides before them all.
        match decided {
            Some(decided) if decided == reason => Verdict::Failed,
            Some(decided) if (decided as u32) < reason as u32 => Verdict::NotReached,
            _ => match reason {
                DenyReason::KeyInUrl if self.asked.target.is_none() => Verdict::Skipped,
                DenyReason::WrongStore if self.asked.store.is_none() => Verdict::Skipped,
                DenyReason::UnmappedRoute if self.asked.scope.is_some() => Verdict::Skipped,
                DenyReason::RateLimited => Verdict::NotKnown,
                _ => Verdict::Passed,
            },
        }
    }

    /// What an operator may know of a check that was made.
    fn detail(&self, reason: DenyReason, result: Verdict) -> String {
        let failed = result == Verdict::Failed;
        let time = |unix_ms: i64| format!("{} ({})", time_text(unix_ms), distance_text(unix_ms, self.now_ms));
        let record = self.record.as_ref();
        match (reason, result) {
            (_, Verdict::NotReached) => String::new(),
            (DenyReason::MalformedKey, Verdict::Failed) => form_fault(self.key),
            (DenyReason::MalformedKey, _) => self.checksum().to_owned(),
            (DenyReason::UnknownKey, Verdict::Failed) => {
                format!("{}; keys in the registry: {}", self.unknown(), self.registry.stats().keys)
            }
            (DenyReason::UnknownKey, _) => {
                record.map_or_else(String::new, |key| format!("{}, {:?}{}", key.id, key.name, self.which_secret(key)))
            }
            (DenyReason::RevokedKey, _) => record.and_then(|key| key.revoked_at).map(time).unwrap_or_default(),
            (DenyReason::ExpiredKey, _) => record.map(|key| self.expiry(key, failed)).unwrap_or_default(),
            (DenyReason::WrongStore, Verdict::Skipped) => "no --store was named".to_owned(),
            (DenyReason::WrongStore, _) => {
                let own = record.map_or("", |key| key.store.as_str());
                let asked = self.asked.store.as_deref().unwrap_or_default();
                if failed { format!("it is {own:?}'s, the request is for {asked:?}") } else { format!("{own:?}") }
            }
            (DenyReason::UnmappedRoute, Verdict::Skipped) => "the server names the scope".to_owned(),
            (DenyReason::UnmappedRoute, _) => {
                let (method, target) = (self.asked.method.as_deref(), self.asked.target.as_deref());
                let (target, _) = bpos::redact(target.unwrap_or_default());
                format!("{} {target}", method.unwrap_or_default())
            }
            (DenyReason::InsufficientScope, _) => {
                let has = record.map(|key| key.scopes.join(", ")).filter(|scopes| !scopes.is_empty());
                let has = has.unwrap_or_else(|| "none".to_owned());
                match self.required_scope {
                    Some(needed) => format!("needs {needed}; has {has}"),
                    None => format!("has {has}"),
                }
            }
            (DenyReason::TestMode, _) => match record {
                Some(key) if failed => format!("the operation writes, and {} can only read", key.id),
                Some(key) if key.test_mode => "on, and the operation reads".to_owned(),
                _ => "off".to_owned(),
            },
            (DenyReason::RateLimited, _) => record.map_or_else(String::new, |key| {
                format!("{} in any 60 seconds; what is left of it only the server knows", key.rate_limit)
            }),
            _ => String::new(),
        }
    }

    fn checksum(&self) -> &'static str {
        match std::str::from_utf8(self.key).is_ok_and(has_checksum) {
            true => "its checksum is right",
            false => "its checksum is wrong",
        }
    }

    fn unknown(&self) -> &'static str {
        match std::str::from_utf8(self.key).is_ok_and(has_checksum) {
            true => "its checksum is right: it was removed or rotated out, or is another registry's",
            false => "its checksum is wrong: mistyped? (only keys that bpos made have one)",
        }
    }

    /// The hints tell a current secret from one that was rotated out.
    fn which_secret(&self, key: &KeyRecord) -> String {
        let current = key.hint.as_deref().is_none_or(|hint| self.key.starts_with(hint.as_bytes()));
        match key.retiring_until {
            Some(until) if !current => format!(", by the secret before the last rotation, until {}", time_text(until)),
            _ => String::new(),
        }
    }

    fn expiry(&self, key: &KeyRecord, failed: bool) -> String {
        let time = |unix_ms: i64| format!("{} ({})", time_text(unix_ms), distance_text(unix_ms, self.now_ms));
        let by_itself = key.expires_at.is_some_and(|end| end <= self.now_ms);
        match (failed, key.expires_at, key.retiring_until) {
            (true, _, Some(until)) if !by_itself => format!("its secret was rotated out: grace ended {}", time(until)),
            (true, Some(end), _) => format!("expired {}", time(end)),
            (_, Some(end), _) => format!("expires {}", time(end)),
            (_, None, _) => "it never does".to_owned(),
        }
    }

    fn print(&self, decision: &Result<Grant, Denial>) -> Outcome {
        let line = |row: &Row| {
            let result = match row.result {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "left out",
                Verdict::NotReached => "-",
                Verdict::NotKnown => "?",
            };
            vec![format!("{:>2}", row.number), row.check.to_owned(), result.to_owned(), row.detail.clone()]
        };
        let mut text = table(&self.rows.iter().map(line).collect::<Vec<_>>());
        match decision {
            Ok(_) => text.push_str("\nallowed: 200, unless the limit is used up\n"),
            Err(denial) => {
                text.push_str(&format!("\ndenied: {} {}\n", denial.status(), denial.reason()));
                text.push_str(&format!("the client is told: {}\n", denial.body()));
            }
        }
        print(&text)
    }

    fn print_json(&self, decision: &Result<Grant, Denial>) -> Outcome {
        let (status, reason, headers, body) = match decision {
            // What a server would say of the limit is not known here.
            Ok(_) => (200, "allowed", Vec::new(), None),
            Err(denial) => (denial.status(), denial.reason().name(), denial.headers(), Some(denial.body())),
        };
        print_json(&Report {
            allowed: decision.is_ok(),
            status,
            reason,
            required_scope: self.required_scope,
            checks: &self.rows,
            key: self.record.as_ref().map(|record| KeyView::new(record, self.now_ms)),
            headers: headers.into_iter().collect(),
            body: body.and_then(|body| RawValue::from_string(body).ok()),
        })
    }
}

/// Why a text is no key, without showing it.
fn form_fault(key: &[u8]) -> String {
    if key.trim_ascii().len() != key.len() {
        return "white space stands before or after it".to_owned();
    }
    let Some(secret) = key.strip_prefix(b"bpos_") else {
        return "it does not begin with bpos_".to_owned();
    };
    match secret.iter().position(|byte| !byte.is_ascii_alphanumeric()) {
        Some(at) => format!("its character {} is neither a letter nor a digit", "bpos_".len() + at + 1),
        None => format!("{} letters and digits follow bpos_; expected 16 to 123", secret.len()),
    }
}
