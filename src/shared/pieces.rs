//! Memory in pieces of whole cache lines, for counting: each is named by a number, starts as zeros, and is never given back.
//!
//! A number in place of a pointer means the same in every process that has the memory. It comes from the heap, or from a
//! file that many processes map: then a number that no piece has is found out, wherever it came from, and the memory is
//! reserved before it is used, so that a full file system is an answer and not a signal.

#![allow(unsafe_code)] // Only the allocator itself gives zeros that cost nothing until they are written, or says that it has none.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr;
use std::sync::atomic::AtomicU32;

use super::mapping::{HEADER_BYTES, Mapping, unmap};
use crate::sync::atomics::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::huge;

/// The words of a cache line.
pub(crate) const LINE: usize = 8;

/// The lines of the first chunk: 64 KiB. Each chunk has twice as many as the one before.
const FIRST: u32 = 1_024;

/// The lines before piece 0, which hold the header of a mapped file. So line `n` of a file is piece `n - HEADER`.
const HEADER: u32 = 64;

/// How many chunks there can be: 16 GiB together.
const CHUNKS: usize = 18;

/// All pieces of a registry.
pub(crate) struct Pieces {
    /// Pieces before this one are in chunks that this process has, and reserved.
    usable: AtomicU32,
    /// Null, or owned: from the allocator (see [`layout`]), or mapped.
    chunks: [AtomicPtr<u8>; CHUNKS],
    source: Source,
}

enum Source {
    /// With the first piece that was not taken yet.
    Heap(AtomicU64),
    Mapped(Mapping),
}

/// The number of a piece: its first line's. There is no piece 0.
pub(crate) type Piece = u32;

/// Where a line is: the number of its chunk, how many lines that has, and which of them it is.
fn place(line: u32) -> Option<(usize, u32, u32)> {
    let from_first = line.checked_add(FIRST + HEADER)?;
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

const _: () = assert!(HEADER as usize * LINE_BYTES == HEADER_BYTES);

impl Default for Pieces {
    /// Of this process alone.
    fn default() -> Self {
        Self::from(Source::Heap(AtomicU64::new(0)))
    }
}

impl Pieces {
    /// Of all processes that map this file.
    pub(crate) fn mapped(mapping: Mapping) -> Self {
        Self::from(Source::Mapped(mapping))
    }

    fn from(source: Source) -> Self {
        Self { usable: AtomicU32::new(0), chunks: Default::default(), source }
    }

    /// The file that they are in, if they are in one.
    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        match &self.source {
            Source::Heap(_) => None,
            Source::Mapped(mapping) => Some(mapping),
        }
    }

    fn end(&self) -> &AtomicU64 {
        match &self.source {
            Source::Heap(end) => end,
            Source::Mapped(mapping) => mapping.end(),
        }
    }

    /// How many lines were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.end().load(Ordering::Acquire)
    }

    /// Takes a piece of so many lines, at most the first chunk's. `None` if there is no memory.
    pub(crate) fn take(&self, lines: u32) -> Option<Piece> {
        let taken = self.end();
        let mut end = taken.load(Ordering::Acquire);
        loop {
            let first = u32::try_from(end.max(1)).ok()?;
            let (_, size, at) = place(first)?;
            let piece = if lines > size - at { first + (size - at) } else { first };
            self.reach(piece + lines, true)?;
            match taken.compare_exchange(end, u64::from(piece + lines), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(piece),
                Err(other) => end = other,
            }
        }
    }

    /// The words of a piece that was taken. Another number may give `None`, or memory that others use too.
    #[inline(always)]
    pub(crate) fn get(&self, piece: Piece, lines: usize) -> Option<&[AtomicU64]> {
        let (chunk, size, at) = place(piece)?;
        if at as usize + lines > size as usize {
            return None;
        }
        let end = piece as usize + lines;
        if end > self.usable.load(Ordering::Acquire) as usize {
            self.reach(u32::try_from(end).ok()?, false)?;
        }
        let memory = self.chunks.get(chunk)?.load(Ordering::Acquire);
        let aligned = memory.map_addr(|address| address.next_multiple_of(LINE_BYTES));
        // SAFETY: the lines are `usable`, so `reach` has seen to it that their chunk is there, with `size` lines from its first
        // multiple of 64 on, of which `at + lines` are no more. They were zeros, which atomics can be, and are accessed as
        // atomics alone until `Drop`, which nobody who borrows them outlives. A mapped file has them for as long as nobody cuts
        // it short, which nobody does who keeps to the layout.
        Some(unsafe {
            let first = aligned.add(at as usize * LINE_BYTES).cast::<AtomicU64>();
            std::slice::from_raw_parts(first, lines * LINE)
        })
    }

    /// Sees to it that all pieces before `end` are usable here, if there is the memory, or if `more` of it can be had.
    #[cold]
    fn reach(&self, end: u32, more: bool) -> Option<()> {
        if end <= self.usable.load(Ordering::Acquire) {
            return Some(());
        }
        let there = match &self.source {
            Source::Heap(_) if more => u32::MAX,
            Source::Heap(_) => return None,
            Source::Mapped(mapping) => {
                if more {
                    mapping.reserve(offset(end)?)?;
                }
                let lines = mapping.size()? / LINE_BYTES as u64;
                u32::try_from(lines.saturating_sub(u64::from(HEADER))).unwrap_or(u32::MAX)
            }
        };
        let last = end.checked_sub(1).filter(|_| end <= there)?;
        let (chunk, size, at) = place(last)?;
        for chunk in 0..=chunk {
            self.prepare(chunk)?;
        }
        self.usable.fetch_max(there.min(last + (size - at)), Ordering::AcqRel);
        Some(())
    }

    /// Sees to it that a chunk is there.
    fn prepare(&self, number: usize) -> Option<()> {
        let (chunk, lines) = (self.chunks.get(number)?, FIRST << number);
        if !chunk.load(Ordering::Acquire).is_null() {
            return Some(());
        }
        let memory = match &self.source {
            Source::Heap(_) => {
                let layout = layout(lines)?;
                // SAFETY: the layout's size is not zero.
                let memory = unsafe { alloc_zeroed(layout) };
                if memory.is_null() {
                    return None;
                }
                huge::advise(memory, layout.size());
                memory
            }
            Source::Mapped(mapping) => {
                let before = u64::from(lines - FIRST) * LINE_BYTES as u64;
                mapping.map(before, (lines as usize).checked_mul(LINE_BYTES)?)?
            }
        };
        if chunk.compare_exchange(ptr::null_mut(), memory, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it is of this chunk's size and source, and nobody else has it.
            unsafe { self.free(memory, lines) };
        }
        Some(())
    }

    /// # Safety
    ///
    /// `memory` is what [`Self::prepare`] got for a chunk of so many lines, and nobody uses it any more.
    unsafe fn free(&self, memory: *mut u8, lines: u32) {
        match (&self.source, layout(lines)) {
            // SAFETY: the caller promises that it was allocated with this layout.
            (Source::Heap(_), Some(layout)) => unsafe { dealloc(memory, layout) },
            // SAFETY: the caller promises that it was mapped with this size.
            (Source::Mapped(_), _) => unsafe { unmap(memory, lines as usize * LINE_BYTES) },
            (Source::Heap(_), None) => {}
        }
    }
}

/// Where in the file a piece begins, in bytes.
fn offset(piece: Piece) -> Option<u64> {
    Some(u64::from(piece.checked_add(HEADER)?) * LINE_BYTES as u64)
}

impl Drop for Pieces {
    fn drop(&mut self) {
        for (chunk, number) in self.chunks.iter().zip(0..) {
            let memory = chunk.load(Ordering::Acquire);
            if !memory.is_null() {
                // SAFETY: `prepare` got it for this chunk, and no piece of it is borrowed any more.
                unsafe { self.free(memory, FIRST << number) };
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
