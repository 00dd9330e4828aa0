//! JSON, and the only file that knows it: registry documents, records, policies and options.
//!
//! Everything is strict. Members are read by name, each once, none unknown; a value is checked where it stands, so an
//! error carries the line and the column of it, and the key and the member around it.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

#[cfg(feature = "ffi")]
use crate::edit::KeyChange;
use crate::error::{Error, ErrorKind};
use crate::key::{Digest, excerpt};
use crate::policy::{Fault, Policy, PolicySpec, RouteSpec, ScopeSpec};
use crate::record::{
    DEFAULT_RATE_LIMIT, Hint, KeyPatch, KeyRecord, KeySpec, KeyUsage, RATE_LIMIT, Record, Retiring, parse_hint,
    parse_id, parse_name, parse_store,
};
use crate::scope::ScopeSet;
use crate::stats::Stats;
use crate::text::Store;

/// The largest document, in bytes: 1 GiB.
pub(crate) const MAX_BYTES: usize = 1 << 30;
/// How many keys a document can have.
pub(crate) const MAX_KEYS: usize = 2_000_000;

/// How many changes can be made together.
#[cfg(feature = "ffi")]
const MAX_CHANGES: usize = 100_000;

const VERSION: u64 = 1;

/// A registry document, read and checked but for what only the whole set can tell.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) revision: u64,
    pub(crate) keys: Vec<Keyed>,
}

/// A key's record with the digest that it is found by.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) digest: Digest,
    pub(crate) record: Record,
}

/// What a host may choose when it opens a registry.
#[derive(Debug, Default)]
pub(crate) struct ParsedOptions {
    pub(crate) policy: Option<Policy>,
    pub(crate) read_only: bool,
}

/// Reads a registry document.
pub(crate) fn parse(json: &[u8], policy: &Policy) -> Result<Document, Error> {
    read(json, "the registry document", DocumentSeed { policy })
}

/// Reads a JSON array of records, as the registry document has them.
pub(crate) fn parse_records(json: &[u8], policy: &Policy) -> Result<Vec<Keyed>, Error> {
    read(json, "the records", KeysSeed { policy, stores: &mut HashSet::new() })
}

/// Reads a policy.
pub(crate) fn parse_policy(json: &[u8]) -> Result<Policy, Error> {
    let spec = read(json, "the policy", object::<PolicySpec>())?;
    Policy::new(&spec).map_err(|fault| located(json, &[], &fault))
}

/// Reads a host's options.
pub(crate) fn parse_options(json: &[u8]) -> Result<ParsedOptions, Error> {
    let options = read(json, "the options", object::<OptionsSpec>())?;
    let policy = match &options.policy {
        Some(spec) => Some(Policy::new(spec).map_err(|fault| located(json, &[Step::Member("policy")], &fault))?),
        None => None,
    };
    Ok(ParsedOptions { policy, read_only: options.read_only })
}

/// Reads what a new key is to be. Its scopes are checked where they stand, if it is known which there are.
pub(crate) fn parse_spec(json: &[u8], policy: Option<&Policy>) -> Result<KeySpec, Error> {
    read(json, "the key's spec", object_for::<KeySpec>(policy))
}

/// Reads what is to change of a key. Its scopes are checked as those of a spec.
pub(crate) fn parse_patch(json: &[u8], policy: Option<&Policy>) -> Result<KeyPatch, Error> {
    read(json, "the patch", object_for::<KeyPatch>(policy))
}

/// Reads a JSON array of changes that are to be made together.
#[cfg(feature = "ffi")]
pub(crate) fn parse_changes(json: &[u8], policy: &Policy) -> Result<Vec<KeyChange>, Error> {
    read(json, "the changes", ChangesSeed { policy })
}

/// Where the `index`-th key of a document stands, for an error that only the whole set shows.
pub(crate) fn place_of_key(json: &[u8], index: usize) -> String {
    match place(json, &[Step::Member("keys"), Step::Item(index), Step::Member("id")])
        .or_else(|| place(json, &[Step::Item(index), Step::Member("id")]))
    {
        Some((line, column)) => format!(" at line {line} column {column}"),
        None => String::new(),
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a registry document, for people as well.
pub(crate) fn write(revision: u64, policy: &Policy, keys: &[(&Digest, &Record)]) -> Result<Vec<u8>, Error> {
    let mut json =
        serde_json::to_vec_pretty(&Written { revision, policy, keys }).map_err(|error| unwritable(&error))?;
    json.push(b'\n');
    Ok(json)
}

/// A key as those see it who manage keys, as a JSON object.
pub(crate) fn write_record(record: &KeyRecord) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&WrittenRecord(record)).map_err(|error| unwritable(&error))
}

/// Keys as those see them who manage keys, as a JSON array.
pub(crate) fn write_records(records: &[KeyRecord]) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Sequence(records.iter().map(WrittenRecord))).map_err(|error| unwritable(&error))
}

/// What a registry has counted, as a JSON object.
pub(crate) fn write_stats(stats: &Stats) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&WrittenStats(stats)).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Format, format!("the document could not be written: {error}"))
}

/// Reads one JSON value and nothing after it.
fn read<'de, S: DeserializeSeed<'de>>(json: &'de [u8], what: &str, seed: S) -> Result<S::Value, Error> {
    if json.len() > MAX_BYTES {
        let message = format!("{what} has {} bytes; expected at most {MAX_BYTES} (1 GiB)", json.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let message = error.to_string();
        // A bound that was passed is told apart by its words: serde's errors carry nothing else. Only the first ones
        // count, since others can be the document's own.
        let kind = if message.starts_with(OVER_BOUND) { ErrorKind::Limit } else { ErrorKind::Format };
        let place = format!(" at line {} column {}", error.line(), error.column());
        match message.strip_suffix(&place) {
            Some(message) => Error::new(kind, format!("{what}: {}{place}", presentable(message))),
            None => Error::new(kind, format!("{what}: {}", presentable(&message))),
        }
    })
}

const OVER_BOUND: &str = "expected at most";

/// A message that may quote the text it is about: keys in it masked, and its middle left out if it is long.
fn presentable(message: &str) -> String {
    const HALF: usize = 180;
    let (masked, _) = crate::key::redact(message);
    if masked.len() <= 2 * HALF + "…".len() {
        return masked;
    }
    let start = masked.floor_char_boundary(HALF);
    let end = masked.ceil_char_boundary(masked.len() - HALF);
    match (masked.get(..start), masked.get(end..)) {
        (Some(start), Some(end)) => format!("{start}…{end}"),
        _ => masked,
    }
}

// ---- The registry document ----

struct DocumentSeed<'p> {
    policy: &'p Policy,
}

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with the members version, revision and keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        const MEMBERS: &[&str] = &["version", "revision", "keys"];
        let (mut version, mut revision, mut keys) = (None, None, None);
        while let Some(member) = map.next_key_seed(MemberName(MEMBERS))? {
            match member {
                "version" => once(&mut version, member, || map.next_value_seed(VersionSeed)),
                "revision" => once(&mut revision, member, || map.next_value::<u64>()),
                _ => once(&mut keys, member, || {
                    map.next_value_seed(KeysSeed { policy: self.policy, stores: &mut HashSet::new() })
                }),
            }?;
        }
        required(version, "version")?;
        Ok(Document { revision: revision.unwrap_or(0), keys: required(keys, "keys")? })
    }
}

struct VersionSeed;

impl<'de> DeserializeSeed<'de> for VersionSeed {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for VersionSeed {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "version {VERSION}")
    }

    fn visit_u64<E: de::Error>(self, found: u64) -> Result<(), E> {
        if found == VERSION {
            Ok(())
        } else {
            Err(E::custom(format_args!("expected version {VERSION}; found {found}")))
        }
    }
}

struct KeysSeed<'p> {
    policy: &'p Policy,
    /// The stores met so far: the keys of one share its name.
    stores: &'p mut HashSet<SharedStore>,
}

impl<'de> DeserializeSeed<'de> for KeysSeed<'_> {
    type Value = Vec<Keyed>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Keyed>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for KeysSeed<'_> {
    type Value = Vec<Keyed>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of key records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut keys: A) -> Result<Vec<Keyed>, A::Error> {
        let mut read = Vec::new();
        loop {
            let number = read.len() + 1;
            let seed = RecordSeed { policy: self.policy, stores: &mut *self.stores, number };
            match keys.next_element_seed(seed)? {
                Some(key) => read.push(key),
                None => return Ok(read),
            }
        }
    }
}

struct RecordSeed<'p> {
    policy: &'p Policy,
    stores: &'p mut HashSet<SharedStore>,
    /// The record's place in its list, counted from 1.
    number: usize,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = Keyed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keyed, D::Error> {
        if self.number > MAX_KEYS {
            return Err(de::Error::custom(format_args!("{OVER_BOUND} {MAX_KEYS} keys; found one more")));
        }
        deserializer.deserialize_map(self)
    }
}

/// The members of a record as they are found.
#[derive(Default)]
struct Members {
    id: Option<crate::text::KeyId>,
    name: Option<Box<str>>,
    store: Option<Arc<Store>>,
    sha256: Option<Digest>,
    hint: Option<Option<Hint>>,
    scopes: Option<ScopeSet>,
    rate_limit: Option<u32>,
    expires_at: Option<Option<i64>>,
    test_mode: Option<bool>,
    enabled: Option<bool>,
    created_at: Option<Option<i64>>,
    revoked_at: Option<Option<i64>>,
    retiring: Option<Option<Box<Retiring>>>,
}

const RECORD_MEMBERS: &[&str] = &[
    "id",
    "name",
    "store",
    "sha256",
    "hint",
    "scopes",
    "rate_limit",
    "expires_at",
    "test_mode",
    "enabled",
    "created_at",
    "revoked_at",
    "retiring",
];

impl<'de> Visitor<'de> for RecordSeed<'_> {
    type Value = Keyed;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the record of key {}, an object", self.number)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keyed, A::Error> {
        let mut members = Members::default();
        let number = self.number;
        let outcome = loop {
            match map.next_key_seed(MemberName(RECORD_MEMBERS)) {
                Ok(Some(member)) => {
                    if let Err(error) = members.read(member, &mut map, self.policy, self.stores) {
                        break Err(de::Error::custom(format_args!("member `{member}`: {error}")));
                    }
                }
                Ok(None) => break members.finish(),
                Err(error) => break Err(error),
            }
        };
        outcome.map_err(|error: A::Error| match members.id {
            Some(id) => de::Error::custom(format_args!("key {number} ({}): {error}", id.as_str())),
            None => de::Error::custom(format_args!("key {number}: {error}")),
        })
    }
}

impl Members {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        member: &'static str,
        map: &mut A,
        policy: &Policy,
        stores: &mut HashSet<SharedStore>,
    ) -> Result<(), A::Error> {
        match member {
            "id" => once(&mut self.id, member, || map.next_value_seed(parsed("a key's id", parse_id))),
            "name" => once(&mut self.name, member, || map.next_value_seed(parsed("a name", parse_name))),
            "store" => once(&mut self.store, member, || {
                Ok(shared(stores, map.next_value_seed(parsed("a store's name", parse_store))?))
            }),
            "sha256" => once(&mut self.sha256, member, || map.next_value_seed(digest())),
            "hint" => once(&mut self.hint, member, || map.next_value_seed(OrNull(parsed("a hint", parse_hint)))),
            "scopes" => once(&mut self.scopes, member, || map.next_value_seed(ScopesSeed(policy))),
            "rate_limit" => once(&mut self.rate_limit, member, || map.next_value_seed(RateLimitSeed)),
            "expires_at" => once(&mut self.expires_at, member, || map.next_value_seed(OrNull(date()))),
            "test_mode" => once(&mut self.test_mode, member, || map.next_value()),
            "enabled" => once(&mut self.enabled, member, || map.next_value()),
            "created_at" => once(&mut self.created_at, member, || map.next_value_seed(OrNull(date()))),
            "revoked_at" => once(&mut self.revoked_at, member, || map.next_value_seed(OrNull(date()))),
            _ => once(&mut self.retiring, member, || {
                Ok(map.next_value_seed(OrNull(object::<Retiring>()))?.map(Box::new))
            }),
        }
    }

    fn finish<E: de::Error>(&mut self) -> Result<Keyed, E> {
        Ok(Keyed {
            digest: required(self.sha256, "sha256")?,
            record: Record {
                id: required(self.id, "id")?,
                name: required(self.name.take(), "name")?,
                store: required(self.store.take(), "store")?,
                hint: self.hint.flatten(),
                scopes: required(self.scopes, "scopes")?,
                rate_limit: u16::try_from(self.rate_limit.unwrap_or(DEFAULT_RATE_LIMIT)).unwrap_or_default(),
                test_mode: self.test_mode.unwrap_or(false),
                enabled: self.enabled.unwrap_or(true),
                expires_at: self.expires_at.flatten().into(),
                created_at: self.created_at.flatten().into(),
                revoked_at: self.revoked_at.flatten().into(),
                retiring: self.retiring.take().flatten(),
            },
        })
    }
}

/// A store's name in a set, found by its bytes.
#[derive(PartialEq, Eq)]
struct SharedStore(Arc<Store>);

impl std::borrow::Borrow<[u8]> for SharedStore {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::hash::Hash for SharedStore {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

fn shared(stores: &mut HashSet<SharedStore>, store: Store) -> Arc<Store> {
    if let Some(known) = stores.get(store.as_bytes()) {
        return Arc::clone(&known.0);
    }
    let store = Arc::new(store);
    stores.insert(SharedStore(Arc::clone(&store)));
    store
}

impl<'de> Object<'de> for Retiring {
    const EXPECTED: &'static str = "an object with the members sha256 and until";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut sha256, mut until) = (None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["sha256", "until"]))? {
            match member {
                "sha256" => once(&mut sha256, member, || map.next_value_seed(digest())),
                _ => once(&mut until, member, || map.next_value_seed(date())),
            }?;
        }
        Ok(Self { digest: required(sha256, "sha256")?, until: required(until, "until")? })
    }
}

struct ScopesSeed<'p>(&'p Policy);

impl<'de> DeserializeSeed<'de> for ScopesSeed<'_> {
    type Value = ScopeSet;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ScopeSet, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ScopesSeed<'_> {
    type Value = ScopeSet;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of scopes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<ScopeSet, A::Error> {
        let policy = self.0;
        let mut set = ScopeSet::EMPTY;
        loop {
            // Both faults are found where the name stands, so that is the place that the error has.
            let scope = |name: &str| {
                let bit = policy.bit(name).ok_or_else(|| policy.unknown_scope(name))?;
                let twice = || Error::new(ErrorKind::Format, format!("the scope {name:?} is there twice"));
                if set.intersects(bit) { Err(twice()) } else { Ok(bit) }
            };
            match names.next_element_seed(parsed("a scope", scope))? {
                Some(bit) => set = set.union(bit),
                None => return Ok(set),
            }
        }
    }
}

struct RateLimitSeed;

impl<'de> DeserializeSeed<'de> for RateLimitSeed {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for RateLimitSeed {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a whole number of requests a minute, {} to {}", RATE_LIMIT.start(), RATE_LIMIT.end())
    }

    fn visit_u64<E: de::Error>(self, found: u64) -> Result<u32, E> {
        u32::try_from(found)
            .ok()
            .filter(|limit| RATE_LIMIT.contains(limit))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(found), &self))
    }
}

fn digest() -> impl for<'de> DeserializeSeed<'de, Value = Digest> {
    parsed("a SHA-256 digest", |text| {
        Digest::from_hex(text).ok_or_else(|| {
            let length = text.chars().count();
            let message = format!("expected 64 lower-case hexadecimal digits; found a text of {length} characters");
            Error::new(ErrorKind::Format, message)
        })
    })
}

fn date() -> impl for<'de> DeserializeSeed<'de, Value = i64> {
    parsed("a date", parse_date)
}

/// Reads an RFC 3339 date in UTC, to the millisecond: `2027-01-01T00:00:00Z`, `2027-01-01T00:00:00.250Z`.
fn parse_date(text: &str) -> Result<i64, Error> {
    let shape = |text: &str| {
        let (date, fraction) = text.strip_suffix('Z')?.split_at_checked(19)?;
        let fits = |byte, pattern| if pattern == b'0' { u8::is_ascii_digit(&byte) } else { byte == pattern };
        let whole = date.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, pattern)| fits(byte, pattern));
        let exact = match fraction.strip_prefix('.') {
            Some(digits) => (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()),
            None => fraction.is_empty(),
        };
        (whole && exact).then_some(())
    };
    // The library would read a leap second as the second before.
    let seconds = text.get(17..19);
    shape(text)
        .filter(|()| seconds != Some("60"))
        .and_then(|()| text.strip_suffix('Z')?.parse::<DateTime>().ok())
        .and_then(|date| i64::try_from(date.duration_since(EPOCH).as_millis()).ok())
        .ok_or_else(|| {
            let shown = excerpt(text);
            let message = format!("expected a UTC date such as \"2027-01-01T00:00:00Z\"; found {shown:?}");
            Error::new(ErrorKind::Format, message)
        })
}

/// Writes what [`parse_date`] reads, always with three digits behind the second. Only dates that were read are written, so
/// each has a text.
fn date_text(unix_ms: i64) -> String {
    EPOCH.checked_add(SignedDuration::from_millis(unix_ms)).map(|date| format!("{date:.3}Z")).unwrap_or_default()
}

/// Dates are reckoned without a time zone: the library's instants end a day before the year 9999 does, and
/// `9999-12-31T23:59:59Z` is what many write for "never".
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

// ---- Policies and options ----

impl<'de> Object<'de> for PolicySpec {
    const EXPECTED: &'static str = "a policy, an object with the members scopes and routes";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut scopes, mut routes) = (None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["scopes", "routes"]))? {
            match member {
                "scopes" => once(&mut scopes, member, || map.next_value_seed(List(object::<ScopeSpec>))),
                _ => once(&mut routes, member, || map.next_value_seed(List(object::<RouteSpec>))),
            }?;
        }
        Ok(Self { scopes: required(scopes, "scopes")?, routes: required(routes, "routes")? })
    }
}

impl<'de> Object<'de> for ScopeSpec {
    const EXPECTED: &'static str = "a scope, an object with the member name";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut name, mut includes, mut writes) = (None, None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["name", "includes", "writes"]))? {
            match member {
                "name" => once(&mut name, member, || map.next_value()),
                "includes" => once(&mut includes, member, || map.next_value()),
                _ => once(&mut writes, member, || map.next_value()),
            }?;
        }
        Ok(Self { name: required(name, "name")?, includes: includes.unwrap_or_default(), writes })
    }
}

impl<'de> Object<'de> for RouteSpec {
    const EXPECTED: &'static str = "a route, an object with the members method, path and scope";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut method, mut path, mut scope, mut writes) = (None, None, None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["method", "path", "scope", "writes"]))? {
            match member {
                "method" => once(&mut method, member, || map.next_value()),
                "path" => once(&mut path, member, || map.next_value()),
                "scope" => once(&mut scope, member, || map.next_value()),
                _ => once(&mut writes, member, || map.next_value()),
            }?;
        }
        Ok(Self {
            method: required(method, "method")?,
            path: required(path, "path")?,
            scope: required(scope, "scope")?,
            writes,
        })
    }
}

struct OptionsSpec {
    policy: Option<PolicySpec>,
    read_only: bool,
}

impl<'de> Object<'de> for OptionsSpec {
    const EXPECTED: &'static str = "an object of options, policy and read_only";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut policy, mut read_only) = (None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["policy", "read_only"]))? {
            match member {
                "policy" => once(&mut policy, member, || map.next_value_seed(object::<PolicySpec>())),
                _ => once(&mut read_only, member, || map.next_value()),
            }?;
        }
        Ok(Self { policy, read_only: read_only.unwrap_or(false) })
    }
}

/// A fault of a policy with its place: the policy stands at `root` of the text.
fn located(json: &[u8], root: &[Step], fault: &Fault) -> Error {
    let mut path = root.to_vec();
    path.extend([Step::Member(fault.list), Step::Item(fault.index), Step::Member(fault.member)]);
    let place = match place(json, &path) {
        Some((line, column)) => format!(" at line {line} column {column}"),
        None => String::new(),
    };
    let (list, number, member) = (fault.list, fault.index + 1, fault.member);
    let (kind, error) = (fault.error.kind(), presentable(&fault.error.to_string()));
    Error::new(kind, format!("the policy: {list}, number {number}, member `{member}`: {error}{place}"))
}

// ---- Specs, patches and changes ----

impl<'de> Object<'de> for KeySpec {
    const EXPECTED: &'static str = "a key's spec, an object with the members name, store and scopes";

    fn read<A: MapAccess<'de>>(mut map: A, policy: Option<&Policy>) -> Result<Self, A::Error> {
        const MEMBERS: &[&str] = &["name", "store", "scopes", "rate_limit", "expires_at", "test_mode"];
        let (mut name, mut store, mut scopes) = (None, None, None);
        let (mut rate_limit, mut expires_at, mut test_mode) = (None, None, None);
        while let Some(member) = map.next_key_seed(MemberName(MEMBERS))? {
            match member {
                "name" => named(&mut name, member, || map.next_value_seed(name_text())),
                "store" => named(&mut store, member, || map.next_value_seed(store_text())),
                "scopes" => named(&mut scopes, member, || map.next_value_seed(ScopeNames(policy))),
                "rate_limit" => named(&mut rate_limit, member, || map.next_value_seed(RateLimitSeed)),
                "expires_at" => named(&mut expires_at, member, || map.next_value_seed(OrNull(date()))),
                _ => named(&mut test_mode, member, || map.next_value()),
            }?;
        }
        Ok(Self::new(required(name, "name")?, required(store, "store")?, required(scopes, "scopes")?)
            .rate_limit(rate_limit.unwrap_or(DEFAULT_RATE_LIMIT))
            .expires_at(expires_at.flatten())
            .test_mode(test_mode.unwrap_or(false)))
    }
}

impl<'de> Object<'de> for KeyPatch {
    const EXPECTED: &'static str = "a patch, an object with the members to change";

    fn read<A: MapAccess<'de>>(mut map: A, policy: Option<&Policy>) -> Result<Self, A::Error> {
        const MEMBERS: &[&str] = &["name", "scopes", "rate_limit", "expires_at", "test_mode", "enabled"];
        let mut patch = Self::new();
        while let Some(member) = map.next_key_seed(MemberName(MEMBERS))? {
            match member {
                "name" => named(&mut patch.name, member, || map.next_value_seed(name_text())),
                "scopes" => named(&mut patch.scopes, member, || map.next_value_seed(ScopeNames(policy))),
                "rate_limit" => named(&mut patch.rate_limit, member, || map.next_value_seed(RateLimitSeed)),
                "expires_at" => named(&mut patch.expires_at, member, || map.next_value_seed(OrNull(date()))),
                "test_mode" => named(&mut patch.test_mode, member, || map.next_value()),
                _ => named(&mut patch.enabled, member, || map.next_value()),
            }?;
        }
        Ok(patch)
    }
}

/// A name, checked where it stands.
fn name_text() -> impl for<'de> DeserializeSeed<'de, Value = String> {
    parsed("a name", |text| parse_name(text).map(String::from))
}

/// A store's name, likewise.
fn store_text() -> impl for<'de> DeserializeSeed<'de, Value = String> {
    parsed("a store's name", |text| parse_store(text).map(|store| store.as_str().to_owned()))
}

/// The names of scopes, each checked where it stands if it is known which there are.
struct ScopeNames<'p>(Option<&'p Policy>);

impl<'de> DeserializeSeed<'de> for ScopeNames<'_> {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        let scope = |name: &str| match self.0 {
            Some(policy) if policy.bit(name).is_none() => Err(policy.unknown_scope(&excerpt(name))),
            _ => Ok(name.to_owned()),
        };
        List(|| parsed("a scope", scope)).deserialize(deserializer)
    }
}

/// Changes to keys, each an object with one member that names it.
#[cfg(feature = "ffi")]
struct ChangesSeed<'p> {
    policy: &'p Policy,
}

#[cfg(feature = "ffi")]
impl<'de> DeserializeSeed<'de> for ChangesSeed<'_> {
    type Value = Vec<KeyChange>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<KeyChange>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

#[cfg(feature = "ffi")]
impl<'de> Visitor<'de> for ChangesSeed<'_> {
    type Value = Vec<KeyChange>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<KeyChange>, A::Error> {
        let mut changes = Vec::new();
        loop {
            let number = changes.len() + 1;
            let seed = object_for::<KeyChange>(Some(self.policy));
            match items.next_element_seed(seed) {
                Ok(Some(_)) if number > MAX_CHANGES => {
                    return Err(de::Error::custom(format_args!("{OVER_BOUND} {MAX_CHANGES} changes; found one more")));
                }
                Ok(Some(change)) => changes.push(change),
                Ok(None) => return Ok(changes),
                Err(error) => return Err(de::Error::custom(format_args!("change {number}: {error}"))),
            }
        }
    }
}

#[cfg(feature = "ffi")]
impl<'de> Object<'de> for KeyChange {
    const EXPECTED: &'static str = "a change, an object with one member, such as {\"revoke\": \"key_…\"}";

    fn read<A: MapAccess<'de>>(mut map: A, policy: Option<&Policy>) -> Result<Self, A::Error> {
        const MEMBERS: &[&str] = &["create", "update", "rotate", "revoke", "enable", "disable", "remove"];
        let Some(member) = map.next_key_seed(MemberName(MEMBERS))? else {
            return Err(de::Error::custom(format_args!("expected one of the members {}", MEMBERS.join(", "))));
        };
        let change = match member {
            "create" => map.next_value_seed(object_for::<KeySpec>(policy)).map(Self::Create),
            "update" => map.next_value_seed(object_for::<UpdateSpec>(policy)).map(|spec| Self::Update(spec.0, spec.1)),
            "rotate" => map.next_value_seed(object::<RotateSpec>()).map(|spec| Self::Rotate(spec.0, spec.1)),
            "revoke" => map.next_value().map(Self::Revoke),
            "enable" => map.next_value().map(Self::Enable),
            "disable" => map.next_value().map(Self::Disable),
            _ => map.next_value().map(Self::Remove),
        }
        .map_err(|error| in_member(member, &error))?;
        match map.next_key_seed(MemberName(MEMBERS))? {
            None => Ok(change),
            Some(second) => {
                Err(de::Error::custom(format_args!("a change has one member; found `{member}` and `{second}`")))
            }
        }
    }
}

#[cfg(feature = "ffi")]
struct UpdateSpec(String, KeyPatch);

#[cfg(feature = "ffi")]
impl<'de> Object<'de> for UpdateSpec {
    const EXPECTED: &'static str = "an object with the members id and patch";

    fn read<A: MapAccess<'de>>(mut map: A, policy: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut id, mut patch) = (None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["id", "patch"]))? {
            match member {
                "id" => once(&mut id, member, || map.next_value()),
                _ => once(&mut patch, member, || map.next_value_seed(object_for::<KeyPatch>(policy))),
            }?;
        }
        Ok(Self(required(id, "id")?, required(patch, "patch")?))
    }
}

#[cfg(feature = "ffi")]
struct RotateSpec(String, u64);

#[cfg(feature = "ffi")]
impl<'de> Object<'de> for RotateSpec {
    const EXPECTED: &'static str = "an object with the members id and grace_s";

    fn read<A: MapAccess<'de>>(mut map: A, _: Option<&Policy>) -> Result<Self, A::Error> {
        let (mut id, mut grace_s) = (None, None);
        while let Some(member) = map.next_key_seed(MemberName(&["id", "grace_s"]))? {
            match member {
                "id" => once(&mut id, member, || map.next_value()),
                _ => once(&mut grace_s, member, || map.next_value()),
            }?;
        }
        Ok(Self(required(id, "id")?, required(grace_s, "grace_s")?))
    }
}

/// As [`once`], with the member's name before what is wrong with its value.
fn named<T, E: de::Error>(
    member: &mut Option<T>,
    name: &'static str,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<(), E> {
    once(member, name, || read().map_err(|error| in_member(name, &error)))
}

fn in_member<E: de::Error>(member: &str, error: &E) -> E {
    E::custom(format_args!("member `{member}`: {error}"))
}

// ---- Reading strictly ----

/// A type that is read from an object; a list in its place is refused, which derived readers would take.
trait Object<'de>: Sized {
    const EXPECTED: &'static str;

    /// `policy` says which scopes there are, where that is known.
    fn read<A: MapAccess<'de>>(map: A, policy: Option<&Policy>) -> Result<Self, A::Error>;
}

struct ObjectSeed<'p, T>(Option<&'p Policy>, PhantomData<T>);

fn object<T>() -> ObjectSeed<'static, T> {
    object_for(None)
}

fn object_for<T>(policy: Option<&Policy>) -> ObjectSeed<'_, T> {
    ObjectSeed(policy, PhantomData)
}

impl<'de, T: Object<'de>> DeserializeSeed<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::read(map, self.0)
    }
}

/// A list, each item read by a seed of its own.
struct List<F>(F);

impl<'de, S: DeserializeSeed<'de>, F: FnMut() -> S> DeserializeSeed<'de> for List<F> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de>, F: FnMut() -> S> Visitor<'de> for List<F> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed((self.0)())? {
            read.push(item);
        }
        Ok(read)
    }
}

/// A value, or `null` for none.
struct OrNull<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// A text that a function understands.
struct Parsed<F> {
    what: &'static str,
    parse: F,
}

fn parsed<T, F: Fn(&str) -> Result<T, Error>>(what: &'static str, parse: F) -> Parsed<F> {
    Parsed { what, parse }
}

impl<'de, T, F: Fn(&str) -> Result<T, Error>> DeserializeSeed<'de> for Parsed<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: Fn(&str) -> Result<T, Error>> Visitor<'_> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}, a string", self.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

/// The name of a member, one of a list.
struct MemberName(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<&'static str, E> {
        self.0.iter().find(|known| **known == name).copied().ok_or_else(|| {
            let shown = excerpt(name);
            E::custom(format_args!("there is no member {shown:?}; expected one of {}", self.0.join(", ")))
        })
    }
}

/// Reads a member that may be there once.
fn once<T, E: de::Error>(
    member: &mut Option<T>,
    name: &'static str,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<(), E> {
    if member.is_some() {
        return Err(E::custom(format_args!("the member `{name}` is there twice; expected once")));
    }
    *member = Some(read()?);
    Ok(())
}

fn required<T, E: de::Error>(member: Option<T>, name: &'static str) -> Result<T, E> {
    member.ok_or_else(|| E::custom(format_args!("the member `{name}` is missing")))
}

// ---- Where something stands ----

/// One step into a JSON value.
#[derive(Clone, Copy)]
enum Step {
    Member(&'static str),
    Item(usize),
}

/// The line and the column where the value at a path ends; `None` if there is no such value.
///
/// The text is read once more, to that place, where reading is made to fail: the reader counts lines, so nothing else
/// has to, and only texts that are refused are read twice.
fn place(json: &[u8], path: &[Step]) -> Option<(usize, usize)> {
    let error = Walk(path).deserialize(&mut serde_json::Deserializer::from_slice(json)).err()?;
    error.to_string().starts_with(FOUND).then(|| (error.line(), error.column()))
}

const FOUND: &str = "the value";

struct Walk<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            [] => deserializer.deserialize_any(Found),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Member(wanted), rest)) = self.0.split_first() else {
            return Err(de::Error::custom("an array was looked for"));
        };
        while let Some(name) = map.next_key::<String>()? {
            if name == *wanted {
                map.next_value_seed(Walk(rest))?
            } else {
                map.next_value::<de::IgnoredAny>().map(drop)?
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else {
            return Err(de::Error::custom("an object was looked for"));
        };
        for _ in 0..*wanted {
            items.next_element::<de::IgnoredAny>()?;
        }
        items.next_element_seed(Walk(rest)).map(drop)
    }
}

/// Fails with [`FOUND`] at the end of any value: where a reader is, when it fails on a value, is known exactly there and
/// nowhere behind it.
struct Found;

impl<'de> Visitor<'de> for Found {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Err(E::custom(FOUND))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        self.visit_unit()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        self.visit_unit()
    }
}

// ---- Writing ----

struct Written<'a> {
    revision: u64,
    policy: &'a Policy,
    keys: &'a [(&'a Digest, &'a Record)],
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = self.keys.iter().map(|(digest, record)| WrittenKey { digest, record, policy: self.policy });
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("revision", &self.revision)?;
        map.serialize_entry("keys", &Sequence(keys))?;
        map.end()
    }
}

struct WrittenKey<'a> {
    digest: &'a Digest,
    record: &'a Record,
    policy: &'a Policy,
}

impl Serialize for WrittenKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let mut map = serializer.serialize_map(Some(RECORD_MEMBERS.len()))?;
        map.serialize_entry("id", record.id.as_str())?;
        map.serialize_entry("name", &record.name)?;
        map.serialize_entry("store", record.store.as_str())?;
        map.serialize_entry("sha256", &self.digest.to_hex())?;
        map.serialize_entry("hint", &record.hint.map(Hint::text))?;
        map.serialize_entry("scopes", &Sequence(self.policy.names(record.scopes)))?;
        map.serialize_entry("rate_limit", &record.rate_limit)?;
        map.serialize_entry("expires_at", &record.expires_at.get().map(date_text))?;
        map.serialize_entry("test_mode", &record.test_mode)?;
        map.serialize_entry("enabled", &record.enabled)?;
        map.serialize_entry("created_at", &record.created_at.get().map(date_text))?;
        map.serialize_entry("revoked_at", &record.revoked_at.get().map(date_text))?;
        map.serialize_entry("retiring", &record.retiring.as_deref().map(WrittenRetiring))?;
        map.end()
    }
}

struct WrittenRetiring<'a>(&'a Retiring);

impl Serialize for WrittenRetiring<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("sha256", &self.0.digest.to_hex())?;
        map.serialize_entry("until", &date_text(self.0.until))?;
        map.end()
    }
}

struct WrittenRecord<'a>(&'a KeyRecord);

impl Serialize for WrittenRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &record.id)?;
        map.serialize_entry("name", &record.name)?;
        map.serialize_entry("store", &record.store)?;
        map.serialize_entry("hint", &record.hint)?;
        map.serialize_entry("scopes", &record.scopes)?;
        map.serialize_entry("rate_limit", &record.rate_limit)?;
        map.serialize_entry("expires_at", &record.expires_at.map(date_text))?;
        map.serialize_entry("test_mode", &record.test_mode)?;
        map.serialize_entry("enabled", &record.enabled)?;
        map.serialize_entry("created_at", &record.created_at.map(date_text))?;
        map.serialize_entry("revoked_at", &record.revoked_at.map(date_text))?;
        map.serialize_entry("retiring_until", &record.retiring_until.map(date_text))?;
        map.serialize_entry("usage", &WrittenUsage(&record.usage))?;
        map.end()
    }
}

struct WrittenUsage<'a>(&'a KeyUsage);

impl Serialize for WrittenUsage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("last_used_at", &self.0.last_used_at.map(date_text))?;
        map.serialize_entry("allowed", &self.0.allowed)?;
        map.serialize_entry("denied", &Counts(self.0.denied()))?;
        map.end()
    }
}

/// An object of what an iterator yields.
struct Counts<I>(I);

impl<'a, I: Iterator<Item = (&'a str, u64)> + Clone> Serialize for Counts<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

struct WrittenStats<'a>(&'a Stats);

impl Serialize for WrittenStats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("keys", &self.0.keys)?;
        map.serialize_entry("revision", &self.0.revision)?;
        map.serialize_entry("allowed", &self.0.allowed)?;
        map.serialize_entry("denied", &Counts(self.0.denied()))?;
        map.end()
    }
}

/// An array of what an iterator yields.
struct Sequence<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Sequence<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for item in self.0.clone() {
            sequence.serialize_element(&item)?;
        }
        sequence.end()
    }
}
