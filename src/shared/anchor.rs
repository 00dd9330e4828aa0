//! The anchor: a small file beside the registry that says which mapped file its processes share, and shows whether any is in.
//!
//! A name made from the registry's path would not do: containers mount one volume at different paths, and have a `/dev/shm` of
//! their own.
//!
//! Every process that is in has a shared lock on the anchor (flock), which the kernel drops when the last one with it has
//! ended, and which a fork inherits. The lock belongs to the open file. That is kept by a mapping that is never read, not by a
//! descriptor: a host that becomes a daemon closes all descriptors.
//!
//! The anchor is made once, and then written in place, never replaced: so all locks are on one inode. Whoever opens it has the
//! registry's own lock, so one at a time reads and writes it. It is written only by one that has the exclusive lock, so nobody
//! is in. A death in the midst leaves a text whose checksum is wrong: the next one that is alone writes it anew. Should
//! somebody remove the anchor, or replace it, while processes are in, [`Anchor::is_in_place`] tells them.

#![allow(unsafe_code)] // A mapping keeps the open file.

use std::ffi::c_void;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::fs::OFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::mapping::{Access, FileId, LAYOUT, failed, file_id, unfit};
use crate::error::Error;

/// What the anchor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) boot: u128,
    pub(super) identity: u128,
    /// How often the shared state was started.
    pub(super) epoch: u64,
    /// The anchor itself: a copy of it says another.
    pub(super) anchor: FileId,
    /// The mapped file; 0 while it is being made.
    pub(super) mapped: FileId,
    /// Where that was made.
    pub(super) path: PathBuf,
}

/// An anchor that is being opened, with its lock.
#[derive(Debug)]
pub(super) struct Opening {
    file: File,
    id: FileId,
    path: PathBuf,
    pub(super) access: Access,
    /// Nobody else is in: the lock is exclusive.
    pub(super) is_alone: bool,
}

/// The anchor of a process that is in. It leaves on drop.
#[derive(Debug)]
pub(super) struct Anchor {
    path: PathBuf,
    id: FileId,
    /// Mapped, never read, and owned.
    memory: *mut c_void,
}

// SAFETY: the memory is never accessed, and unmapped by `Drop` alone.
unsafe impl Send for Anchor {}
// SAFETY: likewise.
unsafe impl Sync for Anchor {}

/// More than any anchor has.
const MOST_BYTES: u64 = 16 << 10;

/// What is mapped: the least that can be.
const PAGE: usize = 4_096;

impl Opening {
    /// Opens the anchor, made if it must be, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("look at"))?;
        let access = Access::of(&metadata);
        access.check(&metadata)?;
        let cannot = failed("lock");
        let is_alone = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        };
        if !is_alone {
            file.try_lock_shared().map_err(|error| cannot(error.into()))?;
        }
        Ok(Self { id: file_id(&metadata), file, path: path.to_owned(), access, is_alone })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what it says; or what is wrong with it.
    pub(super) fn read(&self) -> Result<Record, Error> {
        let mut bytes = Vec::new();
        (&self.file).take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed("read"))?;
        let record = Record::parse(&String::from_utf8_lossy(&bytes))?;
        if record.anchor != self.id {
            return Err(unfit("it is a copy"));
        }
        Ok(record)
    }

    /// Writes it, with its own id. Only for one who is alone.
    pub(super) fn write(&self, record: &mut Record) -> Result<(), Error> {
        debug_assert!(self.is_alone);
        record.anchor = self.id;
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(record.text().as_bytes(), 0));
        written.map_err(failed("write"))
    }

    /// Keeps a shared lock for as long as this process, or one that it forks, is in.
    pub(super) fn enter(self) -> Result<Anchor, Error> {
        let cannot = failed("hold");
        if self.is_alone {
            // Nobody comes in between, who would need the registry's lock.
            self.file.unlock().map_err(&cannot)?;
            self.file.try_lock_shared().map_err(|error| cannot(error.into()))?;
        }
        // SAFETY: a mapping at an address of the kernel's choice touches no memory that is in use.
        let memory = unsafe { mmap(ptr::null_mut(), PAGE, ProtFlags::empty(), MapFlags::PRIVATE, &self.file, 0) };
        Ok(Anchor { path: self.path, id: self.id, memory: memory.map_err(|error| cannot(error.into()))? })
    }
}

impl Anchor {
    /// Whether the anchor is still the one that others will open.
    pub(super) fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| file_id(&found) == self.id)
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and is never accessed.
        let _ = unsafe { munmap(self.memory, PAGE) };
    }
}

const FIRST_LINE: &str = "bpos shared state, layout ";

impl Record {
    fn text(&self) -> String {
        let Self { boot, identity, epoch, anchor, mapped, path } = self;
        let text = format!(
            "{FIRST_LINE}{LAYOUT}\nboot {boot:032x}\nidentity {identity:032x}\nepoch {epoch}\nanchor {} {}\nmapped {} {}\n\
             path {}\n",
            anchor.0,
            anchor.1,
            mapped.0,
            mapped.1,
            path.display()
        );
        format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let damaged = || unfit("it is damaged");
        let mut lines = text.lines();
        let layout = lines.next().and_then(|line| line.strip_prefix(FIRST_LINE)).ok_or_else(damaged)?;
        if layout.parse::<u64>().is_ok_and(|layout| layout != LAYOUT) {
            return Err(unfit(format!("it has layout {layout}, and this version of bpos has {LAYOUT}")));
        }
        let mut member = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let mut record = || {
            let file = |text: &str| text.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            Some(Self {
                boot: u128::from_str_radix(member("boot")?, 16).ok()?,
                identity: u128::from_str_radix(member("identity")?, 16).ok()?,
                epoch: member("epoch")?.parse().ok()?,
                anchor: file(member("anchor")?)?,
                mapped: file(member("mapped")?)?,
                path: member("path")?.into(),
            })
        };
        record().filter(|record| record.text() == text).ok_or_else(damaged)
    }
}
