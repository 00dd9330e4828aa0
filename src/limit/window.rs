//! The rate limit: an exact sliding window over a ring of slots, without a lock.
//!
//! In any span of [`SPAN_US`] at most `limit` requests are admitted, and one is refused only if that many were admitted in
//! the span before it. Fixed windows and token buckets admit up to twice the limit in some span.
//!
//! A [`Window`] borrows its slots. A slot is `lap:16 | time:48`, the time in microseconds. Admission number `k` is written
//! to slot `k % C` with `lap(k) = k / C + 1`; an empty slot is 0, the lap before the first.
//!
//! 1. The exchange of a slot is the only commit. Commits happen in order, each once; `head` lags by at most one.
//! 2. Times never decrease and `time[k] - time[k - limit] > SPAN_US`, so at most `limit` lie in any span.
//! 3. A refusal writes nothing: a flood on a used-up key costs other cores nothing.
//! 4. Every retry means that another request was admitted, so the limit bounds contention. [`TRIES`] bounds it too, for a
//!    log that another process has damaged.
//! 5. A thread that dies anywhere leaves a valid log.
//!
//! `tests/loom` runs this very file under every interleaving of a bounded model.

use crate::sync::atomics::{AtomicU64, Ordering};

/// The span that a limit counts over: 60 seconds, in microseconds.
pub(crate) const SPAN_US: u64 = 60_000_000;

/// The latest time that a slot can hold; the next value is a seal.
pub(crate) const LATEST_US: u64 = TIME_MASK - 1;

/// How often a log is read for one request: more often than as many requests can be admitted in the span.
const TRIES: u32 = 4_096;

/// How far in the future the newest admission of a [`Window::is_shared`] log can be: more than clocks differ between cores.
const AHEAD_US: u64 = 1_000_000;

const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// A key's log of admissions.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The number of the next admission, or one less.
    pub(crate) head: &'a AtomicU64,
    /// All admissions before this one have left the span: where counting begins.
    pub(crate) tail: &'a AtomicU64,
    /// A power of two of them, two at least. With no more than the limit, the log may have to move to more of them; with
    /// more, it need not, and a seal still leaves all that counts.
    pub(crate) slots: &'a [AtomicU64],
    /// Whether other processes write to it, by the same clock: a word of it may be anything.
    pub(crate) is_shared: bool,
}

/// The answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Counted. `remaining` more would be admitted now; the oldest counted one leaves in `frees_in_us`.
    Admitted { remaining: u32, frees_in_us: u64 },
    /// Not counted. One will be admitted in `wait_us`, unless another comes first.
    Refused { wait_us: u64 },
    /// The log is sealed, or must be: it moves to more slots.
    Outgrown,
    /// The time is past [`LATEST_US`], which no slot can hold. Nothing is admitted.
    OutOfTime,
    /// The log is not one that these functions write. Nothing is admitted.
    Damaged,
}

enum State {
    Open(View),
    Sealed,
}

/// A consistent view of the log.
struct View {
    /// The number of the next admission, and the content of its slot before it.
    next: u64,
    vacant: u64,
    /// The time of the newest admission; 0 before the first.
    newest_us: u64,
    /// The time of the admission `room` before the next: it must leave the span first.
    blocking_us: Option<u64>,
}

impl Window<'_> {
    /// Admits one request if fewer than `limit` (1 or more) were admitted in the span before it.
    ///
    /// `now` is read after the log. If the log looks full, `coarse_now` comes first: two times around the exact one, from a
    /// cheap reading of the same clock. It may refuse; only `now` admits.
    #[inline(always)]
    pub(crate) fn admit(
        self,
        limit: u32,
        now: impl Fn() -> u64,
        coarse_now: impl Fn() -> Option<(u64, u64)>,
    ) -> Verdict {
        debug_assert!(limit >= 1 && self.slots.len() >= 2 && self.slots.len().is_power_of_two());
        // One slot less than there are: a seal takes one, which must not be of an admission that counts.
        let most = u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX);
        let room = limit.min(most);
        let blocked = |wait_us| if limit > most { Verdict::Outgrown } else { Verdict::Refused { wait_us } };
        let is_damaged = |view: &View, now: u64| self.is_shared && view.newest_us > now.saturating_add(AHEAD_US);
        let mut tries = 0..TRIES;
        while let Some(state) = self.state(room, &mut tries) {
            let State::Open(view) = state else { return Verdict::Outgrown };
            if view.wait_us(view.newest_us).is_some()
                && let Some((earliest, latest)) = coarse_now()
                && view.wait_us(latest).is_some()
                && !is_damaged(&view, latest)
                && let Some(wait_us) = view.wait_us(earliest.max(view.newest_us))
            {
                return blocked(wait_us);
            }
            let now = now();
            let time = now.max(view.newest_us);
            if time > LATEST_US {
                return Verdict::OutOfTime;
            }
            if is_damaged(&view, now) {
                return Verdict::Damaged;
            }
            if let Some(wait_us) = view.wait_us(time) {
                return blocked(wait_us);
            }
            if self.commit(&view, time) {
                let (counted, oldest_us) = self.count(view.next, time, room);
                return Verdict::Admitted {
                    remaining: limit.saturating_sub(counted),
                    frees_in_us: (oldest_us + SPAN_US + 1).saturating_sub(time),
                };
            }
        }
        Verdict::Damaged
    }

    /// Ends the log: nothing is admitted after this, and [`Window::last`] is final. `None` if the log is damaged.
    pub(crate) fn seal(self) -> Option<()> {
        let mut tries = 0..TRIES;
        while let State::Open(view) = self.state(0, &mut tries)? {
            let seal = word(self.lap(view.next), TIME_MASK);
            if self.slot(view.next).compare_exchange(view.vacant, seal, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                break;
            }
        }
        Some(())
    }

    /// Adds an admission from another log. No other thread may use this one yet.
    pub(crate) fn restore(self, time: u64) {
        if let Some(State::Open(view)) = self.state(0, &mut (0..TRIES)) {
            self.commit(&view, time);
        }
    }

    /// The number of admissions so far, exact once the log is sealed.
    pub(crate) fn admitted(self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The times of a sealed log that its limit can count, oldest first.
    pub(crate) fn last(self) -> impl Iterator<Item = u64> {
        let end = self.admitted();
        // The seal replaced the oldest of a full ring.
        let kept = (self.slots.len() as u64).saturating_sub(1);
        (end.saturating_sub(kept)..end).map(move |k| time_of(self.slot(k).load(Ordering::Acquire)))
    }

    /// The time of the newest admission.
    pub(crate) fn newest_us(self) -> Option<u64> {
        let last = self.admitted().checked_sub(1)?;
        let slot = self.slot(last).load(Ordering::Acquire);
        (slot != 0 && !is_seal(slot)).then(|| time_of(slot))
    }

    /// A view in which `next` was still to be committed, unless the log is sealed. `None` after so many tries.
    #[inline(always)]
    fn state(self, room: u32, tries: &mut impl Iterator) -> Option<State> {
        loop {
            tries.next()?;
            let next = self.head.load(Ordering::Acquire);
            let lap = self.lap(next);
            let vacant = self.slot(next).load(Ordering::Acquire);
            if lap_of(vacant) == lap {
                if is_seal(vacant) {
                    return Some(State::Sealed);
                }
                self.advance(next); // committed, but `head` not advanced yet
                continue;
            }
            if lap_of(vacant) != lap.wrapping_sub(1) {
                continue; // `next` is old
            }
            let Some(newest_us) = self.time_before(next, 1) else { continue };
            let Some(blocking_us) = self.time_before(next, u64::from(room)) else { continue };
            return Some(State::Open(View { next, vacant, newest_us: newest_us.unwrap_or(0), blocking_us }));
        }
    }

    /// The time of the admission `back` before `next`: `Some(None)` if there is none, `None` if its slot was written again,
    /// so that `next` is old.
    fn time_before(self, next: u64, back: u64) -> Option<Option<u64>> {
        if back == 0 {
            return Some(None);
        }
        let Some(k) = next.checked_sub(back) else { return Some(None) };
        let slot = self.slot(k).load(Ordering::Acquire);
        (lap_of(slot) == self.lap(k)).then(|| Some(time_of(slot)))
    }

    fn commit(self, view: &View, time: u64) -> bool {
        let filled = word(self.lap(view.next), time.min(LATEST_US));
        let done =
            self.slot(view.next).compare_exchange(view.vacant, filled, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if done {
            self.advance(view.next);
        }
        done
    }

    fn advance(self, from: u64) {
        // A lost exchange was won by a thread that wrote the same.
        let _ = self.head.compare_exchange(from, from.wrapping_add(1), Ordering::AcqRel, Ordering::Acquire);
    }

    /// How many admissions lie in the span that ends with `newest`, at `time`, and the time of the oldest.
    fn count(self, newest: u64, time: u64, room: u32) -> (u32, u64) {
        let known = self.tail.load(Ordering::Relaxed).min(newest);
        let start = known.max(newest.saturating_sub(u64::from(room.saturating_sub(1))));
        let mut oldest = start;
        let mut oldest_us = time;
        while oldest < newest {
            let slot = self.slot(oldest).load(Ordering::Acquire);
            // A slot that was written again held one that has left the span.
            if lap_of(slot) == self.lap(oldest) && time.saturating_sub(time_of(slot)) <= SPAN_US {
                oldest_us = time_of(slot);
                break;
            }
            oldest += 1;
        }
        if oldest > start {
            // The one before `oldest` has left, so all before it have.
            self.tail.store(oldest, Ordering::Relaxed);
        }
        (u32::try_from(newest - oldest).unwrap_or(u32::MAX).saturating_add(1), oldest_us)
    }

    fn slot(&self, k: u64) -> &AtomicU64 {
        #[expect(clippy::indexing_slicing, reason = "the mask keeps it below the length, which is a power of two")]
        #[expect(clippy::cast_possible_truncation, reason = "so does it here")]
        &self.slots[k as usize & (self.slots.len() - 1)]
    }

    fn lap(&self, k: u64) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "a lap is counted modulo 2^16")]
        let lap = (k >> self.slots.len().trailing_zeros()) as u16;
        lap.wrapping_add(1)
    }
}

impl View {
    /// How long a request at `time` must wait.
    fn wait_us(&self, time: u64) -> Option<u64> {
        let frees = self.blocking_us? + SPAN_US + 1;
        frees.checked_sub(time).filter(|wait| *wait > 0)
    }
}

fn word(lap: u16, time: u64) -> u64 {
    u64::from(lap) << TIME_BITS | time
}

fn lap_of(slot: u64) -> u16 {
    (slot >> TIME_BITS) as u16
}

fn time_of(slot: u64) -> u64 {
    slot & TIME_MASK
}

fn is_seal(slot: u64) -> bool {
    time_of(slot) == TIME_MASK
}
