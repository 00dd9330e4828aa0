//! A value that is replaced while others read it, without a lock: hazard pointers (M. Michael, "Hazard Pointers: Safe
//! Memory Reclamation for Lock-Free Objects", 2004).
//!
//! A reader claims a lane, writes there which value it is about to read, and checks that this is still the current one. A
//! replaced value is freed once no lane holds it. Reading costs one atomic exchange and allocates nothing.
//!
//! In a forked child all readers but one are gone; their lanes are lost, and the values that they were reading. A child
//! that finds no free lane makes its own.
//!
//! A claimed lane is its reader's alone: counters that belong to a lane need no atomic exchange.
//!
//! `tests/loom` runs this very file under every interleaving of a bounded model.

#![allow(unsafe_code)] // A value that may be freed by another thread cannot be lent by safe code alone.

use std::ops::Deref;
use std::ptr::{self, NonNull};

use once_cell::race::OnceBox;

use crate::sync::atomics::{AtomicPtr, Ordering, total_order, yield_now};
use crate::sync::process;

/// A value with many readers.
pub(crate) struct Shared<T> {
    /// From a `Box`, and owned.
    current: AtomicPtr<T>,
    lanes: Lanes<T>,
}

struct Lanes<T> {
    /// The process that made it, in which every reader will release its lane.
    process: u64,
    /// What is being read; null if the lane is free.
    lanes: Box<[Lane<T>]>,
    /// More lanes, for a child of that process.
    child: OnceBox<Lanes<T>>,
}

/// A cache line, so that readers do not disturb each other.
#[repr(align(64))]
struct Lane<T>(AtomicPtr<T>);

/// A value that is being read. It stays valid until this is dropped, whatever replaces it.
pub(crate) struct Reading<'s, T> {
    value: NonNull<T>,
    lane: usize,
    hazard: &'s AtomicPtr<T>,
}

/// A replaced value that may still be read. Pass it to [`Shared::free`]; dropped, it leaks.
#[must_use]
pub(crate) struct Retired<T> {
    value: NonNull<T>,
    /// Identifies its [`Shared`], by the address of the lanes.
    owner: *const Lane<T>,
}

// SAFETY: a `Shared` owns one `T` and lends it to any thread, and the last of them may be the one to free it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: likewise.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: it owns a `T` that others may still be reading; `owner` is compared and never followed.
unsafe impl<T: Send + Sync> Send for Retired<T> {}

impl<T> Shared<T> {
    /// With at least this many lanes: a power of two, so that wrapping needs no division.
    pub(crate) fn new(value: T, lanes: usize) -> Self {
        Self { current: AtomicPtr::new(Box::into_raw(Box::new(value))), lanes: Lanes::new(lanes.next_power_of_two()) }
    }

    /// Reads the current value. `home` is the lane to try first; use the resulting lane as the next home.
    #[inline]
    pub(crate) fn read(&self, home: usize) -> Reading<'_, T> {
        let mut value = self.current.load(Ordering::Acquire);
        let (lane, hazard) = self.lanes.claim(home, value);
        loop {
            total_order();
            // The lane is written before this load, and `current` before `free` reads the lanes, in one total order: either
            // this sees the replacement, or `free` sees the lane.
            let current = self.current.load(Ordering::SeqCst);
            if current == value {
                // SAFETY: `current` always comes from a `Box`.
                return Reading { value: unsafe { NonNull::new_unchecked(current) }, lane, hazard };
            }
            value = current;
            hazard.store(value, Ordering::SeqCst);
        }
    }

    /// Replaces the value.
    pub(crate) fn replace(&self, value: T) -> Retired<T> {
        let old = self.current.swap(Box::into_raw(Box::new(value)), Ordering::SeqCst);
        // SAFETY: `current` always comes from a `Box`.
        Retired { value: unsafe { NonNull::new_unchecked(old) }, owner: self.lanes.lanes.as_ptr() }
    }

    /// Frees a value that was replaced here, or returns it if it is still read.
    pub(crate) fn free(&self, retired: Retired<T>) -> Result<(), Retired<T>> {
        total_order();
        if self.lanes.hold(retired.value.as_ptr()) || retired.owner != self.lanes.lanes.as_ptr() {
            return Err(retired);
        }
        // SAFETY: it came from a `Box` of this `Shared` and left `current`, so no new reader can reach it; no lane holds
        // it, so no reader has it; and `retired` is consumed, so it is freed once.
        drop(unsafe { Box::from_raw(retired.value.as_ptr()) });
        Ok(())
    }
}

impl<T> Lanes<T> {
    fn new(lanes: usize) -> Self {
        let lanes = std::iter::repeat_with(|| Lane(AtomicPtr::new(ptr::null_mut()))).take(lanes).collect();
        Self { process: process::mark(), lanes, child: OnceBox::new() }
    }

    /// Claims a lane and writes to it. Waits only if all are taken.
    #[inline]
    fn claim(&self, home: usize, value: *mut T) -> (usize, &AtomicPtr<T>) {
        let mask = self.lanes.len() - 1;
        loop {
            for tried in 0..=mask {
                let lane = home.wrapping_add(tried) & mask;
                if let Some(Lane(hazard)) = self.lanes.get(lane)
                    && hazard.compare_exchange(ptr::null_mut(), value, Ordering::SeqCst, Ordering::Relaxed).is_ok()
                {
                    return (lane, hazard);
                }
            }
            if self.process != process::mark() {
                let lanes = self.child.get_or_init(|| Box::new(Self::new(self.lanes.len())));
                let (lane, hazard) = lanes.claim(home, value);
                return (self.lanes.len() + lane, hazard);
            }
            yield_now();
        }
    }

    /// Whether a reader has this value.
    fn hold(&self, value: *mut T) -> bool {
        self.lanes.iter().any(|Lane(hazard)| hazard.load(Ordering::SeqCst) == value)
            || self.child.get().is_some_and(|lanes| lanes.hold(value))
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: it comes from a `Box`, and there is no reader: a `Reading` borrows this.
        drop(unsafe { Box::from_raw(current) });
    }
}

impl<T> Reading<'_, T> {
    /// The lane, this reader's own until it is dropped.
    #[inline]
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }
}

impl<T> Deref for Reading<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lane has held it since it was current, so it is not freed before the lane is released.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for Reading<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Orders the reads and the lane's counters before the next owner of the lane.
        self.hazard.store(ptr::null_mut(), Ordering::Release);
    }
}
