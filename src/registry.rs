//! The registry: the live set of keys, how it changes, and what it has counted.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, getpid};

use crate::clock::{Clock, SystemClock};
use crate::decision::{DENY_REASONS, REASON_NAMES};
use crate::document::{self, Document, Keyed};
use crate::edit::{Change, Edit};
use crate::error::{Error, ErrorKind};
use crate::hazard::{Reading, Retired, Shared};
use crate::ids::Ids;
use crate::key::Digest;
use crate::policy::Policy;
use crate::record::{Date, Hint, KeyRecord, KeyUsage, Record};
use crate::scope::Scope;
use crate::store::{self, Replaced};
use crate::table::{Credential, Number, Table};
use crate::tally::Tally;
use crate::text::KeyId;
use crate::usage::Usage;

/// The keys of a platform, ready to decide. Open it once, share it between all threads, and ask it for every request.
///
/// - Any thread may call any method at any time. [`Registry::authorize`] takes no lock; changes wait for each other only.
/// - [`Registry::authorize`] allocates nothing, but once each for a key's first admission (its window) and its first denial
///   (its counts). No memory for those is a denial, not an abort.
/// - After a change returns, every decision that starts later, on any thread, is made with it.
/// - A process may fork at any time: the child can authorize and reload.
pub struct Registry {
    pub(crate) policy: Policy,
    table: Shared<Table>,
    pub(crate) clock: SystemClock,
    /// Denials that no key is to be blamed for, by reason.
    pub(crate) unproved: Tally,
    /// What keys that are gone had counted.
    departed: Counts,
    revision: AtomicU64,
    writer: Writer,
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
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
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
        let (json, version) = store::read(path, options.read_only)?;
        let place = |error: Error| error.within(format_args!("{path:?}"));
        let mut registry = Self::from_json_with(&json, options).map_err(place)?;
        // The host may change its working directory.
        let absolute = std::path::absolute(path).map_err(|error| Error::new(ErrorKind::Io, error.to_string()));
        registry.file = Some(absolute.map_err(place)?);
        registry.lock().seen = Some(version);
        Ok(registry)
    }

    /// Makes a registry file without keys, which must not be there yet, and opens it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if there is such a file, or it cannot be written.
    pub fn init(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        store::create(path, &document::write(0, &options.policy, &[])?)?;
        Self::open_with(path, options)
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
            table: Shared::new(table, LANES),
            clock: SystemClock::default(),
            unproved: Tally::default(),
            departed: Counts::default(),
            revision: AtomicU64::new(document.revision),
            writer: Writer::new(state),
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
        let table = self.read();
        let keys: Vec<_> = in_order(&table).into_iter().map(|key| (&key.digest, &*key.record)).collect();
        let json = document::write(self.revision.load(Ordering::Acquire), &self.policy, &keys);
        drop(state); // held until here, so that no change is seen by half
        json
    }

    /// The key with this id; `None` if there is none. Waits for a change that is under way.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<KeyRecord> {
        let state = self.lock();
        let table = self.read();
        let known = state.ids.get(&table, &KeyId::new(id)?)?;
        Some(self.describe(&known.record, Some(&known.usage)))
    }

    /// The keys of a store, or of all, in the order of the document.
    #[must_use]
    pub fn list(&self, store: Option<&str>) -> Vec<KeyRecord> {
        let table = self.read();
        let wanted = |key: &&Credential| store.is_none_or(|store| key.record.store.is(store.as_bytes()));
        let described = |key: &Credential| self.describe(&key.record, Some(&key.usage));
        in_order(&table).into_iter().filter(wanted).map(described).collect()
    }

    /// What the registry has counted. Reads the counters of every key, so its cost grows with them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let table = self.read();
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

    /// Reads the registry file again if it has changed since it was last read or written here, which one call to the
    /// operating system finds out. Says whether it had.
    ///
    /// # Errors
    ///
    /// As [`Registry::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let path = self.path()?;
        let mut state = self.lock();
        if state.seen.is_some() && state.seen == Some(store::version(path, self.read_only)?) {
            return Ok(false);
        }
        self.read_again(&mut state, path, false).map(|()| true)
    }

    fn reload_from_file(&self, forced: bool) -> Result<(), Error> {
        let path = self.path()?;
        self.read_again(&mut self.lock(), path, forced)
    }

    fn path(&self) -> Result<&Path, Error> {
        self.file.as_deref().ok_or_else(|| {
            let message = "a memory registry has no file to reload; feed its changes in with apply";
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }

    fn read_again(&self, state: &mut State, path: &Path, forced: bool) -> Result<(), Error> {
        let (json, version) = store::read(path, self.read_only)?;
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
        self.replace(state, &json, document, forced).map_err(place)?;
        state.seen = Some(version);
        Ok(())
    }

    /// Puts a whole document in the place of what is in force. Unless it is forced, what was revoked here stays so, and
    /// what could not be written is in force on top of it.
    fn replace(&self, state: &mut State, json: &[u8], mut document: Document, forced: bool) -> Result<(), Error> {
        let before = self.read();
        for key in document.keys.iter_mut().filter(|_| !forced) {
            let known = state.ids.get(&before, &key.record.id).map(|known| known.record.revoked_at);
            // By its secrets too: a revoked one does not come back under another id.
            let secrets = key.digests().map(|digest| state.revoked_at(&before, digest));
            key.record.revoked_at = secrets.chain(known).fold(key.record.revoked_at, Date::or);
            if let Some(unwritten) = state.unwritten.get(&key.record.id) {
                key.record.narrow(unwritten, |set| self.policy.close(set));
            }
        }
        let usage = |id: &KeyId| state.ids.get(&before, id).map(|known| Arc::clone(&known.usage));
        let (table, built) = build(json, document.keys, &self.policy, usage)?;
        let before_state = std::mem::replace(state, built);
        (state.seen, state.retired) = (before_state.seen, before_state.retired);
        if !forced {
            (state.unwritten, state.revoked) = (before_state.unwritten, before_state.revoked);
        }
        let retired = self.table.replace(table);
        let table = self.read();
        self.revision.store(document.revision, Ordering::Release);
        for key in keys_of(&before).filter(|key| state.ids.get(&table, &key.record.id).is_none()) {
            self.departed.add(&key.usage);
        }
        for (_, gone) in before.iter().filter(|(_, secret)| table.find(&secret.digest).is_none()) {
            state.forget(gone);
        }
        drop(before);
        self.retire(state, retired);
        Ok(())
    }

    /// Makes several changes together: all or none, with one write. A file registry takes the file's lock, reads what
    /// other processes have written, makes the changes, and writes the document; what the changes take away (a
    /// revocation, a shorter expiry) is in force before it is written, and what they grant only afterwards.
    ///
    /// ```no_run
    /// # use bpos::{KeySpec, Registry};
    /// # let registry = Registry::open("keys.json")?;
    /// let new = registry.edit(|edit| {
    ///     edit.revoke("key_4f9hQ2mZk81LxTpWv0Ye")?;
    ///     edit.create(&KeySpec::new("Website Sync", "yourstore", ["products:read"]))
    /// })?;
    /// # let _ = new;
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `change` returns, and then nothing has changed; [`ErrorKind::ReadOnly`] for a read-only registry;
    /// [`ErrorKind::NotDurable`] if the file could not be written but something was taken away, which is in force in
    /// this process from now on; otherwise as [`Registry::reload`], and then nothing has changed.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Edit<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the registry was opened read-only"));
        }
        let mut state = self.lock();
        let Some(path) = &self.file else {
            let (value, changes) = self.draft(&state, change)?;
            self.put(&mut state, changes);
            return Ok(value);
        };
        let ready = store::lock(path).and_then(|lock| self.catch_up(&mut state, path).map(|()| lock));
        let (value, changes) = self.draft(&state, change)?;
        let narrowed = self.narrow(&mut state, &changes);
        let written = ready.map_err(Replaced::No).and_then(|lock| self.write(&state, path, &changes, &lock));
        match written {
            Ok(None) => Ok(value),
            Ok(Some((version, revision))) => {
                self.put(&mut state, changes);
                self.revision.store(revision, Ordering::Release);
                state.seen = Some(version);
                state.unwritten.clear();
                Ok(value)
            }
            Err(failure) => Err(not_durable(failure, narrowed)),
        }
    }

    /// Reads what other processes have written. The file's lock is held.
    fn catch_up(&self, state: &mut State, path: &Path) -> Result<(), Error> {
        if state.seen.is_some() && state.seen == Some(store::version(path, self.read_only)?) {
            return Ok(());
        }
        self.read_again(state, path, false)
    }

    fn draft<T>(
        &self,
        state: &State,
        change: impl FnOnce(&mut Edit<'_>) -> Result<T, Error>,
    ) -> Result<(T, Vec<Change>), Error> {
        let table = self.read();
        let mut edit = Edit::new(self, &table, &state.ids, self.clock.unix_ms());
        let value = change(&mut edit)?;
        Ok((value, edit.into_changes()))
    }

    /// Puts in force what changes take away, and only that. Says whether there was anything.
    fn narrow(&self, state: &mut State, changes: &[Change]) -> bool {
        let close = |set| self.policy.close(set);
        let table = self.read();
        let mut narrowed = Vec::new();
        for change in changes {
            let known = state.ids.get(&table, &change.id);
            if let (Some(known), Some(to)) = (known, &change.to)
                && known.record.grants_more_than(&to.record, close)
            {
                let mut key = Keyed::of(known);
                key.record.narrow(&to.record, close);
                narrowed.push(key);
            }
        }
        for key in &narrowed {
            state.unwritten.insert(key.record.id, key.record.clone());
        }
        let any = !narrowed.is_empty();
        self.put(state, narrowed.into_iter().map(|key| Change { id: key.record.id, to: Some(key) }).collect());
        any
    }

    /// Writes the document with changes made to it; `None` if there are none.
    fn write(
        &self,
        state: &State,
        path: &Path,
        changes: &[Change],
        lock: &store::Lock,
    ) -> Result<Option<(store::Version, u64)>, Replaced> {
        if changes.is_empty() && state.unwritten.is_empty() {
            return Ok(None);
        }
        let table = self.read();
        let changed: HashMap<&KeyId, &Change> = changes.iter().map(|change| (&change.id, change)).collect();
        let known = in_order(&table);
        let kept = known.iter().filter_map(|key| match changed.get(&key.record.id) {
            Some(change) => change.to.as_ref().map(|to| (&to.digest, &to.record)),
            None => Some((&key.digest, &*key.record)),
        });
        let added = changes
            .iter()
            .filter(|change| state.ids.get(&table, &change.id).is_none())
            .filter_map(|change| change.to.as_ref().map(|to| (&to.digest, &to.record)));
        let keys: Vec<_> = kept.chain(added).collect();
        let revision = self.revision.load(Ordering::Acquire).saturating_add(1);
        let json = document::write(revision, &self.policy, &keys).map_err(Replaced::No)?;
        store::replace(path, &json, lock).map(|version| Some((version, revision)))
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
        self.put(&mut state, records.into_iter().map(|key| Change { id: key.record.id, to: Some(key) }).collect());
        Ok(())
    }

    /// Holds changes against each other and against what is in force.
    fn check_changes(&self, state: &State, json: &[u8], records: &[Keyed]) -> Result<(), Error> {
        let table = self.read();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        let mut keys = state.ids.len();
        for (index, key) in records.iter().enumerate() {
            let refuse = |message| Err(conflict(json, index, &key.record, message));
            if !ids.insert(key.record.id.as_bytes()) {
                return refuse("the id is there twice");
            }
            match state.ids.get(&table, &key.record.id) {
                Some(known) if known.record.revoked_at.is_set() && !key.record.revoked_at.is_set() => {
                    return refuse("the key was revoked, and revocation is for good; create a new key");
                }
                Some(_) => {}
                None => keys += 1,
            }
            for digest in key.digests() {
                if state.revoked.contains_key(digest) && !key.record.revoked_at.is_set() {
                    return refuse("the secret was revoked, and revocation is for good; create a new key");
                }
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

    /// Puts changes in force, each at one moment.
    fn put(&self, state: &mut State, changes: Vec<Change>) {
        let more = changes.iter().filter_map(|change| change.to.as_ref()).map(|key| key.digests().count()).sum();
        self.make_room(state, more);
        let table = self.read();
        for Change { id, to } in changes {
            let known = state.ids.get(&table, &id);
            let before: Vec<Digest> = known.into_iter().flat_map(digests_of).copied().collect();
            let after: Vec<Digest> = to.iter().flat_map(Keyed::digests).copied().collect();
            match (known, to) {
                (known, Some(key)) => {
                    let usage = known.map(|known| Arc::clone(&known.usage));
                    state.append(&table, key, &self.policy, usage);
                }
                (Some(known), None) => {
                    self.departed.add(&known.usage);
                    state.ids.remove(&table, &id);
                }
                (None, None) => {}
            }
            for digest in before.iter().filter(|digest| !after.contains(digest)) {
                table.find(digest).into_iter().for_each(|gone| state.forget(gone));
                table.remove(digest);
            }
        }
    }

    /// Sees to it that so many credentials can be appended to the table in force, if need be by a larger copy.
    fn make_room(&self, state: &mut State, more: usize) {
        let table = self.read();
        if state.appended + more <= table.capacity() {
            return;
        }
        let live = table.iter().count();
        let copy = Table::with_capacity((live + more).saturating_mul(2));
        state.appended = 0;
        for (_, credential) in table.iter() {
            copy.insert(state.number(), credential.clone());
        }
        drop(table);
        state.ids = Ids::of(&copy);
        let retired = self.table.replace(copy);
        self.retire(state, retired);
    }

    /// Frees the tables that were replaced and that nobody reads any more. A reader never does: it takes long.
    fn retire(&self, state: &mut State, table: Retired<Table>) {
        state.retired.push(table);
        let retired = std::mem::take(&mut state.retired);
        state.retired = retired.into_iter().filter_map(|table| self.table.free(table).err()).collect();
    }

    /// The table in force, and a lane of this thread's own, for as long as the answer is kept.
    #[inline]
    pub(crate) fn read(&self) -> Reading<'_, Table> {
        thread_local!(static HOME: Cell<usize> = const { Cell::new(0) });
        HOME.with(|home| {
            let reading = self.table.read(home.get());
            home.set(reading.lane());
            reading
        })
    }

    /// What those see of a key who manage keys.
    pub(crate) fn describe(&self, record: &Record, usage: Option<&Usage>) -> KeyRecord {
        let ago_ms = |last_us: u64| i64::try_from(self.clock.monotonic_us().checked_sub(last_us)? / 1_000).ok();
        let last_used_at = usage.and_then(Usage::last_us).and_then(ago_ms).map(|ago| self.clock.unix_ms() - ago);
        let allowed = usage.map_or(0, Usage::admitted);
        let usage = KeyUsage { last_used_at, allowed, denied: usage.map(Usage::denied).unwrap_or_default() };
        KeyRecord {
            id: record.id.as_str().to_owned(),
            name: record.name.clone().into_string(),
            store: record.store.as_str().to_owned(),
            hint: record.hint.map(Hint::text),
            scopes: self.policy.names(record.scopes).map(str::to_owned).collect(),
            rate_limit: u32::from(record.rate_limit),
            expires_at: record.expires_at.get(),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.created_at.get(),
            revoked_at: record.revoked_at.get(),
            retiring_until: record.retiring.as_deref().map(|retiring| retiring.until),
            usage,
        }
    }

    /// Lets one change at a time through.
    fn lock(&self) -> MutexGuard<'_, State> {
        let process = getpid();
        let mut writer = &self.writer;
        while writer.process != process {
            // The process was forked. The parent's lock may be held by a thread that does not exist here, and its
            // state may be half changed; the table never is.
            writer = writer.child.get_or_init(|| Box::new(Writer::new(State::of(&self.read()))));
        }
        writer.state.lock()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut self.lock().retired);
        retired.into_iter().for_each(|table| drop(self.table.free(table))); // nobody reads any more
    }
}

/// How many threads can decide at once without waiting for each other.
const LANES: usize = 128;

/// The right to change a registry, in the process that it was made in.
struct Writer {
    process: Pid,
    state: Mutex<State>,
    /// The same in a child of that process.
    child: OnceBox<Writer>,
}

impl Writer {
    fn new(state: State) -> Self {
        Self { process: getpid(), state: Mutex::new(state), child: OnceBox::new() }
    }
}

/// What only the writer needs.
#[derive(Default)]
struct State {
    ids: Ids,
    /// The position of the key that was added last.
    last_position: u32,
    /// The version of the file that is in force, as far as it is known.
    seen: Option<store::Version>,
    /// What was taken from keys and could not be written. It is in force whatever the file says.
    unwritten: HashMap<KeyId, Record>,
    /// Secrets that were revoked and whose records are gone, with the time of the revocation: they stay revoked.
    revoked: HashMap<Digest, Date>,
    /// How many credentials were appended to the table in force.
    appended: usize,
    /// Tables that were replaced while somebody read them.
    retired: Vec<Retired<Table>>,
}

impl State {
    /// The state for a table that somebody else filled: its room counts as used up, since an append may have been
    /// under way.
    fn of(table: &Table) -> Self {
        let last_position = keys_of(table).map(|key| key.usage.position()).max().unwrap_or(0);
        Self { ids: Ids::of(table), appended: table.capacity(), last_position, ..Self::default() }
    }

    /// When a secret was revoked, if it was.
    fn revoked_at(&self, table: &Table, digest: &Digest) -> Date {
        let gone = self.revoked.get(digest).copied();
        gone.or_else(|| Some(table.find(digest)?.record.revoked_at)).unwrap_or(Date::NONE)
    }

    /// Remembers of a secret whose record goes what must be remembered.
    fn forget(&mut self, secret: &Credential) {
        if secret.record.revoked_at.is_set() {
            self.revoked.insert(secret.digest, secret.record.revoked_at);
        }
    }

    /// The position of a new key: after all others.
    fn position(&mut self) -> u32 {
        self.last_position = self.last_position.saturating_add(1);
        self.last_position
    }

    /// The number of the next credential.
    fn number(&mut self) -> Number {
        self.appended += 1;
        Number::try_from(self.appended).unwrap_or(Number::MAX)
    }

    /// Appends a key's credentials to a table that has room for them, and makes them the ones of its id.
    fn append(&mut self, table: &Table, key: Keyed, policy: &Policy, usage: Option<Arc<Usage>>) {
        let usage = usage.unwrap_or_else(|| {
            let usage = Usage::new(u32::from(key.record.rate_limit));
            usage.set_position(self.position());
            Arc::new(usage)
        });
        for credential in credentials(key, policy, &usage) {
            let (number, id, retiring) = (self.number(), credential.record.id, credential.is_retiring());
            table.insert(number, credential);
            if !retiring {
                self.ids.insert(table, &id, number);
            }
        }
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
    /// The record and the digest of a credential that is in force.
    pub(crate) fn of(credential: &Credential) -> Self {
        Self { digest: credential.digest, record: (*credential.record).clone() }
    }

    /// The digests by which the key is found: its own, and that of a retiring secret.
    fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.record.retiring.as_deref().map(|retiring| &retiring.digest))
    }
}

fn digests_of(credential: &Credential) -> impl Iterator<Item = &Digest> {
    std::iter::once(&credential.digest).chain(credential.record.retiring.as_deref().map(|retiring| &retiring.digest))
}

/// The same, in the order of the document.
fn in_order(table: &Table) -> Vec<&Credential> {
    let mut keys: Vec<_> = keys_of(table).collect();
    keys.sort_by_key(|key| key.usage.position());
    keys
}

/// The credentials of the current secrets: one for each key.
fn keys_of(table: &Table) -> impl Iterator<Item = &Credential> {
    table.iter().map(|(_, credential)| credential).filter(|credential| !credential.is_retiring())
}

/// What a key's secrets grant: the current one, and a retiring one until its end of grace.
fn credentials(key: Keyed, policy: &Policy, usage: &Arc<Usage>) -> impl Iterator<Item = Credential> {
    let record = Arc::new(key.record);
    let current = Credential {
        digest: key.digest,
        scopes: policy.close(record.scopes),
        ends_at: record.expires_at.or_never(),
        record: Arc::clone(&record),
        usage: Arc::clone(usage),
    };
    let retiring = record.retiring.as_deref().map(|retiring| Credential {
        digest: retiring.digest,
        ends_at: retiring.until.min(current.ends_at),
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
    // A little room, so that the first changes need no copy.
    let table = Table::with_capacity(credentials + credentials / 64 + 64);
    let mut state = State { ids: Ids::with_capacity(keys.len()), ..State::default() };
    for (index, key) in keys.into_iter().enumerate() {
        if state.ids.get(&table, &key.record.id).is_some() {
            return Err(conflict(json, index, &key.record, "another key has the same id"));
        }
        let own = key.record.retiring.as_deref().is_some_and(|retiring| retiring.digest == key.digest);
        if own || key.digests().any(|digest| table.find(digest).is_some()) {
            return Err(conflict(json, index, &key.record, "another secret has the same sha256"));
        }
        let usage = usage_of(&key.record.id);
        if let Some(usage) = &usage {
            usage.set_position(state.position());
        }
        state.append(&table, key, policy, usage);
    }
    Ok((table, state))
}

/// The error of a change that could not be written, which says what is in force now.
fn not_durable(failure: Replaced, narrowed: bool) -> Error {
    let taken = "what the change takes away is in force in this process, and will be written with the next change";
    let (message, kind) = match (failure, narrowed) {
        (Replaced::No(error), false) => return error,
        (Replaced::No(error), true) => (format!("{error}: not durable: {taken}"), ErrorKind::NotDurable),
        (Replaced::Perhaps(error), narrowed) => {
            let rest = if narrowed { taken } else { "it is not in force in this process" };
            let message = format!(
                "{error}: not durable: the change was written, but may be lost if the machine stops now; {rest}"
            );
            (message, ErrorKind::NotDurable)
        }
    };
    Error::new(kind, message)
}

fn conflict(json: &[u8], index: usize, record: &Record, message: &str) -> Error {
    let (number, id, place) = (index + 1, record.id.as_str(), document::place_of_key(json, index));
    Error::new(ErrorKind::Conflict, format!("key {number} ({id}): {message}{place}"))
}
