//! How the registry file's changes come into force.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::file::{self, Seen};
use super::live::Registry;
use super::state::{SETTLED, State, build};
use crate::error::{Error, ErrorKind};
use crate::json::document::{self, Document};
use crate::key::OptionalTime;
use crate::text::KeyId;

impl Registry {
    /// Reads the registry file again and decides by it from now on.
    ///
    /// All or nothing: if anything is wrong with the file, what was in force stays. Keys whose id stays keep their
    /// window and their counts. A key that was revoked here stays revoked, whatever the file says.
    ///
    /// ```no_run
    /// let registry = bpos::Registry::open("keys.json")?;
    /// registry.reload()?;
    /// # Ok::<(), bpos::Error>(())
    /// ```
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
    /// ```no_run
    /// let registry = bpos::Registry::open("keys.json")?;
    /// if let Err(error) = registry.reload_if_changed() {
    ///     eprintln!("the old keys stay in force: {error}");
    /// }
    /// # Ok::<(), bpos::Error>(())
    /// ```
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

    fn reload_from_file(&self, forced: bool) -> Result<(), Error> {
        let path = self.path()?;
        let writer = self.writer();
        if !forced || self.usages.generation().is_none() {
            let _file = writer.file();
            return self.read_again(path, forced);
        }
        // It is in force in all processes.
        let deadline = file::deadline();
        let _turn = writer.turn();
        let _lock = file::lock(path, deadline, &writer.held)?;
        let _file = writer.file();
        self.read_again(path, true)?;
        self.restore();
        Ok(())
    }

    pub(super) fn path(&self) -> Result<&Path, Error> {
        self.file.as_deref().ok_or_else(|| {
            let message = "a memory registry has no file to reload; feed its changes in with apply";
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }

    /// Reads the file, whatever is known of it. This thread has the file to itself.
    pub(super) fn read_again(&self, path: &Path, forced: bool) -> Result<(), Error> {
        let (json, seen) = file::read(path, self.read_only)?;
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
            self.replace(&mut self.state(), document, forced);
            Ok(())
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
    fn replace(&self, state: &mut State, mut document: Document, forced: bool) {
        let before = self.read();
        let mut withheld = state.withheld.clone();
        if forced {
            withheld.values_mut().for_each(|withheld| withheld.taken.retain(|(owner, _)| *owner != SETTLED));
            withheld.retain(|_, withheld| !withheld.taken.is_empty());
        }
        for key in &mut document.keys {
            if !forced {
                let known =
                    state.to_write(&before, &key.record.id, &self.policy).map(|known| known.record.details.revoked_at);
                // By its secrets too: a revoked one does not come back under another id.
                let secrets = key.digests().map(|digest| state.revoked_at(&before, digest, &self.policy));
                key.record.details.revoked_at =
                    secrets.chain(known).fold(key.record.details.revoked_at, OptionalTime::or);
            }
            if let Some(withheld) = withheld.get_mut(&key.record.id) {
                withheld.key = key.clone();
                *key = withheld.in_force(&self.policy);
            }
        }
        let known = |id: &KeyId| state.ids.get(&before, id).map(|known| known.account.clone());
        let (table, built) = build(document.keys, &self.policy, |id| known(id).unwrap_or_else(|| self.usages.open()));
        let before_state = std::mem::replace(state, built);
        (state.seen, state.retired) = (before_state.seen, before_state.retired);
        (state.generation, state.last_owner) = (before_state.generation + 1, before_state.last_owner);
        (state.withheld, state.denying) = (withheld, before_state.denying);
        if !forced {
            state.revoked = before_state.revoked;
        }
        let retired = self.table.replace(table);
        let table = self.read();
        self.revision.store(document.revision, Ordering::Release);
        for key in before.keys().filter(|key| state.ids.get(&table, &key.record.id).is_none()) {
            self.departed.add(self.usage(key));
        }
        for (_, gone) in before.iter().filter(|(_, secret)| table.find(&secret.digest).is_none()) {
            if gone.record.details.revoked_at.is_set() {
                state.revoked.insert(gone.digest, gone.record.details.revoked_at);
            }
        }
        drop(table);
        drop(before);
        self.retire(state, retired);
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
    pub(super) fn catch_up(&self, path: &Path) -> Result<bool, Error> {
        let known = self.look(path)?;
        if known.as_ref().is_some_and(Seen::is_settled) {
            return Ok(false);
        }
        let (json, seen) = file::read(path, self.read_only)?;
        if known.is_some_and(|known| known.is(&json)) {
            self.state().seen = Some(seen);
            return Ok(false);
        }
        self.load(path, &json, &seen, false).map(|()| true)
    }
}
