//! `bpos check`: how a request would be decided, check by check.
//!
//! The library decides; its table is shown up to the row that decided, with what an operator may know about each check.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, stdin};

use bpos::{Denial, DenyReason, Grant, KeyRecord, Registry, Request, Scope, has_checksum};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arguments::Check;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{KeyView, table};
use crate::time::{now_ms, time_and_distance, time_text};

/// How much is read of the key's line: more than any key has, so what is cut off is refused as well.
const LONGEST_LINE: u64 = 64 * 1024;

/// The table of the decision: the reason for a denial, and what holds if the check passes.
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
    /// The request does without it.
    Skipped,
    /// An earlier check has decided.
    NotReached,
    /// Only a server knows.
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
    /// The answer to the client, if the request is denied.
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
    context.print(&explained.report(&decision), || explained.text(&decision))?;
    Ok(decision.is_err().then_some(Exit::No))
}

fn scope(registry: &Registry, name: &str) -> Outcome<Scope> {
    let unknown = || {
        let known: Vec<&str> = registry.policy().scopes().collect();
        Failure::usage(format!("--scope: unknown scope {name:?}; expected one of {}", known.join(", ")))
    };
    registry.scope(name).ok_or_else(unknown)
}

/// The first line of standard input without its line break, or what a person types, without echo.
fn read_key() -> Outcome<Vec<u8>> {
    if stdin().is_terminal() {
        let typed = rpassword::prompt_password("API key (not shown): ");
        return typed.map(String::into_bytes).map_err(Failure::io("the terminal"));
    }
    let mut line = Vec::new();
    let read = stdin().lock().take(LONGEST_LINE).read_until(b'\n', &mut line);
    read.map_err(Failure::io("standard input"))?;
    let text = line.strip_suffix(b"\n").map_or(&line[..], |text| text.strip_suffix(b"\r").unwrap_or(text));
    Ok(text.to_vec())
}

/// A decision with all that is known about it.
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
        // Reasons are numbered in the order of the checks; `internal`, 0, comes before them all.
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

    /// What an operator may know about a check that was made.
    fn detail(&self, reason: DenyReason, result: Verdict) -> String {
        let failed = result == Verdict::Failed;
        let time = |unix_ms| time_and_distance(unix_ms, self.now_ms);
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
            (DenyReason::WrongStore, Verdict::Skipped) => "no --store given".to_owned(),
            (DenyReason::WrongStore, _) => {
                let own = record.map_or("", |key| key.store.as_str());
                let asked = self.asked.store.as_deref().unwrap_or_default();
                if failed { format!("the key is for {own:?}, the request for {asked:?}") } else { format!("{own:?}") }
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
                Some(key) if failed => format!("the operation writes, and {} is read-only", key.id),
                Some(key) if key.test_mode => "on, and the operation reads".to_owned(),
                _ => "off".to_owned(),
            },
            (DenyReason::RateLimited, _) => record.map_or_else(String::new, |key| {
                format!("{} in any 60 seconds; only the server knows how many are left", key.rate_limit)
            }),
            _ => String::new(),
        }
    }

    fn checksum(&self) -> &'static str {
        if self.checksum_is_right() { "its checksum is right" } else { "its checksum is wrong" }
    }

    fn unknown(&self) -> &'static str {
        if self.checksum_is_right() {
            "its checksum is right: it was removed or rotated out, or is in another registry"
        } else {
            "its checksum is wrong: mistyped? (only keys made by bpos have one)"
        }
    }

    fn checksum_is_right(&self) -> bool {
        std::str::from_utf8(self.key).is_ok_and(has_checksum)
    }

    /// Tells a secret that was rotated out from the current one, by their hints.
    fn which_secret(&self, key: &KeyRecord) -> String {
        let current = key.hint.as_deref().is_none_or(|hint| self.key.starts_with(hint.as_bytes()));
        match key.retiring_until {
            Some(until) if !current => format!(", by its previous secret, which works until {}", time_text(until)),
            _ => String::new(),
        }
    }

    fn expiry(&self, key: &KeyRecord, failed: bool) -> String {
        let time = |unix_ms| time_and_distance(unix_ms, self.now_ms);
        let by_itself = key.expires_at.is_some_and(|end| end <= self.now_ms);
        match (failed, key.expires_at, key.retiring_until) {
            (true, _, Some(until)) if !by_itself => {
                format!("this secret was rotated out: its grace period ended {}", time(until))
            }
            (true, Some(end), _) => format!("expired {}", time(end)),
            (_, Some(end), _) => format!("expires {}", time(end)),
            (_, None, _) => "never".to_owned(),
        }
    }

    fn text(&self, decision: &Result<Grant, Denial>) -> String {
        let line = |row: &Row| {
            let result = match row.result {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "skipped",
                Verdict::NotReached => "-",
                Verdict::NotKnown => "?",
            };
            [format!("{:>2}", row.number), row.check.to_owned(), result.to_owned(), row.detail.clone()]
        };
        let rows = table(self.rows.iter().map(line));
        match decision {
            Ok(_) => format!("{rows}\nallowed: 200, unless the limit is used up\n"),
            Err(denial) => {
                let (status, reason, body) = (denial.status(), denial.reason(), denial.body());
                format!("{rows}\ndenied: {status} {reason}\nthe client is told: {body}\n")
            }
        }
    }

    fn report(&self, decision: &Result<Grant, Denial>) -> Report<'_> {
        let (status, reason, headers, body) = match decision {
            // The server's answer has the limit in its headers, which is not known here.
            Ok(_) => (200, "allowed", Vec::new(), None),
            Err(denial) => (denial.status(), denial.reason().name(), denial.headers(), Some(denial.body())),
        };
        Report {
            allowed: decision.is_ok(),
            status,
            reason,
            required_scope: self.required_scope,
            checks: &self.rows,
            key: self.record.as_ref().map(|record| KeyView::new(record, self.now_ms)),
            headers: headers.into_iter().collect(),
            body: body.and_then(|body| RawValue::from_string(body).ok()),
        }
    }
}

/// Why a text is not a key, without showing it.
fn form_fault(key: &[u8]) -> String {
    if key.trim_ascii().len() != key.len() {
        return "it has white space before or after it".to_owned();
    }
    let Some(secret) = key.strip_prefix(b"bpos_") else {
        return "it does not begin with bpos_".to_owned();
    };
    match secret.iter().position(|byte| !byte.is_ascii_alphanumeric()) {
        Some(at) => format!("its character {} is neither a letter nor a digit", "bpos_".len() + at + 1),
        None => format!("it has {} letters and digits after bpos_; expected 16 to 123", secret.len()),
    }
}
