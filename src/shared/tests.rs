//! The shared state as several processes have it, and whatever its files can be found to be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unsafe_code,
    reason = "a test that meets something unexpected has failed; processes are forked and descriptors closed here"
)]

#[path = "../../tests/again/mod.rs"]
mod again;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::anchor::Opening;
use super::index::{self, Name};
use super::pieces::Pieces;
use super::{SharedOptions, SharedState};
use crate::error::{Error, ErrorKind};
use crate::sync::atomics::Ordering;
use crate::text::KeyId;

/// A child has what its parent had open until it is another program: then a registry that was just left is not yet. So these
/// tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder with a registry, and the folder for its mapped file.
struct Place {
    _turn: MutexGuard<'static, ()>,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { _turn: turn(), folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.options().dir).unwrap();
        place
    }

    fn options(&self) -> SharedOptions {
        options(self.folder.path())
    }

    fn attach(&self) -> Result<SharedState, Error> {
        attach(self.folder.path())
    }

    fn anchor(&self) -> PathBuf {
        self.folder.path().join("keys.json.shared")
    }

    /// The mapped files that there are.
    fn mapped(&self) -> Vec<PathBuf> {
        fs::read_dir(self.options().dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Does something to the files while one process is in and another comes, and then while nobody is in.
    fn damaged(damage: impl Fn(&Self, &Path), says: &str) {
        let place = Self::new();
        let first = place.attach().unwrap();
        let (identity, mapped) = (first.identity(), first.path().to_owned());
        // What is reserved at first, and more.
        assert!((0..7).all(|_| first.pieces().take(1_024).is_some()));
        damage(&place, &mapped);
        let before = fs::read(place.anchor()).unwrap();
        let error = place.attach().err().expect("another process is in").to_string();
        assert!(error.contains(says) && error.contains("\"shared\": false"), "{error}");
        assert!(fs::read(place.anchor()).unwrap() == before, "nothing is repaired");
        drop(first);
        let new = place.attach().unwrap_or_else(|error| panic!("{says}: {error}"));
        assert_ne!(new.identity(), identity);
        assert!(new.find(&id(1), true).is_some() && new.generation().load(Ordering::Relaxed) == 0);
        let again = place.attach().unwrap();
        assert_eq!((again.identity(), again.epoch()), (new.identity(), new.epoch()));
    }
}

fn options(folder: &Path) -> SharedOptions {
    SharedOptions { dir: folder.join("memory") }
}

fn attach(folder: &Path) -> Result<SharedState, Error> {
    SharedState::attach(&folder.join("keys.json"), &options(folder))
}

fn id(number: u64) -> KeyId {
    KeyId::new(&format!("key_{number:020}")).unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn change(path: &Path, act: impl FnOnce(&File)) {
    act(&File::options().read(true).write(true).open(path).unwrap());
}

#[test]
fn what_one_writes_another_reads() {
    let place = Place::new();
    let (one, other) = (place.attach().unwrap(), place.attach().unwrap());
    assert_eq!((one.identity(), one.epoch(), one.path()), (other.identity(), 1, other.path()));
    one.generation().store(7, Ordering::Relaxed);
    one.intent()[7].store(8, Ordering::Relaxed);
    assert_eq!(other.generation().load(Ordering::Relaxed), 7);
    assert_eq!(other.intent()[7].load(Ordering::Relaxed), 8);
    one.restored().store(9, Ordering::Relaxed);
    assert_eq!(other.restored().load(Ordering::Relaxed), 9);

    assert!(other.find(&id(1), false).is_none());
    let entry = one.find(&id(1), true).unwrap();
    entry.block().store(10, Ordering::Relaxed);
    let found = other.find(&id(1), false).unwrap();
    assert_eq!((found.piece, found.block().load(Ordering::Relaxed)), (entry.piece, 10));
    assert_eq!((other.entry(found.piece).unwrap().name(), other.id_of(found)), (entry.name(), Some(id(1))));
}

#[test]
fn the_memory_grows_for_all() {
    let place = Place::new();
    let (one, other) = (place.attach().unwrap(), place.attach().unwrap());
    assert!(one.size() <= 256 << 10, "a new registry has {} bytes", one.size());
    let pieces: Vec<_> = (1..200_u64)
        .map(|number| {
            let piece = [&one, &other][number as usize % 2].pieces().take(1_024).unwrap();
            for word in one.pieces().get(piece, 1_024).unwrap() {
                assert_eq!(word.swap(number, Ordering::Relaxed), 0);
            }
            (piece, number)
        })
        .collect();
    for (piece, number) in pieces {
        let words = other.pieces().get(piece, 1_024).unwrap();
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == number));
    }
    let third = place.attach().unwrap();
    assert_eq!((third.size(), third.size()), (one.size(), fs::metadata(one.path()).unwrap().len()));
    assert!(one.size() >= 200 * 65_536 && one.size() < 202 * 65_536 + (1 << 20), "{}", one.size());
}

#[test]
fn a_number_that_no_piece_has_is_found_out() {
    let place = Place::new();
    let shared = place.attach().unwrap();
    let lines = u32::try_from(shared.size() / 64).unwrap() - 64;
    assert!(shared.pieces().get(lines - 1, 1).is_some());
    for number in [lines, lines + 1, 1 << 20, (1 << 28) - 1, 1 << 28, u32::MAX - 1, u32::MAX] {
        assert!(shared.pieces().get(number, 1).is_none(), "{number}");
    }
    assert!(shared.pieces().get(lines - 1, 2).is_none());
}

#[test]
fn a_state_outlives_those_who_were_in() {
    let place = Place::new();
    let first = place.attach().unwrap();
    let identity = first.identity();
    let piece = first.find(&id(1), true).unwrap().piece;
    drop(first);
    let later = place.attach().unwrap();
    assert_eq!((later.identity(), later.epoch()), (identity, 1));
    assert_eq!(later.find(&id(1), false).map(|entry| entry.piece), Some(piece));
}

#[test]
fn the_index_has_every_key_once() {
    let place = Place::new();
    let shared = place.attach().unwrap();
    let made: HashMap<u64, u32> =
        (0..20_000).map(|number| (number, shared.find(&id(number), true).unwrap().piece)).collect();
    for (number, piece) in &made {
        assert_eq!(shared.find(&id(*number), true).map(|entry| entry.piece), Some(*piece));
        assert!(shared.find(&id(number + 20_000), false).is_none());
    }
    let mut listed = Vec::new();
    shared.each(|entry| listed.push(entry.piece));
    assert_eq!(listed.len(), made.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), made.into_values().collect());
}

#[test]
fn ids_whose_hashes_clash_are_told_apart_as_far_as_they_differ() {
    let pieces = Pieces::default();
    assert_eq!(pieces.take(1), Some(index::ROOT));
    let name = |id, hash| Name { id: [id, 0, 0, 0], hash };
    let find = |id, hash, make| index::find(&pieces, &name(id, hash), make).map(|entry| entry.piece);
    let first = find(1, 0, true).unwrap();
    let last_level = find(2, 1 << 60, true).unwrap();
    assert_eq!((find(1, 0, false), find(2, 1 << 60, false)), (Some(first), Some(last_level)));
    assert_eq!(find(3, 0, true), None, "the same bits at every level");
    assert_eq!((find(1, 0, true), find(3, 0, false)), (Some(first), None));
}

#[test]
fn the_hash_is_the_same_for_ever_and_depends_on_the_identity() {
    // `printf '%032x' 1 | xxd -r -p | cat - <(printf 'key_1'; head -c 27 /dev/zero) | sha256sum`
    let hash = |identity, id| super::attach::name(identity, &KeyId::new(id).unwrap()).hash;
    assert_eq!(hash(1, "key_1"), HASH_OF_KEY_1);
    assert_ne!(hash(2, "key_1"), hash(1, "key_1"));
}

const HASH_OF_KEY_1: u64 = 0x719b_7557_7b72_db09;

#[test]
fn processes_that_insert_the_same_keys_at_once_find_the_same_entries() {
    let place = Place::new();
    let shared = place.attach().unwrap();
    let outputs = race(place.folder.path(), "inserts", 4);
    let [first, others @ ..] = &outputs[..] else { panic!("four of them") };
    assert_eq!(first.split(' ').collect::<BTreeSet<_>>().len(), 1_000);
    assert!(others.iter().all(|other| other == first));
    let own: Vec<_> = (0..1_000).map(|number| shared.find(&id(number), false).unwrap().piece.to_string()).collect();
    assert_eq!(&own.join(" "), first);
}

#[test]
fn all_who_open_a_registry_at_first_at_once_share_one_state() {
    let place = Place::new();
    let outputs = race(place.folder.path(), "opens", 32);
    assert_eq!(outputs.iter().collect::<BTreeSet<_>>().len(), 1, "{outputs:?}");
    assert_eq!(place.mapped().len(), 1);
    assert_eq!(place.attach().unwrap().epoch(), 1);
}

/// The lines that so many processes say who begin at once and stay until all have said theirs.
fn race(folder: &Path, role: &str, processes: usize) -> Vec<String> {
    let mut running: Vec<_> = (0..processes).map(|_| start(folder, role)).collect();
    for child in &mut running {
        writeln!(child.stdin.as_mut().unwrap(), "begin").unwrap();
    }
    let mut said = |child: &mut Child| {
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        lines.find_map(|line| line.rsplit_once("said: ").map(|(_, said)| said.to_owned())).expect("it says something")
    };
    let said = running.iter_mut().map(&mut said).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success(), "by its standard input's end");
    }
    said
}

fn start(folder: &Path, role: &str) -> Child {
    let mut command = again::again("shared::tests::process", role, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "the other tests run it, as processes of its own"]
fn process() {
    let Some((role, folder)) = again::role() else { return };
    let line = || std::io::stdin().read_line(&mut String::new()).unwrap();
    match role.as_str() {
        "inserts" => {
            let shared = attach(&folder).unwrap();
            line();
            let pieces: Vec<_> =
                (0..1_000).map(|number| shared.find(&id(number), true).unwrap().piece.to_string()).collect();
            println!("said: {}", pieces.join(" "));
            line();
        }
        "opens" => {
            line();
            let lock = File::create(folder.join("keys.json.lock")).unwrap();
            lock.lock().unwrap();
            let shared = attach(&folder).unwrap();
            lock.unlock().unwrap();
            println!("said: {:x} {}", shared.identity(), shared.path().display());
            line();
        }
        "is refused" => println!("said: {}", attach(&folder).err().unwrap()),
        "stays" => {
            let shared = attach(&folder).unwrap();
            println!("said: {:x}", shared.identity());
            line();
        }
        "becomes a daemon" => become_a_daemon(&folder),
        "forks" => fork_one(&folder),
        "fills file systems" => fill_file_systems(&folder),
        other => panic!("there is no role {other}"),
    }
}

#[test]
fn a_process_that_is_killed_is_out() {
    let place = Place::new();
    let mut child = start(place.folder.path(), "stays");
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("said: ")));
    assert!(!Opening::open(&place.anchor()).unwrap().is_alone);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Opening::open(&place.anchor()).unwrap().is_alone);
}

#[test]
fn a_daemon_that_closes_all_descriptors_stays_in_and_loses_no_other_file() {
    let place = Place::new();
    race(place.folder.path(), "becomes a daemon", 1);
    assert!(Opening::open(&place.anchor()).unwrap().is_alone);
}

fn become_a_daemon(folder: &Path) {
    let shared = attach(folder).unwrap();
    // SAFETY: the harness has none open that it uses again.
    assert_eq!(unsafe { libc::close_range(3, libc::c_uint::MAX, 0) }, 0);
    let files: Vec<_> = (0..20).map(|number| File::create_new(folder.join(number.to_string())).unwrap()).collect();
    assert!(!Opening::open(&folder.join("keys.json.shared")).unwrap().is_alone, "the lock is held");
    let piece = (0..100).map(|_| shared.pieces().take(1_024).unwrap()).last().unwrap();
    assert!(shared.pieces().get(piece, 1_024).is_some(), "memory grows");
    drop(shared);
    assert!(files.iter().all(|file| file.metadata().is_ok_and(|file| file.len() == 0)), "the host's files");
    println!("said: done");
}

#[test]
fn a_fork_shares_the_state_and_keeps_it_in_use() {
    let place = Place::new();
    race(place.folder.path(), "forks", 1);
    assert!(Opening::open(&place.anchor()).unwrap().is_alone);
}

fn fork_one(folder: &Path) {
    let shared = attach(folder).unwrap();
    let (mut go, wait) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
    // SAFETY: the child takes no lock that another thread may hold.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(go); // so that it ends with its parent
        let found = shared.find(&id(1), true).is_some();
        let mut byte = [0];
        let told = std::io::Read::read_exact(&mut &wait, &mut byte).is_ok();
        // SAFETY: it takes a number alone.
        unsafe { libc::_exit(i32::from(!(found && told))) }
    }
    while shared.find(&id(1), false).is_none() {
        std::thread::yield_now();
    }
    drop(shared);
    let anchor = folder.join("keys.json.shared");
    assert!(!Opening::open(&anchor).unwrap().is_alone, "the child is in");
    go.write_all(&[0]).unwrap();
    let mut status = 0;
    // SAFETY: `status` is a place for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    println!("said: done");
}

#[test]
fn an_anchor_that_is_cut_short_or_damaged_is_started_anew_by_one_who_is_alone() {
    let length = {
        let place = Place::new();
        drop(place.attach().unwrap());
        fs::metadata(place.anchor()).unwrap().len()
    };
    for length in 0..length {
        Place::damaged(|place, _| change(&place.anchor(), |file| file.set_len(length).unwrap()), "it is damaged");
    }
    for at in 0..length {
        for damage in [1, 0x80] {
            let damage = |file: &File| {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ damage], at).unwrap();
            };
            Place::damaged(|place, _| change(&place.anchor(), damage), "it ");
        }
    }
}

#[test]
fn a_mapped_file_that_is_cut_short_is_started_anew_by_one_who_is_alone() {
    for length in (0..4_096).step_by(24).chain((4_096..7 * 65_536).step_by(4_096)) {
        let damage = |_: &Place, mapped: &Path| change(mapped, |file| file.set_len(length).unwrap());
        Place::damaged(damage, "cut short");
    }
}

#[test]
fn a_stamp_that_differs_is_started_anew_by_one_who_is_alone() {
    let says = ["no file of bpos", "layout", "boot", "boot", "damaged", "damaged", "damaged", "time namespace"];
    for (word, says) in says.into_iter().enumerate() {
        for bit in 0..64 {
            let damage = |file: &File| {
                let mut bytes = [0; 8];
                file.read_exact_at(&mut bytes, word as u64 * 8).unwrap();
                let changed = u64::from_ne_bytes(bytes) ^ 1 << bit;
                file.write_all_at(&changed.to_ne_bytes(), word as u64 * 8).unwrap();
            };
            Place::damaged(|_, mapped| change(mapped, damage), says);
        }
    }
}

#[test]
fn another_boot_and_another_layout_are_started_anew_by_one_who_is_alone() {
    let rewrite = |place: &Place, from: &str, to: &str| {
        let text = fs::read_to_string(place.anchor()).unwrap();
        let (text, _) = text.rsplit_once("crc32").unwrap();
        let text = text.replacen(from, to, 1);
        fs::write(place.anchor(), format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))).unwrap();
    };
    Place::damaged(|place, _| rewrite(place, "layout 1", "layout 2"), "it has layout 2");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
    let other = "0123456789abcdef0123456789abcdef";
    Place::damaged(|place, _| rewrite(place, &boot, other), "of another boot");
}

#[test]
fn a_mapped_file_that_is_gone_or_replaced_is_started_anew_by_one_who_is_alone() {
    Place::damaged(|_, mapped| fs::remove_file(mapped).unwrap(), "it is not there");
    let copy = |_: &Place, mapped: &Path| {
        fs::rename(mapped, mapped.with_extension("old")).unwrap();
        fs::copy(mapped.with_extension("old"), mapped).unwrap();
    };
    Place::damaged(copy, "another file");
    let link = |_: &Place, mapped: &Path| {
        fs::rename(mapped, mapped.with_extension("old")).unwrap();
        symlink(mapped.with_extension("old"), mapped).unwrap();
    };
    Place::damaged(link, "a link");
    let pipe = |_: &Place, mapped: &Path| {
        fs::remove_file(mapped).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, mapped, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    Place::damaged(pipe, "not a regular file");
    let open = |_: &Place, mapped: &Path| fs::set_permissions(mapped, PermissionsExt::from_mode(0o606)).unwrap();
    Place::damaged(open, "others may write");
    let group = |_: &Place, mapped: &Path| fs::set_permissions(mapped, PermissionsExt::from_mode(0o660)).unwrap();
    Place::damaged(group, "others may write");
    if !is_root() {
        println!("LEFT OUT: a mapped file of another user: needs root");
        return;
    }
    let owner = |_: &Place, mapped: &Path| std::os::unix::fs::chown(mapped, Some(12_345), None).unwrap();
    Place::damaged(owner, "it belongs to user 12345");
}

#[test]
fn an_anchor_that_others_may_have_written_is_refused() {
    let refused = |change: &dyn Fn(&Path), says: &str, kind| {
        let place = Place::new();
        drop(place.attach().unwrap());
        change(&place.anchor());
        let error = place.attach().err().expect("it is refused");
        assert!(error.to_string().contains(says) && error.kind() == kind, "{error}");
    };
    let mode = |anchor: &Path, mode| fs::set_permissions(anchor, PermissionsExt::from_mode(mode)).unwrap();
    refused(&|anchor| mode(anchor, 0o602), "others may write it (mode 0602)", ErrorKind::Permission);
    let link = |anchor: &Path| {
        fs::rename(anchor, anchor.with_extension("old")).unwrap();
        symlink(anchor.with_extension("old"), anchor).unwrap();
    };
    refused(&link, "cannot open it", ErrorKind::Io);
    if !is_root() {
        println!("LEFT OUT: an anchor of another user: needs root");
        return;
    }
    let owner = |anchor: &Path| std::os::unix::fs::chown(anchor, Some(12_345), Some(12_345)).unwrap();
    refused(&owner, "it belongs to user 12345", ErrorKind::Permission);
    let group = |anchor: &Path| (owner(anchor), mode(anchor, 0o660)).1;
    refused(&group, "it belongs to user 12345", ErrorKind::Permission);
}

#[test]
fn a_group_shares_what_its_anchor_lets_it() {
    let place = Place::new();
    drop(place.attach().unwrap());
    fs::set_permissions(place.anchor(), PermissionsExt::from_mode(0o660)).unwrap();
    if !is_root() {
        println!("LEFT OUT: a file that a group shares: needs root");
        return;
    }
    std::os::unix::fs::chown(place.anchor(), None, Some(12_345)).unwrap();
    fs::remove_file(&place.mapped()[0]).unwrap();
    let shared = place.attach().unwrap();
    let file = fs::metadata(shared.path()).unwrap();
    assert_eq!((file.gid(), file.mode() & 0o7777), (12_345, 0o660));
    // As another member of the group would have made it.
    std::os::unix::fs::chown(shared.path(), Some(12_346), None).unwrap();
    assert_eq!(place.attach().unwrap().identity(), shared.identity());
}

#[test]
fn a_copy_of_an_anchor_starts_its_own_state_and_leaves_the_others_alone() {
    let place = Place::new();
    let shared = place.attach().unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(place.anchor(), copy.path().join("keys.json.shared")).unwrap();
    let other = SharedState::attach(&copy.path().join("keys.json"), &place.options()).unwrap();
    assert_ne!(other.identity(), shared.identity());
    assert!(shared.path().exists() && other.path().exists());
}

#[test]
fn an_anchor_that_is_removed_while_in_use_is_noticed() {
    let place = Place::new();
    let shared = place.attach().unwrap();
    assert!(shared.is_in_place());
    fs::rename(place.anchor(), place.folder.path().join("gone")).unwrap();
    assert!(!shared.is_in_place());
    let _other = place.attach().unwrap();
    assert!(!shared.is_in_place());
}

#[test]
fn what_is_started_anew_leaves_no_old_file() {
    let place = Place::new();
    for _ in 0..3 {
        let shared = place.attach().unwrap();
        change(shared.path(), |file| file.write_all_at(b"damage", 0).unwrap());
    }
    drop(place.attach().unwrap());
    assert_eq!(place.mapped().len(), 1);
    assert_eq!(place.attach().unwrap().epoch(), 4);

    // Another folder, and the same one under another path.
    let at = |folder: &str| {
        let options = SharedOptions { dir: place.folder.path().join(folder) };
        SharedState::attach(&place.folder.path().join("keys.json"), &options).unwrap().epoch()
    };
    fs::create_dir(place.folder.path().join("other")).unwrap();
    assert_eq!((at("other"), at("memory")), (5, 6));
    assert_eq!((place.mapped().len(), fs::read_dir(place.folder.path().join("other")).unwrap().count()), (1, 0));
    fs::rename(place.options().dir, place.folder.path().join("third")).unwrap();
    assert_eq!(at("third"), 6);
    change(&fs::read_dir(place.folder.path().join("third")).unwrap().next().unwrap().unwrap().path(), |file| {
        file.write_all_at(b"damage", 0).unwrap();
    });
    assert_eq!(at("third"), 7);
    assert_eq!(fs::read_dir(place.folder.path().join("third")).unwrap().count(), 1);
    fs::rename(place.folder.path().join("third"), place.options().dir).unwrap();

    // Made, but its maker died before the anchor had its number.
    let opening = Opening::open(&place.anchor()).unwrap();
    let mut record = opening.read().unwrap();
    record.mapped = (0, 0);
    opening.write(&mut record).unwrap();
    drop(opening);
    assert_eq!(place.attach().unwrap().epoch(), 8);
    assert_eq!(place.mapped().len(), 1);
}

#[test]
fn random_bytes_are_never_a_fault() {
    let mut random = fastrand::Rng::with_seed(7);
    let place = Place::new();
    for round in 0..300 {
        let shared = place.attach().unwrap();
        assert!((0..200).all(|number| shared.find(&id(number), true).is_some()));
        let size = shared.size();
        // The header; what lies behind it; words that look like links; the stamp aside, so that it is used.
        let (from, to) = [(0, 4_096), (64, size), (4_096, size)][round % 3];
        change(shared.path(), |file| {
            for _ in 0..random.u32(1..2_000) {
                let at = random.u64(from..to) & !7;
                let word = random.u64(..) >> [0, 31, 32, 48][random.usize(..4)];
                file.write_all_at(&word.to_ne_bytes(), at).unwrap();
            }
        });
        drop(shared);
        let used = place.attach().unwrap();
        (0..200).for_each(|number| _ = used.find(&id(number), number % 2 == 0));
        let mut entries = 0_u64;
        used.each(|entry| entries += u64::from(entry.name().hash != 0));
        drop(used);
        change(&place.mapped()[0], |file| file.write_all_at(b"damage", 0).unwrap());
    }
}

#[test]
fn a_full_file_system_is_an_answer_and_never_a_signal() {
    let place = Place::new();
    if race(place.folder.path(), "fills file systems", 1) == ["nothing"] {
        println!("LEFT OUT: full file systems: needs root, to mount them");
    }
}

/// File systems in memory of every size up to where nothing more depends on it, in a mount namespace of this process alone.
fn fill_file_systems(folder: &Path) {
    let target = std::ffi::CString::new(options(folder).dir.to_str().unwrap()).unwrap();
    let mount = |source: &std::ffi::CStr, target: &std::ffi::CStr, flags, data: &std::ffi::CStr| {
        // SAFETY: these are texts that end with a zero.
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), source.as_ptr(), flags, data.as_ptr().cast()) }
    };
    // SAFETY: it takes a number alone.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0
        && mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE, c"") == 0
        && mount(c"tmpfs", &target, 0, c"size=64k") == 0;
    if !unshared {
        println!("said: nothing");
        return;
    }
    let mut started = 0;
    for kib in (4..64).chain((64..2_400).step_by(12)).map(|kib| kib / 4 * 4) {
        let size = std::ffi::CString::new(format!("size={kib}k")).unwrap();
        assert_eq!(mount(c"tmpfs", &target, 0, &size), 0);
        match attach(folder) {
            Ok(shared) => {
                started += 1;
                let other = attach(folder).unwrap();
                let mut number = 0;
                while let Some(entry) = other.find(&id(number), true) {
                    assert_eq!(shared.find(&id(number), true).map(|entry| entry.piece), Some(entry.piece));
                    number += 1;
                }
                while let Some(piece) = shared.pieces().take(9) {
                    other.pieces().get(piece, 9).unwrap().iter().for_each(|word| word.store(1, Ordering::Relaxed));
                }
                while let Some(piece) = shared.pieces().take(1) {
                    other.pieces().get(piece, 1).unwrap().iter().for_each(|word| word.store(1, Ordering::Relaxed));
                }
                assert_eq!(shared.size(), kib * 1_024, "all of it was used");
            }
            Err(error) => {
                assert!(kib < 64 && error.to_string().contains("reserve memory"), "{kib} KiB: {error}");
                assert_eq!(fs::read_dir(options(folder).dir).unwrap().count(), 0);
            }
        }
        // SAFETY: it is a text that ends with a zero.
        assert_eq!(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }, 0);
    }
    println!("said: {started}");
}

#[test]
fn a_process_whose_clock_has_another_offset_is_refused() {
    let place = Place::new();
    let _shared = place.attach().unwrap();
    let unshare = ["unshare", "--time", "--boottime", "86400", "--fork"].map(OsStr::new);
    let mut command = again::again_under(&unshare, "shared::tests::process", "is refused", place.folder.path());
    let output = command.output().unwrap();
    if !is_root() || !Path::new("/proc/self/timens_offsets").exists() {
        println!("LEFT OUT: time namespaces: needs root, and Linux 5.6");
        return;
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("said: ") && said.contains("time namespace"), "{said}");
}

#[test]
fn without_a_folder_of_its_own_the_mapped_file_is_in_shared_memory() {
    let place = Place::new();
    let shared = SharedState::attach(&place.folder.path().join("keys.json"), &SharedOptions::default()).unwrap();
    let path = shared.path().to_owned();
    assert_eq!(path, Path::new("/dev/shm").join(format!("bpos-{:032x}", shared.identity())));
    let mode = fs::metadata(&path).unwrap().mode();
    fs::remove_file(&path).unwrap();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn the_offset_of_the_clock_is_read() {
    for (offsets, ns) in [
        ("monotonic           0         0\nboottime            0         0\n", 0),
        ("monotonic          60         5\nboottime        86400        17\n", 86_400_000_000_017),
        ("monotonic           0         0\nboottime         -10         1\n", -9_999_999_999),
        ("", 0),
    ] {
        assert_eq!(super::attach::clock_offset_ns(offsets), ns);
    }
}

#[test]
fn the_memory_of_a_registry_that_is_gone_is_given_back_when_another_is_started() {
    let _turn = turn();
    let [memory, gone, kept, new] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let start = |of: &TempDir| {
        let options = SharedOptions { dir: memory.path().to_owned() };
        SharedState::attach(&of.path().join("keys.json"), &options).unwrap().path().to_owned()
    };
    let (of_gone, of_kept) = (start(&gone), start(&kept));
    let others = memory.path().join(format!("bpos-{:032x}", 7));
    fs::write(&others, [0; 4_096]).unwrap();
    drop(gone);
    let of_new = start(&new);
    let exist = [of_gone, of_kept, others, of_new].map(|path| path.exists());
    assert_eq!(exist, [false, true, true, true], "only that of the registry that is gone");
}
