//! Masks keys in text that comes in pieces.

use super::masking::{Found, Run, Start, key_at, mask, run_at};

/// Masks every key in text that comes in pieces, like [`redact_in_place`](crate::redact_in_place), wherever it was cut. Takes
/// linear time and holds back less than a hundred bytes.
///
/// ```
/// let (mut redactor, mut masked) = (bpos::Redactor::default(), Vec::new());
/// let mut keys = 0;
/// for piece in ["GET /?k=bp", "os_abcdEFGH0123", "456789 200"] {
///     keys += redactor.push(piece.as_bytes(), &mut masked);
/// }
/// redactor.finish(&mut masked);
/// assert_eq!((&masked[..], keys), (&b"GET /?k=bpos_abcd************** 200"[..], 1));
/// ```
#[derive(Default)]
#[must_use = "what is held back is passed on by `finish`"]
pub struct Redactor {
    /// The undecided end of the text: perhaps the beginning of a key, or of a percent-encoding in one.
    held: Vec<u8>,
    /// Whether it continues a key whose hint was passed on.
    within: bool,
}

impl Redactor {
    /// Takes a piece and appends what is decided to `masked`. Returns how many keys began in that.
    pub fn push(&mut self, piece: &[u8], masked: &mut Vec<u8>) -> usize {
        let begin = masked.len();
        masked.append(&mut self.held);
        masked.extend_from_slice(piece);
        let (keys, sure) = self.mask(masked.get_mut(begin..).unwrap_or_default());
        self.held = masked.split_off(begin + sure);
        keys
    }

    /// Appends the last of the text, in which no key began.
    pub fn finish(mut self, masked: &mut Vec<u8>) {
        if self.within {
            let end = run_at(&self.held, 0).end;
            mask(&mut self.held, 0, end);
        }
        masked.append(&mut self.held);
    }

    /// Masks the decided part of a text. Returns how many keys began in it, and its length.
    fn mask(&mut self, text: &mut [u8]) -> (usize, usize) {
        let mut found = Vec::new();
        let mut sure = text.len();
        for start in 0..text.len() {
            match key_at(text, start) {
                Start::Nothing => {}
                Start::Key(key) => found.push(key),
                Start::Unsure => {
                    sure = start;
                    break;
                }
            }
        }
        let keys = found.len();
        if self.within {
            let Run { end, open, .. } = run_at(text, 0);
            found.push(Found { hint_end: 0, end, open });
        }
        self.within = found.iter().any(|key| key.open || key.end > sure);
        for Found { hint_end, end, .. } in found {
            mask(text, hint_end, end.min(sure));
        }
        (keys, sure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A text as the pieces of it are masked, and the most that was held back.
    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, usize, usize) {
        let (mut redactor, mut masked) = (Redactor::default(), Vec::new());
        let (mut keys, mut held) = (0, 0);
        for piece in pieces {
            keys += redactor.push(piece, &mut masked);
            held = held.max(redactor.held.len());
        }
        redactor.finish(&mut masked);
        (masked, keys, held)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// However a text is cut, the same is masked as in one piece.
        #[test]
        fn pieces_are_masked_as_the_whole_text(
            text in "(%|6|2|%4b|b|p|os|%5F|_|bpos_|[a-f0-9]{14,16}|[A-Z]{1,200}|%4[1-5]|-|\n|\\PC){0,16}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut expected = text.clone().into_bytes();
            let keys = crate::redact_in_place(&mut expected);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([text.len()]);
            let pieces = [0].into_iter().chain(cuts.iter().copied()).zip(ends).map(|(from, to)| &text.as_bytes()[from..to]);
            let (masked, found, held) = in_pieces(pieces);
            prop_assert_eq!((masked, found), (expected.clone(), keys));
            prop_assert!(held < 100, "{} bytes were held back", held);

            let (masked, found, held) = in_pieces(text.as_bytes().chunks(1));
            prop_assert_eq!((masked, found), (expected, keys));
            prop_assert!(held < 100, "{} bytes were held back", held);
        }
    }

    /// The most that can be held back: all of a key that is one character short of one, percent-encoded.
    #[test]
    fn little_is_held_back() {
        let short: String =
            "bpos_123456789012345".chars().map(|letter| format!("%{:02x}", u32::from(letter))).collect();
        let (masked, keys, held) = in_pieces([short.as_bytes(), b"%3", b"6"]);
        assert_eq!((masked.len(), keys, held), (short.len() + 3, 1, short.len() + 2));
        let letters = b"x".repeat(1 << 20);
        let (_, keys, held) = in_pieces([&letters[..]; 8]);
        assert_eq!((keys, held), (0, 0));
        let (masked, keys, held) = in_pieces([&b"bpos_"[..]].into_iter().chain([&letters[..]; 8]));
        assert_eq!((keys, held), (1, 5));
        assert!(masked.starts_with(b"bpos_xxxx*") && masked.iter().skip(9).all(|byte| *byte == b'*'));
    }
}
