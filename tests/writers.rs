//! Several processes that change one registry file at the same time: none loses another's change.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets something unexpected has failed"
)]

mod again;
mod sample;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bpos::{Error, KeyPatch, KeySpec, Now, Options, Registry};
use sample::{ask, document, record, secret};
use tempfile::TempDir;

const WRITERS: usize = 8;
const CHANGES: usize = 250;
const START: u64 = 40;

// ---- The processes ----

#[test]
#[ignore = "the other tests run it, as processes of its own"]
fn writer() {
    let Some((role, folder)) = again::role() else { return };
    let registry = Registry::open(folder.join("keys.json")).unwrap();
    // All begin together: when the parent closes their input.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let (what, number) = role.split_once(' ').unwrap();
    for change in 0..CHANGES {
        match what {
            "create" => {
                let spec = KeySpec::new(format!("{number}-{change}"), "yourstore", ["products:read"]);
                let new = in_turn(|| registry.create(&spec));
                // The key is in force at once in the process that made it.
                assert_eq!(ask(&registry, new.key.expose(), Now::read()), Ok(()));
            }
            // Documents of one length, one after the other.
            "update" => drop(in_turn(|| registry.update(&format!("key_{number}"), &named(change)))),
            other => panic!("there is no role {other}"),
        }
    }
}

/// Makes a change, as often as it takes: on a slow disk the others may have the lock for longer than one waits. A change
/// that was refused so was not made.
fn in_turn<T>(change: impl Fn() -> Result<T, Error>) -> T {
    loop {
        match change() {
            Err(error) if error.to_string().contains("have held the lock for 10 seconds") => {}
            made => return made.unwrap(),
        }
    }
}

fn named(change: usize) -> KeyPatch {
    KeyPatch::new().name(format!("{change:04}"))
}

/// Runs the writers beside each other, to their ends. What they print is shown if the test fails.
fn run(folder: &Path, what: &str) {
    let start = |number| {
        let mut command = again::again("writer", &format!("{what} {number}"), folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut writers: Vec<Child> = (1..=WRITERS).map(start).collect();
    for writer in &mut writers {
        drop(writer.stdin.take());
    }
    let outputs: Vec<_> = writers.into_iter().map(|writer| writer.wait_with_output().unwrap()).collect();
    for output in &outputs {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    assert!(outputs.iter().all(|output| output.status.success()));
}

fn registry_of(keys: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<_> = (1..=keys).map(record).collect();
    let path = folder.path().join("keys.json");
    Registry::init(&path, Options::default()).unwrap();
    // In place, so that the file keeps its mode.
    fs::write(path, document(START, &records)).unwrap();
    folder
}

// ---- What holds afterwards ----

#[test]
fn eight_processes_that_create_keys_lose_none() {
    let folder = registry_of(1);
    let path = folder.path().join("keys.json");
    let watcher = Registry::open(&path).unwrap();
    run(folder.path(), "create");

    let registry = Registry::open(&path).unwrap();
    let keys = registry.list(None);
    let names: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let expected: Vec<String> =
        (1..=WRITERS).flat_map(|writer| (0..CHANGES).map(move |change| format!("{writer}-{change}"))).collect();
    let missing = expected.iter().filter(|name| !names.contains(name.as_str())).count();
    assert_eq!((missing, keys.len()), (0, WRITERS * CHANGES + 1));
    assert_eq!(registry.stats().revision, START + (WRITERS * CHANGES) as u64);

    // Each writer's keys are in the order in which it made them, behind those that were there.
    assert_eq!(keys[0].id, "key_1");
    for writer in 1..=WRITERS {
        let prefix = format!("{writer}-");
        let own = keys.iter().filter_map(|key| key.name.strip_prefix(&prefix));
        assert!(own.map(|change| change.parse::<usize>().unwrap()).eq(0..CHANGES), "writer {writer}");
    }
    // Who only read meanwhile finds it all.
    assert!(watcher.reload_if_changed().unwrap());
    assert_eq!(watcher.export().unwrap(), registry.export().unwrap());
    assert_eq!(ask(&watcher, &secret(1), Now::read()), Ok(()));
}

/// Each process changes a key of its own, to a text of the same length: one document differs from the next in nothing
/// that a folder shows but its times and its file's number.
#[test]
fn eight_processes_that_update_keys_lose_none() {
    let folder = registry_of(WRITERS);
    run(folder.path(), "update");
    let registry = Registry::open(folder.path().join("keys.json")).unwrap();
    let last = format!("{:04}", CHANGES - 1);
    let names: Vec<String> = registry.list(None).into_iter().map(|key| key.name).collect();
    assert_eq!(names, vec![last; WRITERS]);
    assert_eq!(registry.stats().revision, START + (WRITERS * CHANGES) as u64);
}

/// The threads of one process, with a registry each.
#[test]
fn registries_of_one_process_lose_no_change_of_each_other() {
    let folder = registry_of(WRITERS);
    let path = folder.path().join("keys.json");
    std::thread::scope(|scope| {
        for number in 1..=WRITERS {
            let registry = Registry::open(&path).unwrap();
            scope.spawn(move || {
                for change in 0..20 {
                    in_turn(|| registry.update(&format!("key_{number}"), &named(change)));
                }
            });
        }
    });
    let registry = Registry::open(&path).unwrap();
    assert!(registry.list(None).iter().all(|key| key.name == "0019"));
    assert_eq!(registry.stats().revision, START + 20 * WRITERS as u64);
}

/// Another process that holds the lock of a registry until it is killed.
fn holder(folder: &Path) -> Child {
    let script = "exec 9>>\"$1\" && flock 9 && echo held && read line";
    let mut holder = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(folder.join("keys.json.lock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    let spoken = holder.stdout.take().unwrap().read_exact(&mut said);
    spoken.expect("flock is missing: install it (Debian: apt-get install util-linux)");
    assert_eq!(&said, b"held\n");
    holder
}

/// The lock is the file's, not the descriptor's: a process that dies with it leaves it to the next. And whoever waits for
/// it is next: no other comes before, which is why a second lock is held meanwhile.
#[test]
fn who_waits_for_the_lock_is_next_and_gets_it_when_its_holder_dies() {
    let folder = registry_of(1);
    let path = folder.path().join("keys.json");
    let registry = Registry::open(&path).unwrap();
    let mut holder = holder(folder.path());
    let before = fs::read(&path).unwrap();
    let queue = File::options().create(true).append(true).open(folder.path().join("keys.json.queue")).unwrap();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| registry.disable("key_1"));
        while queue.try_lock().is_ok() {
            queue.unlock().unwrap();
            std::thread::yield_now();
            assert!(!changing.is_finished(), "it did not wait, or not in the queue");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        holder.kill().unwrap();
        holder.wait().unwrap();
        changing.join().unwrap().unwrap();
    });
    queue.try_lock().unwrap();
    queue.unlock().unwrap();
    assert!(!Registry::open(&path).unwrap().get("key_1").unwrap().enabled);
}

/// What takes away is in force while the lock is waited for, and not only when it is had; in every process that shares.
#[test]
fn a_revocation_does_not_wait_for_other_processes() {
    for number in [1, 2] {
        let folder = registry_of(2);
        let path = folder.path().join("keys.json");
        let (registry, sharing) = (Registry::open(&path).unwrap(), Registry::open(&path).unwrap());
        let mut holder = holder(folder.path());
        let denied = |reason: &str| {
            let found = [&registry, &sharing].map(|registry| ask(registry, &secret(number), Now::read()));
            found.iter().all(|found| found.is_err_and(|found| found.name() == reason))
        };
        let (change, reason): (fn(&Registry) -> _, _) = match number {
            1 => (|registry: &Registry| registry.revoke("key_1"), "revoked_key"),
            _ => (|registry: &Registry| registry.disable("key_2"), "disabled_key"),
        };
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| change(&registry));
            while !denied(reason) {
                assert!(!changing.is_finished(), "it waited for the lock first");
                std::thread::yield_now();
            }
            assert!(!changing.is_finished(), "it is not written");
            let other = Registry::open_with(&path, Options::default().shared(false)).unwrap();
            assert_eq!(ask(&other, &secret(number), Now::read()), Ok(()), "it is not in the file");
            holder.kill().unwrap();
            holder.wait().unwrap();
            changing.join().unwrap().unwrap();
            other.reload().unwrap();
            assert_eq!(ask(&other, &secret(number), Now::read()).unwrap_err().name(), reason);
        });
    }
}
