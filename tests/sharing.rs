//! Processes that open one registry file: one count, and each change in force in all at once, with nothing to call.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unsafe_code,
    reason = "a test that meets something unexpected has failed; processes are forked here"
)]

mod again;
mod sample;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bpos::{DenyReason, Error, ErrorKind, KeyPatch, KeySpec, Now, Options, Registry, Request};
use sample::{ask, document, record, record_with, secret};
use serde_json::json;
use tempfile::TempDir;

#[test]
#[ignore = "the other tests run it, as processes of its own"]
fn process() {
    let Some((role, folder)) = again::role() else { return };
    let registry = Registry::open(folder.join("keys.json")).unwrap();
    match role.as_str() {
        "answers" => answer(&registry),
        "asks for ever" => loop {
            if says(&registry, &secret(1)).is_ok() {
                println!("admitted");
            }
        },
        other => panic!("there is no role {other}"),
    }
}

/// Answers each line, a secret, by the reason for which it is denied, or "allowed".
fn answer(registry: &Registry) {
    println!("ready");
    for line in std::io::stdin().lines() {
        println!("{}", says(registry, &line.unwrap()).map_or_else(DenyReason::name, |()| "allowed"));
    }
}

/// What a registry says by the machine's clock.
fn says(registry: &Registry, secret: &str) -> Result<(), DenyReason> {
    let request = Request::new("GET", "/api/v1/products").api_key(secret).store("yourstore");
    registry.authorize(&request).map(drop).map_err(|denial| denial.reason())
}

/// A process with the registry open, to be asked through pipes.
struct Process {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = again::again("process", "answers", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, questions, answers };
        while !process.line().ends_with("ready") {} // the test harness begins the line
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the process has ended");
        line.trim_end().to_owned()
    }

    fn says(&mut self, secret: &str) -> String {
        writeln!(self.questions, "{secret}").unwrap();
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry file of two keys with a limit of 60, and where its shared memory is.
struct Place {
    /// A process that was just forked has what this one has open until it is another program, so a registry that this one left
    /// would be in use for a moment.
    _turn: MutexGuard<'static, ()>,
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::with(&document(1, &[record(1), record(2)]))
    }

    fn with(document: &[u8]) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        drop(Registry::init(&file, Options::default().shared(false)).unwrap()); // for its mode
        fs::write(&file, document).unwrap();
        Self { _turn, folder, file }
    }

    fn open(&self) -> Registry {
        Registry::open(&self.file).unwrap()
    }

    fn process(&self) -> Process {
        Process::start(self.folder.path())
    }
}

// ---- One limit ----

#[test]
fn four_processes_together_admit_a_key_as_often_as_its_limit_says() {
    let place = Place::new();
    let mut processes: Vec<Process> = (0..4).map(|_| place.process()).collect();
    let mut admitted = 0;
    for _ in 0..100 {
        admitted +=
            processes.iter_mut().filter_map(|process| (process.says(&secret(1)) == "allowed").then_some(())).count();
    }
    assert_eq!(admitted, 60);
    assert_eq!(processes[0].says(&secret(2)), "allowed", "another key has its own limit");
}

#[test]
fn a_process_goes_on_counting_where_another_has_stopped() {
    let place = Place::new();
    for expected in [40, 20, 0] {
        let registry = place.open();
        assert_eq!((0..40).filter(|_| says(&registry, &secret(1)).is_ok()).count(), expected);
    }
}

#[test]
fn a_parent_and_its_child_count_together() {
    let place = Place::new();
    let registry = place.open();
    // SAFETY: the child decides, which takes no lock, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let admitted = (0..40).filter(|_| says(&registry, &secret(1)).is_ok()).count();
        // SAFETY: it takes a number alone.
        unsafe { libc::_exit(i32::from(admitted != 40)) }
    }
    let mut status = 0;
    // SAFETY: `status` is a place for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!((0..40).filter(|_| says(&registry, &secret(1)).is_ok()).count(), 20);
}

#[test]
fn who_shares_nothing_counts_apart() {
    let place = Place::new();
    let (shared, alone) = (place.open(), Registry::open_with(&place.file, Options::default().shared(false)).unwrap());
    for registry in [&shared, &alone] {
        assert_eq!((0..100).filter(|_| says(registry, &secret(1)).is_ok()).count(), 60);
    }
    shared.create(&KeySpec::new("New", "yourstore", ["products:read"])).unwrap();
    assert_eq!((shared.list(None).len(), alone.list(None).len()), (3, 2));
}

#[test]
fn what_one_has_counted_the_others_list() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    (0..3).for_each(|_| says(&one, &secret(1)).unwrap());
    let denied = |number| {
        let secret = secret(number);
        let request = Request::new("DELETE", "/api/v1/products/7").api_key(&secret).store("yourstore");
        assert!(one.authorize(&request).is_err());
    };
    (0..1_000).for_each(|_| denied(1));
    denied(2); // so that this thread passes the first key's count on
    let usage = other.get("key_1").unwrap().usage;
    assert_eq!((usage.allowed, usage.denied().map(|(_, count)| count).sum::<u64>()), (3, 1_000));
    assert_eq!(usage.last_used_at, one.get("key_1").unwrap().usage.last_used_at);
    assert!(usage.last_used_at.is_some());
}

/// A time that a caller hands in may be years ahead, and must not lock others out.
#[test]
fn a_callers_clock_does_not_reach_other_processes() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    let far = Now { monotonic_us: 1 << 47, ..Now::read() };
    assert_eq!((0..100).filter(|_| ask(&one, &secret(1), far).is_ok()).count(), 60, "counted apart, and exactly");
    assert_eq!((0..100).filter(|_| says(&other, &secret(1)).is_ok()).count(), 60);
    assert_eq!(ask(&other, &secret(1), far), Ok(()), "each for itself");
}

/// Eight processes at a time ask for ever, and are killed one after the other.
#[test]
fn processes_that_are_killed_exceed_no_limit() {
    const KILLS: usize = 300;
    for limit in [1, 60, 1_000] {
        let place = Place::with(&document(1, &[record_with(1, &json!({"rate_limit": limit}))]));
        let registry = place.open();
        let start = || {
            let mut command = again::again("process", "asks for ever", place.folder.path());
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut running: Vec<Child> = (0..8).map(|_| start()).collect();
        let mut admitted = 0;
        for kill in 0..KILLS / 3 {
            let mut child = std::mem::replace(&mut running[kill % 8], start());
            // Until it has done something, or the others have used the limit up.
            while registry.get("key_1").unwrap().usage.allowed == 0 {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            admitted += String::from_utf8_lossy(&output.stdout).matches("admitted").count();
        }
        while says(&registry, &secret(1)).is_ok() {
            admitted += 1;
        }
        for mut child in running {
            child.kill().unwrap();
            admitted += String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).matches("admitted").count();
        }
        assert!(admitted <= limit, "{admitted} of {limit}");
        assert_eq!(registry.get("key_1").unwrap().usage.allowed, limit as u64);
    }
}

// ---- Each change in force in all ----

#[test]
fn a_change_is_in_force_in_every_process_once_it_was_made() {
    let place = Place::new();
    let registry = place.open();
    let mut processes = [place.process(), place.process()];
    let mut all_say = |secret: &str, expected: &str, what: &str| {
        for process in &mut processes {
            assert_eq!(process.says(secret), expected, "{what}");
        }
    };
    all_say(&secret(1), "allowed", "before");
    let id = "key_1";
    registry.disable(id).unwrap();
    all_say(&secret(1), "disabled_key", "disabled");
    registry.enable(id).unwrap();
    all_say(&secret(1), "allowed", "enabled");
    registry.update(id, &KeyPatch::new().scopes(["customers:read"])).unwrap();
    all_say(&secret(1), "insufficient_scope", "another scope");
    registry.update(id, &KeyPatch::new().scopes(["products:read"])).unwrap();
    all_say(&secret(1), "allowed", "the scope again");
    registry.update(id, &KeyPatch::new().rate_limit(1)).unwrap();
    all_say(&secret(1), "rate_limited", "a lower limit");
    registry.update(id, &KeyPatch::new().rate_limit(100)).unwrap();
    all_say(&secret(1), "allowed", "a higher limit");
    let rotated = registry.rotate(id, 0).unwrap();
    all_say(&secret(1), "unknown_key", "the secret before");
    all_say(rotated.key.expose(), "allowed", "the new secret");
    registry.revoke(id).unwrap();
    all_say(rotated.key.expose(), "revoked_key", "revoked");
    registry.remove(id).unwrap();
    all_say(rotated.key.expose(), "unknown_key", "removed");
    let new = registry.create(&KeySpec::new("New", "yourstore", ["products:read"])).unwrap();
    all_say(new.key.expose(), "allowed", "created");
    all_say(&secret(2), "allowed", "the other key");
}

/// A disk that takes no more delays no revocation.
#[test]
fn a_revocation_that_cannot_be_written_is_in_force_in_every_process_and_written_by_the_next_change() {
    for (change, reason) in [
        (Registry::revoke as fn(&Registry, &str) -> Result<(), Error>, "revoked_key"),
        (Registry::disable, "disabled_key"),
    ] {
        let place = Place::new();
        let (one, other) = (place.open(), place.open());
        let mut process = place.process();
        assert_eq!(process.says(&secret(1)), "allowed");
        let in_the_way = [".new", ".log"].map(|suffix| place.folder.path().join(format!("keys.json{suffix}/file")));
        in_the_way.iter().for_each(|path| fs::create_dir_all(path).unwrap());
        assert_eq!(change(&one, "key_1").unwrap_err().kind(), ErrorKind::NotDurable);
        assert_eq!(process.says(&secret(1)), reason);
        assert_eq!(says(&other, &secret(1)).unwrap_err().name(), reason);
        assert_eq!(process.says(&secret(2)), "allowed");

        drop(one); // as if it had died
        in_the_way.iter().for_each(|path| fs::remove_dir_all(path.parent().unwrap()).unwrap());
        other.update("key_2", &KeyPatch::new().name("Other")).unwrap();
        assert_eq!(process.says(&secret(1)), reason);
        drop((other, process));
        let alone = Registry::open_with(&place.file, Options::default().shared(false)).unwrap();
        assert_eq!(says(&alone, &secret(1)).unwrap_err().name(), reason, "it is in the file");
    }
}

/// An edit that fails has changed nothing in any process, though what it would have taken away was so meanwhile.
#[test]
fn an_edit_that_fails_leaves_every_process_as_it_was() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    let mut runs = 0;
    let failed: Result<(), _> = one.edit(|edit| {
        runs += 1;
        if runs == 1 {
            edit.revoke("key_1")?;
            // Behind by this, so the edit is run again.
            fs::write(&place.file, document(2, &[record(1), record(2), record(3)])).unwrap();
            return Ok(());
        }
        edit.get("key_9").map(drop)
    });
    assert_eq!((failed.unwrap_err().kind(), runs), (ErrorKind::NotFound, 2));
    for registry in [&one, &other] {
        assert_eq!(says(registry, &secret(1)), Ok(()));
    }
}

/// A process that cannot read what has changed denies the keys that have, and decides on the others as before.
#[test]
fn a_change_that_cannot_be_read_denies_its_key_alone() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    [1, 2].iter().for_each(|key| says(&other, &secret(*key)).unwrap());
    one.update("key_1", &KeyPatch::new().rate_limit(100)).unwrap();
    let sound = fs::read(&place.file).unwrap();
    fs::write(&place.file, "half a docu").unwrap();
    assert_eq!(says(&other, &secret(1)), Err(DenyReason::Internal));
    assert_eq!(says(&other, &secret(2)), Ok(()));
    fs::write(&place.file, sound).unwrap();
    other.reload().unwrap();
    assert_eq!(says(&other, &secret(1)), Ok(()));
}

#[test]
fn a_forced_reload_is_in_force_in_every_process() {
    let place = Place::new();
    let registry = place.open();
    let mut process = place.process();
    registry.revoke("key_1").unwrap();
    registry.revoke("key_2").unwrap();
    assert_eq!(process.says(&secret(1)), "revoked_key");

    fs::write(&place.file, document(1, &[record(1)])).unwrap();
    assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Stale);
    let error = Registry::open(&place.file).err().expect("it is older than what is in force");
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert_eq!(process.says(&secret(1)), "revoked_key");
    registry.reload_forced().unwrap();
    assert_eq!(process.says(&secret(1)), "allowed");
    assert_eq!(process.says(&secret(2)), "unknown_key");
    assert_eq!(says(&place.open(), &secret(1)), Ok(()));
    registry.revoke("key_1").unwrap();
    assert_eq!(process.says(&secret(1)), "revoked_key");
}

/// Nobody is in, so there is nothing that the file could be older than.
#[test]
fn an_older_file_is_what_it_says_to_the_first_that_opens_it() {
    let place = Place::new();
    let registry = place.open();
    says(&registry, &secret(1)).unwrap();
    registry.revoke("key_1").unwrap();
    drop(registry);
    fs::write(&place.file, document(1, &[record(1)])).unwrap();
    let registry = place.open();
    assert_eq!(says(&registry, &secret(1)), Ok(()));
}

// ---- Where it cannot be shared ----

/// Whoever opens it now counts apart from those who have it open, and nobody hears of the others' changes.
#[test]
fn a_change_is_refused_once_others_would_not_hear_of_it() {
    let place = Place::new();
    let registry = place.open();
    fs::remove_file(place.folder.path().join("keys.json.shared")).unwrap();
    let error = registry.enable("key_1").unwrap_err();
    assert!(error.to_string().contains("somebody removed or replaced the file NAME.shared"), "{error}");
    assert_eq!(registry.revoke("key_1").unwrap_err().kind(), ErrorKind::NotDurable);
    assert_eq!(says(&registry, &secret(1)), Err(DenyReason::RevokedKey));
    assert_eq!(says(&registry, &secret(2)), Ok(()));
}

#[test]
fn who_cannot_share_is_told_how_not_to() {
    let place = Place::new();
    fs::create_dir(place.folder.path().join("keys.json.shared")).unwrap();
    let error = Registry::open(&place.file).err().expect("it is a folder");
    assert!(error.to_string().contains("or say \"shared\": false"), "{error}");
    assert!(Registry::open_with(&place.file, Options::default().shared(false)).is_ok());
}
