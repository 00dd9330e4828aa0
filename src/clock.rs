//! The two clocks of a decision, and who reads them.
//!
//! Expiry is compared with the wall clock; the rate limit uses a clock that cannot be set and counts suspended time.
//! Everything below [`crate::Registry::authorize`] takes its times from the [`Clock`] that it is given.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment: the wall clock's time and a monotonic clock's.
///
/// ```
/// let noon = bpos::Now { unix_ms: 1_795_521_600_000, monotonic_us: 5_000_000 };
/// assert_eq!(noon.monotonic_us, 5_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970-01-01T00:00:00Z. Decides expiry and nothing else.
    pub unix_ms: i64,
    /// Microseconds on a clock that never goes back and counts suspended time. Decides the rate limit and nothing
    /// else. At most 2^48 − 2 (8.9 years since the machine booted); a later one is denied as `internal`.
    pub monotonic_us: u64,
}

impl Now {
    /// Reads both clocks of this machine: the wall clock, and `CLOCK_BOOTTIME` (on other systems than Linux and
    /// Android, `CLOCK_MONOTONIC`).
    #[must_use]
    pub fn read() -> Self {
        Self { unix_ms: wall_ms(), monotonic_us: monotonic_us() }
    }
}

/// Where a decision takes its times from.
pub(crate) trait Clock {
    /// Whether it is the machine's own, which is the same for every process.
    const IS_THE_MACHINES: bool;
    /// The wall clock.
    fn unix_ms(&self) -> i64;
    /// The monotonic clock, exact. Only this one may admit.
    fn monotonic_us(&self) -> u64;
    /// A span that contains the exact monotonic time, at a fraction of the cost; `None` without a reliable cheap reading.
    /// It may refuse, not admit.
    fn coarse_now(&self) -> Option<CoarseNow>;
}

/// The earliest and the latest that the exact time can be.
type CoarseNow = (u64, u64);

impl Clock for Now {
    const IS_THE_MACHINES: bool = false;

    fn unix_ms(&self) -> i64 {
        self.unix_ms
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us
    }

    fn coarse_now(&self) -> Option<CoarseNow> {
        Some((self.monotonic_us, self.monotonic_us))
    }
}

/// The machine's own clocks. One for each registry, so that nothing is global.
#[derive(Debug, Default)]
pub(crate) struct SystemClock {
    calibration: Calibration,
    /// How far the wall clock was ahead of the monotonic one when both were last compared; 0 before that.
    wall_ahead_us: AtomicI64,
}

impl SystemClock {
    /// The wall clock's time at a monotonic time, in milliseconds since 1970: the same with every call unless the wall clock
    /// was set. `None` for a future time.
    pub(crate) fn date_of(&self, moment_us: u64) -> Option<i64> {
        let (before, wall, after) = (monotonic_us(), wall_us(), monotonic_us());
        let kept = self.wall_ahead_us.load(Ordering::Relaxed);
        let ahead = ahead_us(kept, wall.checked_sub_unsigned(before)?, after - before);
        // If two threads compare the clocks for the first time, one measurement serves both.
        let exchanged = self.wall_ahead_us.compare_exchange(kept, ahead, Ordering::Relaxed, Ordering::Relaxed);
        let ahead = exchanged.map_or_else(|other| other, |_| ahead);
        (moment_us <= after).then(|| ahead.checked_add_unsigned(moment_us).map(|us| us.div_euclid(1_000)))?
    }
}

/// How far the wall clock is ahead: `kept`, unless there is none yet or the clock was set since. The measurement is off by
/// up to the time between the readings, which is long in a thread that was preempted.
fn ahead_us(kept: i64, measured: i64, passed: u64) -> i64 {
    /// A clock that was set is off by at least this much; otherwise by microseconds.
    const SET_US: u64 = 1_000_000;
    let was_set = measured.abs_diff(kept) > SET_US && passed < SET_US / 2;
    if kept == 0 || was_set { measured } else { kept }
}

impl Clock for SystemClock {
    const IS_THE_MACHINES: bool = true;

    fn unix_ms(&self) -> i64 {
        wall_ms()
    }

    fn monotonic_us(&self) -> u64 {
        monotonic_us()
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn coarse_now(&self) -> Option<CoarseNow> {
        let coarse = || micros(clock_gettime(ClockId::MonotonicCoarse));
        let before = coarse();
        self.calibration.coarse_now(before).or_else(|| {
            let exact = monotonic_us();
            // A thread that was preempted in between has measured that.
            if coarse().saturating_sub(before) <= TICK_US {
                self.calibration.renew(before, exact);
            }
            Some((exact, exact))
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn coarse_now(&self) -> Option<CoarseNow> {
        None
    }
}

/// How far the exact clock is ahead of the coarse one, which costs a fifth as much but lags by up to a timer tick and
/// excludes suspended time. Measured again after a second of the coarse clock, so a suspension is noticed within a second.
#[derive(Debug, Default)]
struct Calibration {
    /// The coarse time up to which `ahead_us` holds.
    valid_until_us: AtomicU64,
    ahead_us: AtomicU64,
}

const CALIBRATION_VALID_US: u64 = 1_000_000;

/// One tick of the slowest timer: the age that a calibration's coarse reading may have had.
const TICK_US: u64 = 10_000;

/// Five ticks: how far a coarse reading may lag on a busy machine.
const LAG_US: u64 = 50_000;

impl Calibration {
    #[inline]
    fn coarse_now(&self, coarse_us: u64) -> Option<CoarseNow> {
        if coarse_us >= self.valid_until_us.load(Ordering::Acquire) {
            return None;
        }
        Some(around(coarse_us.saturating_add(self.ahead_us.load(Ordering::Relaxed))))
    }

    fn renew(&self, coarse_us: u64, exact_us: u64) {
        // The offset first: a thread that sees the new validity sees this offset or a later one.
        self.ahead_us.store(exact_us.saturating_sub(coarse_us), Ordering::Relaxed);
        self.valid_until_us.store(coarse_us.saturating_add(CALIBRATION_VALID_US), Ordering::Release);
    }
}

fn around(us: u64) -> CoarseNow {
    (us.saturating_sub(TICK_US), us.saturating_add(LAG_US))
}

fn wall_ms() -> i64 {
    wall_us().div_euclid(1_000)
}

/// The wall clock, in microseconds since 1970.
fn wall_us() -> i64 {
    let us = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => us(since),
        Err(before) => -us(before.duration()),
    }
}

#[inline]
fn monotonic_us() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    micros(clock_gettime(CLOCK))
}

/// A monotonic clock is never negative.
#[inline]
fn micros(time: Timespec) -> u64 {
    (time.tv_sec.unsigned_abs()).saturating_mul(1_000_000).saturating_add(time.tv_nsec.unsigned_abs() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_reading_is_trusted_for_a_second_after_a_calibration() {
        let calibration = Calibration::default();
        assert_eq!(calibration.coarse_now(10), None, "nothing measured yet");

        // The exact clock is 5 s ahead: the machine was suspended for so long before.
        let at = 7_000_000;
        calibration.renew(at, 12_000_000);
        for (coarse, expected) in
            [(at, Some(12_000_000)), (at + 999_999, Some(12_999_999)), (at + 1_000_000, None), (u64::MAX, None)]
        {
            assert_eq!(calibration.coarse_now(coarse), expected.map(around), "coarse {coarse}");
        }
    }

    #[test]
    fn a_date_is_reckoned_from_what_was_measured_first_until_the_clock_is_set() {
        const SECOND: i64 = 1_000_000;
        let cases = [
            (0, 5 * SECOND, 3, 5 * SECOND),                  // the first time
            (5 * SECOND, 5 * SECOND + 40, 40, 5 * SECOND),   // the readings lie apart
            (5 * SECOND, 6 * SECOND, 3, 5 * SECOND),         // by no more than a second
            (5 * SECOND, 6 * SECOND + 1, 3, 6 * SECOND + 1), // set forward
            (5 * SECOND, -90 * SECOND, 3, -90 * SECOND),     // set back, to before 1970
            (5 * SECOND, 8 * SECOND, 3_000_000, 5 * SECOND), // the thread slept between the readings
        ];
        for (kept, measured, passed, expected) in cases {
            assert_eq!(ahead_us(kept, measured, passed), expected, "{kept} {measured} {passed}");
        }
    }

    #[test]
    fn a_moment_has_one_date() {
        let clock = SystemClock::default();
        let moment = monotonic_us();
        let date = clock.date_of(moment).expect("it is past");
        assert!(date.abs_diff(wall_ms()) < 60_000, "{date} is about now");
        for _ in 0..10_000 {
            assert_eq!(clock.date_of(moment), Some(date));
        }
        assert_eq!(clock.date_of(moment - 1_000), Some(date - 1));
        assert_eq!(clock.date_of(u64::MAX), None, "a moment to come");
    }

    #[test]
    fn the_exact_time_lies_within_a_coarse_now() {
        let clock = SystemClock::default();
        for _ in 0..1_000 {
            let before = clock.monotonic_us();
            let coarse_now = clock.coarse_now();
            let after = clock.monotonic_us();
            assert!(
                coarse_now.is_none_or(|(earliest, latest)| earliest <= after && before <= latest),
                "{before} {coarse_now:?} {after}"
            );
        }
    }
}
