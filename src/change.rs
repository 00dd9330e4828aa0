//! How a registry changes: by its file, by its host's records, or by an edit; in memory, and on disk.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::document::{self, Document, Keyed};
use crate::edit::{Change, Edit};
use crate::error::{Error, ErrorKind};
use crate::hazard::Retired;
use crate::ids::Ids;
use crate::key::Digest;
use crate::record::{Date, Taken};
use crate::registry::{Registry, in_order, keys_of};
use crate::store::{self, Replaced};
use crate::table::Table;
use crate::text::KeyId;
use crate::writer::{State, build, conflict};

impl Registry {
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

    /// Reads the registry file again if it has changed since it was last read or written here, which one call to the
    /// operating system finds out. Says whether it had. Waits for nobody: where a change or a reload is under way, which reads
    /// the file itself, the answer is `false`.
    ///
    /// # Errors
    ///
    /// As [`Registry::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let path = self.path()?;
        let Some(mut state) = self.try_lock() else { return Ok(false) };
        if state.seen.is_some() && state.seen == Some(store::version(path, self.read_only)?) {
            return Ok(false);
        }
        self.read_again(&mut state, path, false).map(|()| true)
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
    /// # Deadlocks
    ///
    /// `change` must not change or read the registry but through its [`Edit`]: whatever waits for a change under way would
    /// wait for itself. Deciding is free to it.
    ///
    /// # Errors
    ///
    /// What `change` returns, and then nothing has changed; [`ErrorKind::ReadOnly`] for a read-only registry;
    /// [`ErrorKind::NotDurable`] if the file could not be written but something was taken away, which is in force in
    /// this process from now on; otherwise as [`Registry::reload`], and then nothing has changed.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Edit<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.edit_with(change, false)
    }

    /// As [`Registry::edit`], for what only takes away: it is in force before the file's lock is waited for.
    pub(crate) fn take_away(&self, change: impl Fn(&mut Edit<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let mut taken = false;
        if self.file.is_some() && !self.read_only {
            let mut state = self.lock();
            // Whether there is such a key is for the file to say, which may have changed.
            if let Ok(((), changes)) = self.draft(&state, &change) {
                taken = self.narrow(&mut state, &changes);
            }
        }
        self.edit_with(change, taken)
    }

    fn edit_with<T>(
        &self,
        change: impl FnOnce(&mut Edit<'_>) -> Result<T, Error>,
        already_taken: bool,
    ) -> Result<T, Error> {
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
        match (self.draft(&state, change), ready) {
            (Ok((value, changes)), ready) => {
                self.commit(&mut state, path, ready, changes, already_taken).map(|()| value)
            }
            // What the draft says of a file that could not be read, that there is no such key perhaps, may not be so.
            (Err(_), Err(error)) if already_taken => Err(not_durable(Replaced::No(error), true)),
            (Err(_), Err(error)) | (Err(error), Ok(_)) => Err(error),
        }
    }

    /// Puts changes in force and on disk: first what they take away, then the file, then the rest.
    fn commit(
        &self,
        state: &mut State,
        path: &Path,
        ready: Result<store::Lock, Error>,
        changes: Vec<Change>,
        already_taken: bool,
    ) -> Result<(), Error> {
        let pending = changes.is_empty() && !state.unwritten.is_empty();
        let taken = self.narrow(state, &changes) || already_taken || pending;
        let written = ready.map_err(Replaced::No).and_then(|lock| self.write(state, path, &changes, &lock));
        match written {
            Ok(None) => {}
            Ok(Some((version, revision))) => {
                self.put(state, changes);
                self.revision.store(revision, Ordering::Release);
                state.seen = Some(version);
                state.unwritten.clear();
            }
            Err(failure) => {
                if matches!(failure, Replaced::Perhaps(_)) {
                    state.unwritten.clear(); // the file says it now, and what it says later counts
                    state.seen = None;
                }
                return Err(not_durable(failure, taken));
            }
        }
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
        self.put(&mut state, records.into_iter().map(|key| Change { id: key.record.id, to: Some(key) }).collect());
        Ok(())
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
            if let Some(taken) = state.unwritten.get(&key.record.id) {
                taken.take_from(&mut key.record, |set| self.policy.close(set));
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
            if gone.record.revoked_at.is_set() {
                state.revoked.insert(gone.digest, gone.record.revoked_at);
            }
        }
        for (position, key) in (1..).zip(keys_of(&table)) {
            key.usage.set_position(position);
            state.last_position = position;
        }
        drop(table);
        drop(before);
        self.retire(state, retired);
        Ok(())
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
        let mut narrowed = Vec::new();
        let table = self.read();
        for change in changes {
            let Some(known) = state.ids.get(&table, &change.id) else { continue };
            let taken = match &change.to {
                Some(to) => Taken::between(&known.record, &to.record, close),
                None => Some(Taken::all(Some(self.clock.unix_ms()).into())),
            };
            let mut key = Keyed::of(known);
            if let Some(taken) = taken
                && taken.take_from(&mut key.record, close)
            {
                let unwritten = state.unwritten.entry(change.id).or_insert(taken);
                *unwritten = unwritten.and(taken);
                narrowed.push(Change { id: change.id, to: Some(key) });
            }
        }
        drop(table); // or what `put` replaces could not be freed
        let any = !narrowed.is_empty();
        self.put(state, narrowed);
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
        if json.len() > document::MAX_BYTES {
            let message = format!("the document would have {} bytes; expected at most 1 GiB", json.len());
            return Err(Replaced::No(Error::new(ErrorKind::Limit, message)));
        }
        store::replace(path, &json, lock).map(|version| Some((version, revision)))
    }

    /// Holds changes against each other and against what is in force.
    fn check_changes(&self, state: &State, json: &[u8], records: &[Keyed]) -> Result<(), Error> {
        let table = self.read();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        let mut keys = state.ids.len();
        for (index, key) in records.iter().enumerate() {
            let refuse = |message| Err(conflict(json, index, &key.record.id, message));
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
            let before: Vec<Digest> =
                known.into_iter().flat_map(|known| known.record.digests(&known.digest)).copied().collect();
            let after: Vec<Digest> = to.iter().flat_map(Keyed::digests).copied().collect();
            // A key that is removed is as good as revoked, and a secret that a revoked key loses stays so.
            let was = known.map_or(Date::NONE, |known| known.record.revoked_at);
            let is = to.as_ref().map_or(Some(self.clock.unix_ms()).into(), |to| to.record.revoked_at);
            let revoked_at = was.or(is);
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
                if revoked_at.is_set() {
                    state.revoked.insert(*digest, revoked_at);
                }
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
