//! A change that is cut short: by a kill before any system call, by one that fails, by a full disk. Afterwards the file
//! is the old document or the new one, what was acknowledged is there, and what was revoked is denied.
//!
//! This program has no test harness, because the process whose calls are counted must have one thread only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets something unexpected has failed"
)]

mod again;
mod sample;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bpos::{Error, KeyPatch, KeySpec, Now, Options, Registry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sample::{ask, digest, document, record, record_with, secret};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One process after the other, each of which is to do the same calls.
fn alone() -> Options {
    Options::default().shared(false)
}

/// What a process does while it is disturbed.
const CHANGES: [&str; 4] = ["create", "update", "rotate", "revoke"];

/// The revision of the file before.
const BEFORE: u64 = 5;

const TESTS: [(&str, fn()); 6] = [
    ("a_registry_file_is_made_whole_or_not_at_all", a_registry_file_is_made_whole_or_not_at_all),
    (
        "a_process_that_is_killed_at_any_system_call_leaves_the_old_document_or_the_new_one",
        a_process_that_is_killed_at_any_system_call_leaves_the_old_document_or_the_new_one,
    ),
    (
        "a_call_that_fails_leaves_the_old_document_or_the_new_one",
        a_call_that_fails_leaves_the_old_document_or_the_new_one,
    ),
    (
        "a_file_that_cannot_be_read_opens_no_registry_and_changes_none",
        a_file_that_cannot_be_read_opens_no_registry_and_changes_none,
    ),
    (
        "a_disk_that_is_full_after_any_number_of_bytes_leaves_the_old_document",
        a_disk_that_is_full_after_any_number_of_bytes_leaves_the_old_document,
    ),
    (
        "a_process_that_dies_while_it_writes_leaves_the_old_document",
        a_process_that_dies_while_it_writes_leaves_the_old_document,
    ),
];

/// Runs the tests whose names hold one of the arguments, or all; or plays a part in one.
fn main() {
    if let Some((role, folder)) = again::role() {
        return writer(&role, &Place::at(&folder));
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let listing = std::env::args().any(|argument| argument == "--list");
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|part| name.contains(part));
    let mut failed = 0;
    std::thread::scope(|scope| {
        let tests = TESTS.into_iter().filter(|(name, _)| wanted(name));
        if listing {
            return tests.for_each(|(name, _)| println!("{name}: test"));
        }
        let running: Vec<_> = tests.map(|(name, test)| (name, scope.spawn(test))).collect();
        for (name, test) in running {
            let passed = test.join().is_ok();
            failed += i32::from(!passed);
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        }
    });
    std::process::exit(failed);
}

const KILLED: i32 = 9;
const FILE_TOO_LARGE: i32 = 25;

// ---- The process that is disturbed ----

/// Opens the registry, makes one change, and says how it went. Its steps are marked by looks at files that are not
/// there, so that they are found in its system calls.
fn writer(role: &str, place: &Place) {
    if let Some(change) = role.strip_prefix("killed at byte ") {
        return killed_at_byte(place, change);
    }
    if let Some(change) = role.strip_prefix("every byte ") {
        return stopped_at_every_byte(place, change);
    }
    if role == "open" {
        mark("begin");
        let opened = Registry::open_with(&place.file, alone());
        mark("end");
        return place.say(&json!({ "outcome": outcome(opened.map(drop)) }));
    }

    if role == "init" {
        fs::remove_file(&place.file).unwrap();
        mark("begin");
        let made = Registry::init(&place.file, alone());
        mark("end");
        place.say(&json!({ "outcome": outcome(made.map(drop)) }));
        return mark("over");
    }

    until_old(&place.file);
    let registry = Registry::open_with(&place.file, alone()).unwrap();
    if role == "reload" {
        fs::write(&place.file, new_by_hand()).unwrap();
    }
    mark("begin");
    let changed = match role {
        "reload" => registry.reload(),
        change => make(&registry, change),
    };
    mark("end");
    let said = json!({
        "outcome": outcome(changed),
        "verdict": ask(&registry, &secret(1), Now::read()).map_or_else(|reason| reason.name(), |()| "allowed"),
        "in_force": sample::exported(&registry),
        "file": String::from_utf8(fs::read(&place.file).unwrap()).unwrap(),
        "left": place.others(),
    });
    // Acknowledged: whoever reads this knows that the change was made.
    place.say(&said);
    mark("acknowledged");

    // The disturbance is over: the next change is made, and with it what could not be written.
    if role != "reload" {
        registry.create(&KeySpec::new("Next", "yourstore", ["sales:read"])).unwrap();
    }
    mark("over");
}

fn mark(step: &str) {
    assert!(fs::metadata(format!("/no-such-file/{step}")).is_err());
}

fn make(registry: &Registry, change: &str) -> Result<(), Error> {
    match change {
        "create" => registry.create(&KeySpec::new("Made", "yourstore", ["products:read"])).map(drop),
        "update" => registry.update("key_1", &KeyPatch::new().rate_limit(7)).map(drop),
        "rotate" => registry.rotate("key_1", 3_600).map(drop),
        "revoke" => registry.revoke("key_1"),
        other => panic!("there is no change {other}"),
    }
}

fn outcome(result: Result<(), Error>) -> String {
    result.map_or_else(|error| format!("{:?}: {error}", error.kind()), |()| "done".to_owned())
}

/// Dies by the signal of a file that has grown too large, in the middle of writing one.
fn killed_at_byte(place: &Place, bytes_and_change: &str) {
    let (bytes, change) = bytes_and_change.split_once(' ').unwrap();
    let registry = Registry::open_with(&place.file, alone()).unwrap();
    limit(Resource::Core, Some(0));
    limit(Resource::Fsize, Some(bytes.parse().unwrap()));
    let changed = make(&registry, change);
    limit(Resource::Fsize, None);
    place.say(&json!({ "outcome": outcome(changed) }));
}

/// Finds the disk full after every number of bytes, one after the other, and then not.
fn stopped_at_every_byte(place: &Place, change: &str) {
    let old = fs::read(&place.file).unwrap();
    let mut bytes = 0;
    loop {
        let registry = Registry::open_with(&place.file, alone()).unwrap();
        limit(Resource::Fsize, Some(bytes));
        let changed = make(&registry, change);
        limit(Resource::Fsize, None);
        let Err(error) = changed else { break };
        let kind = if matches!(change, "revoke" | "update") { "NotDurable" } else { "Io" };
        assert_eq!(format!("{:?}", error.kind()), kind, "after {bytes} bytes: {error}");
        assert_eq!(fs::read(&place.file).unwrap(), old, "after {bytes} bytes");
        assert!(place.others().is_empty(), "after {bytes} bytes");
        if change == "revoke" {
            assert_eq!(
                ask(&registry, &secret(1), Now::read()).unwrap_err().name(),
                "revoked_key",
                "after {bytes} bytes"
            );
        }
        bytes += 1;
    }
    place.say(&json!({ "bytes": bytes }));
}

fn limit(resource: Resource, bytes: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

// ---- Where it works ----

struct Place {
    _folder: Option<TempDir>,
    file: PathBuf,
    said: PathBuf,
    trace: PathBuf,
}

impl Place {
    /// A folder with the old document.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("registry")).unwrap();
        let place = Self { _folder: None, ..Self::at(folder.path()) };
        fs::write(&place.file, old()).unwrap();
        fs::set_permissions(&place.file, fs::Permissions::from_mode(0o600)).unwrap();
        Self { _folder: Some(folder), ..place }
    }

    fn at(folder: &Path) -> Self {
        Self {
            _folder: None,
            file: folder.join("registry/keys.json"),
            said: folder.join("said"),
            trace: folder.join("trace"),
        }
    }

    fn folder(&self) -> &Path {
        self.said.parent().unwrap()
    }

    fn say(&self, said: &Value) {
        fs::write(&self.said, said.to_string()).unwrap();
    }

    /// What the process said; none if it did not come to that.
    fn said(&self) -> Option<Value> {
        fs::read(&self.said).ok().filter(|said| !said.is_empty()).map(|said| serde_json::from_slice(&said).unwrap())
    }

    fn document(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap()
    }

    /// The files beside the registry and its locks.
    fn others(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file.parent().unwrap()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !["keys.json", "keys.json.lock", "keys.json.queue"].contains(&name.as_str())).collect()
    }

    fn run(&self, role: &str, strace: &[&str]) -> ExitStatus {
        let trace = self.trace.to_str().unwrap();
        let words = ["strace", "-f", "-o", trace].into_iter().chain(strace.iter().copied()).chain(["--"]);
        let words: Vec<&OsStr> = words.map(OsStr::new).collect();
        quietly(again::again_under(if strace.is_empty() { &[] } else { &words }, "", role, self.folder()))
    }
}

/// Runs a command; what it prints is shown if it fails by a panic.
fn quietly(mut command: Command) -> ExitStatus {
    let output = command.output().unwrap();
    if output.status.code().is_some_and(|code| code != 0) {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    output.status
}

/// The document before, as the library writes it.
fn old() -> &'static [u8] {
    static OLD: OnceLock<Vec<u8>> = OnceLock::new();
    OLD.get_or_init(|| {
        let records = [record(1), record_with(2, &json!({"store": "another", "test_mode": true}))];
        Registry::from_json(&document(BEFORE, &records)).unwrap().export().unwrap()
    })
}

/// A document that somebody wrote by hand: it has one key more.
fn new_by_hand() -> Vec<u8> {
    document(BEFORE + 1, &[record(1), record(2), record(3)])
}

/// Whether a document is the new one of a change: all that the change is about, and nothing else.
fn is_new(json: &[u8], change: &str) -> bool {
    let Ok(mut found) = serde_json::from_slice::<Value>(json) else { return false };
    let mut expected: Value = serde_json::from_slice(old()).unwrap();
    expected["revision"] = json!(BEFORE + 1);
    let key = found["keys"][0].clone();
    match change {
        "create" => {
            let Some(made) = found["keys"].as_array_mut().and_then(Vec::pop) else { return false };
            let sound = made["name"] == "Made" && made["sha256"].as_str().is_some_and(|digest| digest.len() == 64);
            return sound && found == expected;
        }
        "update" => expected["keys"][0]["rate_limit"] = json!(7),
        "rotate" => {
            if key["sha256"] == digest(1) || key["retiring"]["sha256"] != digest(1) {
                return false;
            }
            for member in ["sha256", "hint", "retiring"] {
                expected["keys"][0][member] = key[member].clone();
            }
        }
        "revoke" if key["revoked_at"].is_string() => expected["keys"][0]["revoked_at"] = key["revoked_at"].clone(),
        _ => return false,
    }
    found == expected
}

// ---- What it calls ----

/// One system call between two marks: its name, which one of that name it is in the process, and its words.
#[derive(Clone)]
struct Call {
    name: String,
    number: usize,
    text: String,
}

/// The system calls of a traced process, from one mark to another.
fn calls(place: &Place, from: &str, to: &str) -> Vec<Call> {
    let trace = fs::read_to_string(&place.trace).unwrap();
    let (mut numbers, mut found): (HashMap<String, usize>, Vec<Call>) = (HashMap::new(), Vec::new());
    let (mut thread, mut within) = (None, false);
    for line in trace.lines() {
        let (id, text) = line.split_once(char::is_whitespace).unwrap();
        let Some((name, _)) = text.trim_start().split_once('(') else { continue };
        if *thread.get_or_insert(id) != id {
            panic!("the process has a second thread, so its calls cannot be counted: {line}");
        }
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        let marked = |mark: &str| text.contains(&format!("\"/no-such-file/{mark}\""));
        if marked(from) {
            within = true;
        } else if marked(to) {
            assert!(within);
            return found;
        } else if within && !text.contains("\"/no-such-file/") {
            found.push(Call { name: name.to_owned(), number: *number, text: text.trim_start().to_owned() });
        }
    }
    panic!("the process did not come from {from} to {to}");
}

/// Runs a process undisturbed, and gives its calls between two marks.
fn traced(role: &str, from: &str, to: &str, tracer: &[&str]) -> Vec<Call> {
    let place = Place::new();
    let status = place.run(role, tracer);
    assert!(status.success(), "{role}: {status}");
    assert_eq!(place.said().unwrap()["outcome"], "done", "{role}");
    calls(&place, from, to)
}

fn needs_strace() {
    let there = Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there, "strace is missing: install it (Debian: apt-get install strace)");
}

/// Waits until a file is so old that it is read but once: all runs must make the same system calls.
fn until_old(file: &Path) {
    let metadata = fs::metadata(file).unwrap();
    let changed = Duration::new(metadata.ctime().try_into().unwrap(), metadata.ctime_nsec().try_into().unwrap());
    while SystemTime::UNIX_EPOCH.elapsed().unwrap() < changed + Duration::from_millis(50) {
        std::hint::spin_loop(); // the clock is read without a system call
    }
}

// ---- Killed ----

fn a_process_that_is_killed_at_any_system_call_leaves_the_old_document_or_the_new_one() {
    needs_strace();
    let mut counts = String::new();
    for change in CHANGES {
        let calls = traced(change, "begin", "over", &["-e", "trace=all"]);
        let (mut olds, mut news, mut acknowledged) = (0, 0, 0);
        for Call { name, number, text } in &calls {
            let place = Place::new();
            let (only, inject) = (format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}"));
            let status = place.run(change, &["-e", &only, "-e", &inject]);
            assert_eq!(status.signal(), Some(KILLED), "{change}, before {text}: {status}");

            let left = place.document();
            let said = place.said();
            let is_old = left == old();
            // After the acknowledgement the next change may have been made.
            let next = said.is_some() && next_is_new(&left, change);
            assert!(is_old || is_new(&left, change) || next, "{change}, killed before {text}: {left:?}");
            assert!(said.is_none() || !is_old, "{change}, killed before {text}: acknowledged, and not there");
            olds += usize::from(is_old);
            news += usize::from(!is_old);
            acknowledged += usize::from(said.is_some());
            next_process_goes_on(&place, change, is_old, text);
        }
        // Both were met, or the calls were not those of the change.
        assert!(
            olds > 5 && news > 5 && acknowledged > 2,
            "{change}: {olds} old, {news} new, {acknowledged} acknowledged"
        );
        write!(counts, "; {change} {} ({olds} old, {news} new, {acknowledged} acknowledged)", calls.len()).unwrap();
    }
    println!("killed before each system call{counts}");
}

/// Whether a document is the new one, and has the next change too.
fn next_is_new(json: &[u8], change: &str) -> bool {
    let mut document: Value = serde_json::from_slice(json).unwrap();
    let next = document["keys"].as_array_mut().unwrap().pop().unwrap();
    let revision = document["revision"].take();
    document["revision"] = json!(BEFORE + 1);
    next["name"] == "Next" && revision == BEFORE + 2 && is_new(document.to_string().as_bytes(), change)
}

/// Another process finds no hindrance in what a dead one left: its lock, its half-written file.
fn next_process_goes_on(place: &Place, change: &str, is_old: bool, text: &str) {
    let registry = Registry::open_with(&place.file, alone()).unwrap();
    let verdict = ask(&registry, &secret(1), Now::read());
    if change == "revoke" && !is_old {
        assert_eq!(verdict.unwrap_err().name(), "revoked_key", "killed before {text}");
    } else {
        assert_eq!(verdict, Ok(()), "{change}, killed before {text}");
    }
    let revision = registry.stats().revision;
    registry.disable("key_2").unwrap();
    let written: Value = serde_json::from_slice(&place.document()).unwrap();
    assert_eq!((&written["revision"], &written["keys"][1]["enabled"]), (&json!(revision + 1), &json!(false)));
    assert!(place.others().is_empty(), "{change}, killed before {text}: {:?}", place.others());
}

// ---- Failing calls ----

/// What can go wrong with each call of a change.
const FAULTS: [&str; 4] = ["EIO", "ENOSPC", "EACCES", "EMFILE"];

/// The calls that reach the disk or a limit. Others (memory, the end of a file descriptor) cannot fail so.
const FALLIBLE: [&str; 19] = [
    "link",
    "linkat",
    "openat",
    "open",
    "read",
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "flock",
    "fchown",
    "fchmod",
    "utimensat",
    "fstat",
    "newfstatat",
    "statx",
    "unlink",
];

fn a_call_that_fails_leaves_the_old_document_or_the_new_one() {
    needs_strace();
    let mut counts = String::new();
    for change in CHANGES {
        let calls = fallible(change);
        let what = |part: &str| calls.iter().filter(|call| call.text.starts_with(part)).count();
        assert!(
            what("openat") >= 3 && what("write") >= 1 && what("fsync") == 2 && what("rename") == 1,
            "{change}: the lock, the new file and the folder are opened, written, synced and renamed"
        );
        let (mut done, mut outcomes) = (0, BTreeMap::<String, usize>::new());
        for (call, fault) in calls.iter().flat_map(|call| FAULTS.map(|fault| (call, fault))) {
            let context = format!("{change}: {} fails with {fault}", call.text);
            let outcome = check_fault(change, call, fault, &context);
            *outcomes.entry(outcome).or_default() += 1;
            done += 1;
        }
        assert!(outcomes.len() > 1, "{change}: {outcomes:?}");
        write!(counts, "; {change} {done} {outcomes:?}").unwrap();
    }
    println!("each system call failing with {}{counts}", FAULTS.join(", "));
}

fn fallible(role: &str) -> Vec<Call> {
    let calls = traced(role, "begin", "end", &["-e", "trace=all"]);
    calls.into_iter().filter(|call| FALLIBLE.contains(&call.name.as_str())).collect()
}

/// Makes one call of a change fail, and gives the kind of its outcome.
fn check_fault(change: &str, call: &Call, fault: &str, context: &str) -> String {
    let place = Place::new();
    let inject = format!("inject={}:error={fault}:when={}", call.name, call.number);
    let status = place.run(change, &["-e", "trace=all", "-e", &inject]);
    assert!(status.success(), "{context}: {status}");
    let injected = fs::read_to_string(&place.trace).unwrap().matches("(INJECTED)").count();
    assert_eq!(injected, 1, "{context}");

    let said = place.said().unwrap();
    let file = said["file"].as_str().unwrap().as_bytes();
    let (kind, _) = said["outcome"].as_str().unwrap().split_once(':').unwrap_or(("done", ""));
    let (is_old, is_new) = (file == old(), is_new(file, change));
    assert!(is_old || is_new, "{context}: a third document: {said}");
    assert_eq!(said["left"], json!([]), "{context}");
    let takes = matches!(change, "update" | "revoke");
    match kind {
        "done" => assert!(is_new, "{context}: acknowledged, and not there"),
        // Nothing has happened.
        "Io" => assert!(is_old && !takes, "{context}: {said}"),
        // Either it took something away, or the folder could not be synced.
        "NotDurable" => assert!(takes || is_new, "{context}: {said}"),
        _ => panic!("{context}: {said}"),
    }
    let verdict = if change == "revoke" { "revoked_key" } else { "allowed" };
    assert_eq!(said["verdict"], verdict, "{context}");
    if change == "update" {
        assert_eq!(said["in_force"]["keys"][0]["rate_limit"], 7, "{context}");
    }
    if change == "create" {
        assert_eq!(said["in_force"]["keys"].as_array().unwrap().len(), 2 + usize::from(kind == "done"), "{context}");
    }

    // The next change was made, with whatever could not be written.
    let after: Value = serde_json::from_slice(&place.document()).unwrap();
    assert_eq!(after["keys"].as_array().unwrap().last().unwrap()["name"], "Next", "{context}");
    assert_eq!(after["revision"], BEFORE + 1 + u64::from(is_new), "{context}");
    assert!(change != "revoke" || after["keys"][0]["revoked_at"].is_string(), "{context}");
    assert!(change != "update" || after["keys"][0]["rate_limit"] == 7, "{context}");
    assert!(place.others().is_empty(), "{context}");

    // The kernel may have dropped what it could not write, and say so only once.
    if call.name == "fsync" {
        let mut syncs = calls(&place, "begin", "end").into_iter().filter(|call| call.name.contains("sync"));
        assert_eq!(syncs.next_back().unwrap().number, call.number, "{context}: it was tried again");
    }
    kind.to_owned()
}

fn a_file_that_cannot_be_read_opens_no_registry_and_changes_none() {
    needs_strace();
    let mut count = 0;
    for role in ["open", "reload"] {
        let calls = fallible(role);
        assert!(calls.len() >= 3, "{role}: it is opened, looked at and read");
        for (call, fault) in calls.iter().flat_map(|call| FAULTS.map(|fault| (call, fault))) {
            let context = format!("{role}: {} fails with {fault}", call.text);
            let place = Place::new();
            let inject = format!("inject={}:error={fault}:when={}", call.name, call.number);
            let status = place.run(role, &["-e", "trace=all", "-e", &inject]);
            assert!(status.success(), "{context}: {status}");
            assert_eq!(fs::read_to_string(&place.trace).unwrap().matches("(INJECTED)").count(), 1, "{context}");
            let said = place.said().unwrap();
            let outcome = said["outcome"].as_str().unwrap();
            // Some calls only ask for a hint, as of the size; reading goes on without it.
            assert!(outcome.starts_with("Io: ") || outcome == "done", "{context}: {outcome}");
            if role == "reload" {
                let keys = if outcome == "done" { 3 } else { 2 };
                assert_eq!(said["in_force"]["keys"].as_array().unwrap().len(), keys, "{context}");
                assert_eq!(said["verdict"], "allowed", "{context}");
            }
            count += 1;
        }
    }
    println!("each system call of opening and reloading failing: {count}");
}

fn a_registry_file_is_made_whole_or_not_at_all() {
    needs_strace();
    let calls = traced("init", "begin", "over", &["-e", "trace=all"]);
    // The last ones say how it went.
    let last = calls.iter().position(|call| call.text.contains("/said\"")).unwrap();
    let (mut absent, mut whole) = (0, 0);
    for (at, Call { name, number, text }) in calls.iter().enumerate() {
        let fallible = at < last && FALLIBLE.contains(&name.as_str());
        let faults = FAULTS.iter().filter(|_| fallible).map(|fault| format!("error={fault}"));
        for disturbance in faults.chain(["signal=KILL".to_owned()]) {
            let context = format!("{disturbance} at {text}");
            let place = Place::new();
            let (only, inject) = (format!("trace={name}"), format!("inject={name}:{disturbance}:when={number}"));
            let status = place.run("init", &["-e", &only, "-e", &inject]);
            let made = place.file.exists();
            let said = place.said().map(|said| said["outcome"].as_str().unwrap().to_owned());
            match &said {
                Some(said) if said == "done" => assert!(made, "{context}: acknowledged, and not there"),
                // Unless only the folder could not be synced, or the file not be read again.
                Some(said) => assert!(said.starts_with("Io: "), "{context}: {said}"),
                None => assert_eq!(status.signal(), Some(KILLED), "{context}: {status}"),
            }
            if made {
                let document: Value = serde_json::from_slice(&place.document()).unwrap();
                assert_eq!(document, json!({"version": 1, "revision": 0, "keys": []}), "{context}");
                whole += 1;
            } else {
                // The next attempt finds no hindrance.
                drop(Registry::init(&place.file, alone()).expect(&context));
                absent += 1;
            }
            let registry = Registry::open_with(&place.file, alone()).expect(&context);
            registry.create(&KeySpec::new("Made", "yourstore", ["products:read"])).expect(&context);
            assert!(place.others().is_empty(), "{context}: {:?}", place.others());
        }
    }
    assert!(absent > 10 && whole > 10, "{absent} absent, {whole} whole");
    println!("killed or failing at each system call of init: {} calls, {absent} absent, {whole} whole", calls.len());
}

// ---- A full disk ----

fn a_disk_that_is_full_after_any_number_of_bytes_leaves_the_old_document() {
    let mut counts = String::new();
    for change in CHANGES {
        let place = Place::new();
        let shell: Vec<&OsStr> = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"].map(OsStr::new).into();
        let status = quietly(again::again_under(&shell, "", &format!("every byte {change}"), place.folder()));
        assert!(status.success(), "{change}: {status}");
        let bytes = place.said().unwrap()["bytes"].as_u64().unwrap();
        assert!(is_new(&place.document(), change) && bytes == place.document().len() as u64, "{change}: {bytes}");
        write!(counts, "; {change} {bytes}").unwrap();
    }
    println!("a disk that is full after each number of bytes{counts}");
}

fn a_process_that_dies_while_it_writes_leaves_the_old_document() {
    let mut deaths = 0;
    for change in CHANGES {
        for bytes in (0..).step_by(97) {
            let place = Place::new();
            let status = place.run(&format!("killed at byte {bytes} {change}"), &[]);
            if status.success() {
                assert!(is_new(&place.document(), change), "{change}, {bytes} bytes");
                break;
            }
            assert_eq!(status.signal(), Some(FILE_TOO_LARGE), "{change}, {bytes} bytes: {status}");
            assert_eq!(place.said(), None);
            assert_eq!(place.document(), old(), "{change}, {bytes} bytes");
            assert_eq!(fs::metadata(place.file.with_file_name("keys.json.new")).unwrap().len(), bytes, "{change}");
            next_process_goes_on(&place, change, true, "a byte was written");
            deaths += 1;
        }
    }
    assert!(deaths > 20);
    println!("died while writing: {deaths} times");
}
