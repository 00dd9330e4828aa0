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
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;

use crate::document::MAX_BYTES;
use crate::error::{Error, ErrorKind};

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// How long a change waits for other processes' changes.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
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
pub(crate) fn version(path: &Path, follow_links: bool) -> Result<Version, Error> {
    let metadata = if follow_links { path.metadata() } else { path.symlink_metadata() };
    metadata.map(|metadata| Version::of(&metadata)).map_err(|error| cannot("look at", &error).within(shown(path)))
}

/// Reads a registry file, if nobody could have written it but its owner, who is root or this user.
///
/// What is checked is the file that was opened, not the path: it cannot be exchanged in between. A symbolic link is
/// followed only where the file is never to be replaced.
pub(crate) fn read(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Version), Error> {
    read_file(path, follow_links).map_err(|error| error.within(shown(path)))
}

fn read_file(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Version), Error> {
    // A pipe must not hold the host up: without NONBLOCK, opening one waits for its writer.
    let links = if follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot("open", &error))?;
    let metadata = file.metadata().map_err(|error| cannot("look at", &error))?;
    let size = check_owner(&metadata)?;

    let mut json = Vec::new();
    json.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::Limit, format!("no memory for {size} bytes")))?;
    // One byte over the bound shows a file that grew since.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| cannot("read", &error))?;
    Ok((json, Version::of(&metadata)))
}

/// Refuses a file that others may write; gives the size of one that is sound.
fn check_owner(metadata: &Metadata) -> Result<usize, Error> {
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Io, "this is not a regular file; expected a registry document"));
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != 0 && owner != user {
        let message = format!("the file belongs to user {owner}; expected root or this user, {user}: chown it");
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
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not by closing alone: a child that was forked meanwhile holds the same open file, and the lock with it.
        let _ = self.0.unlock(); // closing gives it back too, if this cannot
    }
}

/// Waits for the right to change a registry file.
pub(crate) fn lock(path: &Path) -> Result<Lock, Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    let take = |suffix| {
        let beside = beside(path, suffix).map_err(|error| error.within(shown(path)))?;
        lock_file(&beside, deadline).map_err(|error| error.within(shown(&beside)))
    };
    let _queue = take(".queue")?; // given back to the next that waits once the lock is had
    take(".lock")
}

fn lock_file(path: &Path, deadline: Instant) -> Result<Lock, Error> {
    let file = private().create(true).truncate(false).open(path).map_err(|error| cannot("open the lock of", &error))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
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
pub(crate) fn replace(path: &Path, json: &[u8], _held: &Lock) -> Result<Version, Replaced> {
    let new = beside(path, ".new").map_err(|error| Replaced::No(error.within(shown(path))))?;
    let written = write_new(&new, path, json).and_then(|file| {
        std::fs::rename(&new, path).map_err(|error| cannot("replace", &error))?;
        Ok(file)
    });
    let file = written.map_err(|error| {
        let _ = std::fs::remove_file(&new); // or the next change removes it
        Replaced::No(error.within(shown(path)))
    })?;
    sync_folder(path).map_err(|error| Replaced::Perhaps(error.within(shown(path))))?;
    let metadata = file.metadata().map_err(|error| Replaced::Perhaps(cannot("look at", &error).within(shown(path))))?;
    Ok(Version::of(&metadata))
}

/// How far a replacement came that failed.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// The old document is there.
    No(Error),
    /// The new document is there, but the machine may forget it if it stops now.
    Perhaps(Error),
}

/// Makes a registry file that was not there, whole or not at all, and nobody else's to read.
pub(crate) fn create(path: &Path, json: &[u8]) -> Result<(), Error> {
    let new = beside(path, ".new").map_err(|error| error.within(shown(path)))?;
    let occupied = || Error::new(ErrorKind::Conflict, "there is a file already; open that").within(shown(path));
    if path.symlink_metadata().is_ok() {
        return Err(occupied()); // and no lock is left beside it
    }
    let _held = lock(path)?;
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

/// Writes the file that is to be renamed over the old one, with the old one's mode and group.
fn write_new(new: &Path, old: &Path, json: &[u8]) -> Result<File, Error> {
    let mut file = open_new(new)?;
    file.write_all(json).map_err(|error| cannot("write", &error))?;
    let before = old.symlink_metadata().map_err(|error| cannot("look at", &error))?;
    // Without the right to give the file to the old one's group, that group's bits would be another's.
    let given = rustix::fs::fchown(&file, None, Some(rustix::fs::Gid::from_raw(before.gid()))).is_ok();
    let mode = before.mode() & if given { 0o755 } else { 0o705 };
    file.set_permissions(PermissionsExt::from_mode(mode)).map_err(|error| cannot("set the mode of", &error))?;
    let _ = later_than(&before).and_then(|time| file.set_modified(time)); // a file system need not let times be set
    file.sync_all().map_err(|error| cannot("sync", &error))?;
    Ok(file)
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
