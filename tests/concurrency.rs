//! What threads and forks must not break.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unsafe_code, reason = "a test; to fork is unsafe")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bpos::{DenyReason, Edit, KeyPatch, KeySpec, NewKey, Now, Options, Registry, Request};
use proptest::prelude::*;

mod support;
use support::{Key, document};

const NOW: Now = Now { unix_ms: 1_795_521_600_000, monotonic_us: 1_000_000 };

fn reads(key: &Key) -> Request<'_> {
    Request::new("GET", "/api/v1/products").api_key(&key.plaintext).store("yourstore")
}

/// Threads ask for a key again and again. Once `apply` has returned, no decision that starts later admits it.
#[test]
fn no_decision_that_starts_after_a_revocation_admits() {
    const ROUNDS: usize = 300;
    let keys: Vec<Key> = (0..ROUNDS).map(|n| Key { rate_limit: 1_000, ..Key::new(n) }).collect();
    let registry = Registry::from_json(document(1, &keys).as_bytes()).unwrap();
    let revoked = AtomicUsize::new(0); // how many of the keys, from the first
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let gone = revoked.load(Ordering::SeqCst);
                    if gone == ROUNDS {
                        return;
                    }
                    if let Some(last) = gone.checked_sub(1) {
                        let denial = registry.authorize_at(&reads(&keys[last]), NOW).unwrap_err();
                        assert_eq!(denial.reason(), DenyReason::RevokedKey);
                    }
                    admitted.fetch_add(
                        usize::from(registry.authorize_at(&reads(&keys[gone]), NOW).is_ok()),
                        Ordering::Relaxed,
                    );
                }
            });
        }
        for (n, key) in keys.iter().enumerate() {
            while admitted.load(Ordering::Relaxed) <= n {
                std::thread::yield_now(); // until the threads are there, and admitted
            }
            let record = Key { revoked: true, ..key.clone() }.record();
            registry.apply(serde_json::to_vec(&vec![record]).unwrap().as_slice()).unwrap();
            revoked.store(n + 1, Ordering::SeqCst);
        }
    });
}

/// Threads share a key's limit exactly, while the registry grows, is compacted, and changes the key around them.
#[test]
fn a_limit_is_shared_exactly_while_the_registry_changes() {
    let hot = Key { rate_limit: 1_000, ..Key::new(0) };
    let registry = Registry::from_json(document(1, std::slice::from_ref(&hot)).as_bytes()).unwrap();
    let done = AtomicBool::new(false);
    let admitted: usize = std::thread::scope(|scope| {
        let stop = Done(&done);
        let changes = scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::Acquire) {
                n += 1;
                let records = [Key::new(n % 500 + 1).record(), hot.record()];
                registry.apply(&serde_json::to_vec(&records).unwrap()).unwrap();
            }
            n
        });
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..20_000).filter(|_| registry.authorize_at(&reads(&hot), NOW).is_ok()).count()))
            .collect();
        let admitted = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        drop(stop);
        assert!(changes.join().unwrap() > 10, "there were changes meanwhile");
        admitted
    });
    assert_eq!(admitted, 1_000);
    assert_eq!(registry.stats().allowed, 1_000);
}

/// Tells threads to end, whatever ends this one.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A folder in memory, where there is one: a slow disk must not let a change wait for longer than it does.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Eight threads each disable keys of one large registry: each document is sound, and has each key once, though another
/// thread takes from the keys while it is made.
#[test]
fn a_document_that_is_written_while_others_take_from_its_keys_has_each_key_once() {
    const THREADS: usize = 8;
    const CHANGES: usize = 20;
    let folder = in_memory();
    let path = folder.path().join("keys.json");
    Registry::init(&path, Options::default()).unwrap();
    let keys: Vec<Key> = (0..2_000).map(Key::new).collect();
    std::fs::write(&path, document(1, &keys)).unwrap(); // in place, so that it keeps its mode
    let registry = Registry::open(&path).unwrap();
    std::thread::scope(|scope| {
        for keys in keys.chunks(CHANGES).take(THREADS) {
            let (registry, path) = (&registry, &path);
            scope.spawn(move || {
                for key in keys {
                    registry.disable(&key.id).unwrap();
                    Registry::open(path).unwrap();
                }
            });
        }
    });
    let disabled = Registry::open(&path).unwrap().list(None).iter().filter(|key| !key.enabled).count();
    assert_eq!(disabled, THREADS * CHANGES);
}

/// A key as whoever made it expects it to be.
struct Expected {
    id: String,
    name: String,
    rate_limit: u32,
    enabled: bool,
    revoked: bool,
    removed: bool,
    secret: String,
    /// Secrets that a rotation without grace has ended.
    ended: Vec<String>,
}

impl Expected {
    fn new(new: &NewKey) -> Self {
        let NewKey { key, record } = new;
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            rate_limit: record.rate_limit,
            enabled: true,
            revoked: false,
            removed: false,
            secret: key.expose().to_owned(),
            ended: Vec::new(),
        }
    }

    /// Makes one change, which must succeed exactly if it can.
    fn change(&mut self, registry: &Registry, what: usize, number: usize) {
        let id = &self.id;
        let (living, there) = (!self.revoked && !self.removed, !self.removed);
        let done = match what {
            0 => {
                let (name, rate_limit) = (format!("Name {number}"), 900 + u32::try_from(number).unwrap() % 100);
                let done = registry.update(id, &KeyPatch::new().name(&*name).rate_limit(rate_limit));
                if done.is_ok() {
                    (self.name, self.rate_limit) = (name, rate_limit);
                }
                assert_eq!(done.is_ok(), living, "{done:?}");
                return;
            }
            1 => registry.disable(id).map(|()| self.enabled = false).is_ok() == living,
            2 => registry.enable(id).map(|()| self.enabled = true).is_ok() == living,
            3 => match registry.rotate(id, 0) {
                Ok(new) => {
                    self.ended.push(std::mem::replace(&mut self.secret, new.key.expose().to_owned()));
                    living
                }
                Err(_) => !living,
            },
            4 => registry.revoke(id).map(|()| self.revoked = true).is_ok() == there,
            _ => {
                let ended = registry.edit(|edit| edit.revoke(id).and_then(|()| edit.remove(id)));
                ended.map(|()| self.removed = true).is_ok() == there
            }
        };
        assert!(done, "{what}");
    }

    /// Disables it by an edit that fails, or panics, if it is run again because the registry was behind the file.
    fn disable_unless_behind(&mut self, registry: &Registry, panics: bool) {
        let mut runs = 0;
        let disable = |edit: &mut Edit<'_>| {
            runs += 1;
            match runs {
                1 => edit.disable(&self.id),
                _ if panics => resume_unwind(Box::new("without a message")),
                _ => edit.get("key_none").map(drop),
            }
        };
        let done = catch_unwind(AssertUnwindSafe(|| registry.edit(disable)));
        self.enabled &= !done.is_ok_and(|done| done.is_ok());
    }

    /// Whether it is denied where it must be, whatever others are doing.
    fn check_denied(&self, registry: &Registry) {
        let ask = |secret: &str| registry.authorize(&Request::new("GET", "/api/v1/products").api_key(secret));
        let denied = |secret: &str| ask(secret).is_err();
        assert!(self.ended.iter().all(|secret| denied(secret)), "an ended secret of {}", self.id);
        let must_be = !self.enabled || self.revoked || self.removed;
        assert!(!must_be || denied(&self.secret), "{}: {:?}", self.id, registry.get(&self.id));
    }

    /// Whether it is what is expected, when nobody changes anything any more.
    fn check(&self, registry: &Registry) {
        self.check_denied(registry);
        let found = registry.get(&self.id);
        assert_eq!(found.is_none(), self.removed, "{}", self.id);
        if let Some(found) = found {
            assert_eq!(
                (&found.name, found.rate_limit, found.enabled, found.revoked_at.is_some()),
                (&self.name, self.rate_limit, self.enabled, self.revoked),
                "{}",
                self.id
            );
            let request = Request::new("GET", "/api/v1/products").api_key(&self.secret);
            let decision = registry.authorize(&request);
            assert_eq!(decision.is_ok(), self.enabled && !self.revoked, "{}: {decision:?}", self.id);
        }
    }
}

/// Threads change keys of their own through two registries of one file, each through whichever, so that it is often behind;
/// and edits fail, or panic, that have taken something. What was acknowledged is so, at once where it takes away, and in the
/// end everywhere.
#[test]
fn what_threads_change_through_two_registries_is_what_each_of_them_expects() {
    const THREADS: u64 = 4;
    const STEPS: usize = 100;
    let folder = in_memory();
    let path = folder.path().join("keys.json");
    let registries = [Registry::init(&path, Options::default()).unwrap(), Registry::open(&path).unwrap()];
    let keys: Vec<Expected> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let registries = &registries;
                scope.spawn(move || change_at_random(registries, thread, STEPS))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let [here, there] = &registries;
    here.reload_if_changed().unwrap();
    there.reload_if_changed().unwrap();
    let written = Registry::open(&path).unwrap();
    for registry in [&written, here, there] {
        keys.iter().for_each(|key| key.check(registry));
        assert_eq!(registry.list(None).len(), keys.iter().filter(|key| !key.removed).count());
        assert_eq!(registry.export().unwrap(), written.export().unwrap());
    }
}

/// Numbers that look random (splitmix64), the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

fn change_at_random(registries: &[Registry; 2], thread: u64, steps: usize) -> Vec<Expected> {
    let mut dice = Dice(thread);
    let mut keys: Vec<Expected> = Vec::new();
    for number in 0..steps {
        let which = dice.roll(2);
        let (registry, other) = (&registries[which], &registries[1 - which]);
        if keys.len() <= number / 10 {
            let spec = KeySpec::new("New", "yourstore", ["products:read"]).rate_limit(1_000);
            keys.push(Expected::new(&registry.create(&spec).unwrap()));
        }
        let place = dice.roll(keys.len());
        let key = &mut keys[place];
        key.change(registry, dice.roll(6), number);
        key.check_denied(registry);
        // Both read the file.
        match dice.roll(4) {
            0 => drop(other.reload_if_changed().unwrap()),
            ending => key.disable_unless_behind(other, ending == 1),
        }
        key.check_denied(other);
    }
    keys
}

/// Threads hammer `authorize` and `reload` while the process forks: each child decides and reloads.
#[test]
fn a_child_of_a_fork_authorizes_and_reloads() {
    const FORKS: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys: Vec<Key> = (0..20).map(|n| Key { rate_limit: 1_000, ..Key::new(n) }).collect();
    std::fs::write(&path, document(1, &keys)).unwrap();
    let registry = Registry::open(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                registry.reload().unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let _ = registry.authorize_at(&reads(&keys[1]), NOW);
            }
        });
        for number in 0..FORKS {
            let key = &keys[2 + number % 18];
            // SAFETY: the child only calls what must work after a fork, and leaves without running destructors.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "fork failed");
            if child == 0 {
                // SAFETY: an alarm without a handler ends the process.
                unsafe { libc::alarm(20) };
                let later = Now { monotonic_us: NOW.monotonic_us + number as u64 * 100_000, ..NOW };
                let decided = registry.authorize_at(&reads(key), later).is_ok();
                let reloaded = registry.reload().is_ok() && registry.reload().is_ok();
                let decided_again = registry.authorize_at(&reads(key), later).is_ok();
                // SAFETY: ends this process at once; nothing of the parent's is touched.
                unsafe { libc::_exit(i32::from(!(decided && reloaded && decided_again))) };
            }
            let mut status = -1;
            // SAFETY: the child is this process's own, and `status` outlives the call. A child that hangs is killed by
            // its alarm, and shows here.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "child {number}");
        }
    });
}

/// In the child of a fork every lane may be lost to a thread that is not there. It decides all the same.
#[test]
fn a_child_that_finds_no_lane_free_makes_its_own() {
    const THREADS: usize = 300; // more than there are lanes
    let key = Key { rate_limit: 1_000, ..Key::new(1) };
    let registry = Registry::from_json(document(1, std::slice::from_ref(&key)).as_bytes()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let _ = registry.authorize_at(&reads(&key), NOW);
                }
            });
        }
        for number in 0..20 {
            // SAFETY: the child only calls what must work after a fork, and leaves without running destructors.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "fork failed");
            if child == 0 {
                // SAFETY: an alarm without a handler ends the process.
                unsafe { libc::alarm(20) };
                let later = Now { monotonic_us: NOW.monotonic_us + 70_000_000, ..NOW };
                let decided = registry.authorize_at(&reads(&key), later).is_ok();
                // SAFETY: ends this process at once; nothing of the parent's is touched.
                unsafe { libc::_exit(i32::from(!decided)) };
            }
            let mut status = -1;
            // SAFETY: the child is this process's own, and `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "child {number}");
        }
    });
}

/// Children of one process, and the process itself, draw keys of their own.
#[test]
fn a_child_of_a_fork_draws_other_keys() {
    const CHILDREN: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::from_json(document(1, &[]).as_bytes()).unwrap();
    let draw = || registry.create(&bpos::KeySpec::new("Drawn", "yourstore", ["products:read"])).unwrap();
    let first = draw();
    for number in 0..CHILDREN {
        // SAFETY: the child only calls what must work after a fork, and leaves without running destructors.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork failed");
        if child == 0 {
            let written = std::fs::write(folder.path().join(number.to_string()), draw().key.expose());
            // SAFETY: ends this process at once; nothing of the parent's is touched.
            unsafe { libc::_exit(i32::from(written.is_err())) };
        }
        let mut status = -1;
        // SAFETY: the child is this process's own, and `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "child {number}");
    }
    let mut keys: Vec<String> =
        (0..CHILDREN).map(|number| std::fs::read_to_string(folder.path().join(number.to_string())).unwrap()).collect();
    keys.extend([first, draw()].map(|new| new.key.expose().to_owned()));
    assert!(keys.iter().all(|key| bpos::has_checksum(key)));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), CHILDREN + 2, "each is drawn once");
}

/// The wall clock decides expiry and nothing else: whatever it does, the window stays as it is.
#[test]
fn a_jump_of_the_wall_clock_never_touches_the_rate_limit() {
    const YEARS_50: i64 = 50 * 366 * 24 * 60 * 60 * 1_000;
    let key = Key { rate_limit: 1, ..Key::new(1) };
    let registry = Registry::from_json(document(1, std::slice::from_ref(&key)).as_bytes()).unwrap();
    assert!(registry.authorize_at(&reads(&key), NOW).is_ok());
    for jump in [1, 61_000, YEARS_50, -61_000, -YEARS_50] {
        let jumped = Now { unix_ms: NOW.unix_ms + jump, monotonic_us: NOW.monotonic_us + 1_000_000 };
        let denial = registry.authorize_at(&reads(&key), jumped).unwrap_err();
        assert_eq!((denial.reason(), denial.retry_after_s()), (DenyReason::RateLimited, Some(60)), "{jump} ms");
    }
    let later = Now { monotonic_us: NOW.monotonic_us + 60_000_001, ..NOW };
    assert!(registry.authorize_at(&reads(&key), later).is_ok(), "and the monotonic clock frees it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, the answer is a denial, with a sound status and body.
    #[test]
    fn any_bytes_are_denied(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        store in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
        method in proptest::collection::vec(any::<u8>(), 0..10),
        target in proptest::collection::vec(any::<u8>(), 0..300),
        unix_ms in any::<i64>(),
        monotonic_us in any::<u64>(),
    ) {
        let registry = Registry::from_json(document(1, &[Key::new(1)]).as_bytes()).unwrap();
        let request = Request::new(&method[..], &target[..]).api_key(key.as_deref()).store(store.as_deref());
        let now = Now { unix_ms, monotonic_us };
        for answer in [registry.authorize_at(&request, now), registry.authorize(&request)] {
            let denial = answer.unwrap_err();
            prop_assert_eq!(denial.status(), 401);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&denial.body()).is_ok());
        }
    }

    /// The same with a key that is good, and everything else as it comes.
    #[test]
    fn any_request_with_a_good_key_is_answered(
        method in "(GET|HEAD|POST|PUT|[A-Z]{0,7})",
        target in "(/api/v1/)?(products|customers|\\PC{0,20})(/\\PC{0,10})?(\\?\\PC{0,40})?",
        unix_ms in any::<i64>(),
        monotonic_us in any::<u64>(),
    ) {
        let key = Key::new(1);
        let registry = Registry::from_json(document(1, std::slice::from_ref(&key)).as_bytes()).unwrap();
        let request = Request::new(&method, &target).api_key(&key.plaintext);
        match registry.authorize_at(&request, Now { unix_ms, monotonic_us }) {
            Ok(grant) => prop_assert!(grant.scope() == Some(bpos::Scope::PRODUCTS_READ) && target.starts_with("/api/v1/products")),
            Err(denial) => prop_assert!([401, 403, 500].contains(&denial.status())),
        }
    }
}
