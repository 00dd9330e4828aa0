//! The guard around every export: no panic crosses the border.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An export panicked.
#[derive(Debug)]
pub(super) struct Panicked {
    payload: Box<dyn Any + Send>,
}

/// Runs the body of an export, and catches its panic.
///
/// Unwind safety: a call can leave only the state behind the registry's writer lock half changed, and the registry handles
/// that itself; the out-structs of a failed call are written again, whole.
pub(super) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        injection::strike();
        call()
    }))
    .map_err(|payload| Panicked { payload })
}

/// Like [`guard`], with a value to return after a panic.
pub(super) fn guard_or<T>(instead: T, call: impl FnOnce() -> T) -> T {
    guard(call).unwrap_or(instead)
}

/// Runs a call that may wait for a file or a lock, with cancellation of this thread put off: `pthread_cancel` unwinds from
/// such a wait, which Rust treats as a foreign exception and aborts the host.
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
    /// The panic's text, with every key in it masked.
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
            // Like a panic, but without the hook, which would write to the test's output.
            std::panic::resume_unwind(Box::new("injected bpos_abcdefghijklmnop"));
        }
    }
}
