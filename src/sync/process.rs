//! Which process this is, told apart from those that it was forked from.
//!
//! A process id does not tell: a child that is the first of a new namespace has the id 1, as its parent may have, and the
//! system gives an id out again. So a page of memory is marked that the kernel wipes in every child, however it is forked
//! (`MADV_WIPEONFORK`, Linux 4.14). Where there is no such page, the id has to do.

#![allow(unsafe_code)] // No safe interface gives memory that a fork wipes.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// A number that this process has, and that none of its ancestors had when they forked.
pub(crate) fn mark() -> u64 {
    /// Higher than that of any process so far in this line.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let Some(mark) = wiped_by_a_fork() else {
        return ID | u64::from(std::process::id());
    };
    match mark.load(Ordering::Acquire) {
        0 => {
            let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            mark.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire).map_or_else(|other| other, |_| new)
        }
        known => known,
    }
}

/// Tells process ids from counted marks.
const ID: u64 = 1 << 63;

/// A word that is zero in a process that was just forked. Whether there is one is settled at the first call, for all
/// descendants too.
fn wiped_by_a_fork() -> Option<&'static AtomicU64> {
    static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
    static NONE: AtomicU64 = AtomicU64::new(0);
    let none = (&raw const NONE).cast_mut();
    let mut word = WORD.load(Ordering::Acquire);
    if word.is_null() {
        let new = map().unwrap_or(none);
        word = match WORD.compare_exchange(word, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(first) => {
                unmap(new, none); // another thread was faster
                first
            }
        };
    }
    // SAFETY: it points to `NONE` or to a page that is never unmapped, zero or written by the atomics of `mark`.
    (word != none).then(|| unsafe { &*word })
}

#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

#[cfg(target_os = "linux")]
fn map() -> Option<*mut AtomicU64> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    // SAFETY: a mapping at an address of the kernel's choice touches no memory that is in use.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: the page was mapped above, and nobody else knows of it.
    if unsafe { madvise(page, PAGE, Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: likewise.
        let _ = unsafe { munmap(page, PAGE) };
        return None;
    }
    Some(page.cast())
}

#[cfg(not(target_os = "linux"))]
fn map() -> Option<*mut AtomicU64> {
    None
}

/// Gives back a page that nobody has seen.
fn unmap(word: *mut AtomicU64, none: *mut AtomicU64) {
    #[cfg(target_os = "linux")]
    if word != none {
        // SAFETY: `map` made it, and the caller has given it to nobody.
        let _ = unsafe { rustix::mm::munmap(word.cast(), PAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (word, none);
}
