//! What a child that is forked has of its parent's registry: never a lock that nobody will give back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unsafe_code,
    reason = "a test that meets something unexpected has failed; processes are forked here"
)]

mod again;
mod sample;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Barrier, mpsc};

use bpos::{DenyReason, ErrorKind, KeySpec, Now, Options, Registry};
use sample::{ask, document, record, secret};

/// Ends processes that hang, long after others would be done. No alarm of their own would end the first of a namespace.
const WATCHDOG: [&str; 3] = ["timeout", "--signal=KILL", "30"];

#[test]
#[ignore = "the other tests run it, as processes of its own"]
fn process() {
    let Some((role, folder)) = again::role() else { return };
    match role.as_str() {
        "first of its namespace" => {
            let first = in_a_namespace_of_its_own(fork_while_the_registry_is_in_use);
            assert_eq!(first, 0, "the first process of the namespace and its child");
        }
        "dies while it has the lock" => die_with_the_lock(&folder.join("keys.json")),
        other => panic!("there is no role {other}"),
    }
}

/// Forks, and gives the child's status as `waitpid` does. The child ends with what it was given to do.
fn forked(child: impl FnOnce()) -> i32 {
    // SAFETY: the child takes no lock that a thread of its parent may hold: that is what is tested.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: it takes a number alone.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is a place for the answer.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            status
        }
    }
}

/// Does something as process 1 of a new namespace.
fn in_a_namespace_of_its_own(act: impl FnOnce()) -> i32 {
    // SAFETY: it takes a number alone, and touches the processes alone that are forked from now on.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(unshared, 0, "unshare: {}", std::io::Error::last_os_error());
    forked(|| {
        assert_eq!(std::process::id(), 1);
        act();
    })
}

/// A thread holds the registry's own lock, for good, when the process is forked.
fn fork_while_the_registry_is_in_use() {
    let registry = Registry::from_json(&document(1, &[record(1)])).unwrap();
    let (held, is_held) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let may_end = may_end;
            registry.edit(|_| {
                held.send(()).unwrap();
                may_end.recv().map_err(|_| unreachable!())
            })
        });
        is_held.recv().unwrap();
        let status = in_a_namespace_of_its_own(|| {
            assert!(registry.get("key_1").is_some());
            registry.revoke("key_1").unwrap();
            assert!(ask(&registry, &secret(1), Now::read()).is_err());
        });
        assert_eq!(status, 0, "its child");
        end.send(()).unwrap();
    });
    assert!(ask(&registry, &secret(1), Now::read()).is_ok(), "a change in the child is the child's alone");
}

/// Both are process 1 of a namespace, so by its id the child is its parent.
#[test]
fn a_child_that_has_its_parents_process_id_waits_for_no_lock_of_its_parents() {
    if !rustix::process::geteuid().is_root() {
        println!("LEFT OUT: only root makes namespaces");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let watchdog = WATCHDOG.map(OsStr::new);
    let mut first = again::again_under(&watchdog, "process", "first of its namespace", folder.path());
    let output = first.output().unwrap();
    assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stdout));
}

/// Forks in the midst of a change, tells the child's parent that it is so, and is killed.
fn die_with_the_lock(path: &Path) {
    let registry = Registry::open(path).unwrap();
    let mut is_locked = false;
    let _: Result<(), _> = registry.edit(|edit| {
        if !std::mem::replace(&mut is_locked, true) {
            return edit.get("key_none").map(drop); // run again, with the lock
        }
        // SAFETY: as in `forked`.
        if unsafe { libc::fork() } == 0 {
            assert!(registry.get("key_1").is_some());
            println!("ready");
            std::io::stdout().flush().unwrap();
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap(); // lives until the test is over
            // SAFETY: it takes a number alone.
            unsafe { libc::_exit(0) }
        }
        loop {
            std::thread::park();
        }
    });
}

/// Whichever of its threads is the first to ask.
#[test]
fn a_child_reloads_nothing_that_its_parent_has_taken_and_could_not_write() {
    const FORKS: usize = 50;
    const THREADS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    Registry::init(&path, Options::default()).unwrap();
    fs::write(&path, document(5, &[record(1)])).unwrap(); // in place, so that it keeps its mode
    let registry = Registry::open(&path).unwrap();
    fs::create_dir(folder.path().join("keys.json.new")).unwrap(); // where the next document would be written
    assert_eq!(registry.disable("key_1").unwrap_err().kind(), ErrorKind::NotDurable);
    for number in 0..FORKS {
        let status = forked(|| {
            // SAFETY: an alarm without a handler ends the process.
            unsafe { libc::alarm(20) };
            let together = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        together.wait();
                        registry.reload().unwrap();
                        assert_eq!(ask(&registry, &secret(1), Now::read()), Err(DenyReason::DisabledKey));
                    });
                }
            });
        });
        assert_eq!(status, 0, "child {number}");
    }
}

#[test]
fn a_child_does_not_keep_the_lock_of_a_parent_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    Registry::init(&path, Options::default()).unwrap();
    fs::write(&path, document(5, &[record(1)])).unwrap(); // in place, so that it keeps its mode

    let mut parent = again::again("process", "dies while it has the lock", folder.path());
    let mut parent = parent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let childs_input = parent.stdin.take().unwrap();
    let mut output = BufReader::new(parent.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().ends_with("ready")), "the child is there");
    parent.kill().unwrap();
    parent.wait().unwrap();

    let registry = Registry::open(&path).unwrap();
    registry.create(&KeySpec::new("New", "yourstore", ["products:read"])).unwrap();
    drop(childs_input); // ends the child
}
