//! The forms of administration: specs, patches and changes come in, records and counts go out.

use serde::Serialize;
use serde::ser::Serializer;
use zeroize::Zeroizing;

use super::dates::{date_text, parse_date};
use super::reader::{Reader, Value, read};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "ffi")]
use crate::key::KeyChange;
use crate::key::{
    DEFAULT_RATE_LIMIT, KeyPatch, KeyRecord, KeySpec, NewKey, RATE_LIMIT, excerpt, parse_name, parse_store,
};
use crate::limit::Stats;
use crate::policy::Policy;

impl KeySpec {
    /// Reads a spec from JSON: `name`, `store` and `scopes`, and if wanted `rate_limit`, `expires_at` and `test_mode`,
    /// as the registry document has them.
    ///
    /// ```
    /// let spec = bpos::KeySpec::from_json(br#"{"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"]}"#)?;
    /// assert_eq!(spec, bpos::KeySpec::new("Website Sync", "yourstore", ["products:read"]));
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], with the line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse_spec(json, None)
    }
}

impl KeyPatch {
    /// Reads a patch from JSON: an object with the members to change, `name`, `scopes`, `rate_limit`, `expires_at`
    /// (`null` for none), `test_mode` and `enabled`.
    ///
    /// ```
    /// let patch = bpos::KeyPatch::from_json(br#"{"rate_limit": 300, "expires_at": null}"#)?;
    /// assert_eq!(patch, bpos::KeyPatch::new().rate_limit(300).expires_at(None));
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], with the line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse_patch(json, None)
    }
}

/// Reads the spec of a new key. Its scopes are checked where they stand, if it is known which there are.
pub(crate) fn parse_spec(json: &[u8], policy: Option<&Policy>) -> Result<KeySpec, Error> {
    read(json, "the key's spec", |reader, value| spec(reader, value, policy))
}

/// Reads a patch of a key. Its scopes are checked as those of a spec.
pub(crate) fn parse_patch(json: &[u8], policy: Option<&Policy>) -> Result<KeyPatch, Error> {
    read(json, "the patch", |reader, value| patch(reader, value, policy))
}

/// Reads a JSON array of changes that are made together.
#[cfg(feature = "ffi")]
pub(crate) fn parse_changes(json: &[u8], policy: &Policy) -> Result<Vec<KeyChange>, Error> {
    const MAX_CHANGES: usize = 100_000;
    read(json, "the changes", |reader, value| {
        reader.list(value, "an array of changes", ("change", MAX_CHANGES), |reader, _, value| {
            change(reader, value, policy)
        })
    })
}

fn spec<'a>(reader: &mut Reader<'a>, value: Value<'a>, policy: Option<&Policy>) -> Option<KeySpec> {
    const EXPECTED: &str = "a key's spec, an object with the members name, store and scopes";
    const MEMBERS: &[&str] = &["name", "store", "scopes", "rate_limit", "expires_at", "test_mode"];
    let object = reader.object(value, EXPECTED, MEMBERS)?;
    let name = reader.required(&object, "name", name);
    let store = reader.required(&object, "store", |reader, value| {
        reader.parsed(value, "a store", |text| parse_store(text).map(|store| store.as_str().to_owned()))
    });
    let scopes = reader.required(&object, "scopes", |reader, value| scope_names(reader, value, policy));
    let limit = reader.optional(&object, "rate_limit", rate_limit);
    let expires_at = reader.optional(&object, "expires_at", |reader, value| reader.or_null(value, date));
    let test_mode = reader.optional(&object, "test_mode", Reader::boolean);
    let spec = KeySpec::new(name?, store?, scopes?)
        .rate_limit(limit.unwrap_or(DEFAULT_RATE_LIMIT))
        .expires_at(expires_at.flatten())
        .test_mode(test_mode.unwrap_or(false));
    Some(spec)
}

fn patch<'a>(reader: &mut Reader<'a>, value: Value<'a>, policy: Option<&Policy>) -> Option<KeyPatch> {
    const EXPECTED: &str = "a patch, an object with the members to change";
    const MEMBERS: &[&str] = &["name", "scopes", "rate_limit", "expires_at", "test_mode", "enabled"];
    let object = reader.object(value, EXPECTED, MEMBERS)?;
    Some(KeyPatch {
        name: reader.optional(&object, "name", name),
        scopes: reader.optional(&object, "scopes", |reader, value| scope_names(reader, value, policy)),
        rate_limit: reader.optional(&object, "rate_limit", rate_limit),
        expires_at: reader.optional(&object, "expires_at", |reader, value| reader.or_null(value, date)),
        test_mode: reader.optional(&object, "test_mode", Reader::boolean),
        enabled: reader.optional(&object, "enabled", Reader::boolean),
    })
}

#[cfg(feature = "ffi")]
fn change<'a>(reader: &mut Reader<'a>, value: Value<'a>, policy: &Policy) -> Option<KeyChange> {
    const EXPECTED: &str = "a change, an object with one member, such as {\"revoke\": \"key_…\"}";
    const MEMBERS: &[&str] = &["create", "update", "rotate", "revoke", "enable", "disable", "remove"];
    let object = reader.object(value, EXPECTED, MEMBERS)?;
    let mut names = object.names();
    let name = match (names.next(), names.next()) {
        (Some(name), None) => name,
        (Some(name), Some(second)) => {
            reader.fault(value, format_args!("a change has one member; found `{name}` and `{second}`"));
            return None;
        }
        (None, _) => {
            reader.fault(value, format_args!("expected one of the members {}", MEMBERS.join(", ")));
            return None;
        }
    };
    reader.required(&object, name, |reader, value| match name {
        "create" => spec(reader, value, Some(policy)).map(KeyChange::Create),
        "update" => {
            let object = reader.object(value, "an object with the members id and patch", &["id", "patch"])?;
            let id = reader.required(&object, "id", Reader::string);
            let patch = reader.required(&object, "patch", |reader, value| patch(reader, value, Some(policy)));
            Some(KeyChange::Update(id?, patch?))
        }
        "rotate" => {
            let object = reader.object(value, "an object with the members id and grace_s", &["id", "grace_s"])?;
            let id = reader.required(&object, "id", Reader::string);
            let grace_s = reader.required(&object, "grace_s", |reader, value| {
                reader.number(value, "a whole number of seconds", 0..=u64::MAX)
            });
            Some(KeyChange::Rotate(id?, grace_s?))
        }
        "revoke" => reader.string(value).map(KeyChange::Revoke),
        "enable" => reader.string(value).map(KeyChange::Enable),
        "disable" => reader.string(value).map(KeyChange::Disable),
        _ => reader.string(value).map(KeyChange::Remove),
    })
}

fn name<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Option<String> {
    reader.parsed(value, "a name", |text| parse_name(text).map(String::from))
}

/// The names of scopes, each checked where it stands if it is known which there are.
fn scope_names<'a>(reader: &mut Reader<'a>, value: Value<'a>, policy: Option<&Policy>) -> Option<Vec<String>> {
    reader.scopes(value, |name| match policy {
        Some(policy) if policy.scope(name).is_none() => Err(policy.unknown_scope(&excerpt(name))),
        _ => Ok(name.to_owned()),
    })
}

pub(super) fn rate_limit<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Option<u32> {
    let (least, most) = (*RATE_LIMIT.start(), *RATE_LIMIT.end());
    let what = format_args!("a whole number of requests a minute, {least} to {most}");
    let limit = reader.number(value, what, u64::from(least)..=u64::from(most))?;
    u32::try_from(limit).ok()
}

pub(super) fn date<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Option<i64> {
    reader.parsed(value, "a date", |text| {
        parse_date(text).ok_or_else(|| {
            let shown = excerpt(text);
            let message = format!("expected a UTC date such as \"2027-01-01T00:00:00Z\"; found {shown:?}");
            Error::new(ErrorKind::Format, message)
        })
    })
}

impl NewKey {
    /// The answer of create and rotate as JSON: `{"key": "bpos_…", "record": {…}}`, in memory that is wiped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if the record cannot be written as JSON, which none is known to cause.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let record = self.record.to_json()?;
        let parts = [&b"{\"key\":\""[..], self.key.expose().as_bytes(), b"\",\"record\":", &record, b"}"];
        // Whole from the start: a vector that grows leaves what it held behind.
        let mut json = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| json.extend_from_slice(part));
        Ok(json)
    }
}

impl KeyRecord {
    /// The record as a JSON object; dates are RFC 3339.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if it cannot be written as JSON, which none is known to cause.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(&WrittenRecord::of(self)).map_err(|error| unwritable(&error))
    }

    /// Records as a JSON array.
    ///
    /// # Errors
    ///
    /// As [`KeyRecord::to_json`].
    pub fn list_to_json(records: &[Self]) -> Result<Vec<u8>, Error> {
        let records: Vec<_> = records.iter().map(WrittenRecord::of).collect();
        serde_json::to_vec(&records).map_err(|error| unwritable(&error))
    }
}

impl Stats {
    /// The counts as a JSON object:
    /// `{"keys": 3, "revision": 12, "allowed": 70, "denied": {"internal": 0, "key_in_url": 2, …}}`.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Error> {
        let (keys, revision, allowed) = (self.keys, self.revision, self.allowed);
        let written = WrittenStats { keys, revision, allowed, denied: Denied(self.denied().collect()) };
        serde_json::to_vec(&written).map_err(|error| unwritable(&error))
    }
}

pub(super) fn unwritable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Format, format!("cannot write JSON: {error}"))
}

#[derive(Serialize)]
struct WrittenRecord<'a> {
    id: &'a str,
    name: &'a str,
    store: &'a str,
    hint: Option<&'a str>,
    scopes: &'a [String],
    rate_limit: u32,
    expires_at: Option<String>,
    test_mode: bool,
    enabled: bool,
    created_at: Option<String>,
    revoked_at: Option<String>,
    retiring_until: Option<String>,
    usage: WrittenUsage,
}

impl<'a> WrittenRecord<'a> {
    fn of(record: &'a KeyRecord) -> Self {
        Self {
            id: &record.id,
            name: &record.name,
            store: &record.store,
            hint: record.hint.as_deref(),
            scopes: &record.scopes,
            rate_limit: record.rate_limit,
            expires_at: record.expires_at.map(date_text),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.created_at.map(date_text),
            revoked_at: record.revoked_at.map(date_text),
            retiring_until: record.retiring_until.map(date_text),
            usage: WrittenUsage {
                last_used_at: record.usage.last_used_at.map(date_text),
                allowed: record.usage.allowed,
                denied: Denied(record.usage.denied().collect()),
            },
        }
    }
}

#[derive(Serialize)]
struct WrittenUsage {
    last_used_at: Option<String>,
    allowed: u64,
    denied: Denied,
}

#[derive(Serialize)]
struct WrittenStats {
    keys: usize,
    revision: u64,
    allowed: u64,
    denied: Denied,
}

/// Counts by the names of their reasons.
struct Denied(Vec<(&'static str, u64)>);

impl Serialize for Denied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}
