//! The registry file: which files are read, which are refused and how the refusal reads, and what a reload changes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets something unexpected has failed"
)]

mod again;
mod sample;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use bpos::{DenyReason, Error, ErrorKind, KeyPatch, KeySpec, Options, Registry};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sample::{NOW, array, ask, digest, document, exported, later, record, record_with, secret};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A registry file of its own for each test.
struct Place {
    directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        Self { directory, path }
    }

    fn with(json: &[u8]) -> Self {
        let place = Self::new();
        place.write(json);
        place
    }

    /// Writes the file, mode 0600.
    fn write(&self, json: &[u8]) {
        fs::write(&self.path, json).unwrap();
        self.set_mode(0o600);
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(&self, read_only: bool) -> Error {
        match open(&self.path, read_only) {
            Err(error) => error,
            Ok(_) => panic!("opened"),
        }
    }

    /// A refusal with this kind and this text after the file's name.
    #[track_caller]
    fn assert_refused(&self, read_only: bool, kind: ErrorKind, text: &str) {
        self.assert_names(&self.refusal(read_only), kind, text);
    }

    #[track_caller]
    fn assert_names(&self, error: &Error, kind: ErrorKind, text: &str) {
        assert_eq!((error.kind(), error.to_string()), (kind, format!("{:?}: {text}", self.path)));
    }
}

fn open(path: &std::path::Path, read_only: bool) -> Result<Registry, Error> {
    let mut options = Options::default();
    options.read_only = read_only;
    Registry::open_with(path, options)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn one_key() -> Vec<u8> {
    document(5, &[record(1)])
}

// ---- Opening ----

#[test]
fn a_file_that_is_not_there_is_an_error_and_not_an_empty_registry() {
    let place = Place::new();
    for read_only in [false, true] {
        let text = "cannot open the registry file: No such file or directory (os error 2); check the path, or make a registry with `bpos init`";
        place.assert_refused(read_only, ErrorKind::Io, text);
    }
    assert!(!place.path.exists(), "nothing is made");
    assert_eq!(Registry::open("").err().unwrap().kind(), ErrorKind::Io);
    assert_eq!(Registry::open("keys\0.json").err().unwrap().kind(), ErrorKind::Io);
}

#[test]
fn an_empty_or_broken_file_is_an_error_that_names_it() {
    let place = Place::with(b"");
    place.assert_refused(
        false,
        ErrorKind::Format,
        "the registry document: not JSON: EOF while parsing a value at line 1 column 1",
    );
    place.write(b"{\"version\": 1,\n \"keys\": [{\"id\": 5}]}");
    let text = "the registry document: key 1: member `id`: expected a key's id, a string; found 5 at line 2 \
                column 18";
    place.assert_refused(false, ErrorKind::Format, text);
    place.write(&document(1, &[record(1), record(1)]));
    let error = place.refusal(false);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().starts_with(&format!(
        "{:?}: the registry document: key 2 (key_1): member `id`: key 1 has the same id at line 1",
        place.path
    )));
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let text = "this is not a regular file; expected a registry document";
    let place = Place::new();
    fs::create_dir(&place.path).unwrap();
    place.assert_refused(false, ErrorKind::Io, text);

    // A pipe that nobody writes to: an open that waits for a writer would never come back.
    let place = Place::new();
    mknodat(CWD, &place.path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    place.assert_refused(false, ErrorKind::Io, text);
    place.assert_refused(true, ErrorKind::Io, text);

    let place = Place::new();
    let _socket = std::os::unix::net::UnixListener::bind(&place.path).unwrap();
    assert_eq!(place.refusal(false).kind(), ErrorKind::Io);

    assert_eq!(Registry::open("/dev/null").err().unwrap().kind(), ErrorKind::Io);
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    for mode in [0o600, 0o400, 0o640, 0o644, 0o604, 0o700, 0o755] {
        let place = Place::with(&one_key());
        place.set_mode(mode);
        assert!(Registry::open(&place.path).is_ok(), "mode {mode:04o}");
    }
    for mode in [0o660, 0o620, 0o606, 0o602, 0o622, 0o666, 0o777, 0o2660, 0o1602, 0o4620] {
        let place = Place::with(&one_key());
        place.set_mode(mode);
        let text = format!("others may write this file (mode {mode:04o}); expected 0600: chmod go-w it");
        place.assert_refused(false, ErrorKind::Permission, &text);
        place.assert_refused(true, ErrorKind::Permission, &text);
    }
}

#[test]
fn a_file_of_another_user_is_refused() {
    if user() != 0 {
        return notice("the test of file owners needs root, to give files away");
    }
    let place = Place::with(&one_key());
    for (owner, group) in [(0, 0), (0, 65_534)] {
        chown(&place.path, Some(owner), Some(group)).unwrap();
        assert!(Registry::open(&place.path).is_ok(), "{owner}:{group}");
    }
    for owner in [1, 65_534] {
        chown(&place.path, Some(owner), Some(0)).unwrap();
        let text = format!(
            "the file belongs to user {owner}, and this is user 0; run this as the user that the file belongs to, which is \
             the server's (sudo -u '#{owner}' ...)"
        );
        place.assert_refused(false, ErrorKind::Permission, &text);
        place.assert_refused(true, ErrorKind::Permission, &text);
    }
    // A link of one's own does not make the file one's own.
    let link = place.directory.path().join("link.json");
    symlink(&place.path, &link).unwrap();
    assert_eq!(open(&link, true).err().unwrap().kind(), ErrorKind::Permission);
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    if user() == 0 {
        return notice("the test of an unreadable file needs another user than root, who may read every file");
    }
    let place = Place::with(&one_key());
    place.set_mode(0o000);
    let text = "cannot open the registry file: Permission denied (os error 13)";
    place.assert_refused(false, ErrorKind::Io, text);
}

/// Says that a test was left out, past the capture of what tests print.
fn notice(text: &str) {
    let line = format!("\n    LEFT OUT: {text}\n\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn a_symbolic_link_is_followed_only_by_a_registry_that_is_read_only() {
    let place = Place::with(&one_key());
    let link = Place { path: place.directory.path().join("link.json"), directory: tempfile::tempdir().unwrap() };
    symlink(&place.path, &link.path).unwrap();
    let text = "cannot open the registry file: Too many levels of symbolic links (os error 40); a registry that is written must \
                be named by its own path, not by a link";
    link.assert_refused(false, ErrorKind::Io, text);

    let registry = open(&link.path, true).unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
    place.write(&document(6, &[record(2)]));
    registry.reload().unwrap();
    assert_eq!(ask(&registry, &secret(2), NOW), Ok(()), "a reload follows it too");

    // The file that it names is what counts, and it must be as sound as any.
    place.set_mode(0o666);
    assert_eq!(open(&link.path, true).err().unwrap().kind(), ErrorKind::Permission);

    fs::remove_file(&place.path).unwrap();
    link.assert_refused(false, ErrorKind::Io, text);
    let text = "cannot open the registry file: No such file or directory (os error 2); check the path, or make a registry with `bpos init`";
    link.assert_refused(true, ErrorKind::Io, text);
}

#[test]
fn a_reload_refuses_a_link_that_took_the_file_s_place() {
    let place = Place::with(&one_key());
    let registry = Registry::open(&place.path).unwrap();
    let other = place.directory.path().join("other.json");
    fs::rename(&place.path, &other).unwrap();
    symlink(&other, &place.path).unwrap();
    assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
}

#[test]
fn a_file_over_a_gibibyte_is_refused_unread() {
    let place = Place::with(b"");
    // A hole: it has the size, and takes no room.
    File::options().write(true).open(&place.path).unwrap().set_len((1 << 30) + 1).unwrap();
    let text = "the file has 1073741825 bytes; expected at most 1073741824 (1 GiB)";
    place.assert_refused(false, ErrorKind::Limit, text);
    File::options().write(true).open(&place.path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(place.refusal(false).kind(), ErrorKind::Limit);
}

// ---- Reloading ----

#[test]
fn a_reload_decides_by_the_new_file() {
    let place = Place::with(&document(5, &[record(1), record(2)]));
    let registry = Registry::open(&place.path).unwrap();
    place.write(&document(6, &[record_with(1, &json!({"enabled": false})), record(3)]));
    assert_eq!(ask(&registry, &secret(2), NOW), Ok(()), "not before it is told to");
    registry.reload().unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::DisabledKey));
    assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::UnknownKey));
    assert_eq!(ask(&registry, &secret(3), NOW), Ok(()));
    assert_eq!((registry.stats().keys, registry.stats().revision), (2, 6));
}

#[test]
fn an_older_revision_is_refused_unless_forced() {
    let place = Place::with(&document(5, &[record(1)]));
    let registry = Registry::open(&place.path).unwrap();
    place.write(&document(4, &[record(2)]));
    let text = "the file has revision 4, but 5 is in force: an older file could bring back a revoked key; reload it by force if \
                that is meant";
    place.assert_names(&registry.reload().unwrap_err(), ErrorKind::Stale, text);
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
    assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::UnknownKey));
    assert_eq!(registry.stats().revision, 5);

    registry.reload_forced().unwrap();
    assert_eq!(ask(&registry, &secret(2), NOW), Ok(()));
    assert_eq!(registry.stats().revision, 4);

    // The lower revision is the one in force now.
    place.write(&document(4, &[record(3)]));
    registry.reload().unwrap();
    assert_eq!(ask(&registry, &secret(3), NOW), Ok(()), "an equal revision is accepted");
    place.write(&json!({"version": 1, "keys": [record(1)]}).to_string().into_bytes());
    assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Stale, "no revision is revision 0");
}

#[test]
fn a_reload_that_fails_leaves_everything_as_it_was() {
    let bad = document(6, &[record(2), record_with(3, &json!({"rate_limit": 0}))]);
    type Spoil = fn(&Place, &[u8]);
    let cases: [(&str, Spoil, ErrorKind); 8] = [
        ("vanished", |place, _| fs::remove_file(&place.path).unwrap(), ErrorKind::Io),
        ("empty", |place, _| place.write(b""), ErrorKind::Format),
        ("a bad record", |place, bad| place.write(bad), ErrorKind::Format),
        ("a duplicate", |place, _| place.write(&document(6, &[record(2), record(2)])), ErrorKind::Conflict),
        ("older", |place, _| place.write(&document(4, &[record(2)])), ErrorKind::Stale),
        (
            "writable by others",
            |place, _| {
                place.write(&document(6, &[record(2)]));
                place.set_mode(0o622);
            },
            ErrorKind::Permission,
        ),
        (
            "a directory",
            |place, _| {
                fs::remove_file(&place.path).unwrap();
                fs::create_dir(&place.path).unwrap();
            },
            ErrorKind::Io,
        ),
        (
            "too large",
            |place, _| File::options().write(true).open(&place.path).unwrap().set_len((1 << 30) + 1).unwrap(),
            ErrorKind::Limit,
        ),
    ];
    for (name, spoil, kind) in cases {
        let place = Place::with(&document(5, &[record_with(1, &json!({"rate_limit": 2}))]));
        let registry = Registry::open(&place.path).unwrap();
        assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
        let before = (registry.export().unwrap(), registry.stats());
        spoil(&place, &bad);
        let error = registry.reload().unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("{:?}: ", place.path)), "{name}: {error}");
        if kind != ErrorKind::Stale {
            assert_eq!(registry.reload_forced().unwrap_err().kind(), kind, "{name}, by force");
        }
        assert_eq!((registry.export().unwrap(), registry.stats()), before, "{name}");
        assert_eq!(ask(&registry, &secret(1), NOW), Ok(()), "{name}: one more was left");
        assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::RateLimited), "{name}: and none after it");
        assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::UnknownKey), "{name}");

        // A sound file ends it.
        let _ = fs::remove_dir(&place.path);
        place.write(&document(6, &[record(2)]));
        registry.reload().unwrap();
        assert_eq!(ask(&registry, &secret(2), NOW), Ok(()), "{name}: afterwards");
    }
}

/// Not even of a key whose last change could not be written, so that it is what the file says and what was taken from that.
#[test]
fn a_reload_that_fails_leaves_what_could_not_be_written_as_it_was() {
    let place = Place::with(&document(5, &[record(1), record(2)]));
    let registry = open(&place.path, false).unwrap();
    let limit = |limit| {
        let limited = registry.update("key_1", &KeyPatch::new().rate_limit(limit));
        assert_eq!(limited.unwrap_err().kind(), ErrorKind::NotDurable);
    };
    fs::create_dir(place.path.with_extension("json.new")).unwrap(); // where the next document would be written
    limit(50);
    place.write(&document(6, &[record_with(1, &json!({"sha256": digest(3)})), record(2), record(2)]));
    assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Conflict);
    limit(40);
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
    assert_eq!(ask(&registry, &secret(3), NOW), Err(DenyReason::UnknownKey));
}

#[test]
fn a_reload_keeps_the_window_of_every_id_that_stays() {
    let limited = |number, limit: u32| record_with(number, &json!({"rate_limit": limit}));
    let place = Place::with(&document(1, &[limited(1, 3), limited(2, 3)]));
    let registry = Registry::open(&place.path).unwrap();
    let admitted = |number, now| (0..).take_while(|_| ask(&registry, &secret(number), now).is_ok()).count();
    assert_eq!((admitted(1, NOW), admitted(2, NOW)), (3, 3));

    for forced in [false, true] {
        place.write(&document(2, &[limited(1, 3), limited(2, 3)]));
        if forced {
            registry.reload_forced().unwrap()
        } else {
            registry.reload().unwrap()
        }
        assert_eq!((admitted(1, NOW), admitted(2, NOW)), (0, 0), "forced: {forced}");
    }
    // A new limit holds at once, and what was used counts against it. A new secret is the same key.
    let rotated = json!({"rate_limit": 5, "sha256": sample::digest(7)});
    place.write(&document(3, &[limited(1, 5), record_with(2, &rotated)]));
    registry.reload().unwrap();
    assert_eq!((admitted(1, NOW), admitted(7, NOW)), (2, 2));
    place.write(&document(4, &[limited(1, 1_000)]));
    registry.reload().unwrap();
    assert_eq!(admitted(1, NOW), 995);
    place.write(&document(5, &[limited(1, 1), limited(2, 3)]));
    registry.reload().unwrap();
    assert_eq!(admitted(1, later(60)), 0, "the window is 60 seconds and its end counts");
    assert_eq!(admitted(1, later(61)), 1);
    assert_eq!(admitted(2, NOW), 3, "an id that was gone begins anew");
    assert_eq!(registry.stats().allowed, 3 + 3 + 2 + 2 + 995 + 1 + 3, "and nothing that was counted is lost");
}

#[test]
fn a_key_that_was_revoked_stays_revoked_unless_forced() {
    let revoked = record_with(1, &json!({"revoked_at": "2026-11-01T00:00:00.000Z"}));
    let place = Place::with(&document(5, &[revoked]));
    let registry = Registry::open(&place.path).unwrap();
    for (revision, record) in [
        (5, record(1)),
        (6, record(1)),
        (7, record_with(1, &json!({"revoked_at": null, "enabled": true}))),
        (8, record_with(1, &json!({"sha256": sample::digest(2)}))),
    ] {
        let used = if revision == 8 { 2 } else { 1 };
        place.write(&document(revision, &[record]));
        registry.reload().unwrap();
        assert_eq!(ask(&registry, &secret(used), NOW), Err(DenyReason::RevokedKey), "revision {revision}");
        assert_eq!(exported(&registry)["keys"][0]["revoked_at"], "2026-11-01T00:00:00.000Z", "since when is kept");
    }
    registry.reload_forced().unwrap();
    assert_eq!(ask(&registry, &secret(2), NOW), Ok(()));
    assert_eq!(exported(&registry)["keys"][0]["revoked_at"], json!(null));
}

#[test]
fn a_reload_that_revokes_takes_effect_at_once() {
    let place = Place::with(&document(5, &[record(1)]));
    let registry = Registry::open(&place.path).unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
    place.write(&document(6, &[record_with(1, &json!({"revoked_at": "2099-01-01T00:00:00Z"}))]));
    registry.reload().unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::RevokedKey), "whatever the date");
}

// ---- Which registry takes which change ----

#[test]
fn each_registry_takes_only_the_changes_of_its_source_of_truth() {
    let records = array(&[record(2)]);
    let place = Place::with(&one_key());
    for read_only in [false, true] {
        let registry = open(&place.path, read_only).unwrap();
        let error = registry.apply(&records).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = "a file registry takes its keys from its file; apply is for memory registries";
        assert_eq!(error.to_string(), text);
        assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::UnknownKey));
    }

    let registry = Registry::from_json(&one_key()).unwrap();
    for error in [registry.reload().unwrap_err(), registry.reload_forced().unwrap_err()] {
        let text = "a memory registry has no file to reload; feed its changes in with apply";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidArgument, text));
    }

    let mut options = Options::default();
    options.read_only = true;
    let registry = Registry::from_json_with(&one_key(), options).unwrap();
    let error = registry.apply(&records).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::ReadOnly, "the registry was opened read-only"));
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));
    assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::UnknownKey));
}

#[test]
fn opening_and_reloading_write_nothing() {
    let place = Place::with(&one_key());
    let registry = Registry::open_with(&place.path, Options::default().shared(false)).unwrap();
    registry.reload().unwrap();
    assert_eq!(fs::read(&place.path).unwrap(), one_key());
    let names: Vec<_> = fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["keys.json"]);
}

/// A secret that was revoked stays so, whichever record a later file puts it in.
#[test]
fn a_revoked_secret_comes_back_under_no_other_record() {
    /// The keys of each file that is loaded, from the revoked secret's digest and another's.
    type Files = fn(&str, &str) -> Vec<Vec<Value>>;
    let ways: [(&str, Files); 4] = [
        ("under a new id", |old, other| vec![vec![with("key_new", old, None), with("key_b", other, None)]]),
        ("under a known id", |old, _| vec![vec![with("key_b", old, None)]]),
        ("as a retiring secret", |old, other| vec![vec![with("key_b", other, Some(old))]]),
        ("after a file without it", |old, other| {
            vec![vec![with("key_b", other, None)], vec![with("key_a", old, None), with("key_b", other, None)]]
        }),
    ];
    for (way, reloads) in ways {
        let (revoked, other) = (format!("bpos_revoked{:029}", 1), format!("bpos_other{:031}", 2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let write = |revision: usize, keys: &[Value]| {
            let document = json!({"version": 1, "revision": revision, "keys": keys});
            std::fs::write(&path, document.to_string()).unwrap();
        };
        let mut first = with("key_a", &sha(&revoked), None);
        first["revoked_at"] = json!("2026-01-01T00:00:00Z");
        write(1, &[first, with("key_b", &sha(&other), None)]);
        let registry = Registry::open(&path).unwrap();
        for (revision, keys) in (2..).zip(reloads(&sha(&revoked), &sha(&other))) {
            write(revision, &keys);
            registry.reload().unwrap();
        }
        let request = bpos::Request::new("GET", "/api/v1/products").api_key(&revoked);
        let now = bpos::Now { unix_ms: 1_795_521_600_000, monotonic_us: 1 };
        let denial = registry.authorize_at(&request, now).unwrap_err();
        assert_eq!(denial.reason(), bpos::DenyReason::RevokedKey, "{way}");
        registry.reload_forced().unwrap();
        assert!(registry.authorize_at(&request, now).is_ok(), "{way}, by force");
    }
}

fn sha(key: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with(id: &str, sha256: &str, retiring: Option<&str>) -> Value {
    let retiring = retiring.map(|sha256| json!({"sha256": sha256, "until": "2030-01-01T00:00:00Z"}));
    json!({"id": id, "name": "n", "store": "s", "sha256": sha256, "scopes": ["products:read"], "retiring": retiring})
}

// ---- Changes that leave no trace in a file's times ----

/// A document of which every version has the same length.
fn with_limit(revision: u64, limit: usize) -> Vec<u8> {
    document(revision, &[record_with(1, &json!({"rate_limit": 100 + limit % 100}))])
}

/// On ramfs, whose times tick some hundred times a second; recent kernels hide that elsewhere. Root mounts one that goes
/// with the process.
#[track_caller]
fn on_ramfs(role: &str) {
    if user() != 0 {
        println!("LEFT OUT: only root mounts a ramfs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t ramfs none \"$BPOS_TEST_FOLDER\" && exec \"$@\"";
    let starter = ["unshare", "--mount", "sh", "-c", mount, "sh"].map(OsStr::new);
    let output = again::again_under(&starter, "on_a_ramfs", role, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn on_a_ramfs() {
    let Some((role, folder)) = again::role() else { return };
    let path = folder.join("keys.json");
    Registry::init(&path, Options::default()).unwrap();
    fs::write(&path, with_limit(1, 0)).unwrap();
    let registry = Registry::open(&path).unwrap();
    match role.as_str() {
        "edited" => edited_in_place(&registry, &path),
        "changed and edited" => edited_after_a_change(&registry, &path),
        other => panic!("there is no role {other}"),
    }
}

/// Writes a file where it is, and no more and no less than what it has.
fn edit_in_place(path: &std::path::Path, json: &[u8]) {
    assert_eq!(fs::metadata(path).unwrap().len(), json.len() as u64);
    File::options().write(true).open(path).unwrap().write_all(json).unwrap();
}

#[test]
fn an_edit_in_place_of_the_same_length_is_never_missed() {
    on_ramfs("edited");
}

fn edited_in_place(registry: &Registry, path: &std::path::Path) {
    for round in 1..300 {
        edit_in_place(path, &with_limit(1, round));
        assert_eq!(registry.reload_if_changed(), Ok(true), "round {round}");
        assert_eq!(registry.get("key_1").unwrap().rate_limit as usize, 100 + round % 100);
        assert_eq!(registry.reload_if_changed(), Ok(false), "it is read once more, and is the same");
    }
}

/// Which the next change would otherwise undo.
#[test]
fn an_edit_in_place_right_after_a_change_is_never_missed() {
    on_ramfs("changed and edited");
}

fn edited_after_a_change(registry: &Registry, path: &std::path::Path) {
    for round in 1..200 {
        registry.update("key_1", &KeyPatch::new().rate_limit(100 + (round + 50) % 100)).unwrap();
        let written = fs::read_to_string(path).unwrap();
        let limit = |number| format!("\"rate_limit\": {}", 100 + number % 100);
        let edited = written.replace(&limit(round + 50), &limit(round + 51));
        assert_ne!(written, edited);
        edit_in_place(path, edited.as_bytes());
        registry.update("key_1", &KeyPatch::new().name(format!("{round:03}"))).unwrap();
        let now = registry.get("key_1").unwrap();
        assert_eq!((now.rate_limit, now.name), (100 + (round + 51) % 100, format!("{round:03}")));
    }
}

/// How many bytes this thread reads from files meanwhile.
fn bytes_read(act: impl FnOnce()) -> usize {
    let read = || -> usize {
        let counts = fs::read_to_string("/proc/thread-self/io").unwrap();
        counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    };
    let before = read();
    act();
    read() - before
}

/// A host that asks before each request must not read a file each time, be it good or bad.
#[test]
fn a_file_is_not_read_again_until_it_changes() {
    const LARGE: usize = 1 << 20;
    let place = Place::with(&one_key());
    let registry = Registry::open(&place.path).unwrap();
    let bad = [b"no document".to_vec(), vec![b' '; LARGE]].concat();
    let good = [document(6, &[record(2)]), vec![b' '; LARGE]].concat();
    for (json, is_good) in [(bad, false), (good, true)] {
        place.write(&json);
        let first = registry.reload_if_changed();
        assert_eq!(first.as_ref().map_err(Error::kind), if is_good { Ok(&true) } else { Err(ErrorKind::Format) });
        let later = if is_good { Ok(false) } else { first };
        // As long as the file is new, another change could hide in its times.
        let ask_again = |_: &usize| bytes_read(|| assert_eq!(registry.reload_if_changed(), later)) < LARGE;
        assert!((0..100_000).find(ask_again).is_some(), "it is still read each time");
        assert_eq!(ask(&registry, &secret(1), NOW).is_ok(), !is_good, "what was in force stays");
    }
}

#[test]
fn the_highest_revision_takes_no_change() {
    let place = Place::with(&document(u64::MAX, &[record(1), record(2)]));
    let registry = Registry::open(&place.path).unwrap();
    let text = "the document's revision is the highest there is, 18446744073709551615, and each change raises it: set \
                \"revision\" to 0 in the file, and reload it by force in every server";
    let error = registry.update("key_1", &KeyPatch::new().name("Another")).unwrap_err();
    place.assert_names(&error, ErrorKind::Limit, text);

    let error = registry.revoke("key_2").unwrap_err();
    let more =
        "not durable: what the change takes away is in force in this process, and will be written with the next change";
    place.assert_names(&error, ErrorKind::NotDurable, &format!("{text}: {more}"));
    assert_eq!(ask(&registry, &secret(2), NOW), Err(DenyReason::RevokedKey));

    place.write(&document(0, &[record(1), record(2)]));
    registry.reload_forced().unwrap();
    registry.revoke("key_2").unwrap();
    assert_eq!(exported(&registry)["revision"], json!(1));
}

// ---- Keys where labels belong ----

#[test]
fn a_key_as_a_name_or_a_store_is_refused_wherever_a_text_is_taken() {
    let plain = secret(7);
    let encoded = format!("%62pos_{}", &plain[5..]);
    let registry = Registry::from_json(&one_key()).unwrap();
    let before = registry.export().unwrap();
    for key in [plain.clone(), encoded, format!("Website {plain} Sync")] {
        for member in ["name", "store"] {
            let spec = |name: &str, store: &str| KeySpec::new(name, store, ["products:read"]);
            let made = registry.create(&if member == "name" { spec(&key, "s") } else { spec("n", &key) });
            let record = record_with(2, &json!({member: key}));
            let form = json!({"name": "n", "store": "s", "scopes": []});
            let mut form = form.as_object().unwrap().clone();
            form.insert(member.into(), json!(key));
            let refusals = [
                made.map(drop),
                KeySpec::from_json(Value::from(form).to_string().as_bytes()).map(drop),
                registry.apply(&array(std::slice::from_ref(&record))),
                Registry::from_json(&document(1, &[record])).map(drop),
            ];
            for refusal in refusals {
                let error = refusal.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Format);
                let text = error.to_string();
                assert!(
                    text.contains(&format!("expected a {member}, which is stored in plain text, not an API key")),
                    "{text}"
                );
                assert!(!text.contains(&plain[9..]), "{text}");
            }
        }
        for error in [
            registry.update("key_1", &KeyPatch::new().name(key.as_str())).map(drop),
            KeyPatch::from_json(json!({"name": key}).to_string().as_bytes()).map(drop),
        ] {
            assert!(error.unwrap_err().to_string().contains("stored in plain text"));
        }
    }
    assert_eq!(registry.export().unwrap(), before);
    registry.update("key_1", &KeyPatch::new().name("bpos_abc1 100% Sync_2")).unwrap(); // a hint is none
}

/// Marks of direction, among them those that are no formatting characters of a range: ALM, LRM and RLM.
#[test]
fn marks_that_turn_the_direction_of_writing_are_refused() {
    for mark in ['\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'] {
        let record = record_with(1, &json!({"name": format!("a{mark}b")}));
        let error = Registry::from_json(&document(1, &[record])).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Format, "{mark:?}");
    }
}
