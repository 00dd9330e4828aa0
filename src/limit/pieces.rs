//! Memory in pieces of whole cache lines, for counting: each is named by a number, starts as zeros, and is never given back.
//!
//! A number in place of a pointer means the same in every process that has the memory.

#![allow(unsafe_code)] // Only the allocator itself gives zeros that cost nothing until they are written, or says that it has none.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr;
use std::sync::atomic::AtomicU32;

use crate::sync::atomics::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::huge;

/// The words of a cache line.
pub(crate) const LINE: usize = 8;

/// The lines of the first chunk: 64 KiB. Each chunk has twice as many as the one before.
const FIRST: u32 = 1_024;

/// How many chunks there can be: 16 GiB together.
const CHUNKS: usize = 18;

/// All pieces of a registry.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Null, or from the allocator and owned; see [`layout`].
    chunks: [AtomicPtr<u8>; CHUNKS],
    /// The first line that was not taken yet.
    end: AtomicU32,
}

/// The number of a piece: its first line's. There is no piece 0.
pub(crate) type Piece = u32;

/// Where a line is: the number of its chunk, how many lines that has, and which of them it is.
fn place(line: u32) -> Option<(usize, u32, u32)> {
    let from_first = line.checked_add(FIRST)?;
    let chunk = from_first.ilog2() - FIRST.ilog2();
    let lines = FIRST << chunk;
    ((chunk as usize) < CHUNKS).then_some((chunk as usize, lines, from_first - lines))
}

/// Of a chunk of so many lines. With 64 bytes more, since its first line begins where a cache line does: of an alignment that
/// large, the allocator would write all zeros at once.
fn layout(lines: u32) -> Option<Layout> {
    Layout::from_size_align((lines as usize + 1).checked_mul(LINE_BYTES)?, align_of::<AtomicU64>()).ok()
}

const LINE_BYTES: usize = LINE * size_of::<AtomicU64>();

impl Pieces {
    /// Takes a piece of so many lines, at most the first chunk's. `None` if there is no memory.
    pub(crate) fn take(&self, lines: u32) -> Option<Piece> {
        let mut end = self.end.load(Ordering::Acquire);
        loop {
            let first = end.max(1);
            let (_, size, at) = place(first)?;
            let piece = if lines > size - at { first + (size - at) } else { first };
            self.prepare(piece)?;
            match self.end.compare_exchange(end, piece + lines, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(piece),
                Err(other) => end = other,
            }
        }
    }

    /// The words of a piece that was taken.
    #[inline]
    pub(crate) fn get(&self, piece: Piece, lines: usize) -> Option<&[AtomicU64]> {
        let (chunk, size, at) = place(piece)?;
        let memory = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if memory.is_null() || at as usize + lines > size as usize {
            return None;
        }
        let aligned = memory.map_addr(|address| address.next_multiple_of(LINE_BYTES));
        // SAFETY: `memory` has `size` lines from its first multiple of 64 on (`layout`), `at + lines` are no more than that, they
        // were zeros, which atomics can be, and are accessed as atomics alone until `Drop`, which nobody who borrows them
        // outlives.
        Some(unsafe {
            let first = aligned.add(at as usize * LINE_BYTES).cast::<AtomicU64>();
            std::slice::from_raw_parts(first, lines * LINE)
        })
    }

    /// Sees to it that there is memory for a piece.
    fn prepare(&self, piece: Piece) -> Option<()> {
        let (chunk, lines, _) = place(piece)?;
        let (chunk, layout) = (self.chunks.get(chunk)?, layout(lines)?);
        if !chunk.load(Ordering::Acquire).is_null() {
            return Some(());
        }
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            return None;
        }
        huge::advise(memory, layout.size());
        if chunk.compare_exchange(ptr::null_mut(), memory, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it was allocated above with this layout, and nobody else has it.
            unsafe { dealloc(memory, layout) };
        }
        Some(())
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        for (chunk, number) in self.chunks.iter().zip(0..) {
            let memory = chunk.load(Ordering::Acquire);
            if let (false, Some(layout)) = (memory.is_null(), layout(FIRST << number)) {
                // SAFETY: it was allocated with this layout, and no piece of it is borrowed any more.
                unsafe { dealloc(memory, layout) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_apart() {
        let pieces = Pieces::default();
        let sizes = [1, 2, 9, 129, FIRST].into_iter().cycle().take(500);
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
        let pieces = Pieces::default();
        assert!(pieces.get(1, 1).is_none());
        let piece = pieces.take(1).expect("there is memory");
        assert!(pieces.get(piece, FIRST as usize + 1).is_none(), "more than the chunk has");
        assert!(pieces.get(FIRST, 1).is_none(), "of a chunk that is not there yet");
        assert!(pieces.get(u32::MAX, 1).is_none());
    }

    #[test]
    fn threads_take_different_pieces() {
        let pieces = Pieces::default();
        let mut taken: Vec<Piece> = std::thread::scope(|scope| {
            let take = |_| scope.spawn(|| (0..1_000).filter_map(|_| pieces.take(3)).collect::<Vec<_>>());
            let running: Vec<_> = (0..8).map(take).collect();
            running.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
        });
        taken.sort_unstable();
        assert_eq!(taken.len(), 8_000);
        assert!(taken.array_windows().all(|[one, next]| next - one >= 3));
    }
}
