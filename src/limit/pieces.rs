//! Memory in pieces of whole cache lines, for counting: each is named by a number, starts as zeros, and is never given back.
//!
//! A number in place of a pointer means the same in every process that has the memory.

use std::sync::atomic::AtomicU32;

use once_cell::race::OnceBox;

use crate::sync::atomics::{AtomicU64, Ordering};

/// The words of a cache line.
pub(crate) const LINE: usize = 8;

/// How many lines are taken from the system at a time: 64 KiB.
const CHUNK: u32 = 1_024;
const CHUNK_WORDS: usize = CHUNK as usize * LINE;
const CHUNKS: u32 = 512;
const GROUPS: u32 = 512;

/// All pieces of a registry: at most 16 GiB.
pub(crate) struct Pieces {
    groups: Box<[OnceBox<Group>]>,
    /// The number of the first line that was not taken yet.
    end: AtomicU32,
}

type Group = [OnceBox<Chunk>; CHUNKS as usize];

/// With a line more, since the first whole one may begin later.
type Chunk = [AtomicU64; CHUNK_WORDS + LINE];

/// The number of a piece, never 0: that of its first line.
pub(crate) type Piece = u32;

impl Pieces {
    pub(crate) fn new() -> Self {
        let groups = std::iter::repeat_with(OnceBox::new).take(GROUPS as usize).collect();
        Self { groups, end: AtomicU32::new(1) }
    }

    /// Takes a piece of so many lines, at most a chunk's. `None` if there is no memory.
    pub(crate) fn take(&self, lines: u32) -> Option<Piece> {
        let mut end = self.end.load(Ordering::Acquire);
        loop {
            let left = CHUNK - end % CHUNK;
            let piece = if lines > left { end.checked_add(left)? } else { end };
            self.prepare(piece)?;
            let after = piece.checked_add(lines)?;
            match self.end.compare_exchange(end, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(piece),
                Err(other) => end = other,
            }
        }
    }

    /// The words of a piece that was taken.
    #[inline]
    pub(crate) fn get(&self, piece: Piece, lines: usize) -> Option<&[AtomicU64]> {
        let chunk =
            self.groups.get((piece / CHUNK / CHUNKS) as usize)?.get()?.get((piece / CHUNK % CHUNKS) as usize)?;
        let words = chunk.get()?;
        let aligned = words.as_ptr().align_offset(64);
        let start = aligned + (piece % CHUNK) as usize * LINE;
        words.get(start..start + lines * LINE)
    }

    /// Sees to it that there is memory for a piece.
    fn prepare(&self, piece: Piece) -> Option<()> {
        let group = self.groups.get((piece / CHUNK / CHUNKS) as usize)?;
        let group = group.get_or_try_init(|| filled(OnceBox::new).ok_or(())).ok()?;
        let chunk = group.get((piece / CHUNK % CHUNKS) as usize)?;
        chunk.get_or_try_init(|| filled(|| AtomicU64::new(0)).ok_or(())).ok().map(|_| ())
    }
}

/// An array on the heap; `None` without memory.
fn filled<T, const N: usize>(value: impl FnMut() -> T) -> Option<Box<[T; N]>> {
    let mut values = Vec::new();
    values.try_reserve_exact(N).ok()?;
    values.resize_with(N, value);
    values.into_boxed_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_apart() {
        let pieces = Pieces::new();
        let sizes = [1, 2, 9, 129, 1_024].into_iter().cycle().take(2_000);
        let taken: Vec<_> = sizes.map(|lines| (pieces.take(lines).expect("there is memory"), lines as usize)).collect();
        for (piece, lines) in &taken {
            let words = pieces.get(*piece, *lines).expect("it was taken");
            assert_eq!((words.len(), words.as_ptr().addr() % 64), (lines * LINE, 0));
            for word in words {
                assert_eq!(word.swap(u64::from(*piece), Ordering::Relaxed), 0);
            }
        }
        for (piece, lines) in taken {
            let words = pieces.get(piece, lines).expect("it was taken");
            assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == u64::from(piece)));
        }
    }

    #[test]
    fn what_was_not_taken_is_not_there() {
        let pieces = Pieces::new();
        assert!(pieces.get(1, 1).is_none());
        let piece = pieces.take(1).expect("there is memory");
        assert!(pieces.get(piece, CHUNK as usize + 1).is_none(), "more than a chunk");
        assert!(pieces.get(u32::MAX, 1).is_none());
        assert!(pieces.take(CHUNK + 1).is_none_or(|piece| pieces.get(piece, CHUNK as usize + 1).is_none()));
    }
}
