//! The mistakes of a registry document.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use bpos::{Error, ErrorKind, Options, Policy, Registry};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Finding;
use super::probe::{Kind, Member, Object, Probe, document, no_json, part, place, sound_text};
use crate::progress::Progress;

/// How many records are judged together. Only those of a chunk that is refused are looked at one by one.
const CHUNK: usize = 256;

const BEFORE: &str = "{\"version\":1,\"keys\":[";
const AFTER: &str = "]}";

const DIGEST: &str = "\"0000000000000000000000000000000000000000000000000000000000000000\"";

const TOP: &[Member<'_>] = &[
    Member { name: "version", required: Some("1"), kind: Kind::Leaf },
    Member { name: "revision", required: None, kind: Kind::Leaf },
    Member { name: "keys", required: Some("[]"), kind: Kind::List(&Kind::Other) },
];

const RECORD: &[Member<'_>] = &[
    Member { name: "id", required: Some("\"lint\""), kind: Kind::Leaf },
    Member { name: "name", required: Some("\"lint\""), kind: Kind::Leaf },
    Member { name: "store", required: Some("\"lint\""), kind: Kind::Leaf },
    Member { name: "sha256", required: Some(DIGEST), kind: Kind::Leaf },
    Member { name: "scopes", required: Some("[]"), kind: Kind::List(&Kind::Leaf) },
    Member { name: "retiring", required: None, kind: Kind::Object(RETIRING) },
];

const RETIRING: &[Member<'_>] = &[
    Member { name: "sha256", required: Some(DIGEST), kind: Kind::Leaf },
    Member { name: "until", required: Some("\"2027-01-01T00:00:00Z\""), kind: Kind::Leaf },
];

/// Whether a text is a registry document, and not a policy.
pub(super) fn is_registry(json: &[u8]) -> bool {
    // By the names of its members, up to where it breaks off.
    let mut shape = Shape::default();
    let _ = Read { shape: &mut shape }.deserialize(&mut serde_json::Deserializer::from_slice(json));
    !shape.names.iter().any(|name| name == "scopes" || name == "routes")
        || shape.names.iter().any(|name| name == "version" || name == "keys")
}

pub(super) fn findings(json: &[u8], policy: &Policy) -> Vec<Finding> {
    let whole = {
        let _progress = Progress::spinner("reading");
        judge(json, policy)
    };
    let Err(first) = whole else { return Vec::new() };
    let mut findings = Vec::new();
    let text = sound_text(json, &mut findings);
    let mut shape = Shape::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Read { shape: &mut shape }.deserialize(&mut reader).and_then(|()| reader.end());
    match read {
        Err(error) => no_json(json, &error, &mut findings),
        Ok(()) => findings.extend(top(text, policy)),
    }
    // Without routes, which no record is judged by, a policy is quickly copied.
    let scopes_only = scopes_only(policy).unwrap_or_else(|| policy.clone());
    findings.extend(records(text, &shape.keys, &scopes_only));
    findings.extend(twins(text, &shape.keys));
    if findings.is_empty() {
        // What only the whole can have, such as too many keys.
        let (message, end) = place(json, &first);
        findings.push(Finding { end, message: trimmed(&message) });
    }
    findings
}

/// The members of the document itself.
fn top(text: &str, policy: &Policy) -> Vec<Finding> {
    let judge = |json: &[u8]| judge(json, policy);
    let mut probe = Probe::new(text, &judge, trimmed);
    probe.value(document(text), "", "", &Kind::Object(TOP));
    probe.findings
}

/// The mistakes that each record has by itself, looked for on all processors.
fn records(text: &str, keys: &[&RawValue], policy: &Policy) -> Vec<Finding> {
    let progress = Progress::bar("judging keys", keys.len());
    let chunks: Vec<_> = keys.chunks(CHUNK).enumerate().collect();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = chunks.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let progress = &progress;
        let work = |chunks| scope.spawn(move || judge_chunks(text, chunks, policy, progress));
        let threads: Vec<_> = chunks.chunks(share).map(work).collect();
        let found = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        found.flatten().collect()
    })
}

fn judge_chunks(text: &str, chunks: &[(usize, &[&RawValue])], policy: &Policy, progress: &Progress) -> Vec<Finding> {
    let judge = |json: &[u8]| judge_apart(json, policy);
    let mut probe = Probe::new(text, &judge, trimmed);
    for (number, chunk) in chunks {
        if refused(chunk, policy) {
            for (index, record) in chunk.iter().enumerate() {
                if refused(std::slice::from_ref(record), policy) {
                    probe.label = format!("{}: ", label(number * CHUNK + index, record));
                    probe.value(probe.part(record), BEFORE, AFTER, &Kind::Object(RECORD));
                }
            }
        }
        progress.advance(chunk.len());
    }
    probe.findings
}

/// Whether the library refuses some records.
fn refused(records: &[&RawValue], policy: &Policy) -> bool {
    let mut json = BEFORE.to_owned();
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(record.get());
    }
    json.push_str(AFTER);
    judge_apart(json.as_bytes(), policy).is_err()
}

/// What must be there once, and is there twice.
fn twins(text: &str, keys: &[&RawValue]) -> Vec<Finding> {
    let (mut ids, mut digests) = (HashMap::new(), HashMap::new());
    let mut findings = Vec::new();
    for (index, record) in keys.iter().enumerate() {
        let Ok(names) = serde_json::from_str::<Names>(record.get()) else { continue };
        let mut once = |seen: &mut HashMap<String, usize>, value: Option<&RawValue>, member: &str, what: &str| {
            let Some(value) = value else { return };
            let Ok(Text(name)) = serde_json::from_str::<Text>(value.get()) else { return };
            match seen.get(&*name) {
                Some(first) => {
                    let message =
                        format!("{}: member `{member}`: key {} has the same {what}", label(index, record), first + 1);
                    findings.push(Finding { end: part(text, value).end(), message });
                }
                None => drop(seen.insert(name.into_owned(), index)),
            }
        };
        once(&mut ids, names.id, "id", "id");
        once(&mut digests, names.sha256, "sha256", "secret");
        once(&mut digests, names.retiring.and_then(|retiring| retiring.0), "retiring", "secret");
    }
    findings
}

/// What a record must not share with another.
#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sha256: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retiring: Option<Retiring<'a>>,
}

struct Retiring<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Retiring<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        let members = serde_json::from_str::<Object<'de>>(value.get()).map_or_else(|_| Vec::new(), |object| object.0);
        Ok(Self(members.into_iter().find(|(name, _)| name == "sha256").map(|(_, value)| value)))
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// `key 3 (key_4f9h…)`: its place in the list, and its id, if that is fit to be shown.
fn label(index: usize, record: &RawValue) -> String {
    let names = serde_json::from_str::<Names>(record.get()).ok();
    let id = names.and_then(|names| serde_json::from_str::<Text>(names.id?.get()).ok()).map(|Text(id)| id);
    let plain = |id: &Cow<'_, str>| {
        (1..32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) && bpos::redact(id).1 == 0
    };
    match id.filter(plain) {
        Some(id) => format!("key {} ({id})", index + 1),
        None => format!("key {}", index + 1),
    }
}

fn judge(json: &[u8], policy: &Policy) -> Result<(), Error> {
    Registry::from_json_with(json, Options::default().policy(policy.clone())).map(drop)
}

/// The same, but for what records must not share: that is looked for apart.
fn judge_apart(json: &[u8], policy: &Policy) -> Result<(), Error> {
    match judge(json, policy) {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        judged => judged,
    }
}

/// A policy of the same scopes without routes.
fn scopes_only(policy: &Policy) -> Option<Policy> {
    let scopes: Vec<_> = policy.scopes().map(|name| serde_json::json!({ "name": name })).collect();
    Policy::from_json(serde_json::json!({ "scopes": scopes, "routes": [] }).to_string().as_bytes()).ok()
}

/// The library's message without the place that it found in a document that was made up to be judged.
fn trimmed(message: &str) -> String {
    let message = message.strip_prefix("the registry document: ").unwrap_or(message);
    let key = message.strip_prefix("key 1: ").or_else(|| {
        let (id, rest) = message.strip_prefix("key 1 (")?.split_once("): ")?;
        (!id.contains(' ')).then_some(rest)
    });
    key.unwrap_or(message).replace("the record of key 1, an object", "a key's record, an object")
}

/// Values that have no parts.
macro_rules! anything_else {
    () => {
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    };
}

/// What a document consists of, as far as it can be read.
#[derive(Default)]
struct Shape<'a> {
    names: Vec<String>,
    keys: Vec<&'a RawValue>,
}

/// Reads a document's shape. What was read before a mistake stays.
struct Read<'s, 'a> {
    shape: &'s mut Shape<'a>,
}

impl<'de> DeserializeSeed<'de> for Read<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let keys = name == "keys";
            self.shape.names.push(name);
            if keys {
                map.next_value_seed(Keys { keys: &mut self.shape.keys })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    anything_else!();
}

/// Reads a list of records. What is no list has none.
struct Keys<'s, 'a> {
    keys: &'s mut Vec<&'a RawValue>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(record) = items.next_element()? {
            self.keys.push(record);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    anything_else!();
}
