//! What all cores decide against one.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use bpos::{KeyPatch, KeySpec};
use sha2::{Digest, Sha256};

use crate::authority::{ALLOWED, Authority, Need, RATE_LIMITED};
use crate::c;
use crate::costs::{NAMES, grouped};
use crate::keys::{self, Call, Calls};
use crate::peers::{Composed, Locked};
use crate::table::{self, Bar};
use crate::timing::timed;

/// Millions of decisions a second, by the number of threads: refused on one key, refused on spread keys.
pub(crate) struct Throughput {
    pub(crate) name: &'static str,
    pub(crate) hot: Vec<(usize, f64)>,
    pub(crate) spread: Vec<(usize, f64)>,
}

const KEYS: usize = 100_000;
const LIMIT: u32 = 60;
const ROUNDS: usize = 5;

/// After so many calls a thread says how many it has made.
const BATCH: usize = 1_000;

pub(crate) fn print() -> Vec<Throughput> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    table::head(&format!("{cores} cores against 1, {} keys", grouped(KEYS)));
    let ours = throughput::<c::Registry>(NAMES[0], cores);
    let peers = [
        throughput::<Composed<String>>(NAMES[1], cores),
        throughput::<Composed<[u8; 32]>>(NAMES[2], cores),
        throughput::<Locked>(NAMES[3], cores),
    ];
    let bar = Bar::AtLeast(0.95 * cores as f64);
    row("control: Sha256::digest alone, which shares nothing", &control(cores), bar);
    for (throughput, bar) in std::iter::once((&ours, bar)).chain(peers.iter().map(|peer| (peer, Bar::None))) {
        for (what, points) in [("refused, one key", &throughput.hot), ("refused, spread keys", &throughput.spread)] {
            row(&format!("{}: {what}", throughput.name), points, bar);
        }
    }
    row("bpos, from C: admitted, spread keys", &admitted(cores), bar);
    under_changes(cores);
    row("control, again", &control(cores), bar);
    std::iter::once(ours).chain(peers).collect()
}

fn row(what: &str, points: &[(usize, f64)], bar: Bar) {
    let (one, all) = (points[0].1, points[points.len() - 1].1);
    let bar = if points.len() > 1 { bar } else { Bar::None };
    table::times(what, &format!("{all:.1} M/s"), all / one, bar);
}

fn throughput<A: Authority>(name: &'static str, cores: usize) -> Throughput {
    let authority = A::with_limit(KEYS, 1);
    let ask = |call: Call<'_>| authority.named(call, Need::ProductsRead);
    timed(Calls::shuffled(0..KEYS).iter(), ALLOWED, ask);
    // The same buffer for each thread, so that a thread's calls lie in its core's cache.
    let hot = Calls::of(std::iter::repeat_n(7, 10_000));
    let points = |run: &dyn Fn(usize) -> f64| steps(cores).map(|threads| (threads, run(threads))).collect();
    Throughput {
        name,
        hot: points(&|threads| {
            let work: Vec<&Calls> = vec![&hot; threads];
            together(&work, 50, RATE_LIMITED, ask)
        }),
        spread: points(&|threads| {
            let parts = Calls::shuffled(0..KEYS).split(cores);
            let work: Vec<&Calls> = parts.iter().take(threads).collect();
            together(&work, 10, RATE_LIMITED, ask)
        }),
    }
}

/// What the machine itself gives: a miss means that other programs took a core, and that the rows between both controls are no figures.
fn control(cores: usize) -> Vec<(usize, f64)> {
    let calls = Calls::of(std::iter::repeat_n(7, 10_000));
    let hash = |call: Call<'_>| {
        black_box(Sha256::digest(call.key));
        ALLOWED
    };
    [1, cores].map(|threads| (threads, together(&vec![&calls; threads], 100, ALLOWED, hash))).to_vec()
}

/// Whether this program has all cores to itself.
pub(crate) fn is_quiet() -> bool {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let points = control(cores);
    points[1].1 >= 0.95 * cores as f64 * points[0].1
}

/// Each key is used for the first time, and then as often as its limit allows.
fn admitted(cores: usize) -> Vec<(usize, f64)> {
    let parts = Calls::shuffled(0..KEYS).split(cores);
    let point = |threads| {
        let registry = c::Registry::with_limit(KEYS, LIMIT);
        let ask = |call: Call<'_>| registry.named(call, Need::ProductsRead);
        let work: Vec<&Calls> = parts.iter().take(threads).collect();
        together(&work, 1, ALLOWED, ask);
        (threads, together(&work, 10, ALLOWED, ask))
    };
    [1, cores].into_iter().map(point).collect()
}

/// From 1 to all cores, in doubling steps.
fn steps(cores: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |threads| Some(threads * 2))
        .take_while(move |threads| *threads < cores)
        .chain([cores])
}

/// Millions of calls a second, each thread with its own calls, so many times each.
fn together(work: &[&Calls], times: usize, reason: u32, ask: impl Fn(Call<'_>) -> u32 + Sync) -> f64 {
    let calls = work.iter().map(|calls| calls.len()).sum::<usize>() * times;
    let seconds = seconds(work.len(), |thread| {
        for _ in 0..times {
            timed(work[thread].iter(), reason, &ask);
        }
    });
    calls as f64 / seconds / 1e6
}

/// From the first thread's start to the last one's end, in the fastest of the rounds.
fn seconds(threads: usize, run: impl Fn(usize) + Sync) -> f64 {
    let round = || {
        let ready = Barrier::new(threads);
        let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
            let (ready, run) = (&ready, &run);
            let span = move |thread| {
                ready.wait();
                let start = Instant::now();
                run(thread);
                (start, Instant::now())
            };
            let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || span(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let start = spans.iter().map(|(start, _)| start).min().unwrap();
        let end = spans.iter().map(|(_, end)| end).max().unwrap();
        (*end - *start).as_secs_f64()
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// Keys are admitted while another thread makes one change for every hundred calls: it makes keys, renames some that are
/// in use, and revokes what it made. From Rust, where a change needs no document.
fn under_changes(cores: usize) {
    let threads = (cores - 1).max(1);
    let batches = Calls::shuffled(0..KEYS).split(KEYS / BATCH);
    let registry = <bpos::Registry as Authority>::with_limit(KEYS, LIMIT);
    let asked = AtomicUsize::new(0);
    let ask = |times| {
        seconds(threads, |thread| {
            for batch in (0..times).flat_map(|_| batches.iter().skip(thread).step_by(threads)) {
                timed(batch.iter(), ALLOWED, |call| registry.named(call, Need::ProductsRead));
                asked.fetch_add(BATCH, Ordering::Relaxed);
            }
        })
    };
    ask(1);
    let alone = ask(4);

    let done = AtomicBool::new(false);
    let before = asked.load(Ordering::Relaxed);
    let calls = || asked.load(Ordering::Relaxed) - before;
    let (underneath, changed) = thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let (mut change, mut changed) = (changes(&registry), 0);
            while !done.load(Ordering::Relaxed) {
                if changed * 100 < calls() {
                    change();
                    changed += 1;
                }
            }
            changed
        });
        let underneath = ask(4);
        done.store(true, Ordering::Relaxed);
        (underneath, changing.join().unwrap())
    });
    let percent = 100.0 * changed as f64 / calls() as f64;
    let what = format!("bpos, from Rust: {threads} admitting, 1 changing {percent:.2}%");
    table::times(&what, &format!("{:.1} M/s", 4.0 * KEYS as f64 / underneath / 1e6), alone / underneath, Bar::None);
}

fn changes(registry: &bpos::Registry) -> impl FnMut() {
    let mut made = Vec::new();
    let mut n = 0;
    move || {
        match n % 3 {
            0 => made.push(registry.create(&KeySpec::new("New", "store", ["products:read"])).unwrap().record.id),
            1 => {
                let patch = KeyPatch::new().name("Renamed");
                registry.update(&keys::id(n * 7 % KEYS), &patch).map(drop).unwrap();
            }
            _ => registry.revoke(&made.pop().unwrap()).unwrap(),
        }
        n += 1;
    }
}
