//! A key's usage: its window, the memory of the window's slots, and its denials.
//!
//! It belongs to a key's id and is shared by all versions of its record, so no change, reload or rotation forgets an
//! admission. The first request that proves the secret takes a block: the window's head and its first slots. When more
//! requests than those hold lie in one span, the log moves to a larger ring: the old one is sealed and its times are
//! copied, by every thread that meets the seal, so that none waits.

use std::sync::atomic::AtomicU32;

use super::tally::{self, CELLS, Tally};
use super::window::{Verdict, Window};
use crate::clock::Clock;
use crate::decision::{DENY_REASONS, DenyReason};
use crate::shared::SharedState;
use crate::shared::pieces::{LINE, Piece, Pieces};
use crate::sync::atomics::{AtomicU64, Ordering};
use crate::text::KeyId;

/// The usage of all keys of a registry, and the denials that are not attributable to one.
pub(crate) struct Usages {
    /// Memory of this process.
    own: Pieces,
    /// Where the keys' blocks are, if all processes share them.
    shared: Option<SharedState>,
    /// A number of this registry, for its notes in shared memory.
    pub(super) owner: u16,
    /// A tally of denials that are not attributable to a key.
    unproved: Option<Piece>,
    /// A line for each of the first lanes.
    gathered: Option<Piece>,
    /// The next account's number.
    next: AtomicU32,
}

/// What a credential has of its key's usage. Clones share it.
#[derive(Debug)]
pub(crate) struct Account {
    /// The number of the word that holds the block's number, for all versions of the key; 0 if there was no memory. The next
    /// word is for the block of [`Usage::apart`], where there is one.
    number: u32,
    /// The block, once this version has found it.
    block: AtomicU32,
    /// The log that was the last when this version looked: a [`Link`].
    last: AtomicU32,
}

/// The admissions and the denials of one key.
#[derive(Clone, Copy)]
pub(crate) struct Usage<'a> {
    own: &'a Pieces,
    shared: Option<&'a SharedState>,
    gathered: Option<Piece>,
    account: &'a Account,
    id: &'a KeyId,
}

const FIRST_PROVED: usize = DenyReason::FIRST_PROVED;

const _: () = assert!(DENY_REASONS - FIRST_PROVED <= CELLS && FIRST_PROVED <= CELLS, "a tally has a cell for each");

/// There is no memory for a key's log, or it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoLog;

impl Usages {
    /// Of this process alone, or of all that share.
    pub(crate) fn new(shared: Option<SharedState>) -> Self {
        let own = Pieces::default();
        let (unproved, gathered) = (own.take(TALLY), own.take(GATHERING));
        // Two with one number would hinder each other only if one died in the midst of a change.
        let mut random = [0; 2];
        let _ = shared.is_some().then(|| getrandom::fill(&mut random));
        let owner = u16::from_ne_bytes(random) % OWNERS;
        Self { own, shared, owner, unproved, gathered, next: AtomicU32::new(0) }
    }

    pub(super) fn shared(&self) -> Option<&SharedState> {
        self.shared.as_ref()
    }

    /// The account of a new key. Only the writer opens one.
    pub(crate) fn open(&self) -> Account {
        let words = if self.shared.is_some() { 2 } else { 1 };
        let mut number = self.next.load(Ordering::Relaxed);
        if number.is_multiple_of(WORDS) {
            number = self.own.take(1).map_or(0, |line| line * WORDS);
        }
        self.next.store(if number == 0 { 0 } else { number + words }, Ordering::Relaxed);
        Account { number, block: AtomicU32::new(0), last: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn of<'a>(&'a self, account: &'a Account, id: &'a KeyId) -> Usage<'a> {
        Usage { own: &self.own, shared: self.shared.as_ref(), gathered: self.gathered, account, id }
    }

    /// The state word of the block whose number a word holds; the block is made if it must be.
    pub(super) fn state_in(&self, block: &AtomicU64, make: bool) -> Option<&AtomicU64> {
        let pieces = self.shared.as_ref()?.pieces();
        Log::at(pieces, linked_block(pieces, block, make)?).map(|log| log.state)
    }

    /// Counts a denial that is not attributable to a key, from the caller's own lane.
    #[inline]
    pub(crate) fn count_unproved(&self, lane: usize, reason: DenyReason) {
        if let Some(tally) = self.tally() {
            tally.add(lane, reason as usize);
        }
    }

    pub(crate) fn unproved(&self) -> [u64; CELLS] {
        self.tally().map(Tally::sums).unwrap_or_default()
    }

    fn tally(&self) -> Option<Tally<'_>> {
        self.own.get(self.unproved?, tally::LINES).map(Tally)
    }
}

/// How many numbers there are for registries that share.
pub(super) const OWNERS: u16 = 1 << 15;
/// The words of a line.
const WORDS: u32 = 8;
/// The lines of a tally.
const TALLY: u32 = 9;
/// How many lanes gather denials before they are added to their key's.
const GATHERING: u32 = 8;
/// How many a lane gathers at most, for other processes to see them.
const GATHERED_MOST: u64 = 256;

const _: () = assert!(WORDS as usize == LINE && TALLY as usize == tally::LINES);

impl Clone for Account {
    fn clone(&self) -> Self {
        let copy = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Acquire));
        Self { number: self.number, block: copy(&self.block), last: copy(&self.last) }
    }
}

impl<'a> Usage<'a> {
    /// Admits one request if the key's limit has room for it.
    #[inline]
    pub(crate) fn admit<C: Clock>(self, limit: u32, clock: &C) -> Result<Verdict, NoLog> {
        if self.shared.is_some() && !C::IS_THE_MACHINES {
            return self.admit_apart(limit, clock);
        }
        self.admit_here(limit, clock)
    }

    /// Admits by a caller's clock, which must not reach the windows of other processes.
    #[cold]
    fn admit_apart(self, limit: u32, clock: &impl Clock) -> Result<Verdict, NoLog> {
        self.apart(&self.account.apart()).admit_here(limit, clock)
    }

    #[inline(always)]
    fn admit_here(self, limit: u32, clock: &impl Clock) -> Result<Verdict, NoLog> {
        let (pieces, is_shared) = (self.pieces(), self.shared.is_some());
        let mut log = self.last().map_or_else(|| self.first(), Ok)?;
        loop {
            while let Some(next) = log.next(pieces) {
                log = next?;
                self.account.last.store(log.link, Ordering::Release);
            }
            match log.window(is_shared).admit(limit, || clock.monotonic_us(), || clock.coarse_now()) {
                Verdict::Outgrown => log = log.grow(pieces, limit)?,
                verdict => return Ok(verdict),
            }
        }
    }

    /// Counts a denial, from the caller's own lane. Without memory it is not counted.
    ///
    /// The lane gathers denials of one key for one reason, with plain stores, since it is the caller's own: a flood on one key
    /// costs other cores nothing.
    #[inline]
    pub(crate) fn count_denial(self, lane: usize, reason: DenyReason) -> Option<()> {
        let cell = (reason as usize).wrapping_sub(FIRST_PROVED);
        let own = u64::from(self.account.number) << 32 | cell as u64;
        if lane >= GATHERING as usize {
            return self.add_denials(own, 1);
        }
        let (of, count) = self.gathered(lane)?;
        let (before, gathered) = (of.load(Ordering::Relaxed), count.load(Ordering::Relaxed));
        if before == own && gathered < GATHERED_MOST {
            count.store(gathered.wrapping_add(1), Ordering::Relaxed);
            return Some(());
        }
        count.store(1, Ordering::Relaxed);
        of.store(own, Ordering::Relaxed);
        self.add_denials(before, gathered)
    }

    /// What a lane gathers: an account's number with the denial's cell in the lower half, and how many.
    #[inline]
    fn gathered(self, lane: usize) -> Option<(&'a AtomicU64, &'a AtomicU64)> {
        let lines = self.own.get(self.gathered?, GATHERING as usize)?;
        Some((lines.get(lane * LINE)?, lines.get(lane * LINE + 1)?))
    }

    /// Adds to the denials of any key.
    #[inline(never)]
    fn add_denials(self, of: u64, count: u64) -> Option<()> {
        let (number, cell) = halves(of);
        if number == 0 {
            return None; // nothing was gathered yet
        }
        let block = match (word(self.own, number)?, self.shared) {
            (word, None) => linked_block(self.own, word, true)?,
            // Its key's state word was read before, so the block is known, unless there was no memory.
            (word, Some(_)) => u32::try_from(word.load(Ordering::Acquire)).ok().filter(|block| *block != 0)?,
        };
        let denials = Log::at(self.pieces(), block)?.denials(self.pieces(), true)?;
        denials.get(cell as usize)?.fetch_add(count, Ordering::Relaxed);
        Some(())
    }

    /// How often the key was admitted.
    pub(crate) fn admitted(self) -> u64 {
        let apart = self.account.apart();
        let logs = self.logs().chain(self.shared.into_iter().flat_map(|_| self.apart(&apart).logs()));
        logs.map(|log| log.window(false).admitted().saturating_sub(log.carried.load(Ordering::Relaxed)))
            .fold(0, u64::saturating_add)
    }

    /// How often the key was denied, by reason number.
    pub(crate) fn denied(self) -> [u64; DENY_REASONS] {
        let mut denied = [0_u64; DENY_REASONS];
        let mut add = |cell: usize, count: u64| {
            denied
                .iter_mut()
                .skip(FIRST_PROVED)
                .nth(cell)
                .into_iter()
                .for_each(|sum: &mut u64| *sum = sum.saturating_add(count));
        };
        let counts = self.logs().next().and_then(|log| log.denials(self.pieces(), false));
        for (cell, count) in counts.into_iter().flatten().enumerate() {
            add(cell, count.load(Ordering::Relaxed));
        }
        for (of, count) in (0..GATHERING as usize).filter_map(|lane| self.gathered(lane)) {
            let (number, cell) = halves(of.load(Ordering::Relaxed));
            if number == self.account.number {
                add(cell as usize, count.load(Ordering::Relaxed));
            }
        }
        denied
    }

    /// When the key was last admitted, on the monotonic clock.
    pub(crate) fn last_us(self) -> Option<u64> {
        self.logs().filter_map(|log| log.window(false).newest_us()).last()
    }

    /// The first log, which is made at first use.
    #[inline(always)]
    fn first(self) -> Result<Log<'a>, NoLog> {
        let block = match self.account.block.load(Ordering::Acquire) {
            0 => self.find_block(true).ok_or(NoLog)?,
            block => block,
        };
        Log::at(self.pieces(), block).ok_or(NoLog)
    }

    /// The last log, if this version has seen it.
    #[inline(always)]
    fn last(self) -> Option<Log<'a>> {
        Log::at(self.pieces(), Some(self.account.last.load(Ordering::Acquire)).filter(|link| *link != 0)?)
    }

    /// The state word of the key, if it is shared.
    #[inline(always)]
    pub(super) fn state(self) -> Result<Option<&'a AtomicU64>, NoLog> {
        if self.shared.is_none() {
            return Ok(None);
        }
        self.first().map(|log| Some(log.state))
    }

    #[inline(always)]
    fn pieces(self) -> &'a Pieces {
        self.shared.map_or(self.own, SharedState::pieces)
    }

    /// What is counted by callers' clocks, of a key that is shared.
    fn apart<'b>(self, account: &'b Account) -> Usage<'b>
    where
        'a: 'b,
    {
        Usage { shared: None, account, ..self }
    }

    /// The block that all versions of a key have, and all processes if they share; made if it must be.
    #[cold]
    fn find_block(self, make: bool) -> Option<Piece> {
        let word = word(self.own, self.account.number)?;
        let block = match self.shared {
            None => linked_block(self.own, word, make)?,
            Some(shared) => {
                let block = linked_block(shared.pieces(), shared.find(self.id, make)?.block(), make)?;
                word.store(u64::from(block), Ordering::Release);
                block
            }
        };
        self.account.block.store(block, Ordering::Release);
        Some(block)
    }

    fn logs(self) -> impl Iterator<Item = Log<'a>> {
        let first = self.find_block(false).and_then(|block| Log::at(self.pieces(), block));
        std::iter::successors(first, move |log| log.next(self.pieces())?.ok())
    }
}

impl Account {
    /// The account of what is counted apart: see [`Usage::apart`].
    fn apart(&self) -> Self {
        let number = if self.number == 0 { 0 } else { self.number + 1 };
        Self { number, block: AtomicU32::new(0), last: AtomicU32::new(0) }
    }
}

/// The word of an account.
fn word(own: &Pieces, number: u32) -> Option<&AtomicU64> {
    own.get(number / WORDS, 1)?.get((number % WORDS) as usize)
}

/// The block whose number a word holds, made if it must be.
fn linked_block(pieces: &Pieces, word: &AtomicU64, make: bool) -> Option<Piece> {
    match word.load(Ordering::Acquire) {
        0 if make => {
            let new = pieces.take(lines(BLOCK))?;
            let linked = word.compare_exchange(0, u64::from(new), Ordering::AcqRel, Ordering::Acquire);
            linked.map_or_else(|other| u32::try_from(other).ok(), |_| Some(new))
        }
        0 => None,
        block => u32::try_from(block).ok(),
    }
}

/// A log's piece, and in the upper four bits how many slots it has: a place in [`SLOTS`].
type Link = u32;

/// How many slots a log has: a block's first.
const SLOTS: [u32; 5] = [BLOCK, 16, 64, 256, 1_024];
const BLOCK: u32 = 8;

const PIECE_BITS: u32 = 28;

/// The lines of a log with so many slots.
const fn lines(slots: u32) -> u32 {
    1 + slots / WORDS
}

/// A log of admissions in a piece of memory: a line for its state, and the slots.
#[derive(Clone, Copy)]
struct Log<'a> {
    head: &'a AtomicU64,
    tail: &'a AtomicU64,
    /// How many admissions were copied from the previous log.
    carried: &'a AtomicU64,
    /// The [`Link`] of the larger log that this one was sealed for, or 0.
    next: &'a AtomicU64,
    /// In a key's block, the piece of its denials: one line.
    denied: &'a AtomicU64,
    /// In a key's block that processes share, its state word: see [`super::standing`].
    state: &'a AtomicU64,
    slots: &'a [AtomicU64],
    link: Link,
}

impl<'a> Log<'a> {
    #[inline(always)]
    fn at(pieces: &'a Pieces, link: Link) -> Option<Self> {
        let slots = SLOTS.get((link >> PIECE_BITS) as usize)?;
        match pieces.get(link & ((1 << PIECE_BITS) - 1), lines(*slots) as usize)? {
            [head, tail, carried, next, denied, state, _, _, slots @ ..] => {
                Some(Self { head, tail, carried, next, denied, state, slots, link })
            }
            _ => None,
        }
    }

    #[inline]
    fn window(self, is_shared: bool) -> Window<'a> {
        Window { head: self.head, tail: self.tail, slots: self.slots, is_shared }
    }

    #[inline]
    fn next(self, pieces: &'a Pieces) -> Option<Result<Self, NoLog>> {
        match self.next.load(Ordering::Acquire) {
            0 => None,
            link => Some(self.linked(pieces, link)),
        }
    }

    /// A larger log than this one, so that whoever follows links comes to an end.
    fn linked(self, pieces: &'a Pieces, link: u64) -> Result<Self, NoLog> {
        let next = u32::try_from(link).ok().and_then(|link| Self::at(pieces, link));
        next.filter(|next| next.slots.len() > self.slots.len()).ok_or(NoLog)
    }

    /// Seals this log and returns the next one, with more slots.
    #[cold]
    fn grow(self, pieces: &'a Pieces, limit: u32) -> Result<Self, NoLog> {
        self.window(false).seal().ok_or(NoLog)?;
        let own = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        // Of a seldom used key the limit says little, so not too large at once.
        let wanted = limit.clamp(own, own.saturating_mul(4) - 1);
        let (size, slots) = (0..).zip(SLOTS).find(|(_, slots)| *slots > wanted).ok_or(NoLog)?;
        if let Some(next) = self.next(pieces) {
            return next;
        }
        let link = size << PIECE_BITS | pieces.take(lines(slots)).ok_or(NoLog)?;
        let log = Self::at(pieces, link).ok_or(NoLog)?;
        // No other thread sees it yet.
        self.window(false).last().for_each(|time| log.window(false).restore(time));
        log.carried.store(log.window(false).admitted(), Ordering::Relaxed);
        match self.next.compare_exchange(0, u64::from(link), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(log),
            Err(other) => self.linked(pieces, other),
        }
    }

    /// The counts of denials, made if they must be.
    fn denials(self, pieces: &'a Pieces, make: bool) -> Option<&'a [AtomicU64]> {
        let mut piece = self.denied.load(Ordering::Acquire);
        if piece == 0 && make {
            let new = u64::from(pieces.take(1)?);
            piece = self.denied.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire).err().unwrap_or(new);
        }
        pieces.get(u32::try_from(piece).ok().filter(|piece| *piece != 0)?, 1)
    }
}

/// The upper and the lower half of a word.
fn halves(word: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let lower = word as u32;
    ((word >> 32) as u32, lower)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test that meets something unexpected has failed")]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::limit::window::SPAN_US;
    use proptest::prelude::*;

    /// The contract, word for word: a list of the times of all admissions.
    #[derive(Default)]
    struct Oracle {
        times: Vec<u64>,
    }

    impl Oracle {
        fn admit(&mut self, limit: u32, now: u64) -> Verdict {
            let now = now.max(self.times.last().copied().unwrap_or(0));
            let counted: Vec<u64> = self.times.iter().copied().filter(|time| now - time <= SPAN_US).collect();
            if counted.len() >= limit as usize {
                let must_leave = counted[counted.len() - limit as usize];
                return Verdict::Refused { wait_us: must_leave + SPAN_US + 1 - now };
            }
            self.times.push(now);
            Verdict::Admitted {
                remaining: limit - u32::try_from(counted.len()).unwrap() - 1,
                frees_in_us: counted.first().unwrap_or(&now) + SPAN_US + 1 - now,
            }
        }
    }

    struct Key {
        usages: Usages,
        account: Account,
    }

    impl Key {
        fn new() -> Self {
            let usages = Usages::new(None);
            let account = usages.open();
            Self { usages, account }
        }

        fn usage(&self) -> Usage<'_> {
            self.usages.of(&self.account, &KeyId::EMPTY)
        }

        fn admit(&self, limit: u32, us: u64) -> Verdict {
            self.usage().admit(limit, &at(us)).expect("there is memory")
        }
    }

    fn at(monotonic_us: u64) -> Now {
        Now { unix_ms: 0, monotonic_us }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Requests without the clock moving.
        Requests(u16),
        /// Requests with so many microseconds between them.
        Spread(u16, u32),
        Forward(u64),
        Back(u64),
        Limit(u32),
    }

    fn limit() -> impl Strategy<Value = u32> {
        prop_oneof![1..=3_u32, 55..=70_u32, 250..=260_u32, 1..=1_000_u32, Just(1_000)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..80_u16).prop_map(Step::Requests),
            1 => (200..1_100_u16).prop_map(Step::Requests),
            4 => (1..80_u16, 0..2_000_000_u32).prop_map(|(requests, apart)| Step::Spread(requests, apart)),
            2 => (0..3 * SPAN_US).prop_map(Step::Forward),
            1 => (SPAN_US - 2..=SPAN_US + 2).prop_map(Step::Forward),
            1 => (0..SPAN_US).prop_map(Step::Back),
            2 => limit().prop_map(Step::Limit),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// 300 traces of 40 to 80 steps, most of many requests: some 600,000 decisions, each held against the oracle.
        #[test]
        fn every_decision_is_the_oracles(first in limit(), steps in proptest::collection::vec(step(), 40..80)) {
            let (key, mut oracle) = (Key::new(), Oracle::default());
            let (mut limit, mut now) = (first, 1_u64);
            for step in steps {
                let (requests, apart) = match step {
                    Step::Requests(requests) => (requests, 0),
                    Step::Spread(requests, apart) => (requests, u64::from(apart)),
                    Step::Forward(us) => { now += us; (1, 0) }
                    Step::Back(us) => { now = now.saturating_sub(us); (1, 0) }
                    Step::Limit(changed) => { limit = changed; (1, 0) }
                };
                for _ in 0..requests {
                    now += apart;
                    prop_assert_eq!(key.admit(limit, now), oracle.admit(limit, now));
                }
            }
            prop_assert_eq!(key.usage().admitted(), oracle.times.len() as u64);
            prop_assert_eq!(key.usage().last_us(), oracle.times.last().copied());
        }
    }

    /// Runs `threads` threads, each with so many requests, and counts the admissions.
    fn hammer(threads: usize, requests: usize, ask: impl Fn() -> bool + Sync) -> usize {
        std::thread::scope(|scope| {
            let admitted = |_| scope.spawn(|| (0..requests).filter(|_| ask()).count());
            let running: Vec<_> = (0..threads).map(admitted).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    #[test]
    fn threads_together_are_admitted_exactly_as_often_as_the_limit_says() {
        for limit in [1, 2, 60, 63, 64, 255, 256, 1_000] {
            for round in 0..20 {
                let key = Key::new();
                let admitted = hammer(8, 400, || matches!(key.admit(limit, round), Verdict::Admitted { .. }));
                assert_eq!(admitted, limit as usize);
            }
        }
    }

    /// While the limit is raised past the slots, some threads still see the old one and some meet the seal.
    #[test]
    fn a_limit_that_grows_under_load_neither_loses_nor_adds_an_admission() {
        for round in 0..200 {
            let key = Key::new();
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let admitted = hammer(8, 500, || {
                let limit = match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    0..40 => 60,
                    40..200 => 200,
                    _ => 1_000,
                };
                matches!(key.admit(limit, round), Verdict::Admitted { .. })
            });
            assert_eq!((admitted, key.usage().admitted()), (1_000, 1_000));
        }
    }

    #[test]
    fn a_time_that_no_slot_can_hold_admits_nothing() {
        let key = Key::new();
        let last = (1 << 48) - 2;
        for (time, expected) in [(last + 1, false), (u64::MAX, false), (last, true), (last + 1, false), (last, true)] {
            let verdict = key.admit(5, time);
            assert_eq!(matches!(verdict, Verdict::Admitted { .. }), expected, "{time}: {verdict:?}");
        }
        assert_eq!(key.usage().admitted(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Words that another process wrote may be anything: each request is answered, or the log is refused.
        #[test]
        fn a_damaged_log_neither_hangs_nor_panics(
            words in proptest::collection::vec((0..16_usize, prop_oneof![any::<u64>(), 0..300_u64, Just(u64::MAX)]), 1..20),
            limit in limit(),
            now in 0..3 * SPAN_US,
        ) {
            let key = Key::new();
            key.admit(limit, now);
            let block = key.usages.own.get(key.account.block.load(Ordering::Relaxed), 2).expect("it was taken");
            for (place, word) in words.into_iter().filter(|(place, _)| *place != DENIED) {
                block[place].store(word, Ordering::Relaxed);
            }
            for _ in 0..3 {
                if let Ok(Verdict::Admitted { remaining, .. }) = key.usage().admit(limit, &at(now)) {
                    prop_assert!(remaining < limit);
                }
            }
            key.usage().admitted();
            key.usage().last_us();
        }
    }

    /// Where the counts' piece is named in a block: not damaged here, since it may be another key's.
    const DENIED: usize = 4;

    #[test]
    fn an_admission_in_the_future_is_damage_where_processes_share() {
        let (head, tail) = (AtomicU64::new(0), AtomicU64::new(0));
        let slots: Vec<_> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let window = |is_shared| Window { head: &head, tail: &tail, slots: &slots, is_shared };
        let admit = |is_shared, limit, now| window(is_shared).admit(limit, || now, || Some((now, now)));
        assert!(matches!(admit(true, 2, 5_000_000), Verdict::Admitted { .. }));
        assert!(matches!(admit(true, 2, 4_000_000), Verdict::Admitted { .. }), "clocks of two cores differ by less");
        for limit in [2, 3] {
            assert_eq!(admit(true, limit, 3_999_999), Verdict::Damaged);
        }
        assert!(matches!(admit(false, 3, 1), Verdict::Admitted { .. }), "a caller's clock may go back");
    }

    #[test]
    fn an_idle_key_has_no_block_and_a_seldom_used_one_no_ring() {
        let key = Key::new();
        assert!(key.usage().logs().next().is_none());
        for n in 0..100 {
            key.admit(1_000, n * (SPAN_US / 7 + 1)); // 7 in a span, which is what a block holds
        }
        assert_eq!(key.usage().logs().count(), 1);
        for _ in 0..1_000 {
            key.admit(1_000, SPAN_US * 100);
        }
        let slots: Vec<_> = key.usage().logs().map(|log| log.slots.len()).collect();
        assert_eq!(slots, [8, 64, 256, 1_024]);
    }

    #[test]
    fn all_versions_of_a_key_count_together() {
        let key = Key::new();
        let before = key.account.clone();
        key.admit(2, 1);
        let after = key.account.clone();
        for account in [&before, &after] {
            assert_eq!(key.usages.of(account, &KeyId::EMPTY).admitted(), 1);
            assert!(matches!(key.usages.of(account, &KeyId::EMPTY).admit(1, &at(1)), Ok(Verdict::Refused { .. })));
        }
        assert_eq!(key.usages.of(&key.usages.open(), &KeyId::EMPTY).admitted(), 0, "another key's");
    }

    /// Every thread has a lane of its own, as readers do, and turns from key to key.
    #[test]
    fn every_denial_is_counted() {
        for threads in [1, 2, 8, 12] {
            let usages = Usages::new(None);
            let accounts: Vec<Account> = (0..3).map(|_| usages.open()).collect();
            std::thread::scope(|scope| {
                for lane in 0..threads {
                    let (usages, accounts) = (&usages, &accounts);
                    scope.spawn(move || {
                        for n in 0..3_000 {
                            let reason = if n % 2 == 0 { DenyReason::RateLimited } else { DenyReason::RevokedKey };
                            usages.of(&accounts[n / 7 % 3], &KeyId::EMPTY).count_denial(lane, reason);
                        }
                    });
                }
            });
            for (reason, other) in [(DenyReason::RateLimited, 0), (DenyReason::RevokedKey, 1)] {
                let expected = (0..3).map(|key| (0..3_000).filter(|n| n % 2 == other && n / 7 % 3 == key).count());
                let denied = accounts.iter().map(|account| usages.of(account, &KeyId::EMPTY).denied()[reason as usize]);
                assert!(denied.eq(expected.map(|count| (count * threads) as u64)), "{reason} {threads}");
            }
        }
    }

    #[test]
    fn denials_that_prove_no_key_are_counted_apart() {
        let usages = Usages::new(None);
        usages.count_unproved(0, DenyReason::UnknownKey);
        usages.count_unproved(100, DenyReason::UnknownKey);
        assert_eq!(usages.unproved().get(DenyReason::UnknownKey as usize), Some(&2));
    }
}
