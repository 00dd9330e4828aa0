//! What a change does while another process holds the registry file's lock: it takes away at once, and makes nobody wait.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

mod sample;

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

use bpos::{DenyReason, Edit, Error, ErrorKind, KeyPatch, KeySpec, Options, Registry};
use sample::{NOW, ask, document, later, record, record_with, secret};
use serde_json::json;
use tempfile::TempDir;

/// A registry file, and its lock as another process has it.
struct Place {
    _folder: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        // In memory, where there is one: a slow disk must not let the changes below wait for longer than they do.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.path().join("keys.json");
        Registry::init(&path, Options::default()).unwrap();
        let place = Self { _folder: folder, path };
        place.write(5, &[record(1), record(2)]);
        place
    }

    /// Writes the file, which keeps its mode.
    fn write(&self, revision: u64, records: &[serde_json::Value]) {
        fs::write(&self.path, document(revision, records)).unwrap();
    }

    /// The lock. A lock belongs to the open file, so this test process is to the registry as another one.
    fn lock(&self) -> File {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path.with_extension("json.lock"))
            .unwrap();
        lock.lock().unwrap();
        lock
    }
}

/// Each request has a window of its own: the limit is not what is asked for here.
fn now(registry: &Registry, key: usize) -> Result<(), DenyReason> {
    static WINDOWS: AtomicU64 = AtomicU64::new(0);
    ask(registry, &secret(key), later(61 * WINDOWS.fetch_add(1, Ordering::Relaxed)))
}

/// Waits until a key is denied, which must come before the change that denies it is done.
#[track_caller]
fn denied_before<T>(registry: &Registry, change: &ScopedJoinHandle<'_, T>, expected: DenyReason) {
    while now(registry, 1) != Err(expected) {
        assert!(!change.is_finished(), "the key is still {:?}", now(registry, 1));
        thread::yield_now();
    }
    assert!(!change.is_finished(), "the lock is held, so it cannot be written");
}

type Change = fn(&Registry) -> Result<(), Error>;

const TAKING_AWAY: [(Change, DenyReason); 6] = [
    (|registry| registry.revoke("key_1"), DenyReason::RevokedKey),
    (|registry| registry.disable("key_1"), DenyReason::DisabledKey),
    (|registry| registry.update("key_1", &KeyPatch::new().enabled(false)).map(drop), DenyReason::DisabledKey),
    (
        |registry| registry.update("key_1", &KeyPatch::new().scopes(["sales:read"])).map(drop),
        DenyReason::InsufficientScope,
    ),
    (|registry| registry.update("key_1", &KeyPatch::new().expires_at(Some(1))).map(drop), DenyReason::ExpiredKey),
    (
        |registry| {
            registry.edit(|edit| {
                edit.create(&KeySpec::new("New", "yourstore", ["products:read"]))?;
                edit.revoke("key_1")
            })
        },
        DenyReason::RevokedKey,
    ),
];

/// Eight threads that make keys all the time, too, shut nobody out.
#[test]
fn what_takes_away_is_in_force_before_another_processs_lock_is_waited_for() {
    for (change, reason) in TAKING_AWAY {
        let place = Place::new();
        let registry = Registry::open(&place.path).unwrap();
        assert_eq!(now(&registry, 1), Ok(()));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let lock = place.lock();
            for _ in 0..8 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        registry.create(&KeySpec::new("Busy", "yourstore", ["products:read"])).unwrap();
                    }
                });
            }
            let taken = scope.spawn(|| change(&registry));
            denied_before(&registry, &taken, reason);
            done.store(true, Ordering::Relaxed);
            drop(lock);
            taken.join().unwrap().unwrap();
        });
        assert_eq!(now(&registry, 1), Err(reason));
        assert_eq!(now(&Registry::open(&place.path).unwrap(), 1), Err(reason), "it is written");
    }
}

#[test]
fn who_asks_about_keys_or_reloads_does_not_wait_for_a_change_that_waits() {
    let place = Place::new();
    let registry = Registry::open(&place.path).unwrap();
    thread::scope(|scope| {
        let lock = place.lock();
        let revoked = scope.spawn(|| registry.revoke("key_1"));
        denied_before(&registry, &revoked, DenyReason::RevokedKey);

        assert!(registry.get("key_1").unwrap().revoked_at.is_some());
        assert_eq!(registry.list(None).len(), 2);
        assert_eq!(registry.stats().keys, 2);
        assert!(!registry.export().unwrap().is_empty());
        registry.reload().unwrap();
        // Another process that has the lock has changed the file.
        place.write(6, &[record(1), record(2), record(3)]);
        assert_eq!(registry.reload_if_changed(), Ok(true));
        assert_eq!((now(&registry, 3), now(&registry, 1)), (Ok(()), Err(DenyReason::RevokedKey)));

        assert!(!revoked.is_finished(), "nothing above has waited for it");
        drop(lock);
        assert_eq!(revoked.join().unwrap(), Ok(()));
    });
    let other = Registry::open(&place.path).unwrap();
    assert_eq!((now(&other, 1), now(&other, 3)), (Err(DenyReason::RevokedKey), Ok(())));
}

/// What it took away in advance is given back: all or none.
#[test]
fn an_edit_that_fails_by_what_the_file_says_then_changes_nothing() {
    let place = Place::new();
    let registry = Registry::open(&place.path).unwrap();
    let both = |edit: &mut Edit<'_>| {
        edit.revoke("key_1")?;
        edit.update("key_2", &KeyPatch::new().name("Another"))
    };
    thread::scope(|scope| {
        let lock = place.lock();
        let changed = scope.spawn(|| registry.edit(both));
        denied_before(&registry, &changed, DenyReason::RevokedKey);
        place.write(6, &[record(1), record_with(2, &json!({"revoked_at": "2026-11-01T00:00:00Z"}))]);
        registry.reload().unwrap(); // which must not make the revocation one of the file's
        drop(lock);
        assert_eq!(changed.join().unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    });
    assert_eq!((now(&registry, 1), now(&registry, 2)), (Ok(()), Err(DenyReason::RevokedKey)));
    registry.create(&KeySpec::new("Next", "yourstore", ["products:read"])).unwrap();
    assert_eq!(now(&Registry::open(&place.path).unwrap(), 1), Ok(()), "nor is it written with the next change");
}

/// Also in its second run, when what it takes away is in force already.
#[test]
fn an_edit_that_panics_changes_nothing_and_holds_nothing_up() {
    for panics_at in 1..=2 {
        let place = Place::new();
        let (registry, other) = (Registry::open(&place.path).unwrap(), Registry::open(&place.path).unwrap());
        other.update("key_2", &KeyPatch::new().name("Another")).unwrap(); // so that there is a second run
        let mut runs = 0;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            registry.edit(|edit| {
                runs += 1;
                edit.revoke("key_1")?;
                if runs == panics_at { std::panic::resume_unwind(Box::new(())) } else { Ok(()) }
            })
        }));
        assert!(panicked.is_err() && runs == panics_at);
        assert_eq!(now(&registry, 1), Ok(()));
        registry.create(&KeySpec::new("Next", "yourstore", ["products:read"])).unwrap();
        assert_eq!(now(&Registry::open(&place.path).unwrap(), 1), Ok(()));
    }
}

#[test]
fn an_edit_is_run_again_only_if_it_failed_or_the_keys_have_changed() {
    let place = Place::new();
    let (registry, other) = (Registry::open(&place.path).unwrap(), Registry::open(&place.path).unwrap());
    let mut runs = 0;
    let mut name = |name: &str| {
        runs += 1;
        let renamed = KeyPatch::new().name(name);
        registry.edit(|edit| {
            runs += 1;
            edit.update("key_1", &renamed)
        })?;
        Ok::<_, Error>(std::mem::take(&mut runs) - 1)
    };
    assert_eq!(name("once"), Ok(1));
    let new = other.create(&KeySpec::new("New", "yourstore", ["products:read"])).unwrap();
    assert_eq!(name("twice"), Ok(2));
    assert_eq!(name("once again"), Ok(1));
    registry.disable(&new.record.id).unwrap();

    let newer = other.create(&KeySpec::new("Newer", "yourstore", ["products:read"])).unwrap();
    registry.revoke(&newer.record.id).unwrap(); // unknown in memory
    assert_eq!(ask(&registry, newer.key.expose(), NOW), Err(DenyReason::RevokedKey));
}

/// Hosts look at the file before each request. One that looks while another thread still reads the change waits for it.
#[test]
fn who_looks_at_the_file_decides_by_it_though_another_thread_is_reading_it() {
    const KEYS: usize = 10_000;
    const THREADS: usize = 4;
    let place = Place::new();
    let mut records: Vec<_> = (1..=KEYS).map(record).collect();
    for round in 0..4 {
        place.write(10 + 2 * round, &records);
        let registry = Registry::open(&place.path).unwrap();
        assert_eq!(now(&registry, 1), Ok(()));
        let revoked =
            std::mem::replace(&mut records[0], record_with(1, &json!({"revoked_at": "2026-11-01T00:00:00Z"})));
        place.write(11 + 2 * round, &records);
        let together = Barrier::new(THREADS);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    together.wait();
                    registry.reload_if_changed().unwrap();
                    assert_eq!(now(&registry, 1), Err(DenyReason::RevokedKey));
                });
            }
        });
        records[0] = revoked;
    }
}

/// What a change takes from it in advance is not given back to it.
#[test]
fn a_key_that_another_process_has_removed_stays_gone() {
    for (change, _) in TAKING_AWAY {
        let place = Place::new();
        let (registry, other) = (Registry::open(&place.path).unwrap(), Registry::open(&place.path).unwrap());
        other.revoke("key_1").unwrap();
        other.remove("key_1").unwrap();
        assert_eq!(change(&registry).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!((now(&registry, 1), registry.get("key_1")), (Err(DenyReason::UnknownKey), None));
        registry.disable("key_2").unwrap();
        assert_eq!(now(&Registry::open(&place.path).unwrap(), 1), Err(DenyReason::UnknownKey), "nor is it written");
    }
}

#[test]
fn an_edit_that_panics_changes_nothing_and_holds_up_nobody() {
    for panics_in in [1, 2] {
        let place = Place::new();
        let (registry, other) = (Registry::open(&place.path).unwrap(), Registry::open(&place.path).unwrap());
        let new = other.create(&KeySpec::new("New", "yourstore", ["products:read"])).unwrap(); // so that it is run twice
        let mut runs = 0;
        let panicking = |edit: &mut Edit<'_>| {
            edit.revoke("key_1")?;
            runs += 1;
            if runs == panics_in { resume_unwind(Box::new("without a message")) } else { Ok(()) }
        };
        catch_unwind(AssertUnwindSafe(|| registry.edit(panicking))).unwrap_err();
        assert_eq!((runs, now(&registry, 1)), (panics_in, Ok(())));
        registry.disable(&new.record.id).unwrap();
        other.disable("key_2").unwrap();
        assert_eq!(registry.reload_if_changed(), Ok(true));
        for registry in [registry, Registry::open(&place.path).unwrap()] {
            assert_eq!((now(&registry, 1), now(&registry, 2)), (Ok(()), Err(DenyReason::DisabledKey)));
        }
    }
}

#[test]
fn a_forced_reload_gives_back_nothing_that_a_change_under_way_has_taken() {
    for (change, reason) in TAKING_AWAY {
        let place = Place::new();
        let registry = Registry::open_with(&place.path, Options::default().shared(false)).unwrap();
        thread::scope(|scope| {
            let lock = place.lock();
            let changed = scope.spawn(|| change(&registry));
            denied_before(&registry, &changed, reason);
            registry.reload_forced().unwrap();
            let reloaded = now(&registry, 1);
            drop(lock);
            changed.join().unwrap().unwrap();
            assert_eq!(reloaded, Err(reason));
        });
        assert_eq!(now(&registry, 1), Err(reason));
    }
}

/// Each change waits for some of the reloads, and not for a moment between two of them that it happens to meet.
#[test]
fn who_reloads_again_and_again_shuts_no_change_out() {
    const CHANGES: usize = 10;
    const RELOADS: usize = 50 * CHANGES;
    let place = Place::new();
    place.write(6, &(1..=5_000).map(record).collect::<Vec<_>>());
    let registry = Registry::open(&place.path).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let changed = scope.spawn(|| {
            for change in 0..CHANGES {
                registry.update("key_1", &KeyPatch::new().name(format!("{change}"))).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut reloads = (0..RELOADS).inspect(|_| registry.reload().unwrap());
        assert!(reloads.any(|_| done.load(Ordering::Relaxed) || changed.is_finished()), "it is shut out");
    });
}
