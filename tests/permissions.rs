//! Modes, owners and links of the registry file, and of those beside it, when it is changed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

mod again;
mod sample;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bpos::{DenyReason, ErrorKind, KeySpec, NewKey, Now, Options, Registry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sample::{ask, document, record, secret};
use tempfile::TempDir;

const NOBODY: u32 = 65_534;
const FILE_TOO_LARGE: i32 = 25;

struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    /// A folder with a registry of one key, mode 0600.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, document(5, &[record(1)])).unwrap();
        let place = Self { folder, file };
        place.set_mode(0o600);
        place
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.file, Permissions::from_mode(mode)).unwrap();
    }

    /// A file beside the registry file.
    fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("keys.json{suffix}"))
    }

    fn registry(&self) -> Registry {
        Registry::open_with(&self.file, Options::default().shared(false)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A change that grants is refused with a kind, one that takes away is in force, and the file is as it was.
    #[track_caller]
    fn assert_refuses(&self, registry: &Registry, kind: ErrorKind, text: &str) {
        let before = fs::read(&self.file).ok();
        let error = create(registry).err().expect("the change was made");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(ask(registry, &secret(1), Now::read()), Ok(()));
        let error = registry.revoke("key_1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotDurable, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(ask(registry, &secret(1), Now::read()), Err(DenyReason::RevokedKey));
        assert_eq!(fs::read(&self.file).ok(), before);
        assert_eq!(registry.list(None).len(), 1);
    }
}

fn create(registry: &Registry) -> Result<NewKey, bpos::Error> {
    registry.create(&KeySpec::new("Made", "yourstore", ["products:read"]))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test was left out, past the capture of what tests print.
fn notice(text: &str) {
    let line = format!("\n    LEFT OUT: {text}\n\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

// ---- Modes ----

#[test]
fn a_change_keeps_the_mode_but_gives_others_no_right_to_write() {
    for (before, after) in [
        (0o600, 0o600),
        (0o400, 0o400),
        (0o640, 0o640),
        (0o440, 0o440),
        (0o644, 0o644),
        (0o604, 0o604),
        (0o700, 0o700),
        (0o755, 0o755),
        // Bits that have no meaning for a document.
        (0o4755, 0o755),
        (0o2640, 0o640),
        (0o1644, 0o644),
    ] {
        let place = Place::new();
        place.set_mode(before);
        let registry = place.registry();
        for _ in 0..2 {
            create(&registry).unwrap();
            assert_eq!(mode(&place.file), after, "{before:04o}");
        }
        assert_eq!(Registry::open(&place.file).unwrap().list(None).len(), 3, "{before:04o}");
    }
}

/// Whatever the user's mask is, and while a document is written: that is seen in a process that dies there.
#[test]
fn what_is_made_is_nobody_elses_to_read() {
    let shell: Vec<&OsStr> = ["sh", "-c", "umask 0; exec \"$@\"", "sh"].map(OsStr::new).into();
    let folder = tempfile::tempdir().unwrap();
    let output = again::again_under(&shell, "process", "init and die", folder.path()).output().unwrap();
    assert_eq!(output.status.signal(), Some(FILE_TOO_LARGE), "{output:?}");
    for (name, size) in
        [("keys.json", 50..100), ("keys.json.lock", 0..1), ("keys.json.queue", 0..1), ("keys.json.new", 7..8)]
    {
        let path = folder.path().join(name);
        assert_eq!(mode(&path), 0o600, "{name}");
        assert!(size.contains(&fs::metadata(&path).unwrap().len()), "{name}");
    }
}

#[test]
fn a_file_that_others_came_to_write_is_changed_no_more() {
    for spoiled in [0o660, 0o606, 0o666, 0o622, 0o777] {
        let place = Place::new();
        let registry = place.registry();
        create(&registry).unwrap();
        registry.revoke(&registry.list(None)[1].id).unwrap();
        registry.remove(&registry.list(None)[1].id).unwrap();
        place.set_mode(spoiled);
        place.assert_refuses(&registry, ErrorKind::Permission, "others may write this file");
        // Once that is mended, the revocation is written with the next change.
        place.set_mode(0o600);
        create(&registry).unwrap();
        assert_eq!(ask(&place.registry(), &secret(1), Now::read()), Err(DenyReason::RevokedKey), "{spoiled:04o}");
    }
}

// ---- Owners ----

#[test]
fn a_change_keeps_the_group() {
    if !is_root() {
        return notice("the test of file groups needs root, to give files away");
    }
    let place = Place::new();
    place.set_mode(0o640);
    chown(&place.file, None, Some(NOBODY)).unwrap();
    create(&place.registry()).unwrap();
    let metadata = fs::metadata(&place.file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, NOBODY, 0o640));
}

/// Who may not give the file to its group gives the rights of that group to no other.
#[test]
fn a_group_that_the_user_is_not_of_loses_its_rights_and_no_other_gets_them() {
    if !is_root() {
        return notice("the test of foreign groups needs root, to work as another user");
    }
    let place = Place::new();
    place.set_mode(0o644);
    chown(place.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    chown(&place.file, Some(NOBODY), Some(0)).unwrap();
    // Where that user can run it.
    let program = place.folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let told = again::again("process", "change", place.folder.path());
    let mut command = std::process::Command::new(&program);
    command.args(told.get_args());
    command.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata = fs::metadata(&place.file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (NOBODY, NOBODY, 0o604));
}

#[test]
fn a_file_that_came_to_be_anothers_is_changed_no_more() {
    if !is_root() {
        return notice("the test of file owners needs root, to give files away");
    }
    let place = Place::new();
    let registry = place.registry();
    chown(&place.file, Some(NOBODY), None).unwrap();
    place.assert_refuses(&registry, ErrorKind::Permission, "the file belongs to user 65534");
}

// ---- Links, and what lies in the way ----

#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    for suffix in [".lock", ".queue"] {
        for there in [true, false] {
            let place = Place::new();
            let victim = place.folder.path().join("victim");
            if there {
                fs::write(&victim, "precious").unwrap();
            }
            symlink(&victim, place.beside(suffix)).unwrap();
            place.assert_refuses(&place.registry(), ErrorKind::Io, suffix);
            assert_eq!(fs::read(&victim).ok(), there.then(|| b"precious".to_vec()), "{suffix}");
            assert!(place.beside(suffix).is_symlink());
        }
        let place = Place::new();
        fs::create_dir(place.beside(suffix)).unwrap();
        place.assert_refuses(&place.registry(), ErrorKind::Io, suffix);
    }
}

/// A lock file is opened and never written: what it shares with another file is safe.
#[test]
fn a_lock_file_keeps_what_is_in_it() {
    for suffix in [".lock", ".queue"] {
        let place = Place::new();
        let victim = place.folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::hard_link(&victim, place.beside(suffix)).unwrap();
        create(&place.registry()).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{suffix}");
    }
}

#[test]
fn what_a_dead_process_left_is_replaced_and_a_link_in_its_place_is_not_followed() {
    type Leave = fn(&Path, &Path);
    let leftovers: [(&str, Leave); 5] = [
        ("a file", |new, _| fs::write(new, "half a docu").unwrap()),
        ("a file that others may write", |new, _| {
            fs::write(new, "half a docu").unwrap();
            fs::set_permissions(new, Permissions::from_mode(0o666)).unwrap();
        }),
        ("a link", |new, victim| symlink(victim, new).unwrap()),
        ("a link to nothing", |new, _| symlink("/no-such-folder/file", new).unwrap()),
        ("another name of a file", |new, victim| fs::hard_link(victim, new).unwrap()),
    ];
    for (what, leave) in leftovers {
        let place = Place::new();
        let victim = place.folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
        leave(&place.beside(".new"), &victim);
        let new = create(&place.registry()).unwrap();
        assert_eq!(place.names(), ["keys.json", "keys.json.lock", "keys.json.queue", "victim"], "{what}");
        assert_eq!((fs::read(&victim).unwrap(), mode(&victim)), (b"precious".to_vec(), 0o644), "{what}");
        assert!(fs::symlink_metadata(&place.file).unwrap().is_file() && mode(&place.file) == 0o600, "{what}");
        assert_eq!(ask(&place.registry(), new.key.expose(), Now::read()), Ok(()), "{what}");
    }
    // A folder is nobody's leftover.
    let place = Place::new();
    fs::create_dir(place.beside(".new")).unwrap();
    place.assert_refuses(&place.registry(), ErrorKind::Io, "what was left of");
    assert!(place.beside(".new").is_dir());
}

#[test]
fn a_registry_file_that_became_a_link_is_not_followed() {
    let place = Place::new();
    let registry = place.registry();
    let elsewhere = place.folder.path().join("elsewhere.json");
    fs::rename(&place.file, &elsewhere).unwrap();
    symlink(&elsewhere, &place.file).unwrap();
    place.assert_refuses(&registry, ErrorKind::Io, "must be named by its own path, not by a link");
    assert!(place.file.is_symlink());
}

#[test]
fn a_registry_is_made_only_where_nothing_is() {
    type Leave = fn(&Path);
    let obstacles: [(&str, Leave); 4] = [
        ("a file", |file| fs::write(file, "precious").unwrap()),
        ("an empty file", |file| drop(File::create(file).unwrap())),
        ("a link to nothing", |file| symlink(file.with_file_name("elsewhere"), file).unwrap()),
        ("a folder", |file| fs::create_dir(file).unwrap()),
    ];
    for (what, leave) in obstacles {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        leave(&file);
        let before = fs::read(&file).ok();
        let error = Registry::init(&file, Options::default()).err().expect("it was made");
        let text = format!("{file:?}: file already exists; open it instead");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Conflict, text), "{what}");
        assert_eq!(fs::read(&file).ok(), before, "{what}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{what}: and no lock is left beside it");
    }
}

// ---- Times ----

/// The numbers of files are used again, and clocks tick slowly or are set back: the time of each document is later than
/// that of the one before, so that none looks like one that was read already.
#[test]
fn each_document_has_a_later_time_than_the_one_that_it_replaces() {
    let place = Place::new();
    let registry = place.registry();
    let modified = || fs::metadata(&place.file).unwrap().modified().unwrap();
    let mut times = vec![modified()];
    for _ in 0..50 {
        create(&registry).unwrap();
        times.push(modified());
    }
    let ahead = SystemTime::now() + Duration::from_secs(1_000_000);
    File::options().append(true).open(&place.file).unwrap().set_modified(ahead).unwrap();
    for _ in 0..5 {
        create(&registry).unwrap();
        times.push(modified());
    }
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    assert!(times[51] > ahead);
}

// ---- Processes ----

#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn process() {
    let Some((role, folder)) = again::role() else { return };
    match role.as_str() {
        "init and die" => {
            let registry = Registry::init(folder.join("keys.json"), Options::default()).unwrap();
            limit(Resource::Core, 0);
            limit(Resource::Fsize, 7);
            let _ = create(&registry);
        }
        "change" => drop(create(&Registry::open(folder.join("keys.json")).unwrap()).unwrap()),
        "move" => {
            std::env::set_current_dir(&folder).unwrap();
            let registry = Registry::open("keys.json").unwrap();
            std::env::set_current_dir("/").unwrap();
            create(&registry).unwrap();
            registry.reload().unwrap();
        }
        other => panic!("there is no role {other}"),
    }
}

fn limit(resource: Resource, current: u64) {
    setrlimit(resource, Rlimit { current: Some(current), maximum: getrlimit(resource).maximum }).unwrap();
}

#[test]
fn a_registry_is_where_it_was_opened_wherever_the_host_goes() {
    let place = Place::new();
    let output = again::again("process", "move", place.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.registry().list(None).len(), 2);
}
