//! Who may change a registry, in which order, and what only they need.
//!
//! Three locks, always taken in this order, so that nobody waits longer than what it does itself asks for:
//!
//! 1. the **turn**: one change of this process at a time waits for other processes, first come, first served;
//! 2. the **file**: one thread at a time reads the registry file into memory, or replaces it;
//! 3. the **state**: memory only. Nobody holds it while a file is waited for, read or written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::{Mutex, MutexGuard};

use super::file;
use super::state::State;
use crate::sync::process;

/// The locks of a registry, in the process that it was made in.
pub(super) struct Writer {
    process: u64,
    turn: Turn,
    file: Turn,
    state: Mutex<State>,
    /// The lock files that a change holds open.
    pub(super) held: file::Held,
    /// The same in a child of that process.
    child: OnceBox<Writer>,
    /// The child of which a thread makes them, or has.
    maker: AtomicU64,
}

impl Writer {
    pub(super) fn new(state: State) -> Self {
        Self {
            process: process::mark(),
            turn: Turn::default(),
            file: Turn::default(),
            state: Mutex::new(state),
            held: file::Held::default(),
            child: OnceBox::new(),
            maker: AtomicU64::new(0),
        }
    }

    /// The locks of this process. In a child of the process that this was made in, the first to ask makes new ones: the
    /// parent's may be held by a thread that does not exist here, and its state may be half changed. `state` makes one
    /// from the table, which never is, and from the parent's state where that is sound.
    pub(super) fn here(&self, state: impl Fn(Option<&State>) -> State) -> &Self {
        let process = process::mark();
        let mut writer = self;
        while writer.process != process {
            writer = writer.child.get().unwrap_or_else(|| writer.make_child(process, &state));
        }
        writer
    }

    /// Makes the locks of this process, or waits for the thread of it that does: two would find the parent's state locked by
    /// each other.
    fn make_child(&self, process: u64, state: impl Fn(Option<&State>) -> State) -> &Self {
        let maker = self.maker.load(Ordering::Acquire);
        let is_free = maker != process; // another's is a thread that does not exist here
        if is_free && self.maker.compare_exchange(maker, process, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return self.child.get_or_init(|| {
                self.held.close_inherited();
                let parents = self.state.try_lock();
                Box::new(Self::new(state(parents.as_deref())))
            });
        }
        loop {
            match self.child.get() {
                Some(child) => return child,
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Waits for the turn of this thread.
    pub(super) fn turn(&self) -> impl Drop {
        self.turn.take()
    }

    /// Waits until no thread that asked before reads or writes the file.
    pub(super) fn file(&self) -> impl Drop {
        self.file.take()
    }

    /// Waits until no other thread has the state.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        wait_for(&self.state)
    }
}

/// How long a thread sleeps before it asks for a lock again.
const PAUSE: Duration = Duration::from_micros(100);

/// Locks are asked for again and again, since to wait in line takes a lock of the whole process, which a fork may leave
/// held.
fn wait_for<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match lock.try_lock() {
            Some(held) => return held,
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// A lock that is given in the order in which it was asked for: else threads that make one change after another would shut
/// out one that revokes a key, and one that reads a large file again and again all that change it.
#[derive(Default)]
struct Turn {
    next: AtomicU64,
    now: AtomicU64,
}

impl Turn {
    fn take(&self) -> impl Drop {
        struct Restriction<'a>(&'a Turn);

        impl Drop for Restriction<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_add(1, Ordering::Release);
            }
        }

        let mine = self.next.fetch_add(1, Ordering::Relaxed);
        while self.now.load(Ordering::Acquire) != mine {
            std::thread::sleep(PAUSE);
        }
        Restriction(self)
    }
}
