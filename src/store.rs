//! The registry file: who may own it, and how it is read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::document::MAX_BYTES;
use crate::error::{Error, ErrorKind};

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Reads a registry file, if nobody could have written it but its owner, who is root or this user.
///
/// What is checked is the file that was opened, not the path: it cannot be exchanged in between. A symbolic link is
/// followed only where the file is never to be replaced.
pub(crate) fn read(path: &Path, follow_links: bool) -> Result<Vec<u8>, Error> {
    read_file(path, follow_links).map_err(|error| error.within(format_args!("{path:?}")))
}

fn read_file(path: &Path, follow_links: bool) -> Result<Vec<u8>, Error> {
    // A pipe must not hold the host up: without NONBLOCK, opening one waits for its writer.
    let links = if follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot("open", &error))?;
    let size = check_owner(&file)?;

    let mut json = Vec::new();
    json.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::Limit, format!("no memory for {size} bytes")))?;
    // One byte over the bound shows a file that grew since.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| cannot("read", &error))?;
    Ok(json)
}

/// Refuses a file that others may write; gives the size of one that is sound.
fn check_owner(file: &File) -> Result<usize, Error> {
    let metadata = file.metadata().map_err(|error| cannot("look at", &error))?;
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

fn cannot(what: &str, error: &std::io::Error) -> Error {
    let link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let hint = if link { "; a registry that is written must be named by its own path, not by a link" } else { "" };
    Error::new(ErrorKind::Io, format!("cannot {what} the registry file: {error}{hint}"))
}
