//! `src/limit/window.rs`, `src/sync/hazard.rs` and `src/shared/index.rs`, the files themselves, over loom's atomics: every interleaving
//! of a bounded model is run.
//!
//! The bounds of the window: two or three threads, at most three preemptions in a run, limits of 1 and 2, 1 to 4 slots, clocks that
//! stand still, that move during the run and that reach past the window; and a log that is sealed while two threads use
//! it. Of the hazard pointers: two readers in two lanes, who read twice, while the value is replaced twice and freed as soon
//! as nobody holds it; at most three preemptions. Of the index: two processes, of which one dies at each of its steps, with ids
//! that are the same or whose hashes clash, and with one that was there before.

#![cfg(test)]

mod sync {
    pub(crate) mod atomics {
        pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
        pub(crate) use loom::thread::yield_now;

        /// Loom takes sequentially consistent accesses for acquiring and releasing ones, and only models the order of
        /// fences.
        pub(crate) fn total_order() {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    pub(crate) mod process {
        /// The models do not fork.
        pub(crate) fn mark() -> u64 {
            0
        }
    }
}

#[path = "../../../src/limit/window.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    reason = "the models use a part of it; lints differ"
)]
mod window;

#[path = "../../../src/sync/hazard.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic, reason = "the models use a part of it")]
mod hazard;

/// Memory that two processes have, as `src/shared/pieces.rs` hands it out.
mod pieces {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::sync::atomics::AtomicU64;

    pub(crate) const LINE: usize = 8;
    pub(crate) type Piece = u32;

    pub(crate) struct Memory {
        lines: Vec<[AtomicU64; LINE]>,
        /// Not of loom: in which order processes take pieces changes their numbers alone.
        end: AtomicU32,
    }

    impl Memory {
        pub(crate) fn new() -> Self {
            let line = |_| std::array::from_fn(|_| AtomicU64::new(0));
            Self { lines: (0..16).map(line).collect(), end: AtomicU32::new(2) }
        }
    }

    /// What one process has of it, until it dies.
    pub(crate) struct Pieces {
        pub(crate) memory: loom::sync::Arc<Memory>,
        /// After so many more steps the process is dead. Between two of them it changes one word at most that another sees.
        pub(crate) left: Cell<u32>,
    }

    impl Pieces {
        fn step(&self) -> Option<()> {
            self.left.set(self.left.get().checked_sub(1)?);
            Some(())
        }

        pub(crate) fn take(&self, lines: u32) -> Option<Piece> {
            self.step()?;
            Some(self.memory.end.fetch_add(lines, Ordering::Relaxed))
        }

        pub(crate) fn get(&self, piece: Piece, lines: usize) -> Option<&[AtomicU64]> {
            self.step()?;
            assert_eq!(lines, 1);
            self.memory.lines.get(piece as usize).map(<[_; LINE]>::as_slice)
        }

        pub(crate) fn taken(&self) -> u64 {
            self.memory.lines.len() as u64
        }
    }
}

#[path = "../../../src/shared/index.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic, reason = "the models use a part of it")]
mod index;

use hazard::{Retired, Shared};
use index::Name;
use loom::sync::Arc;
use loom::thread;
use pieces::{Memory, Pieces};
use sync::atomics::AtomicU64;
use window::{SPAN_US, Verdict, Window};

const PREEMPTIONS: usize = 3;

/// A log in memory, as `usage.rs` keeps one.
struct Log {
    head: AtomicU64,
    tail: AtomicU64,
    slots: Vec<AtomicU64>,
}

impl Log {
    fn new(slots: usize) -> Self {
        let slots = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { head: AtomicU64::new(0), tail: AtomicU64::new(0), slots }
    }

    fn window(&self) -> Window<'_> {
        Window { head: &self.head, tail: &self.tail, slots: &self.slots, is_shared: true }
    }

    /// The times of the newest admissions, oldest first, read from the slots.
    fn times(&self) -> Vec<u64> {
        let (end, slots) = (self.window().admitted(), self.slots.len() as u64);
        let slot = |k: u64| &self.slots[(k % slots) as usize];
        (end.saturating_sub(slots)..end)
            .map(|k| slot(k).load(sync::atomics::Ordering::Acquire) & ((1 << 48) - 1))
            .collect()
    }
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

fn admit(log: &Log, limit: u32, time: u64) -> Verdict {
    log.window().admit(limit, || time, || Some((time, time)))
}

fn admitted(verdict: Verdict) -> usize {
    usize::from(matches!(verdict, Verdict::Admitted { .. }))
}

/// Each thread asks once at each of its times; gives how many were admitted.
fn ask(log: &Arc<Log>, limit: u32, times: &'static [&'static [u64]]) -> usize {
    let spawn = |times: &'static [u64]| {
        let log = Arc::clone(log);
        thread::spawn(move || times.iter().map(|time| admitted(admit(&log, limit, *time))).sum::<usize>())
    };
    let (here, others) = times.split_first().expect("there is a thread");
    let threads: Vec<_> = others.iter().map(|times| spawn(times)).collect();
    let own: usize = here.iter().map(|time| admitted(admit(log, limit, *time))).sum();
    own + threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum::<usize>()
}

#[test]
fn three_threads_at_one_instant_share_the_limit_exactly() {
    for (limit, slots) in [(1, 2), (2, 4)] {
        model(move || {
            let log = Arc::new(Log::new(slots));
            assert_eq!(ask(&log, limit, &[&[5], &[5], &[5]]), limit as usize);
        });
    }
}

#[test]
fn a_clock_that_moves_within_the_window_changes_nothing() {
    for (limit, slots) in [(1, 2), (2, 4)] {
        model(move || {
            let log = Arc::new(Log::new(slots));
            assert_eq!(ask(&log, limit, &[&[5, 9], &[6], &[7]]), limit as usize);
        });
    }
}

/// Whatever the order, no span holds more than the limit; and whoever comes last still finds what is left, exactly.
#[test]
fn a_clock_that_leaves_the_window_admits_no_more_than_the_limit_in_any_span() {
    const LATER: u64 = 5 + SPAN_US + 1;
    for (limit, slots) in [(1, 2), (2, 4)] {
        model(move || {
            let log = Arc::new(Log::new(slots));
            ask(&log, limit, &[&[5, LATER], &[5, LATER]]);
            while admitted(admit(&log, limit, LATER)) == 1 {}
            let times = log.times();
            assert_eq!(times.iter().filter(|time| **time == LATER).count(), limit as usize, "{times:?}");
            for span in times.windows(limit as usize + 1) {
                assert!(span[limit as usize] - span[0] > SPAN_US, "{times:?}");
            }
        });
    }
}

/// A log with fewer slots than its limit admits one less than it has slots, and then wants more of them: no admission that counts
/// is written over.
#[test]
fn a_log_smaller_than_its_limit_forgets_no_admission() {
    const LATER: u64 = 5 + SPAN_US + 1;
    for slots in [2_usize, 4] {
        model(move || {
            let log = Arc::new(Log::new(slots));
            let fits = slots - 1;
            let times: &[&[u64]] = if slots == 2 { &[&[5, LATER], &[5, LATER]] } else { &[&[5, 6], &[5, 7]] };
            let admitted = ask(&log, 60, times);
            let latest = log.times().last().copied().unwrap_or_default();
            while admitted_at(&log, latest) {}
            assert_eq!(admit(&log, 60, latest), Verdict::Outgrown);
            let count = |times: Vec<u64>| times.iter().filter(|time| latest - *time <= SPAN_US).count();
            let counting = count(log.times());
            log.window().seal();
            assert_eq!(count(log.window().last().collect()), counting);
            assert!(admitted >= fits && counting == fits, "as many as fit");
        });
    }
}

fn admitted_at(log: &Log, time: u64) -> bool {
    admitted(admit(log, 60, time)) == 1
}

/// A sealed log is final: what was admitted before is all there, and nothing is after.
#[test]
fn a_seal_loses_no_admission() {
    model(|| {
        let log = Arc::new(Log::new(4));
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let first = admit(&other, 2, 5);
            (admitted(first), first == Verdict::Outgrown)
        });
        let sealer = Arc::clone(&log);
        let sealing = thread::spawn(move || sealer.window().seal());
        let own = admitted(admit(&log, 2, 5));
        let (others, sealed) = thread.join().expect("no thread panics");
        sealing.join().expect("no thread panics");
        assert_eq!(log.window().last().filter(|time| *time == 5).count(), own + others);
        assert_eq!(log.window().admitted(), (own + others) as u64);
        assert!(sealed || others == 1, "two fit, so only a seal refuses");
        assert_eq!(admit(&log, 2, 5), Verdict::Outgrown);
    });
}

/// A value that says whether it was freed: reading one that was is an error of loom's and of the test's.
struct Alive {
    number: u64,
    freed: loom::cell::UnsafeCell<bool>,
    tracker: Arc<AtomicU64>,
}

impl Alive {
    fn new(number: u64, tracker: &Arc<AtomicU64>) -> Self {
        Self { number, freed: loom::cell::UnsafeCell::new(false), tracker: Arc::clone(tracker) }
    }

    fn read(&self) -> u64 {
        // SAFETY: loom fails the model if this access is not ordered before the write in `drop`.
        assert!(!self.freed.with(|freed| unsafe { *freed }), "read after it was freed");
        self.number
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // SAFETY: loom fails the model if this write is not ordered after every access in `read`.
        self.freed.with_mut(|freed| unsafe { *freed = true });
        self.tracker.fetch_add(1, sync::atomics::Ordering::Relaxed);
    }
}

// SAFETY: the cell is accessed as above, and loom checks that.
unsafe impl Sync for Alive {}
// SAFETY: likewise.
unsafe impl Send for Alive {}

/// A value is never read once it is freed, a reader never sees one that is older than the one before, and in the end every
/// value is freed.
#[test]
fn a_value_is_freed_when_nobody_reads_it_and_not_before() {
    model(|| {
        let freed = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared::new(Alive::new(1, &freed), 2));
        let reader = |home: usize| {
            let shared = Arc::clone(&shared);
            move || {
                let first = shared.read(home).read();
                let second = shared.read(home).read();
                assert!(first <= second, "{second} after {first}");
            }
        };
        let other = thread::spawn(reader(0));
        let writer = {
            let (shared, freed) = (Arc::clone(&shared), Arc::clone(&freed));
            thread::spawn(move || {
                let mut kept: Vec<Retired<Alive>> = Vec::new();
                for number in [2, 3] {
                    kept.push(shared.replace(Alive::new(number, &freed)));
                    kept = kept.into_iter().filter_map(|retired| shared.free(retired).err()).collect();
                }
                kept
            })
        };
        reader(0)();
        other.join().expect("no thread panics");
        let kept = writer.join().expect("no thread panics");
        assert!(kept.into_iter().all(|retired| shared.free(retired).is_ok()), "nobody reads any more");
        assert_eq!(freed.load(sync::atomics::Ordering::Relaxed), 2);
        drop(shared);
        assert_eq!(freed.load(sync::atomics::Ordering::Relaxed), 3);
    });
}

/// A lane belongs to one reader at a time, so what is counted in it without an exchange is not lost.
#[test]
fn a_lane_is_its_readers_own() {
    model(|| {
        let shared = Arc::new(Shared::new((), 2));
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let count = {
            let (shared, counts) = (Arc::clone(&shared), Arc::clone(&counts));
            move || {
                let reading = shared.read(0);
                let count = &counts[reading.lane()];
                count.store(count.load(sync::atomics::Ordering::Relaxed) + 1, sync::atomics::Ordering::Relaxed);
            }
        };
        let other = thread::spawn(count.clone());
        count();
        count();
        other.join().expect("no thread panics");
        assert_eq!(counts.iter().map(|count| count.load(sync::atomics::Ordering::Relaxed)).sum::<u64>(), 3);
    });
}

const LIVES: u32 = u32::MAX;

/// An id of this number and hash.
fn name(number: u64, hash: u64) -> Name {
    Name { id: [number, 0, 0, 0], hash }
}

/// The number of the entry that a process finds or makes, and whether that is whole.
fn insert(memory: &Arc<Memory>, name: Name, left: u32) -> Option<u32> {
    let pieces = Pieces { memory: Arc::clone(memory), left: left.into() };
    let entry = index::find(&pieces, &name, true)?;
    assert_eq!(entry.name(), name, "an entry is whole once it is found");
    Some(entry.piece)
}

/// Two processes insert at once, the second of which dies after some steps. What they found stays, every id has one entry, and
/// the dead one's can be inserted.
fn insert_at_once(before: Option<Name>, one: Name, other: Name, left: u32) {
    let memory = Arc::new(Memory::new());
    let first = before.map(|name| (name, insert(&memory, name, LIVES)));
    let process = {
        let memory = Arc::clone(&memory);
        thread::spawn(move || insert(&memory, other, left))
    };
    let own = insert(&memory, one, LIVES);
    let others = process.join().expect("no thread panics");
    assert!(own.is_some(), "nobody waits for the dead, or is kept from anything by it");
    let survivors = first.into_iter().chain([(one, own), (other, others)]);
    let found: Vec<_> = survivors.map(|(name, piece)| (name.id, piece, insert(&memory, name, LIVES))).collect();
    assert!(found.iter().all(|(_, piece, now)| now.is_some() && piece.is_none_or(|piece| *now == Some(piece))));
    let mut listed = Vec::new();
    index::each(&Pieces { memory, left: LIVES.into() }, |entry| listed.push((entry.name().id, Some(entry.piece))));
    listed.sort_unstable();
    let mut all: Vec<_> = found.into_iter().map(|(id, _, now)| (id, now)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(listed, all, "every id once");
}

/// More steps than an insertion of the models has.
const STEPS: u32 = 14;

#[test]
fn an_id_that_two_processes_insert_at_once_has_one_entry() {
    for left in (0..STEPS).chain([LIVES]) {
        model(move || insert_at_once(None, name(1, 0), name(1, 0), left));
    }
}

#[test]
fn ids_that_clash_are_pushed_down_together() {
    // They part at the second level, and at the third.
    for hash in [0o10, 0o100] {
        for left in (0..STEPS).chain([LIVES]) {
            model(move || insert_at_once(None, name(1, 0), name(2, hash), left));
        }
    }
}

#[test]
fn an_id_that_was_there_stays_when_others_push_it_down() {
    for left in (0..STEPS).chain([LIVES]) {
        model(move || insert_at_once(Some(name(1, 0)), name(2, 0o10), name(3, 0o20), left));
        model(move || insert_at_once(Some(name(1, 0)), name(2, 0o10), name(2, 0o10), left));
    }
}
