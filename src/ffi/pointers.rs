//! Every conversion between C's pointers and Rust's references. Nothing else here, and nowhere else one.
//!
//! What all of these ask of their caller is what a C caller owes (see the module above): a pointer that is neither NULL
//! nor misaligned points to what its type says, for as long as the lifetime that is made of it.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::slice;

/// An argument that C may not pass: which one, and what is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misuse {
    pub(super) argument: &'static str,
    pub(super) fault: &'static str,
}

/// A struct that crosses the border: `repr(C)`, and its first member is a `u32`, the size of it that the caller knows.
///
/// # Safety
///
/// It must be so: [`Out`] and [`sized`] read that member before they know that the others are there.
pub(super) unsafe trait Sizable: Sized {
    #[expect(clippy::cast_possible_truncation, reason = "these structs have some hundred bytes")]
    const SIZE: u32 = size_of::<Self>() as u32;

    /// The largest that a newer version of it may be.
    const MAX_SIZE: u32 = 4096;
}

/// An object of ours that C was given before.
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

/// Takes back what [`given`] made. `None` for NULL or nonsense.
///
/// # Safety
///
/// See above; and this is the last use of the pointer.
pub(super) unsafe fn taken_back<T>(pointer: *mut T) -> Option<Box<T>> {
    check(pointer, "").ok()?;
    // SAFETY: the caller vouches that `given` made it, and that nobody uses it any more.
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

/// Bytes that C lends and must not leave out.
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

/// Bytes that C lends to be written: empty if they are absent. They may hold nothing yet.
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

/// Text that C lends to be changed.
///
/// # Safety
///
/// As [`room`]; and the bytes hold something.
pub(super) unsafe fn text_mut<'a>(
    pointer: *mut c_char,
    length: usize,
    argument: &'static str,
) -> Result<&'a mut [u8], Misuse> {
    // SAFETY: as asked of our caller, who vouches that the bytes were written.
    Ok(unsafe { room(pointer, length, argument)?.assume_init_mut() })
}

/// A place for one value, which may hold nothing yet.
///
/// # Safety
///
/// See above.
pub(super) unsafe fn place<'a, T>(pointer: *mut T, argument: &'static str) -> Result<&'a mut MaybeUninit<T>, Misuse> {
    check(pointer, argument)?;
    // SAFETY: neither NULL nor misaligned, so the caller vouches for it; `MaybeUninit` asks nothing of what is there.
    Ok(unsafe { &mut *pointer.cast() })
}

/// The same where C may pass NULL, and then wants to know nothing.
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

/// A struct that C lends, if it is as large as we know it.
///
/// # Safety
///
/// See above; `size` must not claim more than is there.
pub(super) unsafe fn sized<'a, T: Sizable>(pointer: *const T, argument: &'static str) -> Result<&'a T, Misuse> {
    // SAFETY: as asked of our caller.
    unsafe { check_size(pointer, argument) }?;
    // SAFETY: neither NULL nor misaligned and large enough, so the caller vouches for it.
    Ok(unsafe { &*pointer })
}

/// A struct that C lends to be written, large enough for ours. Only its `size` need hold anything yet. What a larger one has
/// more is zero: a program that is newer than this library must not read what was there before.
pub(super) struct Out<'a, T> {
    place: &'a mut MaybeUninit<T>,
    /// What the caller says of it, to be written back as it was.
    pub(super) size: u32,
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
        // SAFETY: as asked of our caller.
        Ok(Self { place: unsafe { place(pointer, argument) }?, size })
    }

    /// Writes all that we know of the struct.
    #[inline]
    pub(super) fn write(&mut self, value: T) -> &T {
        self.place.write(value)
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
    if size < T::SIZE {
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
