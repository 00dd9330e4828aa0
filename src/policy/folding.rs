//! The literals of a policy's routes that some routers match with another segment: `export` with `EXPORT` or
//! `export.json`.

use std::cmp::Ordering;

use super::spelling::{Alike, decoded};

/// The literals that are siblings in a policy's routes.
///
/// Express ignores case, and Django REST framework and chi's `URLFormat` cut off a suffix, before they look for a route.
/// Compared as it stands, the segment would match the route of a parameter instead, perhaps with a lesser scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Siblings {
    /// A bit for each byte that a segment equal or folding to one of the texts can begin with.
    initials: u64,
    /// The longest such segment: all of it percent-encoded.
    longest: usize,
    texts: Alike,
}

impl Siblings {
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.texts.add(text, compare);
        self.longest = self.longest.max(3 * text.len());
        self.initials |= folded(text).next().map_or(0, initial) | initial(b'%');
    }

    /// Whether a segment that begins with this byte (0 if empty) may be one of the texts or fold to one: seldom, where the
    /// texts are words and the segments numbers.
    #[inline]
    pub(crate) fn may_begin_with(&self, first: u8) -> bool {
        self.initials & initial(first) != 0
    }

    /// Whether a segment folds to one of the texts, by case or by a suffix after a dot, and is not that very text.
    pub(crate) fn fold(&self, segment: &[u8]) -> bool {
        // Bounded, since a path can be 8,192 bytes of dots.
        let beginning = segment.iter().take(self.longest + 1).enumerate();
        let dots = beginning.filter(|(_, byte)| **byte == b'.').map(|(place, _)| place);
        let mut texts = dots.chain([segment.len()]).filter_map(|end| segment.get(..end));
        texts.any(|text| self.texts.has_other(text, segment, compare))
    }
}

/// A bit for a byte of ASCII: the same for both cases of a letter, and hardly ever for two other bytes.
fn initial(byte: u8) -> u64 {
    1 << (byte & 0x1F | byte >> 1 & 0x20)
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    folded(one).cmp(folded(other))
}

fn folded(text: &[u8]) -> impl Iterator<Item = u8> {
    decoded(text).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(segment: &str) -> bool {
        let mut siblings = Siblings::default();
        for text in ["export", "all:export", "@me", "@@", "report", "report.json", "Bulk", "bulk", "caf%C3%A9", "v1"] {
            siblings.add(text.as_bytes());
        }
        siblings.fold(segment.as_bytes())
    }

    #[test]
    fn another_case_and_a_suffix_are_folded() {
        for segment in [
            "EXPORT",
            "exporT",
            "export.json",
            "export.",
            "export.tar.gz",
            "Export.JSON",
            "ALL:EXPORT",
            "All%3Aexport",
            "all%3aexport.json",
            "%40ME",
            "%40me.json",
            "%40%40.json",
            "export.........................................",
            "REPORT",
            "report.xml",
            "report.json", // beside "report"
            "Report.json",
            "report.json.gz",
            "bulk", // beside "Bulk"
            "Bulk",
            "BULK",
            "CAF%c3%a9",
            "V1",
            "v1.2",
        ] {
            assert!(folds(segment), "{segment}");
        }
    }

    #[test]
    fn whatever_folds_to_a_text_may_begin_it() {
        for text in 0x21..0x7F_u8 {
            let mut siblings = Siblings::default();
            siblings.add(&[text]);
            for first in [text.to_ascii_lowercase(), text.to_ascii_uppercase(), text, b'%'] {
                assert!(siblings.may_begin_with(first), "{first:?} for {text:?}");
            }
            assert!(!siblings.may_begin_with(0));
        }
        let mut siblings = Siblings::default();
        siblings.add(b"p0");
        assert!(!siblings.may_begin_with(b'0'));
        assert!(!Siblings::default().may_begin_with(b'%'));
    }

    #[test]
    fn a_text_itself_and_other_texts_are_not() {
        for segment in [
            "export",
            "all:export",
            "exports",
            "expor",
            "export-json",
            "17",
            "17.json",
            ".export",
            "",
            ".",
            "%40you",
            "x",
        ] {
            assert!(!folds(segment), "{segment}");
        }
    }
}
