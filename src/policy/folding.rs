//! The texts of a policy's routes that some routers serve for another segment: `export` for `EXPORT` or `export.json`.

use std::cmp::Ordering;

use super::spelling::decoded;

/// The literal segments that stand side by side in a policy's routes.
///
/// Express ignores case, and Django REST framework and chi's `URLFormat` cut off a suffix, before they look for a route.
/// Where bpos compares what stands there, it would find the route of a parameter beside the literal, and with that
/// perhaps a lesser scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Siblings {
    /// A bit for each byte that a segment can begin with and be one of the texts, or fold to it.
    initials: u64,
    /// How long a segment can be and be one of the texts: all of it percent-encoded.
    longest: usize,
    /// In the order of what they are folded to, then of what stands there.
    texts: Vec<Box<[u8]>>,
}

impl Siblings {
    pub(crate) fn add(&mut self, text: &[u8]) {
        let place = self.texts.binary_search_by(|known| compare(known, text).then((**known).cmp(text)));
        if let Err(place) = place {
            self.texts.insert(place, text.into());
            self.longest = self.longest.max(3 * text.len());
            self.initials |= folded(text).next().map_or(0, initial) | initial(b'%');
        }
    }

    /// Whether a segment that begins with this byte may be one of the texts, or fold to one: seldom, where the texts are
    /// words and the segments numbers. An empty segment begins with 0.
    #[inline]
    pub(crate) fn may_begin_with(&self, first: u8) -> bool {
        self.initials & initial(first) != 0
    }

    /// Whether a segment is one of the texts but for case, or one of them and a suffix after a dot: and not that very
    /// text.
    pub(crate) fn fold(&self, segment: &[u8]) -> bool {
        // What begins a longer suffix is not looked at: a path can be 8,192 bytes of dots.
        let beginning = segment.iter().take(self.longest + 1).enumerate();
        let dots = beginning.filter(|(_, byte)| **byte == b'.').map(|(place, _)| place);
        dots.chain([segment.len()]).filter_map(|end| segment.get(..end)).any(|text| {
            let first = self.texts.partition_point(|known| compare(known, text) == Ordering::Less);
            let alike = self.texts.iter().skip(first).take_while(|known| compare(known, text).is_eq());
            alike.into_iter().any(|known| **known != *segment)
        })
    }
}

/// A bit for a byte of ASCII: one for both cases of a letter, and else hardly ever the same for two.
fn initial(byte: u8) -> u64 {
    1 << (byte & 0x1F | byte >> 1 & 0x20)
}

/// How two texts compare when they are folded.
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
