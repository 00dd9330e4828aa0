//! Large memory in huge pages: a table that is read at random misses the processor's cache of page addresses with every
//! read, which costs as much as the read itself.

#![allow(unsafe_code)] // Advice on memory is given by its address.

/// A vector with room for so many values, in huge pages if it is large and the system has them.
pub(crate) fn vec_with_capacity<T>(capacity: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(capacity);
    let spare = values.spare_capacity_mut();
    advise(spare.as_mut_ptr().cast(), size_of_val(spare));
    values
}

/// Asks for huge pages, where that is worth it, for memory that was not written yet. Nothing depends on the answer.
pub(crate) fn advise(memory: *mut u8, bytes: usize) {
    /// The size of a huge page: of smaller memory none is made.
    const HUGE: usize = 2 << 20;
    #[cfg(target_os = "linux")]
    if bytes >= 2 * HUGE {
        let unaligned = memory.align_offset(HUGE).min(bytes);
        let whole = (bytes - unaligned) / HUGE * HUGE;
        // SAFETY: this advice changes no content, and the system refuses a range that is not mapped.
        let _ = unsafe {
            rustix::mm::madvise(memory.wrapping_add(unaligned).cast(), whole, rustix::mm::Advice::LinuxHugepage)
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, bytes, HUGE);
}
