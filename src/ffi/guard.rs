//! The guard around every export: no panic crosses the border.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An export panicked. Holds the panic's text, with every key in it masked.
#[derive(Debug)]
pub(super) struct Panicked {
    payload: Box<dyn Any + Send>,
}

/// Runs what an export does, and catches its panic.
///
/// Unwind safety: what a call can leave half changed is the state behind the registry's writer lock, and the registry
/// answers for that itself; the out-structs of a failed call are written again, whole.
pub(super) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        injection::strike();
        call()
    }))
    .map_err(|payload| Panicked { payload })
}

/// Like [`guard`], with a value to give instead.
pub(super) fn guard_or<T>(instead: T, call: impl FnOnce() -> T) -> T {
    guard(call).unwrap_or(instead)
}

/// Runs what may wait for a file or a lock, while this thread cannot be cancelled: `pthread_cancel` unwinds from such a
/// wait, which Rust takes for a foreign exception and aborts the host. It takes effect afterwards.
#[cfg(not(target_os = "android"))] // which has no cancellation
pub(super) fn without_cancellation<T>(call: impl FnOnce() -> T) -> T {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    /// Of <pthread.h>.
    const PTHREAD_CANCEL_DISABLE: c_int = if cfg!(target_vendor = "apple") { 0 } else { 1 };

    let mut before = 0;
    // SAFETY: POSIX has this function, and `before` is a place for its answer.
    let disabled = unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) } == 0;
    let answer = call();
    if disabled {
        // SAFETY: likewise; the state is one that it gave.
        unsafe { pthread_setcancelstate(before, std::ptr::null_mut()) };
    }
    answer
}

#[cfg(target_os = "android")]
pub(super) fn without_cancellation<T>(call: impl FnOnce() -> T) -> T {
    call()
}

impl Panicked {
    pub(super) fn message(&self) -> String {
        let text = match (self.payload.downcast_ref::<&str>(), self.payload.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "no text",
        };
        format!("bpos panicked; this is a bug in bpos: {}", crate::key::redact(text).0)
    }
}

/// Panics on demand, in the thread that asks for one.
#[cfg(test)]
pub(super) mod injection {
    use std::cell::Cell;

    thread_local!(static ARMED: Cell<bool> = const { Cell::new(false) });

    /// The next guarded call of this thread panics.
    pub(crate) fn arm() {
        ARMED.set(true);
    }

    /// Whether the panic that was asked for is still to come.
    pub(crate) fn is_armed() -> bool {
        ARMED.get()
    }

    pub(super) fn strike() {
        if ARMED.replace(false) {
            // Like a panic, but the hook, and with it the test's output, stays out of it.
            std::panic::resume_unwind(Box::new("injected bpos_abcdefghijklmnop"));
        }
    }
}
