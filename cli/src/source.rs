//! Files and standard input, read up to the size of the largest document.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use crate::failure::{Failure, Outcome};

/// 1 GiB, and one byte more, which tells the library that the document is too large.
const MAX_BYTES: u64 = (1 << 30) + 1;

/// All of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    read.map_err(Failure::io(format_args!("{path:?}")))?;
    Ok(bytes)
}
