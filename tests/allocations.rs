//! What `authorize` allocates: nothing, on any path, but from time to time a chunk of memory for the counters of many keys.
//! When there is no memory for one, the answer is a denial, not an abort.

#![allow(clippy::unwrap_used, unsafe_code, reason = "a test; an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bpos::{DenyReason, Now, Registry, Request, Scope};

mod support;
use support::{Key, document, key};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static REFUSING: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came, or answered with null, which the contract of
// `alloc` and `realloc` allows.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        if REFUSING.with(Cell::get) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, and all memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

fn without_memory<T>(run: impl FnOnce() -> T) -> T {
    REFUSING.with(|refusing| refusing.set(true));
    let result = run();
    REFUSING.with(|refusing| refusing.set(false));
    result
}

const NOW: Now = Now { unix_ms: 1_795_521_600_000, monotonic_us: 1_000_000 };

#[test]
fn no_path_of_authorize_allocates() {
    let good = key(1);
    let cases = [
        (Key::new(1), DenyReason::RateLimited),
        (Key { revoked: true, ..Key::new(2) }, DenyReason::RevokedKey),
        (Key { enabled: false, ..Key::new(3) }, DenyReason::DisabledKey),
        (Key { expires_at: Some("2026-01-01T00:00:00Z"), ..Key::new(4) }, DenyReason::ExpiredKey),
        (Key { store: "other", ..Key::new(5) }, DenyReason::WrongStore),
        (Key { scopes: &[], ..Key::new(6) }, DenyReason::InsufficientScope),
        (Key { test_mode: true, scopes: &["products:write"], ..Key::new(7) }, DenyReason::TestMode),
    ];
    let keys: Vec<Key> = cases.iter().map(|(key, _)| Key { rate_limit: 5, ..key.clone() }).collect();
    let registry = Registry::from_json(document(1, &keys).as_bytes()).unwrap();

    let writes = Request::new("PATCH", "/api/v1/products/bulk").store("yourstore");
    let reads = Request::new("GET", "/api/v1/products/1207?page=2").store("yourstore");
    let long = format!("bpos_{}", "a".repeat(123));
    let in_url = format!("/api/v1/products?key={good}");
    for (key, reason) in &cases {
        let request = if *reason == DenyReason::TestMode { writes } else { reads }.api_key(&key.plaintext);
        while registry.authorize_at(&request, NOW).is_ok() {} // the key's counters, and its quota
        let count = allocations(|| {
            for _ in 0..10 {
                assert_eq!(registry.authorize_at(&request, NOW).unwrap_err().reason(), *reason);
            }
        });
        assert_eq!(count, 0, "{reason}");
    }
    let others: [(Request<'_>, DenyReason); 6] = [
        (Request::new("GET", &in_url).api_key(&good), DenyReason::KeyInUrl),
        (reads, DenyReason::MissingKey),
        (reads.api_key("bpos_short"), DenyReason::MalformedKey),
        (reads.api_key("bpos_abcdefghijklmnopqrstuvwxyz"), DenyReason::UnknownKey),
        (reads.api_key(&long), DenyReason::UnknownKey),
        (Request::new("GET", "/nowhere/a/b/c/d/e/f").api_key(&good).store("yourstore"), DenyReason::UnmappedRoute),
    ];
    for (request, reason) in others {
        let count = allocations(|| assert_eq!(registry.authorize_at(&request, NOW).unwrap_err().reason(), reason));
        assert_eq!(count, 0, "{reason}");
    }

    // Admitted, by route, by scope, and with the real clocks.
    let later = Now { monotonic_us: 100_000_000, ..NOW };
    let request = reads.api_key(&good);
    let count = allocations(|| {
        assert!(registry.authorize_at(&request, later).is_ok());
        assert!(registry.authorize_scope_at(&request, Scope::PRODUCTS_READ, later).is_ok());
        let _ = registry.authorize(&request);
        let _ = registry.authorize_scope(&request, Scope::PRODUCTS_READ);
    });
    assert_eq!(count, 0, "admitted");

    // The first call of a thread is like any other.
    let first = std::thread::scope(|scope| {
        scope.spawn(|| allocations(|| assert!(registry.authorize_at(&request, later).is_ok()))).join().unwrap()
    });
    assert_eq!(first, 0, "first call of a thread");
}

#[test]
fn a_key_whose_counters_cannot_be_allocated_is_denied() {
    let keys: Vec<Key> = (1..=2_000).map(|n| Key { rate_limit: 1_000, ..Key::new(n) }).collect();
    let registry = Registry::from_json(document(1, &keys).as_bytes()).unwrap();
    let request = |key: &'static str| Request::new("GET", "/api/v1/products").api_key(key);
    let requests: Vec<_> = keys.iter().map(|key| request(String::leak(key.plaintext.clone()))).collect();

    let first_denied = without_memory(|| requests.iter().position(|key| registry.authorize_at(key, NOW).is_err()));
    let denied = requests[first_denied.expect("a chunk is not for so many keys")];
    let denial = without_memory(|| registry.authorize_at(&denied, NOW)).unwrap_err();
    assert_eq!((denial.status(), denial.reason()), (500, DenyReason::Internal));
    let other = without_memory(|| registry.authorize_at(&denied.store("other"), NOW)).unwrap_err();
    assert_eq!(other.reason(), DenyReason::WrongStore, "a denial that cannot be counted is one all the same");

    // One with counters goes on, and its log fills what was left of the chunk before it cannot grow.
    let growing = || (0..1_000).map_while(|_| registry.authorize_at(&requests[0], NOW).ok()).count();
    let counted = 1 + without_memory(growing);
    assert!(counted < 1_000, "no memory to grow");
    assert_eq!(without_memory(|| registry.authorize_at(&requests[0], NOW)).unwrap_err().reason(), DenyReason::Internal);

    assert!(registry.authorize_at(&denied, NOW).is_ok(), "and with memory it goes on");
    assert_eq!(counted + growing(), 1_000, "what was counted is not lost");
}
