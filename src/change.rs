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
use crate::store::{self, Replaced, Seen};
use crate::table::{Credential, Table};
use crate::text::KeyId;
use crate::writer::{Owner, SETTLED, State, Withheld, build, conflict};

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
    /// operating system finds out: for hosts that ask before each request. Says whether it had. When it returns without an
    /// error, decisions are made by what the file said when it was called, or by something newer.
    ///
    /// It waits only where the file has changed, and then for another thread of this process that is reading or writing it,
    /// but for no other process. A file that was changed up to 20 ms before it was read is read once more: its times, which
    /// tick slowly, could hide another change. One that was refused is not read again until it changes.
    ///
    /// # Errors
    ///
    /// As [`Registry::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let path = self.path()?;
        if self.look(path)?.is_some_and(|known| known.is_settled()) {
            return Ok(false);
        }
        let _file = self.writer().file();
        self.catch_up(path)
    }

    /// Makes several changes together: all or none, with one write. A file registry takes the file's lock, reads what
    /// other processes have written, makes the changes, and writes the document. What the changes take away (a
    /// revocation, a shorter expiry) is in force before any file is waited for, and what they grant only when it is written.
    ///
    /// `change` is run on the keys in memory first, so that what it takes away waits for nothing. If it fails on those of a
    /// file registry, or another process or thread has changed them by the time that it is this one's turn, it is run once
    /// more, on what the file says then; what it did and returned the first time is forgotten.
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
    pub fn edit<T>(&self, mut change: impl FnMut(&mut Edit<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the registry was opened read-only"));
        }
        let Some(path) = &self.file else {
            let mut state = self.state();
            let (value, changes) = self.draft(&state, &mut change)?;
            self.put(&mut state, changes);
            return Ok(value);
        };
        let deadline = store::deadline();
        let taking = Taking::begin(self);
        let owner = taking.owner;
        let first = self.take_away(owner, &mut change);
        let writer = self.writer();
        let _turn = writer.turn();
        let lock = store::lock(path, deadline, &writer.held);
        let _file = writer.file();
        let ready = lock.and_then(|lock| self.catch_up(path).map(|_| lock));
        match (first, ready) {
            (Ok(draft), Ok(lock)) if draft.generation == self.state().generation => {
                self.commit(path, &lock, owner, draft.changes).map(|()| draft.value)
            }
            (_, Ok(lock)) => {
                let again = self.take_away(owner, &mut change)?;
                self.commit(path, &lock, owner, again.changes).map(|()| again.value)
            }
            (Ok(draft), Err(error)) => Err(self.not_written(owner, &draft.changes, Replaced::No(error))),
            // What the draft says of a file that could not be read, that there is no such key perhaps, may not be so.
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// Drafts changes, and puts in force what they take away, in the place of what this owner took before.
    fn take_away<T>(
        &self,
        owner: Owner,
        change: impl FnMut(&mut Edit<'_>) -> Result<T, Error>,
    ) -> Result<Drafted<T>, Error> {
        let mut state = self.state();
        let drafted = self.draft(&state, change);
        let changes = drafted.as_ref().map_or(&[][..], |(_, changes)| changes);
        self.withhold(&mut state, owner, changes);
        drafted.map(|(value, changes)| Drafted { value, changes, generation: state.generation })
    }

    /// Puts changes on disk and in force. The file's lock is held, and what it said is in memory.
    fn commit(&self, path: &Path, lock: &store::Lock<'_>, owner: Owner, changes: Vec<Change>) -> Result<(), Error> {
        let state = self.state();
        if changes.is_empty() && !state.is_unwritten(SETTLED) {
            return Ok(());
        }
        let table = self.read();
        let mut next: HashMap<KeyId, Option<Keyed>> =
            state.withheld.iter().map(|(id, withheld)| (*id, Some(withheld.to_write(&self.policy)))).collect();
        next.extend(changes.iter().map(|change| (change.id, change.to.clone())));
        let added = changes.iter().filter(|change| state.ids.get(&table, &change.id).is_none());
        let added: Vec<_> = added.filter_map(|change| change.to.as_ref()).collect();
        let known = in_order(&table);
        drop(state); // held until here: what other edits take from now on is not among the keys
        let written = self.write(path, &known, &next, &added, lock);
        drop(known);
        drop(table); // or what `put` replaces could not be freed
        let (seen, revision) = match written {
            Ok(written) => written,
            Err(failure) => return Err(self.not_written(owner, &changes, failure)),
        };
        let mut state = self.state();
        self.settle(&mut state, owner, true);
        self.put(&mut state, changes);
        self.revision.store(revision, Ordering::Release);
        state.seen = Some(seen);
        Ok(())
    }

    /// The error of changes that could not be written, or perhaps not.
    fn not_written(&self, owner: Owner, changes: &[Change], failure: Replaced) -> Error {
        let mut state = self.state();
        let taken = state.is_unwritten(owner) || (changes.is_empty() && state.is_unwritten(SETTLED));
        let is_written = matches!(failure, Replaced::Perhaps(_));
        self.settle(&mut state, owner, is_written);
        if is_written {
            state.seen = None; // what the file says now is in force with the next reload
        }
        not_durable(failure, taken)
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
        let mut state = self.state();
        self.check_changes(&state, records_json, &records)?;
        self.put(&mut state, records.into_iter().map(|key| Change { id: key.record.id, to: Some(key) }).collect());
        Ok(())
    }

    fn reload_from_file(&self, forced: bool) -> Result<(), Error> {
        let path = self.path()?;
        let _file = self.writer().file();
        self.read_again(path, forced)
    }

    fn path(&self) -> Result<&Path, Error> {
        self.file.as_deref().ok_or_else(|| {
            let message = "a memory registry has no file to reload; feed its changes in with apply";
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }

    /// Reads the file, whatever is known of it. This thread has the file to itself.
    fn read_again(&self, path: &Path, forced: bool) -> Result<(), Error> {
        let (json, seen) = store::read(path, self.read_only)?;
        self.load(path, &json, &seen, forced)
    }

    /// Puts what was read from the file in force, or remembers why not.
    fn load(&self, path: &Path, json: &[u8], seen: &Seen, forced: bool) -> Result<(), Error> {
        let loaded = document::parse(json, &self.policy).and_then(|document| {
            let (found, known) = (document.revision, self.revision.load(Ordering::Acquire));
            if found < known && !forced {
                let message = format!(
                    "the file has revision {found}, but {known} is in force: an older file could bring back a revoked \
                     key; reload it by force if that is meant"
                );
                return Err(Error::new(ErrorKind::Stale, message));
            }
            self.replace(&mut self.state(), json, document, forced)
        });
        let loaded = loaded.map_err(|error| error.within(format_args!("{path:?}")));
        let mut state = self.state();
        match &loaded {
            Ok(()) => (state.seen, state.refused) = (Some(seen.clone()), None),
            Err(error) => state.refused = Some((seen.clone(), error.clone())),
        }
        loaded
    }

    /// Puts a whole document in the place of what is in force. Unless it is forced, what was revoked here stays so, and
    /// what could not be written is in force on top of it. What edits under way have taken is so in any case.
    fn replace(&self, state: &mut State, json: &[u8], mut document: Document, forced: bool) -> Result<(), Error> {
        let before = self.read();
        let mut withheld = state.withheld.clone(); // the document may be refused yet
        if forced {
            withheld.values_mut().for_each(|withheld| withheld.taken.retain(|(owner, _)| *owner != SETTLED));
            withheld.retain(|_, withheld| !withheld.taken.is_empty());
        }
        for key in &mut document.keys {
            if !forced {
                let known = state.to_write(&before, &key.record.id, &self.policy).map(|known| known.record.revoked_at);
                // By its secrets too: a revoked one does not come back under another id.
                let secrets = key.digests().map(|digest| state.revoked_at(&before, digest, &self.policy));
                key.record.revoked_at = secrets.chain(known).fold(key.record.revoked_at, Date::or);
            }
            if let Some(withheld) = withheld.get_mut(&key.record.id) {
                withheld.key = key.clone();
                *key = withheld.in_force(&self.policy);
            }
        }
        let usage = |id: &KeyId| state.ids.get(&before, id).map(|known| Arc::clone(&known.usage));
        let (table, built) = build(json, document.keys, &self.policy, usage)?;
        let before_state = std::mem::replace(state, built);
        (state.seen, state.retired) = (before_state.seen, before_state.retired);
        (state.generation, state.last_owner) = (before_state.generation + 1, before_state.last_owner);
        state.withheld = withheld;
        if !forced {
            state.revoked = before_state.revoked;
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

    /// What is known of the file, if it is the same since; the error of one that was refused and is the same since.
    fn look(&self, path: &Path) -> Result<Option<Seen>, Error> {
        let (known, refused) = {
            let state = self.state();
            (state.seen.clone(), state.refused.clone())
        };
        let is_current = |seen: &Seen| seen.is_outdated(path, self.read_only).map(|outdated| !outdated);
        let known = match known {
            Some(seen) if is_current(&seen)? => Some(seen),
            _ => None,
        };
        // A host that asks before each request must not read a bad file anew each time.
        if let Some((seen, error)) = refused
            && !known.as_ref().is_some_and(Seen::is_settled)
            && seen.is_settled()
            && is_current(&seen)?
        {
            return Err(error);
        }
        Ok(known)
    }

    /// Reads the file if it has changed. Says whether it had. This thread has the file to itself.
    fn catch_up(&self, path: &Path) -> Result<bool, Error> {
        let known = self.look(path)?;
        if known.as_ref().is_some_and(Seen::is_settled) {
            return Ok(false);
        }
        let (json, seen) = store::read(path, self.read_only)?;
        if known.is_some_and(|known| known.is(&json)) {
            self.state().seen = Some(seen);
            return Ok(false);
        }
        self.load(path, &json, &seen, false).map(|()| true)
    }

    fn draft<T>(
        &self,
        state: &State,
        mut change: impl FnMut(&mut Edit<'_>) -> Result<T, Error>,
    ) -> Result<(T, Vec<Change>), Error> {
        let table = self.read();
        let mut edit = Edit::new(self, &table, state, self.clock.unix_ms());
        let value = change(&mut edit)?;
        Ok((value, edit.into_changes()))
    }

    /// Puts in force what changes take away, and only that, in the place of what this owner took before.
    fn withhold(&self, state: &mut State, owner: Owner, changes: &[Change]) {
        let mut touched: Vec<KeyId> = state.drop_taken(owner);
        let table = self.read();
        for change in changes {
            let Some(before) = state.to_write(&table, &change.id, &self.policy) else { continue };
            let taken = match &change.to {
                Some(to) => Taken::between(&before.record, &to.record, |set| self.policy.close(set)),
                None => Some(Taken::all(Some(self.clock.unix_ms()).into())),
            };
            if let Some(taken) = taken {
                let withheld = state.withheld.entry(change.id).or_insert(Withheld { key: before, taken: Vec::new() });
                withheld.taken.push((owner, taken));
                touched.push(change.id);
            }
        }
        drop(table); // or what `put` replaces could not be freed
        self.put_withheld(state, &touched);
    }

    /// What an edit took is in the file, and what was settled before; or it is settled: the next document has it.
    fn settle(&self, state: &mut State, owner: Owner, is_written: bool) {
        state.generation += 1;
        for withheld in state.withheld.values_mut() {
            for (of, _) in withheld.taken.iter_mut().filter(|(of, _)| *of == owner) {
                *of = SETTLED;
            }
            if is_written {
                withheld.key = withheld.to_write(&self.policy);
                withheld.taken.retain(|(of, _)| *of != SETTLED);
            }
        }
        state.withheld.retain(|_, withheld| !withheld.taken.is_empty());
    }

    /// Puts keys in force as their withheld records say.
    fn put_withheld(&self, state: &mut State, ids: &[KeyId]) {
        let table = self.read();
        // A key that the file no longer has stays gone.
        let there = ids.iter().filter(|id| state.ids.get(&table, id).is_some());
        let keys = there.filter_map(|id| Some(state.withheld.get(id)?.in_force(&self.policy)));
        let changes = keys.map(|key| Change { id: key.record.id, to: Some(key) }).collect();
        drop(table); // or what `put_records` replaces could not be freed
        state.withheld.retain(|_, withheld| !withheld.taken.is_empty());
        self.put_records(state, changes);
    }

    /// Writes the document of keys, but for those that are to be something else or nothing, and of those that are added.
    fn write(
        &self,
        path: &Path,
        known: &[&Credential],
        next: &HashMap<KeyId, Option<Keyed>>,
        added: &[&Keyed],
        lock: &store::Lock<'_>,
    ) -> Result<(Seen, u64), Replaced> {
        let revision = self.revision.load(Ordering::Acquire).checked_add(1).ok_or_else(|| {
            let message = "the document's revision is the highest there is, 18446744073709551615, and each change raises it: \
                           set \"revision\" to 0 in the file, and reload it by force in every server";
            Replaced::No(Error::new(ErrorKind::Limit, message).within(format_args!("{path:?}")))
        })?;
        let kept = known.iter().filter_map(|key| match next.get(&key.record.id) {
            Some(to) => to.as_ref().map(|to| (&to.digest, &to.record)),
            None => Some((&key.digest, &*key.record)),
        });
        let keys: Vec<_> = kept.chain(added.iter().map(|to| (&to.digest, &to.record))).collect();
        let json = document::write(revision, &self.policy, &keys).map_err(Replaced::No)?;
        if json.len() > document::MAX_BYTES {
            let message = format!("the document would have {} bytes; expected at most 1 GiB", json.len());
            return Err(Replaced::No(Error::new(ErrorKind::Limit, message)));
        }
        store::replace(path, &json, lock).map(|seen| (seen, revision))
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

    /// Puts changes in force, each at one moment, but for what other edits have taken.
    fn put(&self, state: &mut State, mut changes: Vec<Change>) {
        state.generation += 1;
        for Change { id, to } in &mut changes {
            match (state.withheld.get_mut(id), to) {
                (Some(withheld), Some(to)) => {
                    withheld.key = to.clone();
                    *to = withheld.in_force(&self.policy);
                }
                (Some(_), None) => drop(state.withheld.remove(id)),
                (None, _) => {}
            }
        }
        self.put_records(state, changes);
    }

    /// Puts records in force, each at one moment.
    fn put_records(&self, state: &mut State, changes: Vec<Change>) {
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

/// An edit that is under way. What it has taken by its end, and neither written nor settled, is given back: it failed, or its
/// host's closure panicked.
struct Taking<'r> {
    registry: &'r Registry,
    owner: Owner,
}

impl<'r> Taking<'r> {
    fn begin(registry: &'r Registry) -> Self {
        let mut state = registry.state();
        state.last_owner += 1;
        Self { registry, owner: state.last_owner }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.registry.withhold(&mut self.registry.state(), self.owner, &[]);
    }
}

/// What an edit comes to, on the keys of a generation of the state.
struct Drafted<T> {
    value: T,
    changes: Vec<Change>,
    generation: u64,
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
