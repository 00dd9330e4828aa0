//! Mapped files whose registries are gone: removed by whoever starts another, or they would fill the memory until the next
//! boot.
//!
//! A mapped file says where its anchor was made, and in which mount namespace. It is removed by a process of the same
//! namespace, and the same user, that finds no anchor there: nobody else can find the file, and those who have it mapped keep
//! it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Where in the header: behind the lines that have other uses. Eight bytes, and the path padded with zeros.
const AT: usize = 6 * 64;
const BYTES: usize = 8 + 2_048;

/// How many files of a folder are looked at.
const MOST: usize = 10_000;

/// Notes in the content of a new mapped file where its anchor is. A path that is too long is not noted, so that file is never
/// removed.
pub(super) fn sign(content: &mut [u8], anchor: &Path) {
    let path = anchor.as_os_str().as_bytes();
    if let Some(namespace) = mount_namespace().filter(|_| path.len() < BYTES - 8) {
        let bytes = namespace.to_le_bytes().into_iter().chain(path.iter().copied());
        content.iter_mut().skip(AT).zip(bytes).for_each(|(byte, value)| *byte = value);
    }
}

/// Removes the files in a folder whose anchors are gone. `is_ours` tells the names of mapped files.
pub(super) fn sweep(folder: &Path, is_ours: impl Fn(&OsStr) -> bool) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_ours(&entry.file_name())).take(MOST) {
        if is_orphan(&entry.path()) {
            let _ = fs::remove_file(entry.path()); // or another process was faster
        }
    }
}

fn is_orphan(path: &Path) -> bool {
    let mut signature = [0; BYTES];
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let read = File::options().read(true).custom_flags(flags).open(path).and_then(|file| {
        let owner = file.metadata()?.uid();
        file.read_exact_at(&mut signature, AT as u64).map(|()| owner)
    });
    let (namespace, anchor) = signature.split_at(8);
    let anchor = anchor.split(|byte| *byte == 0).next().unwrap_or_default();
    read.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
        && mount_namespace().is_some_and(|own| own.to_le_bytes() == namespace)
        && anchor.starts_with(b"/")
        && fs::symlink_metadata(OsStr::from_bytes(anchor)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The number of this process's mount namespace.
fn mount_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/mnt").ok().map(|namespace| namespace.ino())
}
