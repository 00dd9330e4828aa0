//! The registry file: who may own it, how it is read, and how a change to it survives anything.
//!
//! A change is a whole new document: written to a file beside the old one, synced, renamed over it, and the folder synced.
//! A reader, and a machine that loses power, therefore finds the old document or the new one, never a third. A sync that
//! fails is never tried again on the same file: the kernel may have dropped what it could not write.
//!
//! Writers take turns by an advisory lock on a file of its own, `NAME.lock`, which stays: a lock on the registry file
//! itself would be lost with each rename. Whoever waits for it holds `NAME.queue`, so that a writer that has made one
//! change cannot make the next before another that waits: else one that makes many would shut a revocation out.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind};
use crate::json::MAX_BYTES;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// How long a change waits for other processes' changes.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// What is known of a file that was read or written.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    version: Version,
    /// The SHA-256 of what was in it, if it was so new that its version can be that of a later change too.
    content: Option<[u8; 32]>,
}

impl Seen {
    fn of(metadata: &Metadata, is_settled: bool, json: &[u8]) -> Self {
        let content = (!is_settled).then(|| Sha256::digest(json).into());
        Self { version: Version::of(metadata), content }
    }

    /// Whether the file at a path has another version: one call to the operating system.
    pub(super) fn is_outdated(&self, path: &Path, follow_links: bool) -> Result<bool, Error> {
        Ok(self.version != version(path, follow_links)?)
    }

    /// Whether its version is enough to tell it from a later one.
    pub(super) fn is_settled(&self) -> bool {
        self.content.is_none()
    }

    /// Whether a file that was read again is the same.
    pub(super) fn is(&self, json: &[u8]) -> bool {
        self.content.is_some_and(|content| content == <[u8; 32]>::from(Sha256::digest(json)))
    }
}

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The version of the file at a path: one call to the operating system.
fn version(path: &Path, follow_links: bool) -> Result<Version, Error> {
    let metadata = if follow_links { path.metadata() } else { path.symlink_metadata() };
    metadata.map(|metadata| Version::of(&metadata)).map_err(|error| cannot("look at", &error).within(shown(path)))
}

/// Reads a registry file, if nobody could have written it but its owner, who is root or this user.
///
/// What is checked is the file that was opened, not the path: it cannot be exchanged in between. A symbolic link is
/// followed only where the file is never to be replaced.
pub(super) fn read(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Seen), Error> {
    read_file(path, follow_links).map_err(|error| error.within(shown(path)))
}

fn read_file(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Seen), Error> {
    // A pipe must not hold the host up: without NONBLOCK, opening one waits for its writer.
    let links = if follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot("open", &error))?;
    let metadata = file.metadata().map_err(|error| cannot("look at", &error))?;
    let is_settled = is_settled(&metadata, SystemTime::now());
    let size = check_owner(&metadata)?;

    let mut json = Vec::new();
    json.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::Limit, format!("no memory for {size} bytes")))?;
    // One byte over the bound shows a file that grew since.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| cannot("read", &error))?;
    let seen = Seen::of(&metadata, is_settled, &json);
    Ok((json, seen))
}

/// Whether every later change to a file will show in its times. A file system stamps them from a clock that ticks some
/// hundred times a second, or keeps whole seconds only.
fn is_settled(metadata: &Metadata, now: SystemTime) -> bool {
    const TICK: Duration = Duration::from_millis(20);
    const COARSE: Duration = Duration::from_secs(2);
    let grain = if metadata.ctime_nsec() == 0 { COARSE } else { TICK };
    let changed = u64::try_from(metadata.ctime()).ok().zip(u32::try_from(metadata.ctime_nsec()).ok());
    let age = changed.and_then(|(s, ns)| now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(s, ns)).ok());
    age.is_some_and(|age| age > grain)
}

/// Refuses a file that others may write; gives the size of one that is sound.
fn check_owner(metadata: &Metadata) -> Result<usize, Error> {
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Io, "this is not a regular file; expected a registry document"));
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != 0 && owner != user {
        let message = format!(
            "the file belongs to user {owner}, and this is user {user}; run this as the user that the file belongs to, which \
             is the server's (sudo -u '#{owner}' ...)"
        );
        return Err(Error::new(ErrorKind::Permission, message));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        let message = format!("others may write this file (mode {mode:04o}); expected 0600: chmod go-w it");
        return Err(Error::new(ErrorKind::Permission, message));
    }
    usize::try_from(metadata.len()).ok().filter(|size| *size <= MAX_BYTES).ok_or_else(|| {
        let message = format!("the file has {} bytes; expected at most {MAX_BYTES} (1 GiB)", metadata.len());
        Error::new(ErrorKind::Limit, message)
    })
}

/// The right to change a registry file, among processes. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lock<'h> {
    file: File,
    held: &'h HeldFile,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.held.forget();
        // Not by closing alone: a child that was forked meanwhile holds the same open file, and the lock with it.
        let _ = self.file.unlock(); // closing gives it back too, if this cannot
    }
}

/// The lock files that a change has open. A child that is forked meanwhile has them open too, and so would keep the lock if
/// its parent died in the midst of the change.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: HeldFile,
    lock: HeldFile,
}

impl Held {
    /// In a child: closes what it has from its parent. The lock stays the parent's for as long as that lives.
    pub(super) fn close_inherited(&self) {
        self.queue.close_inherited();
        self.lock.close_inherited();
    }
}

/// A file that is open, or none: its number, plus one, and which file that is.
#[derive(Debug, Default)]
struct HeldFile {
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl HeldFile {
    fn remember(&self, file: &File) -> std::io::Result<()> {
        let metadata = file.metadata()?;
        self.device.store(metadata.dev(), Ordering::Relaxed);
        self.inode.store(metadata.ino(), Ordering::Relaxed);
        self.number.store(file.as_raw_fd() + 1, Ordering::Release);
        Ok(())
    }

    /// Before it is closed, so that a number that is remembered is never one that was given out again.
    fn forget(&self) {
        self.number.store(0, Ordering::Release);
    }

    #[allow(unsafe_code)] // A number is all that a child has of what its parent had open.
    fn close_inherited(&self) {
        let number = self.number.swap(0, Ordering::AcqRel) - 1;
        if number < 0 {
            return;
        }
        // SAFETY: it was open when this process was forked. The host may have closed it since: then this is an error, or
        // the number another file's, which is told by its device and inode and left alone.
        let inherited = ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
        let same = inherited.metadata().is_ok_and(|found| {
            (found.dev(), found.ino()) == (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed))
        });
        if same {
            drop(ManuallyDrop::into_inner(inherited));
        }
    }
}

/// Until when a change that begins now waits for other processes.
pub(super) fn deadline() -> Instant {
    Instant::now() + LOCK_WAIT
}

/// Waits for the right to change a registry file.
pub(super) fn lock<'h>(path: &Path, deadline: Instant, held: &'h Held) -> Result<Lock<'h>, Error> {
    let take = |suffix, held| {
        let beside = beside(path, suffix).map_err(|error| error.within(shown(path)))?;
        lock_file(&beside, deadline, held).map_err(|error| error.within(shown(&beside)))
    };
    let _queue = take(".queue", &held.queue)?; // given back to the next that waits once the lock is had
    take(".lock", &held.lock)
}

fn lock_file<'h>(path: &Path, deadline: Instant, held: &'h HeldFile) -> Result<Lock<'h>, Error> {
    let file = private().create(true).truncate(false).open(path).map_err(|error| cannot("open the lock of", &error))?;
    held.remember(&file).map_err(|error| cannot("look at the lock of", &error))?;
    let lock = Lock { file, held };
    loop {
        match lock.file.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let message = "other processes have held the lock for 10 seconds: find them with fuser, and end them";
                return Err(Error::new(ErrorKind::Io, message));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &error)),
        }
    }
}

/// Puts a document in the place of another. If this fails with [`Replaced::No`], the old one is there, untouched.
pub(super) fn replace(path: &Path, json: &[u8], _held: &Lock<'_>) -> Result<Seen, Replaced> {
    let new = beside(path, ".new").map_err(|error| Replaced::No(error.within(shown(path))))?;
    let written = write_new(&new, path, json).and_then(|file| {
        std::fs::rename(&new, path).map_err(|error| cannot("replace", &error))?;
        Ok(file)
    });
    let (file, time) = written.map_err(|error| {
        let _ = std::fs::remove_file(&new); // or the next change removes it
        Replaced::No(error.within(shown(path)))
    })?;
    sync_folder(path).map_err(|error| Replaced::Perhaps(error.within(shown(path))))?;
    let metadata = file.metadata().map_err(|error| Replaced::Perhaps(cannot("look at", &error).within(shown(path))))?;
    // The exact time that it was given tells it from any later change, whose time is that of a tick.
    let is_settled = time.is_some() && metadata.modified().ok() == time;
    Ok(Seen::of(&metadata, is_settled, json))
}

/// How far a replacement came that failed.
#[derive(Debug)]
pub(super) enum Replaced {
    /// The old document is there.
    No(Error),
    /// The new document is there, but the machine may forget it if it stops now.
    Perhaps(Error),
}

/// Makes a registry file that was not there, whole or not at all, and nobody else's to read.
pub(super) fn create(path: &Path, json: &[u8]) -> Result<(), Error> {
    let new = beside(path, ".new").map_err(|error| error.within(shown(path)))?;
    let occupied = || Error::new(ErrorKind::Conflict, "file already exists; open it instead").within(shown(path));
    if path.symlink_metadata().is_ok() {
        return Err(occupied()); // and no lock is left beside it
    }
    let held = Held::default();
    let _lock = lock(path, deadline(), &held)?;
    let make = || -> Result<(), Error> {
        let write = || -> Result<(), Error> {
            let mut file = open_new(&new)?;
            file.write_all(json).map_err(|error| cannot("write", &error))?;
            file.sync_all().map_err(|error| cannot("sync", &error))
        };
        write().map_err(|error| error.within(shown(path)))?;
        // Unlike a rename, a link does not replace what is there.
        std::fs::hard_link(&new, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => occupied(),
            _ => cannot("create", &error).within(shown(path)),
        })?;
        sync_folder(path).map_err(|error| error.within(shown(path)))
    };
    let made = make();
    let _ = std::fs::remove_file(&new); // or the next change removes it
    made
}

/// Writes the file that is to be renamed over the old one, with the old one's mode and group. Gives the time that it was
/// given, too, if it could be.
fn write_new(new: &Path, old: &Path, json: &[u8]) -> Result<(File, Option<SystemTime>), Error> {
    let mut file = open_new(new)?;
    file.write_all(json).map_err(|error| cannot("write", &error))?;
    let before = old.symlink_metadata().map_err(|error| cannot("look at", &error))?;
    // Without the right to give the file to the old one's group, that group's bits would be another's.
    let given = rustix::fs::fchown(&file, None, Some(rustix::fs::Gid::from_raw(before.gid()))).is_ok();
    let mode = before.mode() & if given { 0o755 } else { 0o705 };
    file.set_permissions(PermissionsExt::from_mode(mode)).map_err(|error| cannot("set the mode of", &error))?;
    // A file system need not let times be set.
    let time = later_than(&before).and_then(|time| file.set_modified(time).map(|()| time)).ok();
    file.sync_all().map_err(|error| cannot("sync", &error))?;
    Ok((file, time))
}

fn open_new(new: &Path) -> Result<File, Error> {
    match private().create_new(true).open(new) {
        // Left behind by a process that died: whoever holds the lock may remove it.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(new).map_err(|error| cannot("remove what was left of", &error))?;
            private().create_new(true).open(new)
        }
        opened => opened,
    }
    .map_err(|error| cannot("write beside", &error))
}

/// Now, or a moment after another file was written. Times tell one [`Version`] from another: a clock that ticks slower
/// than changes come, or was set back, could make a file look like one that was read before, whose number it has.
fn later_than(before: &Metadata) -> std::io::Result<SystemTime> {
    const STEP: Duration = Duration::from_micros(1);
    let written = before.modified()?;
    Ok(SystemTime::now().max(written.checked_add(STEP).unwrap_or(written)))
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot("sync the folder of", &error))
}

/// Options for a file that only this user may read, and that is not reached through a link.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// The path of a file beside the registry file.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "this names no file"))?;
    let mut beside = OsString::from(name);
    beside.push(suffix);
    Ok(path.with_file_name(beside))
}

fn shown(path: &Path) -> String {
    format!("{path:?}")
}

fn cannot(what: &str, error: &std::io::Error) -> Error {
    let link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let hint = match error.kind() {
        _ if link => "; a registry that is written must be named by its own path, not by a link",
        std::io::ErrorKind::NotFound => "; check the path, or make a registry with `bpos init`",
        _ => "",
    };
    Error::new(ErrorKind::Io, format!("cannot {what} the registry file: {error}{hint}"))
}
