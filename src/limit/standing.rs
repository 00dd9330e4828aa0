//! What the processes of a registry tell each other about its keys, in the memory that they share.
//!
//! - The **generation** is the revision of the last change that is on disk. A process that has not applied it reads the log
//!   before it decides.
//! - A key's **state word** says at which revision the key last changed, and whether it is revoked or disabled: so a process
//!   that cannot read the log denies that key, and no other.
//! - Who revokes or disables sets the bit of that before any file is waited for, and notes its **intent** before the bit.
//!   Should it die before the change is on disk, the next one to hold the file's lock writes it.
//!
//! A wrong word can deny a request. It cannot admit one.

use super::usage::{NoLog, Usage, Usages};
use crate::shared::{Entry, Shared};
use crate::sync::atomics::{AtomicU64, Ordering};
use crate::text::KeyId;

/// What a key's state word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) is_revoked: bool,
    pub(crate) is_disabled: bool,
    /// The last change of the key.
    revision: u64,
}

const REVOKED: u64 = 1;
const DISABLED: u64 = 2;
const FLAGS: u32 = 2;

/// The words of the header's line for intents that hold an entry's piece; the last says that there were more.
const NAMED: usize = 7;

impl Standing {
    /// Revoked, disabled, or both, by a change that is not on disk yet.
    pub(crate) fn denied(is_revoked: bool, is_disabled: bool) -> Self {
        Self { is_revoked, is_disabled, revision: 0 }
    }

    pub(crate) fn denies(self) -> bool {
        self.is_revoked || self.is_disabled
    }

    /// What this denies, and another does not.
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self::denied(self.is_revoked && !other.is_revoked, self.is_disabled && !other.is_disabled)
    }

    /// Whether the key has changed since a revision. Of a revision, all but the two highest bits count.
    #[inline]
    pub(crate) fn is_newer_than(self, revision: u64) -> bool {
        self.revision > revision & (u64::MAX >> FLAGS)
    }

    #[inline]
    fn of(word: u64) -> Self {
        Self { is_revoked: word & REVOKED != 0, is_disabled: word & DISABLED != 0, revision: word >> FLAGS }
    }

    fn word(self) -> u64 {
        self.revision << FLAGS | self.flags()
    }

    fn flags(self) -> u64 {
        u64::from(self.is_revoked) * REVOKED | u64::from(self.is_disabled) * DISABLED
    }
}

impl Usage<'_> {
    /// What other processes say of the key; nothing if it is not shared.
    #[inline]
    pub(crate) fn standing(self) -> Result<Standing, NoLog> {
        match self.state()? {
            Some(state) => Ok(Standing::of(state.load(Ordering::Acquire))),
            None => Ok(Standing::default()),
        }
    }
}

impl Usages {
    /// The revision of the last change that is on disk, and how often an older document was put in force.
    #[inline]
    pub(crate) fn generation(&self) -> Option<(u64, u64)> {
        let shared = self.shared()?;
        Some((shared.generation().load(Ordering::Acquire), shared.restored().load(Ordering::Acquire)))
    }

    /// Whether no other process had the registry open when this one did.
    pub(crate) fn was_alone(&self) -> bool {
        self.shared().is_some_and(Shared::was_alone)
    }

    /// A change is on disk.
    pub(crate) fn advance(&self, revision: u64) {
        if let Some(shared) = self.shared() {
            shared.generation().fetch_max(revision, Ordering::AcqRel);
        }
    }

    /// A document was put in force, though it may be older. Says how often that was.
    pub(crate) fn restore(&self, revision: u64, standing_of: impl Fn(&KeyId) -> Standing) -> u64 {
        let Some(shared) = self.shared() else { return 0 };
        shared.generation().store(revision, Ordering::Release);
        shared.each(|entry| {
            if let (Some(id), Some(state)) = (entry.id(), self.state_of(entry, false)) {
                state.store(standing_of(&id).word(), Ordering::Release);
            }
        });
        shared.intent().iter().for_each(|word| word.store(0, Ordering::Release));
        shared.restored().fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Denies a key in every process, before the change that says so is on disk, and notes the intent if it is not noted yet.
    /// `None` if there is no memory to say it in.
    pub(crate) fn deny(&self, id: &KeyId, standing: Standing, note: bool) -> Option<()> {
        let shared = self.shared()?;
        let entry = shared.find(id, true)?;
        let state = self.state_of(entry, true)?;
        let [named @ .., more] = shared.intent();
        debug_assert_eq!(named.len(), NAMED);
        let own = u64::from(entry.piece);
        if note && !named.iter().any(|word| exchanged(word, 0, own)) {
            more.store(1, Ordering::Release);
        }
        state.fetch_or(standing.flags(), Ordering::AcqRel);
        Some(())
    }

    /// Takes back one note of an intent: the change is on disk, or will never be.
    pub(crate) fn forget(&self, id: &KeyId) {
        let noted = self.shared().and_then(|shared| Some((shared.intent(), u64::from(shared.find(id, false)?.piece))));
        if let Some((words, own)) = noted {
            let _ = words.iter().take(NAMED).any(|word| exchanged(word, own, 0));
        }
    }

    /// Says what a key is by a revision that is on disk, which only one who has the file's lock may; or without a revision,
    /// what it is again after [`Usages::deny`] was in vain.
    pub(crate) fn settle(&self, id: &KeyId, revision: Option<u64>, standing: Standing, make: bool) -> Option<()> {
        let entry = self.shared()?.find(id, make)?;
        let state = self.state_of(entry, make)?;
        let is_pending = |flags: u64| flags != 0 && self.is_intended(entry);
        let _ = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let before = Standing::of(word);
            // What another process has set is not on disk yet.
            let pending = if is_pending(before.flags()) { before.flags() } else { 0 };
            let revision = revision.map_or(before.revision, |revision| revision & (u64::MAX >> FLAGS));
            Some(Standing { revision, ..standing }.word() | pending)
        });
        Some(())
    }

    /// The keys that processes have denied by changes that are perhaps not on disk.
    pub(crate) fn intended(&self) -> Vec<(KeyId, Standing)> {
        let Some(shared) = self.shared() else { return Vec::new() };
        let [named @ .., more] = shared.intent();
        let mut keys = Vec::new();
        let mut look = |entry: Entry<'_>| {
            let state = self.state_of(entry, false).map(|state| Standing::of(state.load(Ordering::Acquire)));
            keys.extend(entry.id().zip(state).filter(|(_, standing)| standing.denies()));
        };
        for word in named.iter().map(|word| word.load(Ordering::Acquire)).filter(|word| *word != 0) {
            u32::try_from(word).ok().and_then(|piece| shared.entry(piece)).into_iter().for_each(&mut look);
        }
        if more.swap(0, Ordering::AcqRel) != 0 {
            shared.each(look);
        }
        keys
    }

    fn is_intended(&self, entry: Entry<'_>) -> bool {
        let own = u64::from(entry.piece);
        self.shared()
            .is_some_and(|shared| shared.intent().iter().take(NAMED).any(|word| word.load(Ordering::Acquire) == own))
    }

    fn state_of<'a>(&'a self, entry: Entry<'_>, make: bool) -> Option<&'a AtomicU64> {
        self.state_in(entry.block(), make)
    }
}

fn exchanged(word: &AtomicU64, from: u64, to: u64) -> bool {
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}
