//! How long single calls take, while another thread reads the document again and revokes keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use bpos::Registry;

use crate::authority::{ALLOWED, Authority, Need};
use crate::costs::grouped;
use crate::keys::{self, Calls, Terms, document};
use crate::table;

const CALLS: usize = 10_000_000;
const KEYS: usize = 100_000;

/// Keys that are revoked underneath. The others are asked for.
const REVOKED: usize = 1_000;

pub(crate) fn print() {
    table::head(&format!("latency of {} calls, {} keys, admitted", grouped(CALLS), grouped(KEYS)));
    // As in costs.rs, no key comes to its limit.
    let limit = (CALLS / KEYS * 2) as u32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, document(KEYS, |_| Terms { limit, revoked: false })).unwrap();

    for disturbed in [false, true] {
        let registry = Registry::open(&path).unwrap();
        let done = AtomicBool::new(false);
        let (mut spans, revoked) = thread::scope(|scope| {
            let changing = scope.spawn(|| if disturbed { reload_and_revoke(&registry, &done) } else { 0 });
            let spans = spans(&registry);
            done.store(true, Ordering::Relaxed);
            (spans, changing.join().unwrap())
        });
        spans.sort_unstable();
        let who = if disturbed { format!("{revoked} reloads and revocations:") } else { String::from("alone:") };
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let ns = spans[((CALLS - 1) as f64 * share) as usize];
            table::figure(&format!("{who} {what}"), &format!("{:.2} µs", f64::from(ns) / 1e3));
        }
    }
}

/// The nanoseconds of each call, with one reading of the clock.
fn spans(registry: &Registry) -> Vec<u32> {
    let calls = Calls::shuffled(REVOKED..KEYS);
    let mut spans = vec![1; CALLS]; // not 0, so that its pages are there before
    let mut before = Instant::now();
    for (span, call) in spans.iter_mut().zip(calls.iter().cycle()) {
        assert_eq!(registry.named(call, Need::ProductsRead), ALLOWED);
        let after = Instant::now();
        *span = (after - before).as_nanos() as u32;
        before = after;
    }
    spans
}

/// How often both were done.
fn reload_and_revoke(registry: &Registry, done: &AtomicBool) -> usize {
    for n in 0..REVOKED {
        registry.reload().unwrap();
        registry.revoke(&keys::id(n)).unwrap();
        if done.load(Ordering::Relaxed) {
            return n + 1;
        }
    }
    REVOKED
}
