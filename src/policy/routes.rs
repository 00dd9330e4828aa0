//! The routes: a tree of path segments, searched without allocation.

use std::cmp::Ordering;

use super::folding::Siblings;

/// A tree whose branches are path segments, literals or a parameter, with a value where a path ends.
#[derive(Debug, Clone)]
pub(crate) struct Routes<T> {
    /// Sorted by name.
    literals: Vec<(Name, Routes<T>)>,
    /// The literals again, for segments that only some routers match with one.
    siblings: Siblings,
    parameter: Option<Box<Routes<T>>>,
    value: Option<T>,
}

/// Complete [`Routes`], without the segments that all paths begin with.
#[derive(Debug, Clone)]
pub(crate) struct Tree<T> {
    /// Such as `api/v1/`: each segment with the slash behind it.
    trunk: Box<[u8]>,
    branches: Routes<T>,
}

impl<T> Tree<T> {
    pub(crate) fn new(mut routes: Routes<T>) -> Self {
        let mut trunk = Vec::new();
        while routes.parameter.is_none() && routes.value.is_none() && routes.literals.len() == 1 {
            let Some((name, below)) = routes.literals.pop() else { break };
            if below.value.is_some() {
                routes.literals.push((name, below)); // a path ends here, without a slash behind it
                break;
            }
            trunk.extend_from_slice(&name.text);
            trunk.push(b'/');
            routes = below;
        }
        Self { trunk: trunk.into(), branches: routes }
    }

    /// The value for a path without its leading slash; `None` also if some router might find another.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&T> {
        self.branches.find(path.strip_prefix(&*self.trunk)?).ok()?
    }
}

/// A literal segment; short ones compare as one number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    /// The first eight bytes, padded with zeros.
    start: u64,
    length: usize,
    text: Box<[u8]>,
}

const START: usize = size_of::<u64>();

/// The path has a segment that some routers match with a literal instead of the parameter.
struct Folds;

/// A segment of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Literal(&'a [u8]),
    /// Any one segment that is not empty.
    Parameter,
}

impl<T> Routes<T> {
    pub(crate) fn new() -> Self {
        Self { literals: Vec::new(), siblings: Siblings::default(), parameter: None, value: None }
    }

    /// The value at this path, made if there is none.
    pub(crate) fn entry<'a>(
        &mut self,
        mut segments: impl Iterator<Item = Segment<'a>>,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        match segments.next() {
            None => self.value.get_or_insert_with(make),
            Some(Segment::Parameter) => {
                self.parameter.get_or_insert_with(|| Box::new(Self::new())).entry(segments, make)
            }
            Some(Segment::Literal(text)) => self.literal(text).entry(segments, make),
        }
    }

    fn literal(&mut self, text: &[u8]) -> &mut Self {
        let place = self.search(cut(text).start, text).unwrap_or_else(|place| {
            let name = Name { start: cut(text).start, length: text.len(), text: text.into() };
            self.literals.insert(place, (name, Self::new()));
            self.siblings.add(text);
            place
        });
        #[expect(clippy::indexing_slicing, reason = "found or inserted there")]
        &mut self.literals[place].1
    }

    /// The value for a path without its leading slash. A literal is tried before a parameter.
    ///
    /// A segment that folds to a literal ends the whole search, not only this branch: `/orders/export/X` must not match
    /// `/orders/{id}/{part}` where a router serves `/orders/export/x`.
    fn find(&self, path: &[u8]) -> Result<Option<&T>, Folds> {
        let Cut { start, segment, rest } = cut(path);
        #[expect(clippy::cast_possible_truncation, reason = "the first byte is wanted")]
        if self.siblings.may_begin_with(start as u8) {
            let literal = self.search(start, segment).ok().and_then(|place| self.literals.get(place));
            if let Some((_, node)) = literal
                && let Some(value) = node.below(rest)?
            {
                return Ok(Some(value));
            }
            if self.siblings.fold(segment) {
                return Err(Folds);
            }
        }
        match self.parameter.as_deref() {
            Some(node) if !segment.is_empty() => node.below(rest),
            _ => Ok(None),
        }
    }

    /// The value for the rest of the path after this node's segment.
    #[inline]
    fn below(&self, rest: Option<&[u8]>) -> Result<Option<&T>, Folds> {
        rest.map_or_else(|| Ok(self.value.as_ref()), |rest| self.find(rest))
    }

    fn search(&self, start: u64, text: &[u8]) -> Result<usize, usize> {
        self.literals.binary_search_by(|(name, _)| {
            let short = || if text.len() <= START { Ordering::Equal } else { (*name.text).cmp(text) };
            name.start.cmp(&start).then(name.length.cmp(&text.len())).then_with(short)
        })
    }
}

/// A path, cut after its first segment.
struct Cut<'a> {
    /// The segment's first eight bytes, padded with zeros.
    start: u64,
    segment: &'a [u8],
    /// What follows the next slash, if there is one.
    rest: Option<&'a [u8]>,
}

fn cut(path: &[u8]) -> Cut<'_> {
    let (mut start, mut length) = (0, 0);
    for byte in path {
        if *byte == b'/' {
            break;
        }
        if length < START {
            start |= u64::from(*byte) << (8 * length);
        }
        length += 1;
    }
    let (segment, rest) = path.split_at_checked(length).unwrap_or((path, &[]));
    Cut { start, segment, rest: rest.split_first().map(|(_, rest)| rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments(template: &str) -> impl Iterator<Item = Segment<'_>> {
        template.split('/').map(|text| if text == "*" { Segment::Parameter } else { Segment::Literal(text.as_bytes()) })
    }

    /// How one segment of a path meets one of a template. The first is tried first.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Meets {
        Literal,
        FoldedLiteral,
        Parameter,
    }

    fn meets(text: &str, segment: &str) -> Option<Meets> {
        let (lower, segment_lower) = (text.to_lowercase(), segment.to_lowercase());
        if text == "*" {
            (!segment.is_empty()).then_some(Meets::Parameter)
        } else if text == segment {
            Some(Meets::Literal)
        } else {
            let folds = segment_lower == lower || segment_lower.starts_with(&format!("{lower}."));
            folds.then_some(Meets::FoldedLiteral)
        }
    }

    /// How a path meets a template: in full, or up to the first literal that it folds to.
    fn way(template: &str, path: &str) -> Option<Vec<Meets>> {
        let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
        let mut way = Vec::new();
        for (text, segment) in template.iter().zip(&path) {
            way.push(meets(text, segment)?);
            if way.last() == Some(&Meets::FoldedLiteral) {
                return Some(way);
            }
        }
        (template.len() == path.len()).then_some(way)
    }

    /// The template that serves a path: the one that is met first, unless it is met by folding.
    fn serving<'a>(templates: impl IntoIterator<Item = &'a String>, path: &str) -> Option<&'a String> {
        let (way, template) =
            templates.into_iter().filter_map(|template| Some((way(template, path)?, template))).min()?;
        (!way.contains(&Meets::FoldedLiteral)).then_some(template)
    }

    /// Whether a router that folds may serve one template where another one was found: it has a literal where the other
    /// has its first parameter of its own.
    fn is_served_instead(one: &str, found: &str, path: &str) -> bool {
        let describes = one.split('/').count() == path.split('/').count()
            && one.split('/').zip(path.split('/')).all(|(text, segment)| meets(text, segment).is_some());
        let apart = one.split('/').zip(found.split('/')).find(|(text, other)| text != other);
        describes && apart.is_some_and(|(_, other)| other == "*")
    }

    fn tree_of<'a>(templates: impl IntoIterator<Item = &'a String>) -> Tree<String> {
        let mut routes = Routes::new();
        for template in templates {
            routes.entry(segments(template), || template.clone());
        }
        Tree::new(routes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_first_of_the_matching_templates_is_found(
            templates in proptest::collection::hash_set(
                "(a|A|b|a\\.b|\\*|longest1|longest12|Longest13)(/(a|b|B|a\\.b|\\*|longest12)){0,3}", 1..12
            ),
            path in "(a|A|b|B|a\\.b|A\\.b\\.c|a\\.|c|\\.a|longest1|longest12|longest13|Longest|LONGEST12)?(/(a|A|b|b\\.c|longest12|)?){0,3}",
        ) {
            let tree = tree_of(&templates);
            let found = tree.find(path.as_bytes());
            prop_assert_eq!(found, serving(&templates, &path));
            if let Some(found) = found {
                let instead = templates.iter().find(|template| is_served_instead(template, found, &path));
                prop_assert_eq!(instead, None, "{} found {}", path, found);
            }
        }

        /// The same under a trunk, which a path can have in part, in full or with more behind it.
        #[test]
        fn paths_that_begin_alike_are_found_too(
            templates in proptest::collection::hash_set("api/v1(/(a|b|\\*)){0,2}", 1..6),
            path in "(api|api/v1|API/v1|api/v1\\.x|api/v2|v1|api/)?(/(a|b|B|a\\.b|)){0,2}",
        ) {
            let tree = tree_of(&templates);
            prop_assert_eq!(tree.find(path.as_bytes()), serving(&templates, &path));
        }
    }

    /// A literal leads nowhere, and the parameter beside it is tried: but not where a router finds its way below the
    /// literal.
    #[test]
    fn a_segment_that_folds_ends_the_search() {
        let templates = ["orders/export/x", "orders/*/*", "orders/*", "files/Report/x", "files/report/y", "files/*/*"];
        let templates = templates.map(String::from);
        let tree = tree_of(&templates);
        for (path, expected) in [
            ("orders/17/X", Some("orders/*/*")),
            ("orders/export/y", Some("orders/*/*")),
            ("orders/export", Some("orders/*")),
            ("orders/export/x", Some("orders/export/x")),
            ("orders/export/X", None),
            ("orders/export/x.json", None),
            ("orders/Export/x", None),
            ("orders/Export/y", None),
            ("orders/export.json", None),
            ("files/report/z", None), // a router may have taken it for "Report"
            ("files/Report/y", None),
            ("files/report/y", Some("files/report/y")),
            ("files/reports/y", Some("files/*/*")),
        ] {
            assert_eq!(tree.find(path.as_bytes()).map(String::as_str), expected, "{path}");
        }
    }
}
