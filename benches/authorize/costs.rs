//! What a decision costs on one thread, for so many keys.

use std::hint::black_box;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::authority::{
    ALLOWED, Authority, INSUFFICIENT_SCOPE, Need, RATE_LIMITED, REVOKED_KEY, UNKNOWN_KEY, WRONG_STORE,
};
use crate::c;
use crate::keys::{self, Call, Calls, Terms};
use crate::peers::{Composed, Locked};
use crate::table::{self, Bar};
use crate::timing::{fastest, timed};

pub(crate) struct Costs {
    keys: usize,
    /// Each key once.
    calls: Calls,
    /// Rounds over the calls: fewer of the longer ones.
    rounds: usize,
    /// `Sha256::digest` of a key, in nanoseconds.
    unit: f64,
}

/// What answers, in the order of [`Admitted::ns`].
pub(crate) const NAMES: [&str; 4] = [
    "bpos, from C",
    "DashMap, governor, hex keys",
    "DashMap, governor, [u8; 32] keys",
    "RwLock<HashMap>, Mutex<bucket>",
];

/// The figures that are plotted: admitted with the scope named, in nanoseconds.
pub(crate) struct Admitted {
    pub(crate) keys: usize,
    pub(crate) ns: [f64; 4],
}

/// The usual limit of a key. None is asked as often.
const LIMIT: u32 = 60;

impl Costs {
    pub(crate) fn new(keys: usize) -> Self {
        let calls = Calls::shuffled(0..keys);
        let unit = unit(&calls);
        Self { keys, calls, rounds: (500_000 / keys).clamp(3, 300), unit }
    }

    pub(crate) fn print(&self) -> Admitted {
        table::head(&format!("{} keys, from C", grouped(self.keys)));
        self.row("U: Sha256::digest of a key", self.unit, Bar::None);
        let from_c = self.admissions(c::Registry::routed);
        let large = self.keys >= 100_000;
        let steady = |small| {
            Bar::AtMost(if self.keys >= 1_000_000 {
                5.5
            } else if large {
                4.0
            } else {
                small
            })
        };
        let first = match self.keys {
            10_000 => Bar::AtMost(4.0),
            1_000_000 => Bar::AtMost(8.0),
            _ => Bar::None,
        };
        self.row("first use of a key", from_c.first, first);
        self.row("admitted, scope named", from_c.named, steady(1.8));
        self.row("admitted, routed", from_c.routed, steady(2.2));
        self.hot_and_zipf();
        let refusals = self.refusals::<c::Registry>();
        self.row("refused (429), one key", refusals.hot, Bar::AtMost(1.3));
        self.row("refused (429), all keys", refusals.spread, Bar::None);
        self.row("unknown key", refusals.unknown, Bar::AtMost(1.3));
        self.denials();

        self.rust(from_c.named, refusals.spread);
        let ours = [from_c.named, refusals.spread, refusals.unknown];
        let hex = self.peer::<Composed<String>>(NAMES[1], ours, Bar::AtLeast(2.5));
        let bytes = self.peer::<Composed<[u8; 32]>>(NAMES[2], ours, Bar::None);
        let locked = self.peer::<Locked>(NAMES[3], ours, Bar::None);
        Admitted { keys: self.keys, ns: [from_c.named, hex, bytes, locked] }
    }

    /// Each key is used six times: for the first time, once more, twice with its scope named, and twice in another way.
    fn admissions<A: Authority>(&self, other: impl Fn(&A, Call<'_>) -> u32) -> Admissions {
        let mut fastest = Admissions { first: f64::INFINITY, named: f64::INFINITY, routed: f64::INFINITY };
        for _ in 0..self.rounds.div_ceil(2) {
            let authority = A::with_limit(self.keys, LIMIT);
            let named = || timed(self.calls.iter(), ALLOWED, |call| authority.named(call, Need::ProductsRead));
            let other = || timed(self.calls.iter(), ALLOWED, |call| other(&authority, call));
            fastest.first = fastest.first.min(named());
            named();
            fastest.named = fastest.named.min(named()).min(named());
            fastest.routed = fastest.routed.min(other()).min(other());
        }
        fastest
    }

    /// One key at its limit of 1,000 as its oldest admissions leave the minute, and keys as unequally used as words in a
    /// text: the second half as often as the first, the third a third as often. No registry has the real time for that, so
    /// it is given to the call; it is read too, as the other calls do.
    fn hot_and_zipf(&self) {
        const SPAN_US: f64 = 60e6;
        let read = Instant::now();
        let at = |spent_us: f64| (1e9 + spent_us) as u64 + read.elapsed().as_micros() as u64;
        let limit_of = |rank: usize| if rank < 32 { 1_000 } else { LIMIT };

        // Ranks are given by the order of the calls, which is not that of the keys.
        let ranks = ranks(self.keys);
        let json = keys::document(self.keys, |n| Terms { limit: limit_of(ranks[n]), revoked: false });
        let registry = c::Registry::from_json(&json);
        drop(json);
        let spent = std::cell::Cell::new(0.0);
        let ask = |step_us: f64| {
            let (registry, spent) = (&registry, &spent);
            move |call: Call<'_>| {
                spent.set(spent.get() + step_us);
                registry.named_at(call, at(spent.get()))
            }
        };

        let hot = Calls::of(std::iter::repeat_n(ranks.iter().position(|rank| *rank == 0).unwrap(), 20_000));
        let hot = fastest(30, &hot, ALLOWED, ask(SPAN_US / 990.0));
        self.row("admitted, one key at its limit of 1,000", hot, Bar::None);

        let (zipf, share) = zipf(&ranks, self.keys.max(20_000));
        spent.set(spent.get() + 2.0 * SPAN_US);
        // The first key comes 800 times a minute, and the sample has its luck.
        let ns = fastest(self.rounds.min(10), &zipf, ALLOWED, ask(SPAN_US * share / 800.0));
        self.row("admitted, Zipf 1.0 over all keys", ns, Bar::None);
    }

    fn refusals<A: Authority>(&self) -> Refusals {
        let authority = A::with_limit(self.keys, 1);
        let ask = |call: Call<'_>| authority.named(call, Need::ProductsRead);
        timed(self.calls.iter(), ALLOWED, ask);
        let spread = fastest(self.rounds, &self.calls, RATE_LIMITED, ask);
        let hot = self.calls.iter().next().unwrap();
        let hot = (0..30).map(|_| timed(std::iter::repeat_n(hot, 20_000), RATE_LIMITED, ask));
        let hot = hot.fold(f64::INFINITY, f64::min);
        let unknown = Calls::shuffled(self.keys..2 * self.keys);
        Refusals { spread, hot, unknown: fastest(self.rounds, &unknown, UNKNOWN_KEY, ask) }
    }

    /// Denials that are counted for their key. The first one makes its counters.
    fn denials(&self) {
        let terms = |revoked| move |_| Terms { limit: LIMIT, revoked };
        let of = |registry: &c::Registry, reason, scope, store: Option<&'static [u8]>| {
            let ask = |call: Call<'_>| registry.named(Call { store: store.unwrap_or(call.store), ..call }, scope);
            timed(self.calls.iter(), reason, ask);
            fastest(self.rounds, &self.calls, reason, ask)
        };
        let registry = c::Registry::from_json(&keys::document(self.keys, terms(true)));
        let revoked = of(&registry, REVOKED_KEY, Need::ProductsRead, None);
        drop(registry);
        self.row("revoked key", revoked, Bar::None);
        let registry = c::Registry::from_json(&keys::document(self.keys, terms(false)));
        let wrong_store = of(&registry, WRONG_STORE, Need::ProductsRead, Some(b"another"));
        self.row("wrong store", wrong_store, Bar::None);
        let insufficient = of(&registry, INSUFFICIENT_SCOPE, Need::CustomersRead, None);
        self.row("insufficient scope", insufficient, Bar::None);
    }

    fn rust(&self, named_from_c: f64, refused_from_c: f64) {
        let named = self.admissions(|registry: &bpos::Registry, call| registry.named(call, Need::ProductsRead)).named;
        let refused = self.refusals::<bpos::Registry>().spread;
        for (what, from_rust, from_c) in
            [("admitted, scope named", named, named_from_c), ("refused (429), all keys", refused, refused_from_c)]
        {
            self.row(&format!("from Rust: {what}"), from_rust, Bar::None);
            if self.keys <= 10_000 {
                let more = from_c - from_rust;
                table::bounded("  what C adds", &format!("{more:+.1} ns"), more, Bar::AtMost(5.0));
            }
        }
    }

    /// A peer's rows, and what it takes to admit. It must decide as bpos does.
    fn peer<A: Authority>(&self, name: &str, ours: [f64; 3], bar: Bar) -> f64 {
        self.compare::<A>();
        let named = self.admissions(|peer: &A, call| peer.named(call, Need::ProductsRead)).named;
        let refusals = self.refusals::<A>();
        let theirs = [named, refusals.spread, refusals.unknown];
        let rows = ["admitted, scope named", "refused (429), all keys", "unknown key"];
        println!("{name}, and its time to that of bpos:");
        for ((what, theirs), (ours, bar)) in
            rows.iter().zip(theirs).zip(ours.into_iter().zip([bar, Bar::None, Bar::None]))
        {
            table::times(&format!("  {what}"), &format!("{theirs:.1} ns"), theirs / ours, bar);
        }
        named
    }

    /// Asks both for some keys, known and unknown, past their limit, in the wrong store and for a scope that they lack.
    fn compare<A: Authority>(&self) {
        let keys = self.keys.min(1_000);
        let (ours, theirs) = (c::Registry::with_limit(keys, 2), A::with_limit(keys, 2));
        let calls = Calls::shuffled(0..2 * keys);
        for round in 0..4 {
            for (n, call) in calls.iter().enumerate() {
                let call = if (n + round) % 5 == 0 { Call { store: b"another", ..call } } else { call };
                let scope = if (n + round) % 7 == 0 { Need::CustomersRead } else { Need::ProductsRead };
                assert_eq!(theirs.named(call, scope), ours.named(call, scope), "call {n} of round {round}");
            }
        }
    }

    fn row(&self, what: &str, ns: f64, bar: Bar) {
        table::ratio(what, &format!("{ns:.1} ns"), ns / self.unit, bar);
    }
}

struct Admissions {
    first: f64,
    named: f64,
    routed: f64,
}

struct Refusals {
    spread: f64,
    hot: f64,
    unknown: f64,
}

/// Nanoseconds to hash a key, over up to 20,000 of them.
fn unit(calls: &Calls) -> f64 {
    let round = || {
        let (mut hashed, start) = (0, Instant::now());
        while hashed < 20_000 {
            for call in calls.iter().take(20_000) {
                black_box(Sha256::digest(black_box(call.key)));
                hashed += 1;
            }
        }
        start.elapsed().as_nanos() as f64 / f64::from(hashed)
    };
    (0..100).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The rank of each key.
fn ranks(keys: usize) -> Vec<usize> {
    let mut ranks: Vec<usize> = (0..keys).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut ranks);
    ranks
}

/// So many calls, in which a key is as frequent as one by its rank; and the share of the first.
fn zipf(ranks: &[usize], calls: usize) -> (Calls, f64) {
    let mut by_rank = vec![0; ranks.len()];
    for (key, rank) in ranks.iter().enumerate() {
        by_rank[*rank] = key;
    }
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=ranks.len())
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(2);
    let drawn = (0..calls).map(|_| {
        let place = random.f64() * sum;
        by_rank[sums.partition_point(|sum| *sum <= place).min(ranks.len() - 1)]
    });
    (Calls::of(drawn), 1.0 / sum)
}

pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
