#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a program that prints a table"
)]
//! What a decision costs, beside the hash of its key, in one process and one run: `make bench`.
//!
//! Each figure is the fastest of several rounds, in nanoseconds a call, with its ratio to U: `Sha256::digest` of the same
//! keys. Keys are asked in an order that has nothing to do with where they lie in memory.

use std::hint::black_box;
use std::time::Instant;

use bpos::{DenyReason, Registry, Request, Scope};
use sha2::{Digest, Sha256};

/// Many short rounds: one that nothing else disturbs is among them.
const ROUNDS: usize = 60;
const CALLS: usize = 20_000;

fn main() {
    println!("{:>9}  {:<28} {:>8}  {:>6}  {:>5}", "keys", "what", "ns/call", "ratio", "bar");
    for keys in [100, 10_000, 1_000_000] {
        Table { keys }.print();
    }
}

/// The rows for so many keys.
struct Table {
    keys: usize,
}

impl Table {
    fn print(&self) {
        let keys: Vec<String> = (0..self.keys).map(|n| key(n as u64)).collect();
        let bars = |bar| if self.keys == 10_000 { Some(bar) } else { None };

        let calls = CALLS.max(self.keys);
        let rounds = (ROUNDS * CALLS / calls).max(3);
        let unit = fastest(ROUNDS, || rate(&keys, CALLS, |key| Sha256::digest(key)));
        self.row("Sha256::digest of the key (U)", unit, unit, None);

        let admitted = self.admitted(&keys, |registry, key| {
            registry.authorize_scope(&Request::default().api_key(key).store("yourstore"), Scope::PRODUCTS_READ).is_ok()
        });
        self.row("admitted, scope named", admitted, unit, bars(2.0));

        let routed = self.admitted(&keys, |registry, key| {
            registry.authorize(&Request::new("GET", "/api/v1/products/1207").api_key(key).store("yourstore")).is_ok()
        });
        self.row("admitted, routed", routed, unit, bars(2.5));

        let registry = registry(&keys, 1);
        let refused = |key: &String| {
            let denial =
                registry.authorize_scope(&Request::default().api_key(key).store("yourstore"), Scope::PRODUCTS_READ);
            denial.is_err_and(|denial| denial.reason() == DenyReason::RateLimited)
        };
        assert!(!keys.iter().any(&refused), "the first call of each key is admitted");
        assert!(keys.iter().all(&refused));
        let hot = fastest(ROUNDS, || rate(&keys[..1], CALLS, refused));
        self.row("refused (429), one hot key", hot, unit, bars(1.3));
        let spread = fastest(rounds, || rate(&keys, calls, refused));
        self.row("refused (429), all keys", spread, unit, None);

        let others: Vec<String> = (0..self.keys).map(|n| key((n + self.keys) as u64)).collect();
        let unknown = fastest(rounds, || {
            rate(&others, calls, |key| {
                registry
                    .authorize_scope(&Request::default().api_key(key).store("yourstore"), Scope::PRODUCTS_READ)
                    .is_err()
            })
        });
        self.row("unknown key", unknown, unit, bars(1.5));
    }

    /// Admitted calls, on a registry whose keys have all been used once.
    fn admitted(&self, keys: &[String], ask: impl Fn(&Registry, &String) -> bool) -> f64 {
        // The documentation's default, where that allows enough calls.
        let (limit, registries) = if keys.len() < 1_000 { (1_000, 15) } else { (60, 2) };
        let calls = CALLS.max(keys.len());
        let allowed = keys.len() * (limit as usize - 1) / calls;
        fastest(registries, || {
            let registry = registry(keys, limit);
            assert!(keys.iter().all(|key| ask(&registry, key)));
            fastest(allowed.min(if keys.len() > 100_000 { 4 } else { ROUNDS }), || {
                rate(keys, calls, |key| ask(&registry, key))
            })
        })
    }

    fn row(&self, what: &str, ns: f64, unit: f64, bar: Option<f64>) {
        let bar = bar.map_or(String::new(), |bar| format!("{bar:.1}"));
        println!("{:>9}  {what:<28} {ns:>8.1}  {:>6.2}  {bar:>5}", self.keys, ns / unit);
    }
}

/// Nanoseconds a call, over the keys again and again.
fn rate<T>(keys: &[String], calls: usize, call: impl Fn(&String) -> T) -> f64 {
    let start = Instant::now();
    for key in keys.iter().cycle().take(calls) {
        black_box(call(black_box(key)));
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn fastest(rounds: usize, round: impl Fn() -> f64) -> f64 {
    (0..rounds).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// A made-up key of the length that keys have.
fn key(n: u64) -> String {
    format!("bpos_{:036}", u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) % 10_u128.pow(36))
}

fn registry(keys: &[String], rate_limit: u32) -> Registry {
    use std::fmt::Write;
    let mut json = String::from(r#"{"version": 1, "keys": ["#);
    for (n, key) in keys.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let digest = Sha256::digest(key).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        write!(
            json,
            r#"{comma}{{"id": "key_{n:020}", "name": "Website Sync {n}", "store": "yourstore", "sha256": "{digest}",
            "scopes": ["products:read", "inventory:write"], "rate_limit": {rate_limit}}}"#
        )
        .expect("a String takes everything");
    }
    json.push_str("]}");
    Registry::from_json(json.as_bytes()).expect("the document is sound")
}
