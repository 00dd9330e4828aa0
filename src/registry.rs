//! The registry: the live set of keys, how it changes, and what it has counted.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustix::process::{Pid, getpid};

use crate::clock::SystemClock;
use crate::decision::{DENY_REASONS, REASON_NAMES};
use crate::document::{self, Document, Keyed};
use crate::error::{Error, ErrorKind};
use crate::ids::Ids;
use crate::key::Digest;
use crate::policy::Policy;
use crate::record::KeyRecord;
use crate::scope::Scope;
use crate::store;
use crate::table::{Credential, Number, Table};
use crate::tally::Tally;
use crate::text::KeyId;
use crate::usage::Usage;

/// The keys of a platform, ready to decide. Open it once, share it between all threads, and ask it for every request.
///
/// - Any thread may call any method at any time. [`Registry::authorize`] takes no lock; changes wait for each other only.
/// - [`Registry::authorize`] allocates nothing, but once for each thread that calls it, and once each for a key's first
///   admission (its window) and its first denial (its counts). No memory for a key's is a denial, not an abort.
/// - After a change returns, every decision that starts later, on any thread, is made with it.
/// - A process may fork at any time: the child can authorize and reload.
pub struct Registry {
    pub(crate) policy: Policy,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) clock: SystemClock,
    /// Denials that no key is to be blamed for, by reason.
    pub(crate) unproved: Tally,
    /// What keys that are gone had counted.
    departed: Counts,
    revision: AtomicU64,
    writer: ArcSwap<Writer>,
    file: Option<PathBuf>,
    read_only: bool,
}

/// How a registry is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The scopes and the routes; the documentation's by default.
    pub policy: Policy,
    /// Whether changes through this registry are refused. A read-only registry may be named by a symbolic link.
    pub read_only: bool,
}

impl Options {
    /// Reads options from a JSON object: `{"policy": {…}, "read_only": true}`; both may be left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] for an unknown option or a malformed policy.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let parsed = document::parse_options(json)?;
        Ok(Self { policy: parsed.policy.unwrap_or_default(), read_only: parsed.read_only })
    }
}

/// What a registry has counted since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many keys there are.
    pub keys: usize,
    /// The revision of the document.
    pub revision: u64,
    /// How many requests were admitted.
    pub allowed: u64,
    denied: [u64; DENY_REASONS],
}

impl Stats {
    /// How many requests were denied, by reason, each with its name.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASON_NAMES.into_iter().zip(self.denied)
    }
}

impl Registry {
    /// Opens a registry file: it is read, and every change will be written to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Permission`] if others may write it,
    /// [`ErrorKind::Format`] or [`ErrorKind::Limit`] if it is not a registry document.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// Like [`Registry::open`], with options.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let json = store::read(path, options.read_only)?;
        let mut registry =
            Self::from_json_with(&json, options).map_err(|error| error.within(format_args!("{path:?}")))?;
        registry.file = Some(path.to_path_buf());
        Ok(registry)
    }

    /// Makes a memory registry from a document: the host's own database is the source of truth, and feeds changes in
    /// through [`Registry::apply`]. Nothing is ever written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], [`ErrorKind::Conflict`] or [`ErrorKind::Limit`] if it is not a sound registry document.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        Self::from_json_with(json, Options::default())
    }

    /// Like [`Registry::from_json`], with options.
    ///
    /// # Errors
    ///
    /// As [`Registry::from_json`].
    pub fn from_json_with(json: &[u8], options: Options) -> Result<Self, Error> {
        let document = document::parse(json, &options.policy)?;
        let (table, state) = build(json, document.keys, &options.policy, |_| None)?;
        Ok(Self {
            policy: options.policy,
            table: ArcSwap::from_pointee(table),
            clock: SystemClock::default(),
            unproved: Tally::default(),
            departed: Counts::default(),
            revision: AtomicU64::new(document.revision),
            writer: ArcSwap::from_pointee(Writer::new(state)),
            file: None,
            read_only: options.read_only,
        })
    }

    /// The scopes and routes it decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The scope with this whole name.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<Scope> {
        self.policy.scope(name)
    }

    /// Reads the registry file again and decides by it from now on.
    ///
    /// All or nothing: if anything is wrong with the file, what was in force stays. Keys whose id stays keep their
    /// window and their counts. A key that was revoked here stays revoked, whatever the file says.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`]; [`ErrorKind::Stale`] if the file's revision is lower than the one in force;
    /// [`ErrorKind::InvalidArgument`] for a memory registry.
    pub fn reload(&self) -> Result<(), Error> {
        self.reload_from_file(false)
    }

    /// Like [`Registry::reload`], but accepts a lower revision, and brings back keys that the file does not revoke:
    /// for an operator who has restored a backup and means it.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`]; [`ErrorKind::InvalidArgument`] for a memory registry.
    pub fn reload_forced(&self) -> Result<(), Error> {
        self.reload_from_file(true)
    }

    /// Writes the registry document that is in force.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if it cannot be written as JSON, which no set of keys is known to cause.
    pub fn export(&self) -> Result<Vec<u8>, Error> {
        let state = self.lock();
        let table = self.table.load();
        let keys: Vec<_> = keys_of(&table).map(|key| (&key.digest, &*key.record)).collect();
        let json = document::write(self.revision.load(Ordering::Acquire), &self.policy, &keys);
        drop(state); // held until here, so that no change is seen by half
        json
    }

    /// What the registry has counted. Reads the counters of every key, so its cost grows with them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let table = self.table.load();
        let mut counts = self.departed.load();
        for (count, unproved) in counts.denied.iter_mut().zip(self.unproved.sums()) {
            *count += unproved;
        }
        let mut keys = 0;
        for key in keys_of(&table) {
            keys += 1;
            counts.add(&key.usage);
        }
        let revision = self.revision.load(Ordering::Acquire);
        Stats { keys, revision, allowed: counts.allowed, denied: counts.denied }
    }

    /// What the registry has counted, as a JSON object:
    /// `{"keys": 3, "revision": 12, "allowed": 70, "denied": {"internal": 0, "key_in_url": 2, …}}`.
    ///
    /// # Errors
    ///
    /// None is known; the signature leaves room.
    pub fn stats_json(&self) -> Result<Vec<u8>, Error> {
        document::write_stats(&self.stats())
    }

    fn reload_from_file(&self, forced: bool) -> Result<(), Error> {
        let Some(path) = &self.file else {
            let message = "a memory registry has no file to reload; feed its changes in with apply";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        };
        let mut state = self.lock();
        let json = store::read(path, self.read_only)?;
        let place = |error: Error| error.within(format_args!("{path:?}"));
        let document = document::parse(&json, &self.policy).map_err(place)?;
        let (found, known) = (document.revision, self.revision.load(Ordering::Acquire));
        if found < known && !forced {
            let message = format!(
                "the file has revision {found}, but {known} is in force: an older file could bring back a revoked \
                 key; reload it by force if that is meant"
            );
            return Err(place(Error::new(ErrorKind::Stale, message)));
        }
        self.replace(&mut state, &json, document, !forced).map_err(place)
    }

    /// Puts a whole document in the place of what is in force.
    fn replace(&self, state: &mut State, json: &[u8], mut document: Document, keep_revoked: bool) -> Result<(), Error> {
        let before = self.table.load_full();
        if keep_revoked {
            for key in &mut document.keys {
                // By its secret too: a revoked key does not come back under another id.
                let known = state.ids.get(&before, &key.record.id).or_else(|| before.find(&key.digest));
                key.record.revoked_at = key.record.revoked_at.or(known.and_then(|known| known.record.revoked_at));
            }
        }
        let usage = |id: &KeyId| state.ids.get(&before, id).map(|known| Arc::clone(&known.usage));
        let (table, next) = build(json, document.keys, &self.policy, usage)?;
        *state = next;
        let table = Arc::new(table);
        self.table.store(Arc::clone(&table));
        self.revision.store(document.revision, Ordering::Release);
        for key in keys_of(&before).filter(|key| state.ids.get(&table, &key.record.id).is_none()) {
            self.departed.add(&key.usage);
        }
        state.retire(before);
        Ok(())
    }

    /// Feeds changes into a memory registry: a JSON array of records, each as in the registry document. A record with
    /// a known id replaces the one before, and keeps its window; others are added. `revoked_at` revokes.
    ///
    /// All or nothing: if one record is refused, none is applied.
    ///
    /// ```
    /// let registry = bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// registry.apply(br#"[{
    ///   "id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": ["products:read"],
    ///   "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    /// }]"#)?;
    /// assert_eq!(registry.stats().keys, 1);
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] or [`ErrorKind::Limit`] for a malformed record; [`ErrorKind::Conflict`] for a duplicate id
    /// or digest, or for a revoked key that a record does not revoke: revocation is for good;
    /// [`ErrorKind::InvalidArgument`] for a file registry, whose file is the source of truth;
    /// [`ErrorKind::ReadOnly`] for a read-only one.
    pub fn apply(&self, records_json: &[u8]) -> Result<(), Error> {
        if self.file.is_some() {
            let message = "a file registry takes its keys from its file; apply is for memory registries";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the registry was opened read-only"));
        }
        let records = document::parse_records(records_json, &self.policy)?;
        let mut state = self.lock();
        self.check_changes(&state, records_json, &records)?;
        self.apply_changes(&mut state, records);
        Ok(())
    }

    /// Holds changes against each other and against what is in force.
    fn check_changes(&self, state: &State, json: &[u8], records: &[Keyed]) -> Result<(), Error> {
        let table = self.table.load();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        let mut keys = state.ids.len();
        for (index, key) in records.iter().enumerate() {
            let refuse = |message| Err(conflict(json, index, &key.record, message));
            if !ids.insert(key.record.id.as_bytes()) {
                return refuse("the id is there twice");
            }
            match state.ids.get(&table, &key.record.id) {
                Some(known) if known.revoked && key.record.revoked_at.is_none() => {
                    return refuse("the key was revoked, and revocation is for good; create a new key");
                }
                Some(_) => {}
                None => keys += 1,
            }
            for digest in key.digests() {
                let taken = table.find(digest).is_some_and(|other| other.record.id != key.record.id);
                if taken || !digests.insert(digest) {
                    return refuse("another secret has the same sha256");
                }
            }
        }
        if keys > document::MAX_KEYS {
            let message = format!("the registry would have {keys} keys; expected at most {}", document::MAX_KEYS);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn apply_changes(&self, state: &mut State, records: Vec<Keyed>) {
        let table = self.room(state, records.iter().map(|key| key.digests().count()).sum());
        for key in records {
            let known = state.ids.get(&table, &key.record.id);
            let usage = known.map(|known| Arc::clone(&known.usage));
            let before: Vec<Digest> = known.into_iter().flat_map(digests_of).copied().collect();
            let after: Vec<Digest> = key.digests().copied().collect();
            state.append(&table, key, &self.policy, usage);
            for digest in before.iter().filter(|digest| !after.contains(digest)) {
                table.remove(digest);
            }
        }
    }

    /// The table in force, with room for so many credentials to be appended: itself, or a larger copy.
    fn room(&self, state: &mut State, more: usize) -> Arc<Table> {
        let table = self.table.load_full();
        if state.appended + more <= table.capacity() {
            return table;
        }
        let live = table.iter().count();
        let copy = Arc::new(Table::with_capacity((live + more).saturating_mul(2)));
        state.appended = 0;
        for (_, credential) in table.iter() {
            copy.insert(state.number(), credential.clone());
        }
        state.ids = Ids::of(&copy);
        self.table.store(Arc::clone(&copy));
        state.retire(table);
        copy
    }

    /// Lets one change at a time through.
    fn lock(&self) -> ArcMutexGuard<RawMutex, State> {
        let process = getpid();
        loop {
            let writer = self.writer.load_full();
            if writer.process == process {
                return writer.state.lock_arc();
            }
            // The process was forked. The parent's lock may be held by a thread that does not exist here, and its
            // state may be half changed; the table never is.
            let child = Writer::new(State::of(&self.table.load()));
            self.writer.compare_and_swap(&writer, Arc::new(child));
        }
    }
}

/// The right to change a registry, in the process that it was made in.
struct Writer {
    process: Pid,
    state: Arc<Mutex<State>>,
}

impl Writer {
    fn new(state: State) -> Self {
        Self { process: getpid(), state: Arc::new(Mutex::new(state)) }
    }
}

/// What only the writer needs.
struct State {
    ids: Ids,
    /// How many credentials were appended to the table in force.
    appended: usize,
    /// Tables that were replaced. A reader that still uses one must not be the one to free it: that takes long.
    retired: Vec<Arc<Table>>,
}

impl State {
    /// The state for a table that somebody else filled: its room counts as used up, since an append may have been
    /// under way.
    fn of(table: &Table) -> Self {
        Self { ids: Ids::of(table), appended: table.capacity(), retired: Vec::new() }
    }

    /// The number of the next credential.
    fn number(&mut self) -> Number {
        self.appended += 1;
        Number::try_from(self.appended).unwrap_or(Number::MAX)
    }

    /// Appends a key's credentials to a table that has room for them, and makes them the ones of its id.
    fn append(&mut self, table: &Table, key: Keyed, policy: &Policy, usage: Option<Arc<Usage>>) {
        let usage = usage.unwrap_or_else(|| Arc::new(Usage::new(key.record.rate_limit)));
        for credential in credentials(key, policy, &usage) {
            let (number, id, retiring) = (self.number(), credential.record.id, credential.retiring);
            table.insert(number, credential);
            if !retiring {
                self.ids.insert(table, &id, number);
            }
        }
    }

    fn retire(&mut self, table: Arc<Table>) {
        self.retired.push(table);
        self.retired.retain(|table| Arc::strong_count(table) > 1);
    }
}

/// Sums over keys.
#[derive(Default)]
struct Counts {
    allowed: AtomicU64,
    denied: [AtomicU64; DENY_REASONS],
}

/// The values of [`Counts`].
struct Sums {
    allowed: u64,
    denied: [u64; DENY_REASONS],
}

impl Counts {
    fn add(&self, usage: &Usage) {
        self.allowed.fetch_add(usage.admitted(), Ordering::Relaxed);
        for (sum, count) in self.denied.iter().zip(usage.denied()) {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn load(&self) -> Sums {
        let denied = std::array::from_fn(|reason| self.denied.get(reason).map_or(0, |sum| sum.load(Ordering::Relaxed)));
        Sums { allowed: self.allowed.load(Ordering::Relaxed), denied }
    }
}

impl Sums {
    fn add(&mut self, usage: &Usage) {
        self.allowed += usage.admitted();
        for (sum, count) in self.denied.iter_mut().zip(usage.denied()) {
            *sum += count;
        }
    }
}

impl Keyed {
    /// The digests by which the key is found: its own, and that of a retiring secret.
    fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.record.retiring.as_deref().map(|retiring| &retiring.digest))
    }
}

fn digests_of(credential: &Credential) -> impl Iterator<Item = &Digest> {
    std::iter::once(&credential.digest).chain(credential.record.retiring.as_deref().map(|retiring| &retiring.digest))
}

/// The credentials of the current secrets: one for each key.
fn keys_of(table: &Table) -> impl Iterator<Item = &Credential> {
    table.iter().map(|(_, credential)| credential).filter(|credential| !credential.retiring)
}

/// What a key's secrets grant: the current one, and a retiring one until its end of grace.
fn credentials(key: Keyed, policy: &Policy, usage: &Arc<Usage>) -> impl Iterator<Item = Credential> {
    let ends_at = key.record.expires_at.unwrap_or(i64::MAX);
    let record = Arc::new(key.record);
    let current = Credential {
        digest: key.digest,
        scopes: policy.close(record.scopes),
        ends_at,
        rate_limit: record.rate_limit,
        revoked: record.revoked_at.is_some(),
        enabled: record.enabled,
        test_mode: record.test_mode,
        retiring: false,
        record: Arc::clone(&record),
        usage: Arc::clone(usage),
    };
    let retiring = record.retiring.as_deref().map(|retiring| Credential {
        digest: retiring.digest,
        ends_at: retiring.until.min(ends_at),
        retiring: true,
        ..current.clone()
    });
    std::iter::once(current).chain(retiring)
}

/// Builds a table from a document's keys; none may share an id or a digest.
fn build(
    json: &[u8],
    keys: Vec<Keyed>,
    policy: &Policy,
    usage_of: impl Fn(&KeyId) -> Option<Arc<Usage>>,
) -> Result<(Table, State), Error> {
    let credentials: usize = keys.iter().map(|key| key.digests().count()).sum();
    // Some room, so that the first changes need no copy.
    let table = Table::with_capacity(credentials + credentials / 8 + 64);
    let mut state = State { ids: Ids::with_capacity(keys.len()), appended: 0, retired: Vec::new() };
    for (index, key) in keys.into_iter().enumerate() {
        if state.ids.get(&table, &key.record.id).is_some() {
            return Err(conflict(json, index, &key.record, "another key has the same id"));
        }
        let own = key.record.retiring.as_deref().is_some_and(|retiring| retiring.digest == key.digest);
        if own || key.digests().any(|digest| table.find(digest).is_some()) {
            return Err(conflict(json, index, &key.record, "another secret has the same sha256"));
        }
        let usage = usage_of(&key.record.id);
        state.append(&table, key, policy, usage);
    }
    Ok((table, state))
}

fn conflict(json: &[u8], index: usize, record: &KeyRecord, message: &str) -> Error {
    let (number, id, place) = (index + 1, record.id.as_str(), document::place_of_key(json, index));
    Error::new(ErrorKind::Conflict, format!("key {number} ({id}): {message}{place}"))
}
