//! Every conversion between C's pointers and Rust's references, and nothing else.
//!
//! All of these require what a C caller owes (see the module above): a pointer that is neither NULL nor misaligned points
//! to what its type says, for as long as the lifetime that it is given.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice;

/// An argument that C may not pass: which one, and what is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misuse {
    pub(super) argument: &'static str,
    pub(super) fault: &'static str,
}

/// A struct that crosses the border: `repr(C)`, without padding, and its first member is a `u32`, the size of it that the
/// caller knows.
///
/// # Safety
///
/// It must be so: [`Out`] and [`sized`] read that member before they know that the others are there.
pub(super) unsafe trait Sizable: Sized {
    #[expect(clippy::cast_possible_truncation, reason = "these structs have a few hundred bytes")]
    const SIZE: u32 = size_of::<Self>() as u32;

    /// The size in the oldest header that programs were built with.
    const MIN_SIZE: u32 = Self::SIZE;

    /// The largest that a newer version of it may be.
    const MAX_SIZE: u32 = 4096;
}

/// An object of ours that C holds.
///
/// # Safety
///
/// See above.
#[inline]
pub(super) unsafe fn borrowed<'a, T>(pointer: *const T, argument: &'static str) -> Result<&'a T, Misuse> {
    check(pointer, argument)?;
    // SAFETY: neither NULL nor misaligned, so the caller vouches for it.
    Ok(unsafe { &*pointer })
}

/// Takes back what [`given`] made. `None` for NULL or a misaligned pointer.
///
/// # Safety
///
/// See above; and this is the last use of the pointer.
pub(super) unsafe fn taken_back<T>(pointer: *mut T) -> Option<Box<T>> {
    check(pointer, "").ok()?;
    // SAFETY: the caller vouches that `given` made it, and that nobody uses it now.
    Some(unsafe { Box::from_raw(pointer) })
}

/// Hands an object to C until [`taken_back`].
pub(super) fn given<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Bytes that C lends. `None` if they are absent.
///
/// # Safety
///
/// See above: `length` bytes.
#[inline]
pub(super) unsafe fn bytes<'a>(
    pointer: *const c_char,
    length: usize,
    argument: &'static str,
) -> Result<Option<&'a [u8]>, Misuse> {
    if pointer.is_null() && length == 0 {
        return Ok(None);
    }
    check_length(pointer, length, argument)?;
    // SAFETY: not NULL, and of a length that a slice may have, so the caller vouches for it.
    Ok(Some(unsafe { slice::from_raw_parts(pointer.cast(), length) }))
}

/// Bytes that C lends and may not omit.
///
/// # Safety
///
/// As [`bytes`].
pub(super) unsafe fn required<'a>(
    pointer: *const c_char,
    length: usize,
    argument: &'static str,
) -> Result<&'a [u8], Misuse> {
    // SAFETY: as asked of our caller.
    unsafe { bytes(pointer, length, argument) }?.ok_or(Misuse { argument, fault: "is NULL" })
}

/// Bytes that C lends for writing: empty if they are absent. They may be uninitialized.
///
/// # Safety
///
/// See above: `capacity` bytes, writable.
pub(super) unsafe fn room<'a>(
    pointer: *mut c_char,
    capacity: usize,
    argument: &'static str,
) -> Result<&'a mut [MaybeUninit<u8>], Misuse> {
    if pointer.is_null() && capacity == 0 {
        return Ok(&mut []);
    }
    check_length(pointer, capacity, argument)?;
    // SAFETY: not NULL, and of a length that a slice may have, so the caller vouches for it.
    Ok(unsafe { slice::from_raw_parts_mut(pointer.cast(), capacity) })
}

/// Text that C lends for changing in place.
///
/// # Safety
///
/// As [`room`]; and the bytes are initialized.
pub(super) unsafe fn text_mut<'a>(
    pointer: *mut c_char,
    length: usize,
    argument: &'static str,
) -> Result<&'a mut [u8], Misuse> {
    // SAFETY: as asked of our caller, who vouches that the bytes were written.
    Ok(unsafe { room(pointer, length, argument)?.assume_init_mut() })
}

/// A place for one value, which may be uninitialized.
///
/// # Safety
///
/// See above.
pub(super) unsafe fn place<'a, T>(pointer: *mut T, argument: &'static str) -> Result<&'a mut MaybeUninit<T>, Misuse> {
    check(pointer, argument)?;
    // SAFETY: neither NULL nor misaligned, so the caller vouches for it; `MaybeUninit` asks nothing of what is there.
    Ok(unsafe { &mut *pointer.cast() })
}

/// The same where C may pass NULL, if it does not want the value.
///
/// # Safety
///
/// See above.
pub(super) unsafe fn place_or_null<'a, T>(
    pointer: *mut T,
    argument: &'static str,
) -> Result<Option<&'a mut MaybeUninit<T>>, Misuse> {
    // SAFETY: as asked of our caller.
    if pointer.is_null() { Ok(None) } else { unsafe { place(pointer, argument) }.map(Some) }
}

/// A struct that C lends, if it is at least as large as ours.
///
/// # Safety
///
/// See above; `size` must not claim more than is there.
pub(super) unsafe fn sized<'a, T: Sizable>(pointer: *const T, argument: &'static str) -> Result<&'a T, Misuse> {
    const { assert!(T::MIN_SIZE == T::SIZE, "an older program's struct would be too short for the reference") };
    // SAFETY: as asked of our caller.
    unsafe { check_size(pointer, argument) }?;
    // SAFETY: neither NULL nor misaligned and large enough, so the caller vouches for it.
    Ok(unsafe { &*pointer })
}

/// A struct that C lends for writing. Only its `size` need be initialized. A larger one is zeroed beyond ours: a program
/// newer than this library must not read what was there before.
pub(super) struct Out<'a, T> {
    pointer: *mut T,
    /// The caller's `size`, to be written back unchanged.
    pub(super) size: u32,
    lent: PhantomData<&'a mut T>,
}

impl<T: Sizable> Out<'_, T> {
    /// # Safety
    ///
    /// As [`sized`].
    #[inline]
    pub(super) unsafe fn new(pointer: *mut T, argument: &'static str) -> Result<Self, Misuse> {
        // SAFETY: as asked of our caller.
        let size = unsafe { check_size(pointer, argument) }?;
        if size > T::SIZE {
            // SAFETY: the caller vouches for `size` bytes, which are more than the struct's.
            unsafe { pointer.add(1).cast::<u8>().write_bytes(0, (size - T::SIZE) as usize) };
        }
        Ok(Self { pointer, size, lent: PhantomData })
    }

    /// Writes the struct, as far as the caller knows it.
    #[inline]
    pub(super) fn write(&mut self, value: T) {
        if T::MIN_SIZE == T::SIZE || self.size >= T::SIZE {
            // SAFETY: `new` found it aligned and large enough, and its caller vouches that it may be written.
            unsafe { self.pointer.write(value) }
        } else {
            // SAFETY: likewise, for `size` bytes of it, which are fewer than the value's.
            unsafe { self.pointer.cast::<u8>().copy_from((&raw const value).cast(), self.size as usize) }
        }
    }
}

/// # Safety
///
/// As [`sized`].
#[inline]
unsafe fn check_size<T: Sizable>(pointer: *const T, argument: &'static str) -> Result<u32, Misuse> {
    check(pointer, argument)?;
    // SAFETY: `Sizable` says that a `u32` stands at the beginning, and the caller vouches for that much of it.
    let size = unsafe { pointer.cast::<u32>().read() };
    if size < T::MIN_SIZE {
        return Err(Misuse {
            argument,
            fault: "has a `size` smaller than its struct: set it to sizeof before the call",
        });
    }
    if size > T::MAX_SIZE {
        return Err(Misuse { argument, fault: "has a `size` over 4096: set it to sizeof before the call" });
    }
    Ok(size)
}

#[inline]
fn check<T>(pointer: *const T, argument: &'static str) -> Result<(), Misuse> {
    if pointer.is_null() {
        return Err(Misuse { argument, fault: "is NULL" });
    }
    if !pointer.is_aligned() {
        return Err(Misuse { argument, fault: "is misaligned" });
    }
    Ok(())
}

#[inline]
fn check_length(pointer: *const c_char, length: usize, argument: &'static str) -> Result<(), Misuse> {
    if pointer.is_null() {
        return Err(Misuse { argument, fault: "is NULL, with a length that is not 0" });
    }
    if isize::try_from(length).is_err() {
        return Err(Misuse { argument, fault: "has an impossible length" });
    }
    Ok(())
}
