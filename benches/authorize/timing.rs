//! How long a call takes.

use std::hint::black_box;
use std::time::Instant;

use crate::keys::{Call, Calls};

/// Nanoseconds a call, over all calls once. Each must be answered by the expected reason.
pub(crate) fn timed<'a>(calls: impl Iterator<Item = Call<'a>>, reason: u32, ask: impl Fn(Call<'a>) -> u32) -> f64 {
    let (mut asked, mut others) = (0_u64, 0_u64);
    let start = Instant::now();
    for call in calls {
        asked += 1;
        others += u64::from(black_box(ask(black_box(call))) != reason);
    }
    let ns = start.elapsed().as_nanos() as f64 / asked as f64;
    assert_eq!(others, 0, "{others} of {asked} calls have another reason than {reason}");
    ns
}

/// The fastest of so many rounds over all calls.
pub(crate) fn fastest(rounds: usize, calls: &Calls, reason: u32, ask: impl Fn(Call<'_>) -> u32) -> f64 {
    (0..rounds).map(|_| timed(calls.iter(), reason, &ask)).fold(f64::INFINITY, f64::min)
}
