//! Identifies this process, as distinct from those it was forked from.
//!
//! A process id does not: ids are reused, and repeat between namespaces. So a page is marked that the kernel wipes in every
//! child (`MADV_WIPEONFORK`, Linux 4.14). Without one, the id has to do.

#![allow(unsafe_code)] // There is no safe interface to memory that a fork wipes.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// A number of this process that none of its ancestors had when they forked.
pub(crate) fn mark() -> u64 {
    /// The highest so far in this line of processes.
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

/// A word that is zero in a newly forked process. The first call decides whether there is one, for all descendants too.
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
    // SAFETY: the page was mapped above, and nothing else refers to it.
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

/// Unmaps a page that was not published.
fn unmap(word: *mut AtomicU64, none: *mut AtomicU64) {
    #[cfg(target_os = "linux")]
    if word != none {
        // SAFETY: `map` made it, and the caller has not published it.
        let _ = unsafe { rustix::mm::munmap(word.cast(), PAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (word, none);
}
