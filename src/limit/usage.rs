//! A key's usage: its window, the memory of the window's slots, and its denials.
//!
//! A [`Usage`] belongs to a key's id and is shared by all versions of its record, so no change, reload or rotation forgets
//! an admission. The first request that proves the secret allocates the log. A limit raised past its slots moves it to a
//! larger one: the old log is sealed and its times are copied, by every thread that meets the seal, so that none waits.

use std::sync::atomic::AtomicU32;

use once_cell::race::OnceBox;

use super::tally::{CELLS, Tally};
use super::window::{Verdict, Window};
use crate::clock::Clock;
use crate::decision::{DENY_REASONS, DenyReason};
use crate::sync::atomics::{AtomicU64, Ordering};

/// The admissions and the denials of one key.
#[derive(Debug)]
pub(crate) struct Usage {
    log: LazyLog,
    /// The key's place in the document. Only the writer changes it.
    position: AtomicU32,
}

const FIRST_PROVED: usize = DenyReason::FIRST_PROVED;

const _: () = assert!(DENY_REASONS - FIRST_PROVED <= CELLS && FIRST_PROVED <= CELLS, "a tally has a cell for each");

/// No memory for a key's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl Usage {
    pub(crate) fn new(limit: u32) -> Self {
        Self { log: LazyLog::with_room(limit), position: AtomicU32::new(0) }
    }

    pub(crate) fn position(&self) -> u32 {
        self.position.load(Ordering::Relaxed)
    }

    pub(crate) fn set_position(&self, position: u32) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// Admits one request if the key's limit has room for it.
    pub(crate) fn admit(&self, limit: u32, clock: &impl Clock) -> Result<Verdict, OutOfMemory> {
        let mut log = self.log.get()?;
        loop {
            while let Some(next) = log.state.next() {
                log = next.get()?;
            }
            if log.slots.len() <= limit as usize {
                log = log.grow(limit)?;
                continue;
            }
            match log.window().admit(limit, || clock.monotonic_us(), || clock.coarse_now()) {
                Verdict::Sealed => log = log.grow(limit)?,
                verdict => return Ok(verdict),
            }
        }
    }

    /// Counts a denial, from the caller's own lane. Without memory it is not counted.
    #[inline]
    pub(crate) fn count_denial(&self, lane: usize, reason: DenyReason) {
        if let Ok(log) = self.log.get()
            && let Ok([tally]) = log.state.denied.get_or_try_init(|| boxed(Tally::default()))
        {
            tally.add(lane, (reason as usize).wrapping_sub(FIRST_PROVED));
        }
    }

    /// How often the key was admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.logs().map(|log| log.window().admitted().saturating_sub(log.state.carried.load(Ordering::Relaxed))).sum()
    }

    /// How often the key was denied, by reason number.
    pub(crate) fn denied(&self) -> [u64; DENY_REASONS] {
        let tally = self.log.allocated().and_then(|log| log.state.denied.get());
        let sums = tally.map(|[tally]| tally.sums()).unwrap_or_default();
        let mut denied = [0; DENY_REASONS];
        for (count, sum) in denied.iter_mut().skip(FIRST_PROVED).zip(sums) {
            *count = sum;
        }
        denied
    }

    /// When the key was last admitted, on the monotonic clock.
    pub(crate) fn last_us(&self) -> Option<u64> {
        self.logs().filter_map(|log| log.window().newest_us()).last()
    }

    fn logs(&self) -> impl Iterator<Item = Log<'_>> {
        std::iter::successors(self.log.allocated(), |log| log.state.next()?.allocated())
    }
}

/// A log that is allocated at first use, with more slots than its limit, since a seal takes one.
///
/// Arrays of one, because only a vector can be allocated without aborting when there is no memory.
#[derive(Debug)]
enum LazyLog {
    Few(OnceBox<[Memory<64>; 1]>),
    Some(OnceBox<[Memory<256>; 1]>),
    Many(OnceBox<[Memory<1024>; 1]>),
}

/// A window's memory, in its own cache lines; the state and the first slots share one.
#[derive(Debug)]
#[repr(C, align(64))]
struct Memory<const N: usize> {
    state: State,
    slots: [AtomicU64; N],
}

#[derive(Debug, Default)]
struct State {
    head: AtomicU64,
    tail: AtomicU64,
    /// How many admissions were copied from the previous log.
    carried: AtomicU64,
    /// The larger log that this one was sealed for.
    next: OnceBox<[LazyLog; 1]>,
    /// The key's denials, in its first log; allocated with the first denial.
    denied: OnceBox<[Tally; 1]>,
}

impl LazyLog {
    fn with_room(limit: u32) -> Self {
        match limit {
            0..64 => Self::Few(OnceBox::new()),
            64..256 => Self::Some(OnceBox::new()),
            _ => Self::Many(OnceBox::new()),
        }
    }

    fn get(&self) -> Result<Log<'_>, OutOfMemory> {
        Ok(match self {
            Self::Few(memory) => Log::over(memory.get_or_try_init(vacant)?),
            Self::Some(memory) => Log::over(memory.get_or_try_init(vacant)?),
            Self::Many(memory) => Log::over(memory.get_or_try_init(vacant)?),
        })
    }

    fn allocated(&self) -> Option<Log<'_>> {
        Some(match self {
            Self::Few(memory) => Log::over(memory.get()?),
            Self::Some(memory) => Log::over(memory.get()?),
            Self::Many(memory) => Log::over(memory.get()?),
        })
    }
}

impl State {
    fn next(&self) -> Option<&LazyLog> {
        self.next.get().map(|[next]| next)
    }
}

/// An allocated log.
#[derive(Clone, Copy)]
struct Log<'a> {
    state: &'a State,
    slots: &'a [AtomicU64],
}

impl<'a> Log<'a> {
    fn over<const N: usize>([memory]: &'a [Memory<N>; 1]) -> Self {
        Self { state: &memory.state, slots: &memory.slots }
    }

    fn window(self) -> Window<'a> {
        Window { head: &self.state.head, tail: &self.state.tail, slots: self.slots }
    }

    /// Seals this log and returns the next one, with room for `limit`.
    fn grow(self, limit: u32) -> Result<Self, OutOfMemory> {
        self.window().seal();
        let larger = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(limit);
        let [next] = self.state.next.get_or_try_init(|| {
            let next = LazyLog::with_room(larger);
            let log = next.get()?;
            // No other thread sees it yet.
            self.window().last().for_each(|time| log.window().restore(time));
            log.state.carried.store(log.window().admitted(), Ordering::Relaxed);
            boxed(next)
        })?;
        next.get()
    }
}

fn vacant<const N: usize>() -> Result<Box<[Memory<N>; 1]>, OutOfMemory> {
    boxed(Memory { state: State::default(), slots: std::array::from_fn(|_| AtomicU64::new(0)) })
}

/// A box, or an error without memory.
fn boxed<T>(value: T) -> Result<Box<[T; 1]>, OutOfMemory> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(1).map_err(|_| OutOfMemory)?;
    memory.push(value);
    memory.try_into().map_err(|_| OutOfMemory)
}

#[cfg(test)]
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
            let (usage, mut oracle) = (Usage::new(first), Oracle::default());
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
                    prop_assert_eq!(usage.admit(limit, &at(now)), Ok(oracle.admit(limit, now)));
                }
            }
            prop_assert_eq!(usage.admitted(), oracle.times.len() as u64);
            prop_assert_eq!(usage.last_us(), oracle.times.last().copied());
        }
    }

    /// Runs `threads` threads, each with so many requests, and counts the admissions.
    fn hammer(usage: &Usage, threads: usize, requests: usize, ask: impl Fn(&Usage) -> bool + Sync) -> usize {
        std::thread::scope(|scope| {
            let admitted = |_| scope.spawn(|| (0..requests).filter(|_| ask(usage)).count());
            let running: Vec<_> = (0..threads).map(admitted).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    #[test]
    fn threads_together_are_admitted_exactly_as_often_as_the_limit_says() {
        for limit in [1, 2, 60, 63, 64, 255, 256, 1_000] {
            for round in 0..20 {
                let usage = Usage::new(limit);
                let admitted = hammer(&usage, 8, 400, |usage| {
                    matches!(usage.admit(limit, &at(round)), Ok(Verdict::Admitted { .. }))
                });
                assert_eq!(admitted, limit as usize);
            }
        }
    }

    /// While the limit is raised past the slots, some threads still see the old one and some meet the seal.
    #[test]
    fn a_limit_that_grows_under_load_neither_loses_nor_adds_an_admission() {
        for round in 0..200 {
            let usage = Usage::new(60);
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let admitted = hammer(&usage, 8, 500, |usage| {
                let limit = match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    0..40 => 60,
                    40..200 => 200,
                    _ => 1_000,
                };
                matches!(usage.admit(limit, &at(round)), Ok(Verdict::Admitted { .. }))
            });
            assert_eq!((admitted, usage.admitted()), (1_000, 1_000));
        }
    }

    #[test]
    fn a_time_that_no_slot_can_hold_admits_nothing() {
        let usage = Usage::new(5);
        let last = (1 << 48) - 2;
        for (time, expected) in [(last + 1, false), (u64::MAX, false), (last, true), (last + 1, false), (last, true)] {
            let verdict = usage.admit(5, &at(time)).unwrap();
            assert_eq!(matches!(verdict, Verdict::Admitted { .. }), expected, "{time}: {verdict:?}");
        }
        assert_eq!(usage.admitted(), 2);
    }

    #[test]
    fn an_idle_key_has_no_log() {
        let usage = Usage::new(1_000);
        assert!(usage.log.allocated().is_none());
        let _ = usage.admit(1_000, &at(1));
        assert!(usage.log.allocated().is_some());
    }
}
