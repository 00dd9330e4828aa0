//! Answers of any length, in memory that the library owns until the caller frees it.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;

use zeroize::{Zeroize, Zeroizing};

use super::error::Failure;
use super::guard::guard_or;
use super::pointers;
use crate::error::{Error, ErrorKind};

/// A text that the library allocated.
///
/// The caller owns the struct; the library owns the memory that it points to, until bpos_buffer_free(). One thread may use
/// it at a time. A function that fills one does not free what it held before, and writes {NULL, 0} if it fails.
///
/// Methods:
///   bpos_registry_export(), bpos_registry_stats()           fill one
///   bpos_key_create(), bpos_key_rotate()                    fill one with a new key and its record
///   bpos_registry_edit()                                    fills one with the answers to several changes
///   bpos_key_update(), bpos_key_get(), bpos_key_list()      fill one with records
///   bpos_key_list_page()                                    fills one with some records
///   bpos_buffer_free()                                      wipes and frees it
#[repr(C)]
pub struct bpos_buffer {
    /// UTF-8, followed by a NUL that `len` does not count. Do not change it. NULL once it is freed.
    pub data: *mut c_char,
    /// Its length in bytes. Do not change it.
    pub len: usize,
}

const _: () = {
    assert!(size_of::<bpos_buffer>() == 2 * size_of::<usize>());
    assert!(std::mem::offset_of!(bpos_buffer, data) == 0);
    assert!(std::mem::offset_of!(bpos_buffer, len) == size_of::<usize>());
};

/// Wipes and frees what a buffer holds, and sets it to {NULL, 0}. The struct itself stays the caller's.
///
/// buffer: one that the library filled, or {NULL, 0}. NULL does nothing, and neither does a second call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_buffer_free(buffer: *mut bpos_buffer) {
    guard_or((), || {
        // SAFETY: as the caller of every export promises.
        if let Ok(buffer) = unsafe { pointers::place(buffer, "buffer") } {
            // SAFETY: a buffer that is freed was filled, or is {NULL, 0}.
            let filled = unsafe { buffer.assume_init_mut() };
            let held = std::mem::replace(filled, bpos_buffer::EMPTY);
            // SAFETY: it comes from `holding`, unchanged, and is replaced above, so it is freed once.
            unsafe { held.free() };
        }
    });
}

impl bpos_buffer {
    const EMPTY: Self = Self { data: ptr::null_mut(), len: 0 };

    /// Fills a buffer of the caller's with what `answer` gives, which may hold a key: it is wiped where it was.
    pub(super) fn fill(
        out: &mut MaybeUninit<Self>,
        answer: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Failure>,
    ) -> Result<(), Failure> {
        out.write(Self::EMPTY);
        out.write(Self::holding(&answer()?)?);
        Ok(())
    }

    fn holding(text: &[u8]) -> Result<Self, Failure> {
        let len = text.len();
        let mut memory = Vec::new();
        // Of the exact size, which `free` must be able to tell, and from the start: a vector that grows leaves what it held
        // behind.
        if memory.try_reserve_exact(len + 1).is_err() {
            return Err(Error::new(ErrorKind::Limit, format!("no memory for an answer of {len} bytes")).into());
        }
        memory.extend_from_slice(text);
        memory.push(0);
        let data = Box::into_raw(memory.into_boxed_slice());
        Ok(Self { data: data.cast(), len })
    }

    /// # Safety
    ///
    /// It comes from [`bpos_buffer::holding`], unchanged, or is empty; and it is not used after this.
    unsafe fn free(self) {
        if self.data.is_null() {
            return;
        }
        let memory = ptr::slice_from_raw_parts_mut(self.data.cast::<u8>(), self.len + 1);
        // SAFETY: this is what `holding` made of a box.
        let mut memory = unsafe { Box::from_raw(memory) };
        memory.zeroize();
    }
}
