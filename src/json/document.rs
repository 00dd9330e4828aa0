//! The registry document: a key's record as it is stored, and the list of all.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use serde::Serialize;
use serde::ser::Serializer;

use super::dates::date_text;
use super::forms::{date, rate_limit, unwritable};
use super::reader::{Object, Reader, Value, findings, read};
use crate::error::{Error, ErrorKind};
use crate::key::{
    DEFAULT_RATE_LIMIT, Details, Digest, Hint, KeyEntry, Record, Retiring, parse_hint, parse_id, parse_name,
    parse_store,
};
use crate::policy::{Policy, ScopeSet};
use crate::text::{KeyId, Store};

/// How many keys a document can have.
pub(crate) const MAX_KEYS: usize = 2_000_000;

const VERSION: u64 = 1;
const WHAT: &str = "the registry document";

/// A registry document. No two of its keys share an id or a digest.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) revision: u64,
    pub(crate) keys: Vec<KeyEntry>,
}

/// Reads a registry document.
pub(crate) fn parse(json: &[u8], policy: &Policy) -> Result<Document, Error> {
    // In most documents nothing is there twice, and sorted hashes show that in a fifth of the time that maps take.
    match read(json, WHAT, |reader, value| document(reader, value, Keys::unchecked(policy))) {
        Ok(document) if are_distinct(&document.keys) => Ok(document),
        _ => read(json, WHAT, |reader, value| document(reader, value, Keys::of(policy))),
    }
}

/// Whether no two keys share an id or a digest. May be wrong about some that are distinct.
fn are_distinct(keys: &[KeyEntry]) -> bool {
    let hasher = DefaultHashBuilder::default();
    let mut hashes = Vec::new();
    for key in keys {
        hashes.push(hasher.hash_one(key.record.id));
        hashes.extend(key.digests().map(Digest::prefix));
    }
    hashes.sort_unstable();
    hashes.array_windows().all(|[one, next]| one != next)
}

/// Everything that is wrong with a registry document.
pub(crate) fn findings_of(json: &[u8], policy: &Policy) -> Vec<Error> {
    findings(json, WHAT, |reader, value| document(reader, value, Keys::of(policy)))
}

/// Reads a JSON array of records, as the registry document has them. `check` has the last word on each: it is told the
/// record, and says why it is refused.
pub(crate) fn parse_records(
    json: &[u8],
    policy: &Policy,
    check: impl Fn(&KeyEntry) -> Result<(), Error>,
) -> Result<Vec<KeyEntry>, Error> {
    read(json, "the records", |reader, value| Keys::of(policy).read(reader, value, check))
}

fn document<'a>(reader: &mut Reader<'a>, value: Value<'a>, keys: Keys<'_>) -> Option<Document> {
    const EXPECTED: &str = "an object with the members version, revision and keys";
    let object = reader.object(value, EXPECTED, &["version", "revision", "keys"])?;
    let version = reader.required(&object, "version", |reader, value| {
        reader.number(value, format_args!("version {VERSION}"), VERSION..=VERSION)
    });
    let revision = reader
        .optional(&object, "revision", |reader, value| reader.number(value, "a whole number, 0 or more", 0..=u64::MAX));
    let keys = reader.required(&object, "keys", |reader, value| keys.read(reader, value, |_| Ok(())));
    version.and_then(|_| Some(Document { revision: revision.unwrap_or(0), keys: keys? }))
}

/// The keys that were read so far, by what no two of them may share, if that is checked.
struct Keys<'p> {
    policy: &'p Policy,
    /// The stores: the keys of one share its name.
    stores: HashSet<Arc<Store>>,
    ids: Option<HashMap<KeyId, usize>>,
    digests: Option<HashMap<Digest, usize>>,
}

/// The members of a record as they were found, in the order in which they are written.
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

impl<'p> Keys<'p> {
    fn of(policy: &'p Policy) -> Self {
        Self { ids: Some(HashMap::new()), digests: Some(HashMap::new()), ..Self::unchecked(policy) }
    }

    fn unchecked(policy: &'p Policy) -> Self {
        Self { policy, stores: HashSet::new(), ids: None, digests: None }
    }

    fn read<'a>(
        mut self,
        reader: &mut Reader<'a>,
        value: Value<'a>,
        check: impl Fn(&KeyEntry) -> Result<(), Error>,
    ) -> Option<Vec<KeyEntry>> {
        reader.list(value, "an array of key records", ("key", MAX_KEYS), |reader, number, value| {
            let object = reader.object(value, "a key record, an object", RECORD_MEMBERS)?;
            let key = self.members(reader, &object, number)?;
            check(&key).map_err(|error| reader.refuse(value, &error)).ok()?;
            Some(key)
        })
    }

    fn members<'a>(&mut self, reader: &mut Reader<'a>, object: &Object<'a>, number: usize) -> Option<KeyEntry> {
        let id = reader.required(object, "id", |reader, value| {
            let id = reader.parsed(value, "a key's id", parse_id)?;
            unique(reader, value, self.ids.as_mut(), id, number, "id")
        });
        let name = reader.required(object, "name", |reader, value| reader.parsed(value, "a name", parse_name));
        let store = reader.required(object, "store", |reader, value| reader.parsed(value, "a store", parse_store));
        let digest = reader.required(object, "sha256", |reader, value| self.digest(reader, value, number));
        let hint = reader.optional(object, "hint", |reader, value| {
            reader.or_null(value, |reader, value| reader.parsed(value, "a hint", parse_hint))
        });
        let mut scopes = ScopeSet::EMPTY;
        let sound_scopes = reader.required(object, "scopes", |reader, value| {
            reader.scopes(value, |name| self.policy.add_to(&mut scopes, name))
        });
        let limit = reader.optional(object, "rate_limit", rate_limit);
        let expires_at = reader.optional(object, "expires_at", |reader, value| reader.or_null(value, date));
        let test_mode = reader.optional(object, "test_mode", Reader::boolean);
        let enabled = reader.optional(object, "enabled", Reader::boolean);
        let created_at = reader.optional(object, "created_at", |reader, value| reader.or_null(value, date));
        let revoked_at = reader.optional(object, "revoked_at", |reader, value| reader.or_null(value, date));
        let retiring = reader.optional(object, "retiring", |reader, value| {
            reader.or_null(value, |reader, value| self.retiring(reader, value, number))
        });
        let details = Details {
            name: name?, // first: dropping an absent one reads its unset length, which valgrind reports
            hint: hint.flatten(),
            scopes: sound_scopes.map(|_| scopes)?,
            expires_at: expires_at.flatten().into(),
            created_at: created_at.flatten().into(),
            revoked_at: revoked_at.flatten().into(),
            retiring: retiring.flatten().map(Box::new),
        };
        let record = Record {
            rate_limit: u16::try_from(limit.unwrap_or(DEFAULT_RATE_LIMIT)).unwrap_or_default(),
            test_mode: test_mode.unwrap_or(false),
            enabled: enabled.unwrap_or(true),
            position: 0,
            id: id?,
            store: self.shared(store?),
            details: Box::new(details),
        };
        Some(KeyEntry { digest: digest?, record })
    }

    fn retiring<'a>(&mut self, reader: &mut Reader<'a>, value: Value<'a>, number: usize) -> Option<Retiring> {
        let object = reader.object(value, "an object with the members sha256 and until", &["sha256", "until"])?;
        let digest = reader.required(&object, "sha256", |reader, value| self.digest(reader, value, number));
        let until = reader.required(&object, "until", date);
        Some(Retiring { digest: digest?, until: until? })
    }

    fn digest<'a>(&mut self, reader: &mut Reader<'a>, value: Value<'a>, number: usize) -> Option<Digest> {
        let digest = reader.parsed(value, "a SHA-256 digest", |text| {
            Digest::from_hex(text).ok_or_else(|| {
                let length = text.chars().count();
                let message = format!("expected 64 lower-case hexadecimal digits; found a text of {length} characters");
                Error::new(ErrorKind::Format, message)
            })
        })?;
        unique(reader, value, self.digests.as_mut(), digest, number, "secret")
    }

    fn shared(&mut self, store: Store) -> Arc<Store> {
        Arc::clone(self.stores.get_or_insert_with(&store, |store| Arc::new(*store)))
    }
}

/// Remembers what a key has and no other may have.
fn unique<'a, T: Copy + Eq + Hash>(
    reader: &mut Reader<'a>,
    value: Value<'a>,
    known: Option<&mut HashMap<T, usize>>,
    found: T,
    number: usize,
    what: &str,
) -> Option<T> {
    let Some(known) = known else { return Some(found) };
    match known.entry(found) {
        Entry::Vacant(place) => Some(*place.insert_entry(number).key()),
        Entry::Occupied(first) => {
            let message = format!("key {} has the same {what}", first.get());
            reader.refuse(value, &Error::new(ErrorKind::Conflict, message));
            None
        }
    }
}

/// Writes a registry document, for people as well.
pub(crate) fn write(revision: u64, policy: &Policy, keys: &[(&Digest, &Record)]) -> Result<Vec<u8>, Error> {
    let written = Written { version: VERSION, revision, keys: WrittenKeys { policy, keys } };
    let mut json = serde_json::to_vec_pretty(&written).map_err(|error| unwritable(&error))?;
    json.push(b'\n');
    Ok(json)
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    revision: u64,
    keys: WrittenKeys<'a>,
}

struct WrittenKeys<'a> {
    policy: &'a Policy,
    keys: &'a [(&'a Digest, &'a Record)],
}

/// One key after another: there may be millions.
impl Serialize for WrittenKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.keys.iter().map(|(digest, record)| WrittenKey {
            id: record.id.as_str(),
            name: &record.details.name,
            store: record.store.as_str(),
            sha256: digest.to_hex(),
            hint: record.details.hint.map(Hint::text),
            scopes: self.policy.names(record.details.scopes).collect(),
            rate_limit: record.rate_limit,
            expires_at: record.details.expires_at.get().map(date_text),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.details.created_at.get().map(date_text),
            revoked_at: record.details.revoked_at.get().map(date_text),
            retiring:
                record.details.retiring.as_deref().map(|retiring| WrittenRetiring {
                    sha256: retiring.digest.to_hex(),
                    until: date_text(retiring.until),
                }),
        }))
    }
}

#[derive(Serialize)]
struct WrittenKey<'a> {
    id: &'a str,
    name: &'a str,
    store: &'a str,
    sha256: String,
    hint: Option<String>,
    scopes: Vec<&'a str>,
    rate_limit: u16,
    expires_at: Option<String>,
    test_mode: bool,
    enabled: bool,
    created_at: Option<String>,
    revoked_at: Option<String>,
    retiring: Option<WrittenRetiring>,
}

#[derive(Serialize)]
struct WrittenRetiring {
    sha256: String,
    until: String,
}
