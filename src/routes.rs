//! Paths to what they need: a tree of segments, searched without an allocation.

use std::cmp::Ordering;

/// A tree whose branches are the segments of paths, literal or one for any, with a value where a path ends.
#[derive(Debug, Clone)]
pub(crate) struct Routes<T> {
    /// In the order of their names.
    literals: Vec<(Name, Routes<T>)>,
    parameter: Option<Box<Routes<T>>>,
    value: Option<T>,
}

/// [`Routes`] that are complete, without the segments that all their paths begin with.
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

    /// The value for a path without its leading slash.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&T> {
        self.branches.find(path.strip_prefix(&*self.trunk)?)
    }
}

/// A literal segment, in a form that is compared by one number if it is short.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    /// The first eight bytes, followed by zeros.
    start: u64,
    length: usize,
    text: Box<[u8]>,
}

const START: usize = size_of::<u64>();

/// A segment of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Literal(&'a [u8]),
    /// Any one segment that is not empty.
    Parameter,
}

impl<T> Routes<T> {
    pub(crate) fn new() -> Self {
        Self { literals: Vec::new(), parameter: None, value: None }
    }

    /// The value of the path that these segments describe, made if there is none yet.
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
            place
        });
        #[expect(clippy::indexing_slicing, reason = "found or inserted there")]
        &mut self.literals[place].1
    }

    /// The value for a path without its leading slash. At each segment a literal is tried before a parameter.
    fn find(&self, path: &[u8]) -> Option<&T> {
        let Cut { start, segment, rest } = cut(path);
        let literal = self.search(start, segment).ok().and_then(|place| self.literals.get(place));
        let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
        [literal.map(|(_, node)| node), parameter].into_iter().flatten().find_map(|node| match rest {
            Some(rest) => node.find(rest),
            None => node.value.as_ref(),
        })
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
    /// The segment's first eight bytes, followed by zeros.
    start: u64,
    segment: &'a [u8],
    /// What follows the slash behind it, if there is one.
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

    /// Whether a template describes a path, and how it compares to others that do: literals first, from the left.
    fn matches(template: &str, path: &str) -> Option<Vec<bool>> {
        let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
        let fits = |(text, segment): (&&str, &&str)| if *text == "*" { !segment.is_empty() } else { text == segment };
        (template.len() == path.len() && template.iter().zip(&path).all(fits))
            .then(|| template.iter().map(|text| *text == "*").collect())
    }

    proptest! {
        #[test]
        fn the_first_of_the_matching_templates_is_found(
            templates in proptest::collection::hash_set("(a|b|\\*|longest1|longest12|longest13)(/(a|b|\\*|longest12)){0,3}", 1..12),
            path in "(a|b|c|longest1|longest12|longest13|longest)?(/(a|b|longest12|)?){0,3}",
        ) {
            let mut routes = Routes::new();
            for template in &templates {
                routes.entry(segments(template), || template.clone());
            }
            let expected = templates.iter().filter_map(|template| Some((matches(template, &path)?, template))).min();
            let tree = Tree::new(routes);
            prop_assert_eq!(tree.find(path.as_bytes()), expected.map(|(_, template)| template));
        }

        /// The same under a trunk, which a path can have in part, in full or with more behind it.
        #[test]
        fn paths_that_begin_alike_are_found_too(
            templates in proptest::collection::hash_set("api/v1(/(a|b|\\*)){0,2}", 1..6),
            path in "(api|api/v1|api/v2|v1|api/)?(/(a|b|)){0,2}",
        ) {
            let mut routes = Routes::new();
            for template in &templates {
                routes.entry(segments(template), || template.clone());
            }
            let expected = templates.iter().filter_map(|template| Some((matches(template, &path)?, template))).min();
            let tree = Tree::new(routes);
            prop_assert_eq!(tree.find(path.as_bytes()), expected.map(|(_, template)| template));
        }
    }
}
