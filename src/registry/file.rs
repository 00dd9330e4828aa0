//! The registry file: who may own it, how it is read, and how a change to it survives a crash.
//!
//! A change writes a whole new document to a file beside the old one, syncs it, renames it over the old one and syncs the
//! folder, so that after a power failure there is the old document or the new one, never a mixture. A failed sync is not
//! retried on the same file: the kernel may have dropped the pages that it could not write.
//!
//! Writers take turns by an advisory lock on `NAME.lock`, which is never removed: a lock on the registry file itself would
//! be lost with each rename. A writer that waits for it holds `NAME.queue`, so that one that makes many changes cannot
//! starve another that revokes a key.

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
    /// The SHA-256 of the content of a file so new that a later change may have the same version.
    content: Option<[u8; 32]>,
}

impl Seen {
    fn of(metadata: &Metadata, is_settled: bool, json: &[u8]) -> Self {
        Self { version: version_of(metadata), content: (!is_settled).then(|| Sha256::digest(json).into()) }
    }

    /// Whether the file at a path has another version: one system call.
    pub(super) fn is_outdated(&self, path: &Path, follow_links: bool) -> Result<bool, Error> {
        let metadata = if follow_links { path.metadata() } else { path.symlink_metadata() };
        let metadata = metadata.map_err(|error| in_file(path)(cannot("look at", &error)))?;
        Ok(self.version != version_of(&metadata))
    }

    /// Whether the version alone tells it from a later one.
    pub(super) fn is_settled(&self) -> bool {
        self.content.is_none()
    }

    /// Whether a file that was read again is the same.
    pub(super) fn is(&self, json: &[u8]) -> bool {
        self.content.is_some_and(|content| content == <[u8; 32]>::from(Sha256::digest(json)))
    }
}

/// What tells versions of a file apart without reading it: device, inode, size, mtime and ctime.
type Version = (u64, u64, u64, [i64; 4]);

fn version_of(file: &Metadata) -> Version {
    (file.dev(), file.ino(), file.size(), [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()])
}

/// Reads a registry file that only its owner, root or this user, can have written.
///
/// The file is checked after it was opened, so it cannot be swapped in between. A symbolic link is followed only where
/// the file is never to be replaced.
pub(super) fn read(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Seen), Error> {
    read_file(path, follow_links).map_err(in_file(path))
}

fn read_file(path: &Path, follow_links: bool) -> Result<(Vec<u8>, Seen), Error> {
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let links = if follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | links).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| cannot("open", &error))?;
    let metadata = file.metadata().map_err(|error| cannot("look at", &error))?;
    let is_settled = is_settled(&metadata, SystemTime::now());
    let size = check_owner(&metadata)?;

    let mut json = Vec::new();
    json.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::Limit, format!("no memory for {size} bytes")))?;
    // One byte over the bound shows that the file grew.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| cannot("read", &error))?;
    let seen = Seen::of(&metadata, is_settled, &json);
    Ok((json, seen))
}

/// Whether every later change to a file will show in its times: file systems stamp them from a clock that ticks some
/// hundred times a second, or in whole seconds.
fn is_settled(metadata: &Metadata, now: SystemTime) -> bool {
    const TICK: Duration = Duration::from_millis(20);
    const COARSE: Duration = Duration::from_secs(2);
    let grain = if metadata.ctime_nsec() == 0 { COARSE } else { TICK };
    let changed = u64::try_from(metadata.ctime()).ok().zip(u32::try_from(metadata.ctime_nsec()).ok());
    let age = changed.and_then(|(s, ns)| now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(s, ns)).ok());
    age.is_some_and(|age| age > grain)
}

/// Refuses a file that others may write; returns the size.
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

/// The lock of a registry file, among processes. Released on drop.
#[derive(Debug)]
pub(super) struct Lock<'h> {
    file: File,
    held: &'h HeldFile,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.held.forget();
        // Closing is not enough: a child forked meanwhile has the same open file, and the lock with it.
        let _ = self.file.unlock();
    }
}

/// The lock files that a change has open. A child forked meanwhile inherits them, and would keep the lock if its parent
/// died during the change.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: HeldFile,
    lock: HeldFile,
}

impl Held {
    /// In a child: closes the inherited files. The parent keeps the lock.
    pub(super) fn close_inherited(&self) {
        self.queue.close_inherited();
        self.lock.close_inherited();
    }
}

/// An open file, or none: its descriptor plus one, and which file it is.
#[derive(Debug, Default)]
struct HeldFile {
    descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl HeldFile {
    fn remember(&self, file: &File) -> std::io::Result<()> {
        let metadata = file.metadata()?;
        self.device.store(metadata.dev(), Ordering::Relaxed);
        self.inode.store(metadata.ino(), Ordering::Relaxed);
        self.descriptor.store(file.as_raw_fd() + 1, Ordering::Release);
        Ok(())
    }

    /// To be called before the file is closed, so that a remembered descriptor was never reused.
    fn forget(&self) {
        self.descriptor.store(0, Ordering::Release);
    }

    #[allow(unsafe_code)] // A child has only the descriptor of what its parent opened.
    fn close_inherited(&self) {
        let descriptor = self.descriptor.swap(0, Ordering::AcqRel) - 1;
        if descriptor < 0 {
            return;
        }
        // SAFETY: it was open when this process was forked. If the host closed it since, this fails, or the descriptor is
        // another file's, which device and inode tell, and which is left alone.
        let inherited = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
        let same = inherited.metadata().is_ok_and(|found| {
            (found.dev(), found.ino()) == (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed))
        });
        if same {
            drop(ManuallyDrop::into_inner(inherited));
        }
    }
}

/// How long a change that begins now waits for other processes.
pub(super) fn deadline() -> Instant {
    Instant::now() + LOCK_WAIT
}

/// Waits for the lock of a registry file.
pub(super) fn lock<'h>(path: &Path, deadline: Instant, held: &'h Held) -> Result<Lock<'h>, Error> {
    let take = |suffix, held| {
        let beside = beside(path, suffix)?;
        lock_file(&beside, deadline, held).map_err(in_file(&beside))
    };
    let _queue = take(".queue", &held.queue)?; // released to the next in line once the lock is held
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

/// Replaces the document. After [`Replaced::No`] the old one is untouched.
pub(super) fn replace(path: &Path, json: &[u8], _held: &Lock<'_>) -> Result<Seen, Replaced> {
    let new = beside(path, ".new").map_err(Replaced::No)?;
    let written = write_new(&new, path, json).and_then(|file| {
        std::fs::rename(&new, path).map_err(|error| cannot("replace", &error))?;
        Ok(file)
    });
    let (file, time) = written.map_err(|error| {
        let _ = std::fs::remove_file(&new); // or the next change removes it
        Replaced::No(in_file(path)(error))
    })?;
    let perhaps = |error| Replaced::Perhaps(in_file(path)(error));
    sync_folder(path).map_err(perhaps)?;
    let metadata = file.metadata().map_err(|error| perhaps(cannot("look at", &error)))?;
    // A time that was set exactly differs from that of any later change, which is a tick's.
    let is_settled = time.is_some() && metadata.modified().ok() == time;
    Ok(Seen::of(&metadata, is_settled, json))
}

/// How far a failed replacement got.
#[derive(Debug)]
pub(super) enum Replaced {
    /// The old document is there.
    No(Error),
    /// The new document is there, but may be lost if the machine stops now.
    Perhaps(Error),
}

/// Creates a registry file that only this user may read, whole or not at all.
pub(super) fn create(path: &Path, json: &[u8]) -> Result<(), Error> {
    let new = beside(path, ".new")?;
    let occupied = || Error::new(ErrorKind::Conflict, "file already exists; open it instead");
    if path.symlink_metadata().is_ok() {
        return Err(in_file(path)(occupied())); // and no lock file is left beside it
    }
    let held = Held::default();
    let _lock = lock(path, deadline(), &held)?;
    let make = || -> Result<(), Error> {
        let mut file = open_new(&new)?;
        file.write_all(json).map_err(|error| cannot("write", &error))?;
        file.sync_all().map_err(|error| cannot("sync", &error))?;
        // Unlike a rename, a link does not replace what is there.
        std::fs::hard_link(&new, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => occupied(),
            _ => cannot("create", &error),
        })?;
        sync_folder(path)
    };
    let made = make().map_err(in_file(path));
    let _ = std::fs::remove_file(&new); // or the next change removes it
    made
}

/// Writes the file that is to replace the old one, with the old one's mode and group. Returns its modification time too,
/// if that could be set.
fn write_new(new: &Path, old: &Path, json: &[u8]) -> Result<(File, Option<SystemTime>), Error> {
    let mut file = open_new(new)?;
    file.write_all(json).map_err(|error| cannot("write", &error))?;
    let before = old.symlink_metadata().map_err(|error| cannot("look at", &error))?;
    // If the group cannot be set, the group's permissions would go to another group.
    let given = rustix::fs::fchown(&file, None, Some(rustix::fs::Gid::from_raw(before.gid()))).is_ok();
    let mode = before.mode() & if given { 0o755 } else { 0o705 };
    file.set_permissions(PermissionsExt::from_mode(mode)).map_err(|error| cannot("set the mode of", &error))?;
    // Not every file system lets times be set.
    let time = later_than(&before).and_then(|time| file.set_modified(time).map(|()| time)).ok();
    file.sync_all().map_err(|error| cannot("sync", &error))?;
    Ok((file, time))
}

fn open_new(new: &Path) -> Result<File, Error> {
    match private().create_new(true).open(new) {
        // Left behind by a process that died. The lock is held, so it can be removed.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(new).map_err(|error| cannot("remove what was left of", &error))?;
            private().create_new(true).open(new)
        }
        opened => opened,
    }
    .map_err(|error| cannot("write beside", &error))
}

/// Now, or just after the other file's time: a coarse clock, or one that was set back, could make two versions look alike.
fn later_than(before: &Metadata) -> std::io::Result<SystemTime> {
    const STEP: Duration = Duration::from_micros(1);
    let written = before.modified()?;
    Ok(SystemTime::now().max(written.checked_add(STEP).unwrap_or(written)))
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot("sync the folder of", &error))
}

/// Options for a file that only this user may read; follows no link.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// The path of a file beside the registry file.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let name =
        path.file_name().ok_or_else(|| in_file(path)(Error::new(ErrorKind::InvalidArgument, "this names no file")))?;
    let mut beside = OsString::from(name);
    beside.push(suffix);
    Ok(path.with_file_name(beside))
}

fn in_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| error.within(format_args!("{path:?}"))
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
