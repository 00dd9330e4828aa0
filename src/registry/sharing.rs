//! How a change in one process comes into force in all that share the registry.
//!
//! A change that is on disk moves the generation. Each process compares that with its own revision before it decides, and
//! reads the file if it is behind: so nothing needs to be called. What denies a key is told at once, before any file is waited
//! for.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::live::Registry;
use super::restriction::Restriction;
use super::state::{Owner, SETTLED, State, Withheld};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::key::{KeyEntry, OptionalTime, Record};
use crate::limit::{Abandoned, Standing};
use crate::text::KeyId;

/// How long a process that could not read the file decides without, before it tries again.
const RETRY_US: u64 = 100_000;

/// How often a decision looks whether the thread that reads the file has finished, and how long it waits in between.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_micros(100);

thread_local! {
    /// Whether this thread is making a change, and has the locks that reading the file would wait for.
    static CHANGES: Cell<bool> = const { Cell::new(false) };
}

/// For as long as it lives, this thread makes a change.
pub(super) struct Changing(bool);

impl Changing {
    pub(super) fn begin() -> Self {
        Self(CHANGES.replace(true))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        CHANGES.set(self.0);
    }
}

impl Standing {
    fn of_record(record: Option<&Record>) -> Self {
        match record {
            Some(record) => Self::denied(record.details.revoked_at.is_set(), !record.enabled),
            None => Self::denied(true, false),
        }
    }
}

impl Registry {
    /// The revision in force in this process.
    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Whether another process has made a change that is not in force here.
    #[inline]
    fn is_behind(&self) -> bool {
        self.usages.generation().is_some_and(|(generation, restored)| {
            generation > self.revision() || restored != self.restored.load(Ordering::Acquire)
        })
    }

    /// Joins those that have the file open. This one has the file's lock.
    pub(super) fn join(&self) -> Result<(), Error> {
        let Some((generation, restored)) = self.usages.generation() else { return Ok(()) };
        let revision = self.revision();
        self.restored.store(restored, Ordering::Release);
        if revision != generation && self.usages.was_alone() {
            self.restore();
        } else if revision < generation {
            let message = format!(
                "the file has revision {revision}, but {generation} is in force in the processes that have it open: an older file \
                 could bring back a revoked key; reload it by force in one of them if that is meant"
            );
            return Err(Error::new(ErrorKind::Stale, message));
        }
        self.usages.advance(revision);
        Ok(())
    }

    /// Makes what is in force here so in all processes, even if it is older. This one has the file's lock.
    pub(super) fn restore(&self) {
        let (state, table) = (self.state(), self.read());
        let standing_of = |id: &KeyId| Standing::of_record(state.ids.get(&table, id).map(|known| &known.record));
        self.restored.store(self.usages.restore(self.revision(), standing_of), Ordering::Release);
    }

    /// Puts in force what other processes have changed, where there is something.
    #[inline]
    pub(crate) fn follow_others(&self) {
        if self.is_behind() {
            self.follow();
        }
    }

    /// Puts in force what other processes have changed, if that can be done soon. A decision that goes on without denies the
    /// keys that have changed.
    #[cold]
    fn follow(&self) {
        let Ok(path) = self.path() else { return };
        let now_us = self.clock.monotonic_us();
        if CHANGES.get() || now_us < self.retry_at_us.load(Ordering::Relaxed) {
            return;
        }
        let writer = self.writer();
        for _ in 0..LOOKS {
            if !self.is_behind() {
                return;
            }
            if let Some(_file) = writer.try_file()
                && writer.try_state().is_some()
            {
                if self.is_behind() && self.catch_up_all(path).is_err() {
                    self.retry_at_us.store(now_us.saturating_add(RETRY_US), Ordering::Relaxed);
                }
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Refuses a change that not every process would hear of.
    pub(super) fn check_shared(&self) -> Result<(), Error> {
        if self.usages.is_found() {
            return Ok(());
        }
        let message = "somebody removed or replaced the file NAME.shared, so that processes that open the registry now would count \
                       apart: restart all that have it open";
        Err(Error::new(ErrorKind::Io, message))
    }

    /// Puts in force what the file says; even an older document, if another process did so by force. This thread has the file
    /// to itself.
    pub(super) fn catch_up_all(&self, path: &Path) -> Result<(), Error> {
        let restored = self.usages.generation().map_or(0, |(_, restored)| restored);
        if restored == self.restored.load(Ordering::Acquire) {
            return self.catch_up(path).map(drop);
        }
        self.read_again(path, true)?;
        self.restored.store(restored, Ordering::Release);
        Ok(())
    }

    /// Tells all processes which of these keys the changes under way deny, or no longer deny.
    pub(super) fn tell_denials(&self, state: &mut State, ids: &[KeyId]) {
        for id in ids {
            let withheld = state.withheld.get(id);
            let denied = withheld.map_or(Standing::default(), Withheld::denied);
            if denied.denies() {
                let now_us = self.clock.monotonic_us();
                if self.usages.deny(id, denied, !state.denying.contains(id), now_us).is_some() {
                    state.denying.insert(*id);
                }
            } else if state.denying.remove(id) {
                let table = self.read();
                let record = state.ids.get(&table, id).map(|known| &known.record);
                self.usages.forget(id);
                self.usages.allow(id, Standing::of_record(record));
            }
        }
    }

    /// Takes back the notes of denials that are on disk, and leaves those to be written that could not be.
    pub(super) fn settle_denials(&self, state: &mut State) {
        let withheld = &state.withheld;
        let denied =
            |id: &KeyId, by: fn(&Withheld) -> Standing| withheld.get(id).is_some_and(|withheld| by(withheld).denies());
        state.denying.extract_if(|id| !denied(id, Withheld::denied)).for_each(|id| self.usages.forget(&id));
        state.denying.iter().filter(|id| denied(id, Withheld::left_denied)).for_each(|id| self.usages.leave_denied(id));
    }

    /// Takes over what other processes have denied and could not write: the next change writes it. What they were about to write
    /// and will not is no longer denied. This one has the file's lock, and what the file says is in force.
    pub(super) fn take_over_denials(&self, state: &mut State) {
        self.usages.advance(self.revision());
        let mut taken_over = Vec::new();
        for (id, Abandoned { standing, is_settled }) in self.usages.take_over(self.clock.monotonic_us()) {
            let table = self.read();
            let known = state.to_write(&table, &id, &self.policy);
            let is = Standing::of_record(known.as_ref().map(|known| &known.record));
            let missing = standing.beyond(is);
            match known {
                Some(known) if is_settled && missing.denies() => {
                    let now = OptionalTime::from(Some(self.clock.unix_ms()).filter(|_| missing.is_revoked));
                    let withheld = state.withheld.entry(id).or_insert(Withheld { key: known, taken: Vec::new() });
                    withheld.taken.push((SETTLED, Restriction::denial(now, missing.is_disabled)));
                    taken_over.push(id);
                }
                _ => {
                    self.usages.forget(&id);
                    self.usages.allow(&id, is);
                }
            }
        }
        if !taken_over.is_empty() {
            state.generation += 1;
            state.denying.extend(&taken_over);
            self.put_withheld(state, &taken_over);
        }
    }

    /// Tells all processes of changes that are on disk. This one has the file's lock.
    pub(super) fn publish<'k>(
        &self,
        revision: u64,
        changes: impl Iterator<Item = (&'k KeyId, Option<&'k KeyEntry>, bool)>,
    ) {
        self.usages.advance(revision);
        for (id, to, is_new) in changes {
            let standing = Standing::of_record(to.map(|to| &to.record));
            // Without memory for it, the generation has to do.
            let _ = self.usages.settle(id, revision, standing, !is_new);
        }
    }
}

impl Withheld {
    /// What the restrictions deny altogether.
    fn denied(&self) -> Standing {
        self.denied_by(|_| true)
    }

    /// What those deny that could not be written.
    fn left_denied(&self) -> Standing {
        self.denied_by(|owner| owner == SETTLED)
    }

    fn denied_by(&self, counts: impl Fn(Owner) -> bool) -> Standing {
        let any =
            |denies: fn(&Restriction) -> bool| self.taken.iter().any(|(owner, taken)| counts(*owner) && denies(taken));
        Standing::denied(any(Restriction::revokes), any(Restriction::disables))
    }
}
