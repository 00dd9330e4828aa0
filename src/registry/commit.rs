//! How an edit is made: first in memory, then on disk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::edit::{Change, Edit};
use super::file::{self, Replaced, Seen};
use super::live::Registry;
use super::sharing::Changing;
use super::state::{Owner, SETTLED, State};
use super::table::Credential;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::json::MAX_BYTES;
use crate::json::document;
use crate::key::KeyEntry;
use crate::text::KeyId;

impl Registry {
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
            self.apply_changes(&mut state, changes);
            return Ok(value);
        };
        let deadline = file::deadline();
        let _changing = Changing::begin();
        let taking = Taking::begin(self);
        let owner = taking.owner;
        let first = self.take_away(owner, &mut change);
        let writer = self.writer();
        let _turn = writer.turn();
        let lock = file::lock(path, deadline, &writer.held);
        let _file = writer.file();
        let ready = lock.and_then(|lock| {
            self.check_shared().map_err(|error| error.within(format_args!("{path:?}")))?;
            self.catch_up_all(path).map(|()| lock)
        });
        if ready.is_ok() {
            self.take_over_denials(&mut self.state());
        }
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
    fn commit(&self, path: &Path, lock: &file::Lock<'_>, owner: Owner, changes: Vec<Change>) -> Result<(), Error> {
        let state = self.state();
        if changes.is_empty() && !state.is_unwritten(SETTLED) {
            return Ok(());
        }
        let table = self.read();
        let mut next: HashMap<KeyId, Option<KeyEntry>> =
            state.withheld.iter().map(|(id, withheld)| (*id, Some(withheld.to_write(&self.policy)))).collect();
        next.extend(changes.iter().map(|change| (change.id, change.to.clone())));
        let added = changes.iter().filter(|change| state.ids.get(&table, &change.id).is_none());
        let added: Vec<_> = added.filter_map(|change| change.to.as_ref()).collect();
        let known: Vec<_> = state.keys(&table, 0, None).collect();
        drop(state); // held until here: what other edits take from now on is not among the keys
        let written = self.write(path, &known, &next, &added, lock);
        drop(known);
        drop(table); // or what `apply_changes` replaces could not be freed
        let (seen, revision) = match written {
            Ok(written) => written,
            Err(failure) => return Err(self.not_written(owner, &changes, failure)),
        };
        let mut state = self.state();
        let table = self.read();
        let is_new = |id| state.ids.get(&table, id).is_none();
        self.publish(revision, next.iter().map(|(id, to)| (id, to.as_ref(), is_new(id))));
        drop(table);
        self.settle(&mut state, owner, true);
        self.settle_denials(&mut state);
        self.apply_changes(&mut state, changes);
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
        self.settle_denials(&mut state);
        if is_written {
            state.seen = None; // what the file says now is in force with the next reload
        }
        not_durable(failure, taken)
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

    /// Writes the document of keys, but for those that are to be something else or nothing, and of those that are added.
    fn write(
        &self,
        path: &Path,
        known: &[&Credential],
        next: &HashMap<KeyId, Option<KeyEntry>>,
        added: &[&KeyEntry],
        lock: &file::Lock<'_>,
    ) -> Result<(Seen, u64), Replaced> {
        let revision = self.revision.load(Ordering::Acquire).checked_add(1).ok_or_else(|| {
            let message = "the document's revision is the highest there is, 18446744073709551615, and each change raises it: \
                           set \"revision\" to 0 in the file, and reload it by force in every server";
            Replaced::No(Error::new(ErrorKind::Limit, message).within(format_args!("{path:?}")))
        })?;
        let kept = known.iter().filter_map(|key| match next.get(&key.record.id) {
            Some(to) => to.as_ref().map(|to| (&to.digest, &to.record)),
            None => Some((&key.digest, &key.record)),
        });
        let keys: Vec<_> = kept.chain(added.iter().map(|to| (&to.digest, &to.record))).collect();
        let json = document::write(revision, &self.policy, &keys).map_err(Replaced::No)?;
        if json.len() > MAX_BYTES {
            let message = format!("the document would have {} bytes; expected at most 1 GiB", json.len());
            return Err(Replaced::No(Error::new(ErrorKind::Limit, message)));
        }
        file::replace(path, &json, lock).map(|seen| (seen, revision))
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

/// The error of a change that could not be written, or perhaps not, and what that means.
fn not_durable(failure: Replaced, restricted: bool) -> Error {
    let taken = "what the change takes away is in force in this process, and will be written with the next change";
    match (failure, restricted) {
        (Replaced::No(error), false) => error,
        (Replaced::No(error), true) => error.not_durable(taken, false),
        (Replaced::Perhaps(error), restricted) => {
            let rest = if restricted { taken } else { "it is not in force in this process" };
            let lost = "the change was written, but may be lost if the machine stops now";
            error.not_durable(&format!("{lost}; {rest}"), true)
        }
    }
}
