//! `src/limit/window.rs` and `src/sync/hazard.rs`, the files themselves, over loom's atomics: every interleaving of a bounded model is
//! run.
//!
//! The bounds of the window: two or three threads, at most three preemptions in a run, limits of 1 and 2, 1 to 4 slots, clocks that
//! stand still, that move during the run and that reach past the window; and a log that is sealed while two threads use
//! it. Of the hazard pointers: two readers in two lanes, who read twice, while the value is replaced twice and freed as soon
//! as nobody holds it; at most three preemptions.

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

use hazard::{Retired, Shared};
use loom::sync::Arc;
use loom::thread;
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
