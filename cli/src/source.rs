//! Files and standard input, read up to the largest document there is.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use crate::failure::{Exit, Failure, Outcome};

/// 1 GiB, and a byte by which the library sees that there is more.
const MAX_BYTES: u64 = (1 << 30) + 1;

/// All of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::new(Exit::Io, format!("{path:?}: {error}")))?;
    Ok(bytes)
}
