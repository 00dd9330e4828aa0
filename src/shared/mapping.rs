//! The mapped file: a header of one page, and the pieces of memory behind it.
//!
//! | line of 64 bytes | holds |
//! |---|---|
//! | 0 | the [`Stamp`]; its magic word is written last, so a file that was not finished has none |
//! | 1 | the generation, and how often an older document was put in force |
//! | 2 | the intent of the writer |
//! | 3 | the mark: the first piece that was not taken yet |
//! | 4, 5 | the counters |
//! | 6 to 38 | where its anchor was made: see [`super::sweep`] |
//! | 39 to 63 | zeros: room |
//!
//! The size of the file is how much is reserved: it grows by zeros that are appended. Appending is whole, in the order of the
//! kernel, and a death in its midst leaves only what is there. (An interrupted `fallocate` takes back what it covers, even
//! pages that another process has reserved meanwhile.) So memory before the end of the file is there, unless somebody who may
//! write the file cuts it short: that is a SIGBUS.

#![allow(unsafe_code)] // Memory that processes share is mapped, and has no owner in Rust.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use rustix::fs::OFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::sweep;
use crate::error::{Error, ErrorKind};
use crate::sync::atomics::{AtomicU64, Ordering};

/// The size of the header.
pub(super) const HEADER_BYTES: usize = 4_096;

/// The file's least size, and how much is reserved at first; later as much as there is, up to [`MOST_BYTES`] at a time.
const LEAST_BYTES: usize = 64 << 10;
const MOST_BYTES: u64 = 1 << 20;

/// The version of the header, the pieces, the index and the blocks.
pub(super) const LAYOUT: u64 = 1;

const MAGIC: u64 = u64::from_be_bytes(*b"bpos mem");

/// What tells a file of this boot, of this clock and of this registry from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) identity: u128,
    pub(super) boot: u128,
    /// How far this time namespace's CLOCK_BOOTTIME is from the machine's.
    pub(super) clock_offset_ns: i64,
}

/// Device and inode.
pub(super) type FileId = (u64, u64);

pub(super) fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// Who else than the owner may use the files: nobody, or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) group: Option<u32>,
}

impl Access {
    /// What the anchor's mode says, which root or this user has set.
    pub(super) fn of(anchor: &Metadata) -> Self {
        let trusted = [0, rustix::process::geteuid().as_raw()].contains(&anchor.uid());
        Self { group: Some(anchor.gid()).filter(|_| trusted && anchor.mode() & 0o020 != 0) }
    }

    /// Refuses a file that others may have written.
    pub(super) fn check(self, file: &Metadata) -> Result<(), Error> {
        let (owner, mode, user) = (file.uid(), file.mode() & 0o7777, rustix::process::geteuid().as_raw());
        let by_group = self.group == Some(file.gid());
        if !file.is_file() {
            return Err(unfit("it is not a regular file"));
        }
        let refused = |message| Err(Error::new(ErrorKind::Permission, message));
        // Only a member of a group, or root, can give it a file.
        if owner != 0 && owner != user && !(by_group && mode & 0o020 != 0) {
            return refused(format!("it belongs to user {owner}, and this is user {user}"));
        }
        if mode & 0o002 != 0 || (mode & 0o020 != 0 && !by_group) {
            return refused(format!("others may write it (mode {mode:04o})"));
        }
        Ok(())
    }
}

/// What the system could not do.
pub(super) fn failed(what: &str) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(ErrorKind::Io, format!("cannot {what} it: {error}"))
}

/// What cannot be used, and can be started anew if nobody is in.
pub(super) fn unfit(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// An open mapped file.
#[derive(Debug)]
pub(crate) struct Mapping {
    path: PathBuf,
    id: FileId,
    /// `None` only while it is dropped.
    file: Option<File>,
    /// Mapped, and owned.
    header: NonNull<Header>,
}

/// All of it atomics, so that any content is valid.
#[repr(C)]
#[derive(Debug)]
struct Header {
    stamp: [AtomicU64; 8],
    generation: [AtomicU64; 8],
    intent: [AtomicU64; 8],
    mark: [AtomicU64; 8],
    counters: [AtomicU64; COUNTERS],
}

/// How many counters the header has.
pub(crate) const COUNTERS: usize = 16;

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

// SAFETY: the header is atomics that any thread may use, and unmapped by `Drop` alone.
unsafe impl Send for Mapping {}
// SAFETY: likewise.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Makes the file. Nothing is left of it if that fails.
    pub(super) fn create(path: &Path, anchor: &Path, stamp: &Stamp, access: Access) -> Result<Self, Error> {
        let file = options().create_new(true).mode(0o600).open(path);
        let file = file.map_err(failed("make"))?;
        let made = Self::fill(path, file, anchor, stamp, access);
        if made.is_err() {
            let _ = std::fs::remove_file(path);
        }
        made
    }

    fn fill(path: &Path, file: File, anchor: &Path, stamp: &Stamp, access: Access) -> Result<Self, Error> {
        if let Some(group) = access.group {
            fchown(&file, None, Some(group)).map_err(failed("give to the group"))?;
            file.set_permissions(PermissionsExt::from_mode(0o660)).map_err(failed("open to the group"))?;
        }
        // Whatever is written to it is appended.
        let mut content = vec![0; LEAST_BYTES];
        sweep::sign(&mut content, anchor);
        (&file).write_all(&content).map_err(failed("reserve memory for"))?;
        let mapping = Self::of(path, file)?;
        let [magic, others @ ..] = &mapping.header().stamp;
        let [_, values @ ..] = stamp.words();
        for (word, value) in others.iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        magic.store(MAGIC, Ordering::Release);
        Ok(mapping)
    }

    /// Opens the file that was made with this stamp.
    pub(super) fn open(path: &Path, id: FileId, stamp: &Stamp, access: Access) -> Result<Self, Error> {
        let file = options().open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unfit("it is not there"),
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => unfit("it is a link"),
            _ => failed("open")(error),
        })?;
        let metadata = file.metadata().map_err(failed("look at"))?;
        access.check(&metadata)?;
        if file_id(&metadata) != id {
            return Err(unfit("it is another file than the one that was made"));
        }
        if metadata.len() < LEAST_BYTES as u64 {
            return Err(unfit(format!("it has {} bytes: it was cut short", metadata.len())));
        }
        let mapping = Self::of(path, file)?;
        let found: [u64; 8] = mapping.header().stamp.each_ref().map(|word| word.load(Ordering::Acquire));
        stamp.compare(found)?;
        if mapping.end().load(Ordering::Acquire).saturating_mul(64) > metadata.len() - HEADER_BYTES as u64 {
            return Err(unfit("its header is damaged, or it was cut short"));
        }
        Ok(mapping)
    }

    /// The file has the header.
    fn of(path: &Path, file: File) -> Result<Self, Error> {
        let id = file_id(&file.metadata().map_err(failed("look at"))?);
        let header = map(&file, 0, HEADER_BYTES).map_err(failed("map"))?.cast();
        Ok(Self { path: path.to_owned(), id, file: Some(file), header })
    }

    fn header(&self) -> &Header {
        // SAFETY: it is mapped until `Drop`, a page aligned, and atomics can have any content.
        unsafe { self.header.as_ref() }
    }

    /// Moves with every change.
    pub(crate) fn generation(&self) -> &AtomicU64 {
        let [generation, ..] = &self.header().generation;
        generation
    }

    /// How often an older document was put in force.
    pub(crate) fn restored(&self) -> &AtomicU64 {
        let [_, restored, ..] = &self.header().generation;
        restored
    }

    /// What writers are about to do.
    pub(crate) fn intent(&self) -> &[AtomicU64; 8] {
        &self.header().intent
    }

    /// The first piece that was not taken yet.
    pub(super) fn end(&self) -> &AtomicU64 {
        let [end, ..] = &self.header().mark;
        end
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// How many bytes are reserved.
    pub(crate) fn size(&self) -> Option<u64> {
        self.with_file(|_, size| Some(size))
    }

    /// Reserves that many bytes of file, and some more. `None` if the file system has no room.
    pub(super) fn reserve(&self, bytes: u64) -> Option<()> {
        self.with_file(|mut file, mut size| {
            while size < bytes {
                let until = size + size.clamp(LEAST_BYTES as u64, MOST_BYTES);
                while size < until {
                    match file.write(&ZEROS) {
                        Ok(1..) => size = file.metadata().ok()?.len(),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // What there is may do.
                        _ => return (file.metadata().ok()?.len() >= bytes).then_some(()),
                    }
                }
            }
            Some(())
        })
    }

    /// Maps a part of the file, which may reach beyond its end. The caller unmaps it.
    pub(super) fn map(&self, offset: u64, bytes: usize) -> Option<*mut u8> {
        self.with_file(|file, _| map(file, offset, bytes).ok()).map(NonNull::as_ptr)
    }

    /// The open file and its size. A host that becomes a daemon closes all that is open, and may have another file open by the
    /// same number: then the file is opened again, if it is still there.
    fn with_file<R>(&self, act: impl FnOnce(&File, u64) -> Option<R>) -> Option<R> {
        let size_of =
            |file: &File| file.metadata().ok().filter(|found| file_id(found) == self.id).map(|found| found.len());
        let kept = self.file.as_ref()?;
        if let Some(size) = size_of(kept) {
            return act(kept, size);
        }
        let again = options().open(&self.path).ok()?;
        let size = size_of(&again)?;
        act(&again, size)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and nobody borrows it any more.
        unsafe { unmap(self.header.as_ptr().cast(), HEADER_BYTES) };
        let file = self.file.take();
        if file.as_ref().and_then(|file| file.metadata().ok()).is_none_or(|found| file_id(&found) != self.id) {
            mem::forget(file); // the host closed it, and the number may be another file's now
        }
    }
}

/// What is appended at a time: a multiple of it is reserved, or as much as there was room for.
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

fn options() -> OpenOptions {
    let mut options = File::options();
    // Without NONBLOCK, opening a pipe would wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.read(true).append(true).custom_flags(flags.bits().cast_signed());
    options
}

fn map(file: &File, offset: u64, bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a mapping at an address of the kernel's choice touches no memory that is in use.
    let memory =
        unsafe { mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, offset)? };
    NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory.into())
}

/// # Safety
///
/// The memory was mapped with this size, and nobody uses it any more.
pub(super) unsafe fn unmap(memory: *mut u8, bytes: usize) {
    // SAFETY: as the caller promises.
    let _ = unsafe { munmap(memory.cast(), bytes) };
}

impl Stamp {
    /// The first line of the header.
    fn words(&self) -> [u64; 8] {
        let [identity, more_identity] = halves(self.identity);
        let [boot, more_boot] = halves(self.boot);
        let offset = self.clock_offset_ns.cast_unsigned();
        [MAGIC, LAYOUT, boot, more_boot, identity, more_identity, HEADER_BYTES as u64, offset]
    }

    /// Says what is wrong with another one.
    fn compare(&self, found: [u64; 8]) -> Result<(), Error> {
        const SAYS: [&str; 8] = [
            "it is no file of bpos, or was not finished",
            "it has another layout than this version of bpos",
            BOOT,
            BOOT,
            DAMAGED,
            DAMAGED,
            DAMAGED,
            "its times are of another time namespace: the offset of CLOCK_BOOTTIME differs",
        ];
        const BOOT: &str = "it is of another boot";
        const DAMAGED: &str = "its header is damaged";
        let differs = found.iter().zip(self.words()).zip(SAYS).find(|((found, own), _)| **found != *own);
        differs.map_or(Ok(()), |(_, says)| Err(unfit(says)))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "these are the halves")]
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}
