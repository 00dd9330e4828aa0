//! What the processes of a registry tell each other about its keys, in the memory that they share.
//!
//! - The **generation** is the revision of the last change that is on disk. A process that has not applied it reads the log
//!   before it decides.
//! - A key's **state word** says at which revision the key last changed, and whether it is revoked or disabled: so a process
//!   that cannot read the log denies that key, and no other.
//! - Who revokes or disables sets the bit of that before any file is waited for, and **notes** it in the header before. If the
//!   change cannot be written, whoever makes the next one writes it. If its process dies, whoever makes the next change after
//!   a minute takes the bit back.
//!
//! A wrong word can deny a request. It cannot admit one.

use super::usage::{NoLog, OWNERS, Usage, Usages};
use crate::shared::pieces::Piece;
use crate::shared::{Entry, SharedState};
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

/// The words of the header's line for notes; the last is for one that found no other.
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
        (u64::from(self.is_revoked) * REVOKED) | (u64::from(self.is_disabled) * DISABLED)
    }
}

impl Usage<'_> {
    /// What other processes say of the key; nothing if it is not shared.
    #[inline(always)]
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
        self.shared().is_some_and(SharedState::was_alone)
    }

    /// Whether whoever opens the registry now shares with this process.
    pub(crate) fn is_found(&self) -> bool {
        self.shared().is_none_or(SharedState::is_in_place)
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
            if let (Some(id), Some(state)) = (shared.id_of(entry), self.state_of(entry, false)) {
                state.store(standing_of(&id).word(), Ordering::Release);
            }
        });
        shared.intent().iter().for_each(|word| word.store(0, Ordering::Release));
        shared.restored().fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Denies a key in every process, before the change that says so is on disk, and notes that if `note` says so. `None` if
    /// there is no memory to say it in.
    pub(crate) fn deny(&self, id: &KeyId, standing: Standing, note: bool, now_us: u64) -> Option<()> {
        let shared = self.shared()?;
        let entry = shared.find(id, true)?;
        let state = self.state_of(entry, true)?;
        let new = Note { piece: entry.piece, owner: self.owner, is_settled: false, at_s: seconds(now_us) };
        let [named @ .., more] = shared.intent();
        if note && !named.iter().any(|word| exchanged(word, 0, new.word())) {
            more.store(new.word(), Ordering::Release);
        }
        state.fetch_or(standing.flags(), Ordering::AcqRel);
        Some(())
    }

    /// The change that denies a key could not be written: whoever makes the next one is to write it.
    pub(crate) fn leave_denied(&self, id: &KeyId) {
        let _ = self
            .own_note(id)
            .is_some_and(|(word, note)| exchanged(word, note.word(), Note { is_settled: true, ..note }.word()));
    }

    /// Takes back a note: the change is on disk, or will never be.
    pub(crate) fn forget(&self, id: &KeyId) {
        let _ = self.own_note(id).is_some_and(|(word, note)| exchanged(word, note.word(), 0));
    }

    fn own_note(&self, id: &KeyId) -> Option<(&AtomicU64, Note)> {
        let shared = self.shared()?;
        let piece = shared.find(id, false)?.piece;
        notes(shared).find(|(_, note)| note.piece == piece && note.owner == self.owner)
    }

    /// Says what a key is by a revision that is on disk. Only for one who has the file's lock.
    pub(crate) fn settle(&self, id: &KeyId, revision: u64, standing: Standing, make: bool) -> Option<()> {
        let revision = revision & (u64::MAX >> FLAGS);
        self.update(id, make, |before, pending| Standing { revision, ..standing }.word() | pending & before.flags())
    }

    /// Takes back what was denied in vain, of a key that is like this. It may be old, so it denies nothing that is not denied.
    pub(crate) fn allow(&self, id: &KeyId, standing: Standing) {
        let _ = self.update(id, false, |before, pending| {
            before.revision << FLAGS | before.flags() & (standing.flags() | pending)
        });
    }

    /// Gives a key another state word, by the one before and the flags that other processes may have set.
    fn update(&self, id: &KeyId, make: bool, word: impl Fn(Standing, u64) -> u64) -> Option<()> {
        let entry = self.shared()?.find(id, make)?;
        let state = self.state_of(entry, make)?;
        let _ = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
            let pending = if self.is_intended(entry) { REVOKED | DISABLED } else { 0 };
            Some(word(Standing::of(before), pending))
        });
        Some(())
    }

    /// The keys that other processes have denied by changes that were not on disk when they died, or could not be written.
    /// Those that must be written become this one's to write; of the others the denial is over.
    pub(crate) fn take_over(&self, now_us: u64) -> Vec<(KeyId, Abandoned)> {
        let Some(shared) = self.shared() else { return Vec::new() };
        // A note may be newer than the caller's time, and then its age wraps.
        let age_s = |note: &Note| seconds(now_us).wrapping_sub(note.at_s) % (1 << TIME_BITS);
        let is_old = |note: &Note| (PATIENCE_S + 1..1 << (TIME_BITS - 1)).contains(&age_s(note));
        let mut keys = Vec::new();
        let mut look = |entry: Entry<'_>, is_settled| {
            let state = self.state_of(entry, false).map(|state| Standing::of(state.load(Ordering::Acquire)));
            let denied = shared.id_of(entry).zip(state).filter(|(_, standing)| standing.denies());
            keys.extend(denied.map(|(id, standing)| (id, Abandoned { standing, is_settled })));
        };
        let [.., more] = shared.intent();
        if Note::of(more.load(Ordering::Acquire)).is_some_and(|note| is_old(&note)) {
            more.store(0, Ordering::Release);
            shared.each(|entry| {
                if !self.is_intended(entry) {
                    look(entry, false);
                }
            });
        }
        for (word, note) in notes(shared).filter(|(_, note)| note.owner != self.owner) {
            let own = Note { owner: self.owner, ..note };
            let after = if note.is_settled { own.word() } else { 0 };
            if (note.is_settled || is_old(&note)) && exchanged(word, note.word(), after) {
                shared.entry(note.piece).into_iter().for_each(|entry| look(entry, note.is_settled));
            }
        }
        keys
    }

    fn is_intended(&self, entry: Entry<'_>) -> bool {
        self.shared().is_some_and(|shared| notes(shared).any(|(_, note)| note.piece == entry.piece))
    }

    fn state_of<'a>(&'a self, entry: Entry<'_>, make: bool) -> Option<&'a AtomicU64> {
        self.state_in(entry.block(), make)
    }
}

/// A key that a process has denied and no longer cares for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abandoned {
    /// What the key's state word says.
    pub(crate) standing: Standing,
    /// Whether the denial was acknowledged, and must be written.
    pub(crate) is_settled: bool,
}

/// A note of a key that is denied by a change that is not on disk.
#[derive(Debug, Clone, Copy)]
struct Note {
    /// Of the key's entry.
    piece: Piece,
    /// A number of the registry that noted it.
    owner: u16,
    is_settled: bool,
    /// When: the monotonic clock's seconds, as many bits as there is room for.
    at_s: u64,
}

/// How long a change may be under way before it counts as abandoned. Should its process be alive and go on after all, its
/// change is in force everywhere as soon as it is written, as any is.
const PATIENCE_S: u64 = 60;

const OWNER_AT: u32 = 32;
const SETTLED_AT: u32 = OWNER_AT + OWNERS.trailing_zeros();
const TIME_AT: u32 = SETTLED_AT + 1;
const TIME_BITS: u32 = u64::BITS - TIME_AT;

impl Note {
    fn of(word: u64) -> Option<Self> {
        #[allow(clippy::cast_possible_truncation, reason = "these are its parts")]
        (word != 0).then_some(Self {
            piece: word as Piece,
            owner: (word >> OWNER_AT) as u16 & (OWNERS - 1),
            is_settled: word >> SETTLED_AT & 1 == 1,
            at_s: word >> TIME_AT,
        })
    }

    fn word(self) -> u64 {
        u64::from(self.piece)
            | u64::from(self.owner) << OWNER_AT
            | u64::from(self.is_settled) << SETTLED_AT
            | self.at_s << TIME_AT
    }
}

fn notes(shared: &SharedState) -> impl Iterator<Item = (&AtomicU64, Note)> {
    let words = shared.intent().iter().take(NAMED);
    words.filter_map(|word| Note::of(word.load(Ordering::Acquire)).map(|note| (word, note)))
}

fn seconds(now_us: u64) -> u64 {
    now_us / 1_000_000 % (1 << TIME_BITS)
}

fn exchanged(word: &AtomicU64, from: u64, to: u64) -> bool {
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::SharedOptions;

    /// Two processes of one registry, with a key.
    fn two() -> (tempfile::TempDir, [Usages; 2], KeyId) {
        let folder = tempfile::tempdir().expect("there is a disk");
        let options = SharedOptions { dir: folder.path().to_owned() };
        let join = || {
            Usages::new(Some(SharedState::attach(&folder.path().join("keys.json"), &options).expect("it is shared")))
        };
        let usages = [join(), join()];
        (folder, usages, KeyId::new("key_1").expect("it is short"))
    }

    fn standing(usages: &Usages, id: &KeyId) -> Standing {
        usages.of(&usages.open(), id).standing().expect("there is memory")
    }

    const REVOKED: Standing = Standing { is_revoked: true, is_disabled: false, revision: 0 };
    const MINUTE_US: u64 = 60_000_000;

    #[test]
    fn what_one_denies_all_deny_until_it_is_taken_back() {
        let (_folder, [one, other], id) = two();
        one.deny(&id, REVOKED, true, 0).expect("there is memory");
        assert_eq!(standing(&other, &id), REVOKED);
        assert_eq!(standing(&other, &KeyId::new("key_2").expect("it is short")), Standing::default());
        one.forget(&id);
        one.allow(&id, Standing::default());
        assert_eq!(standing(&other, &id), Standing::default());
    }

    /// A change of the same key by another process does not lift what this one is about to write.
    #[test]
    fn a_change_that_is_written_keeps_what_others_are_about_to_deny() {
        let (_folder, [one, other], id) = two();
        one.deny(&id, REVOKED, true, 0).expect("there is memory");
        other.settle(&id, 7, Standing::default(), true).expect("there is memory");
        assert_eq!(standing(&other, &id), Standing { revision: 7, ..REVOKED });
        one.forget(&id);
        other.settle(&id, 8, Standing::default(), true).expect("there is memory");
        assert_eq!(standing(&one, &id), Standing { revision: 8, ..Standing::default() });
        assert!(standing(&one, &id).is_newer_than(7) && !standing(&one, &id).is_newer_than(8));
    }

    #[test]
    fn a_denial_is_taken_over_once_it_is_acknowledged_or_a_minute_old() {
        let (_folder, [one, other], id) = two();
        let taken_over = |now_us| other.take_over(now_us).iter().map(|(_, key)| key.is_settled).collect::<Vec<bool>>();
        let none: [bool; 0] = [];
        let at_us = 5 * MINUTE_US;
        one.deny(&id, REVOKED, true, at_us).expect("there is memory");
        assert_eq!(taken_over(at_us + MINUTE_US), none, "its change is under way, perhaps");
        assert_eq!(taken_over(at_us - 1), none, "a time from before the note");
        assert_eq!(taken_over(at_us + MINUTE_US + 1_000_000), [false]);
        assert_eq!(taken_over(at_us + MINUTE_US + 1_000_000), none, "once");

        one.deny(&id, REVOKED, true, at_us).expect("there is memory");
        one.leave_denied(&id);
        assert!(one.take_over(at_us).is_empty(), "its own");
        assert_eq!(taken_over(at_us), [true]);
        assert_eq!(taken_over(at_us), none, "it is that process's own now");
        other.forget(&id);
        assert!(one.take_over(9 * MINUTE_US).is_empty());
    }

    #[test]
    fn more_denials_at_once_than_there_is_room_for_are_taken_over_too() {
        let (_folder, [one, other], _) = two();
        let ids: Vec<KeyId> = (0..20).filter_map(|n| KeyId::new(&format!("key_{n}"))).collect();
        for id in &ids {
            one.deny(id, REVOKED, true, 0).expect("there is memory");
        }
        assert!(other.take_over(MINUTE_US).is_empty());
        let mut found: Vec<KeyId> = other.take_over(2 * MINUTE_US).into_iter().map(|(id, _)| id).collect();
        found.sort_unstable_by_key(|id| id.as_str().to_owned());
        let mut expected = ids;
        expected.sort_unstable_by_key(|id| id.as_str().to_owned());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_document_that_is_put_in_force_gives_each_key_its_standing() {
        let (_folder, [one, other], id) = two();
        one.advance(9);
        one.settle(&id, 9, REVOKED, true).expect("there is memory");
        assert_eq!(other.generation(), Some((9, 0)));
        assert_eq!(one.restore(4, |_| Standing::default()), 1);
        assert_eq!(other.generation(), Some((4, 1)));
        assert_eq!(standing(&other, &id), Standing::default());
    }
}
