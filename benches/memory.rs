//! What a key takes of memory, as it is used: `make bench`.
//!
//! Each state has a process of its own, since an allocator keeps what was freed.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    unsafe_code,
    reason = "a program that prints a table; an allocator is unsafe to write"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use bpos::{DenyReason, Registry, Request, Scope};

#[path = "shared/keys.rs"]
mod keys;
#[path = "shared/table.rs"]
mod table;

use keys::{Terms, document};
use table::Bar;

/// Counts what is allocated and not freed, with what the allocator adds to each piece: 8 bytes, in steps of 16.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

fn footprint(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(footprint(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    // Not by writing zeros, which would make pages resident that nothing has used.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(footprint(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(footprint(size), Ordering::Relaxed);
        HELD.fetch_sub(footprint(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, and all memory is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(footprint(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, and all memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: usize = 100_000;
const LIMIT: u32 = 60;

/// What has happened to each key: its name, how often it was admitted, whether it was denied, and the most bytes.
const STATES: [(&str, u32, bool, f64); 4] = [
    ("idle", 0, false, 320.0),
    ("used 6 times", 6, false, 384.0),
    ("used 6 times, and denied", 6, true, 448.0),
    ("used 60 times", LIMIT, false, 1_100.0),
];

fn main() {
    if let Ok(state) = std::env::var("BPOS_BENCH_STATE") {
        let (resident, allocated) = measure(&state);
        return println!("{resident} {allocated}");
    }
    table::head(&format!("memory of a key, limit {LIMIT}, 100,000 keys"));
    for (state, _, _, most) in STATES {
        let output =
            Command::new(std::env::current_exe().unwrap()).env("BPOS_BENCH_STATE", state).output().unwrap().stdout;
        let text = String::from_utf8(output).unwrap();
        let (resident, allocated) = text.trim().split_once(' ').expect("a process in each state prints both figures");
        let bound = |what: &str, bytes: &str, bar| {
            table::bounded(&format!("{state}: {what}"), &format!("{bytes} bytes"), bytes.parse().unwrap(), bar);
        };
        bound("resident", resident, Bar::AtMost(most));
        bound("allocated", allocated, Bar::None);
    }
}

/// The bytes of a key in that state: what is resident, and what is allocated.
fn measure(state: &str) -> (usize, usize) {
    let (_, uses, denied, _) = *STATES.iter().find(|(name, ..)| *name == state).unwrap();
    let json = document(KEYS, |_| Terms { limit: LIMIT, revoked: false });
    let stores: Vec<String> = (0..KEYS / 10).map(|store| keys::store(store * 10)).collect();
    let before = (resident(), HELD.load(Ordering::Relaxed));
    let registry = Registry::from_json(&json).unwrap();
    for _ in 0..uses {
        ask_all(&registry, |n| &stores[n / 10], None);
    }
    if denied {
        ask_all(&registry, |_| "another", Some(DenyReason::WrongStore));
    }
    let after = (resident(), HELD.load(Ordering::Relaxed));
    drop(registry);
    ((after.0 - before.0) / KEYS, (after.1 - before.1) / KEYS)
}

fn ask_all<'a>(registry: &Registry, store: impl Fn(usize) -> &'a str, expected: Option<DenyReason>) {
    for n in 0..KEYS {
        let key = keys::key(n);
        let request = Request::default().api_key(&key[..]).store(store(n));
        let answer = registry.authorize_scope(&request, Scope::PRODUCTS_READ);
        assert_eq!(answer.err().map(|denial| denial.reason()), expected);
    }
}

/// The bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
