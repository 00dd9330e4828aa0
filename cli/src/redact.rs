//! `bpos redact`: masks the keys in standard input.

use std::io::{ErrorKind, Read, Write, stdin, stdout};

use bpos::Redactor;

use crate::failure::{Failure, Outcome};
use crate::output::tell;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

pub(crate) fn run(json: bool) -> Outcome {
    let keys = match filter(&mut stdin().lock(), &mut stdout().lock()) {
        // A reader that has seen enough and is gone is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        filtered => filtered.map_err(Failure::io("standard input or output"))?,
    };
    if json {
        tell(&format!("{{\"redacted\":{keys}}}"));
    }
    Ok(())
}

/// Copies a text with its keys masked, and counts them. Only what may be the start of a key is held back.
fn filter(input: &mut impl Read, output: &mut impl Write) -> std::io::Result<usize> {
    let (mut redactor, mut keys) = (Redactor::default(), 0);
    let (mut chunk, mut masked) = (vec![0; CHUNK], Vec::new());
    loop {
        let read = match input.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            redactor.finish(&mut masked);
            output.write_all(&masked)?;
            output.flush()?;
            return Ok(keys);
        }
        keys += redactor.push(chunk.get(..read).unwrap_or_default(), &mut masked);
        output.write_all(&masked)?;
        output.flush()?;
        masked.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Yields its text in pieces of one size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let size = self.1.min(self.0.len()).min(buffer.len());
            let (piece, rest) = self.0.split_at(size);
            buffer[..size].copy_from_slice(piece);
            self.0 = rest;
            Ok(size)
        }
    }

    fn filtered(text: &[u8], size: usize) -> (Vec<u8>, usize) {
        let mut output = Vec::new();
        let keys = filter(&mut Pieces(text, size), &mut output).unwrap();
        (output, keys)
    }

    #[test]
    fn a_key_is_masked_however_it_arrives() {
        let text = b"GET /?k=bpos_abcdEFGH0123456789 \xff\xfe\nbpos%5FabcdEFGH0123%345678%39 and bpos_short\nlast bpos_abcdEFGH01234567";
        let expected = b"GET /?k=bpos_abcd************** \xff\xfe\nbpos%5Fabcd****************** and bpos_short\nlast bpos_abcd************";
        for size in 1..=text.len() {
            assert_eq!(filtered(text, size), (expected.to_vec(), 3), "pieces of {size}");
        }
    }

    /// Text without separators, of which all but a little must be written before more is read.
    struct Run<'a> {
        text: &'a [u8],
        pieces: usize,
        behind: &'a Cell<usize>,
    }

    impl Read for Run<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            assert!(self.behind.get() < 100, "{} bytes were not passed on", self.behind.get());
            if self.pieces == 0 {
                return Ok(0);
            }
            self.pieces -= 1;
            buffer.iter_mut().zip(self.text.iter().cycle()).for_each(|(byte, next)| *byte = *next);
            self.behind.set(self.behind.get() + buffer.len());
            Ok(buffer.len())
        }
    }

    struct Passed<'a>(&'a Cell<usize>);

    impl Write for Passed<'_> {
        fn write(&mut self, written: &[u8]) -> std::io::Result<usize> {
            self.0.set(self.0.get() - written.len());
            Ok(written.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Each byte is looked at only a few times, and few are held back, however long a line or a word is.
    #[test]
    fn a_run_without_separators_is_passed_on_as_it_comes() {
        for (text, keys) in [("x", 0), ("b", 0), ("%41", 0), ("%", 0), ("bpos", 0), ("bpos_abcdefghijklmno_", 0)] {
            let behind = Cell::new(0);
            let mut input = Run { text: text.as_bytes(), pieces: 128, behind: &behind };
            assert_eq!(filter(&mut input, &mut Passed(&behind)).unwrap(), keys, "{text}");
            assert_eq!(behind.get(), 0, "{text}");
        }
        let text = [&b"bpos_"[..], &b"x".repeat(8 << 20)].concat();
        let (output, keys) = filtered(&text, CHUNK);
        assert_eq!((output.len(), keys), (text.len(), 1));
        assert!(output.starts_with(b"bpos_xxxx*") && output.iter().skip(9).all(|byte| *byte == b'*'));
    }
}
