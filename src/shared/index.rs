//! The index: the id of a key leads to its entry, in pieces of memory that many processes use at once, without a lock.
//!
//! It is a trie. A node is one line: eight words, one for each value of the next three bits of the id's hash. A word is 0, or
//! a link to an entry, or one to a node; it goes from each of these to the next by one exchange, once, and never back. What a
//! link leads to is written whole before. So a death at any instruction leaves a sound trie, and wastes two
//! lines at most.
//!
//! | word of an entry | holds |
//! |---|---|
//! | 0 to 3 | the id, padded with zeros |
//! | 4 | its hash |
//! | 5 | the block's number; 0 before there is one |
//! | 6, 7 | zeros: room |
//!
//! Every link is checked when it is followed. A damaged one gives `None`, or an entry that has another id, never a fault; and
//! whatever the words are, the way ends.
//!
//! `tests/loom` runs this very file under every interleaving of a bounded model.

use super::pieces::{LINE, Piece, Pieces};
use crate::sync::atomics::{AtomicU64, Ordering};

/// The root's node: the first piece of all.
pub(crate) const ROOT: Piece = 1;

/// The three bits of a hash for each level.
const BITS: u32 = 3;
const LEVELS: u32 = u64::BITS / BITS;

/// A key's id, padded, and its hash: the same in every process, and not for a stranger to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) id: [u64; 4],
    pub(crate) hash: u64,
}

/// What the index has of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) piece: Piece,
    words: &'a [AtomicU64; LINE],
}

/// A word of a node.
#[derive(Clone, Copy)]
enum Link {
    Empty,
    Entry(Piece),
    Node(Piece),
}

const NODE: u64 = 1 << 32;

impl Link {
    /// `None` if it is damaged.
    fn of(word: u64) -> Option<Self> {
        let piece = u32::try_from(word & !NODE).ok()?;
        match (word & NODE, piece) {
            (0, 0) => Some(Self::Empty),
            (_, 0) => None,
            (0, piece) => Some(Self::Entry(piece)),
            (_, piece) => Some(Self::Node(piece)),
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn at(pieces: &'a Pieces, piece: Piece) -> Option<Self> {
        Some(Self { piece, words: line(pieces, piece)? })
    }

    /// The word that holds the block's number; 0 before there is one.
    pub(crate) fn block(&self) -> &'a AtomicU64 {
        let [_, _, _, _, _, block, ..] = self.words;
        block
    }

    pub(crate) fn name(&self) -> Name {
        let [a, b, c, d, hash, ..] = self.words.each_ref().map(|word| word.load(Ordering::Relaxed));
        Name { id: [a, b, c, d], hash }
    }

    /// Nobody else has it yet.
    fn write(&self, name: &Name) {
        let values = name.id.into_iter().chain([name.hash]);
        self.words.iter().zip(values).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }
}

/// The entry of this name, made if it must be. `None` if there is none, or no memory, or damage on the way.
pub(crate) fn find<'a>(pieces: &'a Pieces, name: &Name, make: bool) -> Option<Entry<'a>> {
    let (mut node, mut level) = (line(pieces, ROOT)?, 0);
    let mut own: Option<Entry<'a>> = None;
    // With each step the way goes down, or another process has been faster, which each word allows twice.
    for _ in 0..3 * LEVELS {
        let word = slot(node, name.hash, level)?;
        let seen = word.load(Ordering::Acquire);
        match Link::of(seen)? {
            Link::Node(piece) => (node, level) = (line(pieces, piece)?, level + 1),
            Link::Entry(piece) => {
                let other = Entry::at(pieces, piece)?;
                let others = other.name();
                if others.id == name.id {
                    return Some(other);
                }
                if !make || level + 1 >= LEVELS {
                    return None;
                }
                push_down(pieces, word, seen, &others, level + 1)?;
            }
            Link::Empty if !make => return None,
            Link::Empty => {
                let entry = match own {
                    Some(entry) => entry,
                    None => Entry::at(pieces, pieces.take(1)?)?,
                };
                entry.write(name);
                own = Some(entry);
                if exchange(word, 0, u64::from(entry.piece)) {
                    return own;
                }
            }
        }
    }
    None
}

/// Puts a node into a word in place of an entry, which that node links instead; unless another process was faster.
fn push_down(pieces: &Pieces, word: &AtomicU64, entry: u64, name: &Name, level: u32) -> Option<()> {
    let piece = pieces.take(1)?;
    slot(line(pieces, piece)?, name.hash, level)?.store(entry, Ordering::Relaxed);
    exchange(word, entry, NODE | u64::from(piece));
    Some(())
}

fn exchange(word: &AtomicU64, from: u64, to: u64) -> bool {
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

fn line(pieces: &Pieces, piece: Piece) -> Option<&[AtomicU64; LINE]> {
    pieces.get(piece, 1)?.try_into().ok()
}

fn slot(node: &[AtomicU64; LINE], hash: u64, level: u32) -> Option<&AtomicU64> {
    #[allow(clippy::cast_possible_truncation, reason = "it is below 8")]
    node.get((hash.checked_shr(level * BITS)? % LINE as u64) as usize)
}

/// All entries, in no order. Of damaged links no more are followed than there are pieces.
pub(crate) fn each<'a>(pieces: &'a Pieces, mut visit: impl FnMut(Entry<'a>)) {
    let mut nodes = vec![(ROOT, 0)];
    let mut left = pieces.taken();
    while let Some((node, level)) = nodes.pop()
        && left > 0
    {
        left -= 1;
        for word in line(pieces, node).into_iter().flatten() {
            match Link::of(word.load(Ordering::Acquire)) {
                Some(Link::Node(piece)) if level + 1 < LEVELS => nodes.push((piece, level + 1)),
                Some(Link::Entry(piece)) => Entry::at(pieces, piece).into_iter().for_each(&mut visit),
                _ => {}
            }
        }
    }
}
