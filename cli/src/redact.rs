//! `bpos redact`: masks keys in what passes through.

use std::io::{ErrorKind, Read, Write, stdin, stdout};

use crate::failure::{Exit, Failure, Outcome};
use crate::output::tell;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// A line that is longer is passed on in pieces, cut where no key can be.
const LONG_LINE: usize = 1024 * 1024;

pub(crate) fn run(json: bool) -> Outcome {
    let keys = match filter(&mut stdin().lock(), &mut stdout().lock()) {
        // A reader that has seen enough and went away is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        filtered => filtered.map_err(|error| Failure::new(Exit::Io, format!("standard input or output: {error}")))?,
    };
    if json {
        tell(&format!("{{\"redacted\":{keys}}}"));
    }
    Ok(())
}

/// Copies a text with its keys masked, each line as soon as it is whole. Says how many keys there were.
fn filter(input: &mut impl Read, output: &mut impl Write) -> std::io::Result<usize> {
    let (mut held, mut keys) = (Vec::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match input.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        held.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let whole = if read == 0 { held.len() } else { sure_end(&held, read) };
        if let Some(lines) = held.get_mut(..whole).filter(|lines| !lines.is_empty()) {
            keys += bpos::redact_in_place(lines);
            output.write_all(lines)?;
            output.flush()?;
            held.drain(..whole);
        }
        if read == 0 {
            return Ok(keys);
        }
    }
}

/// Up to where no key can go on in what is still to come: the last line break or, in a long line, the last character
/// that no key has. Only what was just read need be looked at.
fn sure_end(held: &[u8], fresh: usize) -> usize {
    let of_a_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%');
    let new = held.len() - fresh;
    let last = |wanted: &dyn Fn(&u8) -> bool, from: usize| {
        held.get(from..).and_then(|part| part.iter().rposition(wanted)).map(|at| from + at + 1)
    };
    match last(&|byte| *byte == b'\n', new) {
        Some(end) => end,
        None if held.len() > LONG_LINE => last(&|byte| !of_a_key(byte), 0).unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands its text out in pieces of one size.
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
        let text = b"GET /?k=bpos_abcdEFGH0123456789 \xff\xfe\nbpos%5FabcdEFGH0123456789 and bpos_short\nlast bpos_abcdEFGH01234567";
        let expected = b"GET /?k=bpos_abcd************** \xff\xfe\nbpos%5Fabcd************** and bpos_short\nlast bpos_abcd************";
        for size in 1..=text.len() {
            assert_eq!(filtered(text, size), (expected.to_vec(), 3), "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_passed_on_in_pieces() {
        let mut text = b"words and ".repeat(150_000);
        text.extend_from_slice(b"bpos_abcdEFGH0123456789");
        let (output, keys) = filtered(&text, CHUNK);
        assert_eq!((output.len(), keys), (text.len(), 1));
        assert!(output.ends_with(b"words and bpos_abcd**************"));
    }
}
