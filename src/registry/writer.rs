//! The locks of a registry.
//!
//! Three, always taken in this order:
//!
//! 1. the **turn**: one change of this process at a time waits for other processes, first come, first served;
//! 2. the **file**: one thread at a time reads the registry file, or replaces it;
//! 3. the **state**: memory only, never held while a file is waited for, read or written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::{Mutex, MutexGuard};

use super::file;
use super::state::State;
use crate::sync::process;

/// The locks of a registry, for one process.
pub(super) struct Writer {
    process: u64,
    turn: Turn,
    file: Turn,
    state: Mutex<State>,
    /// The lock files that a change holds open.
    pub(super) held: file::Held,
    /// The locks of a forked child.
    child: OnceBox<Writer>,
    /// The child that a thread makes them for.
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

    /// The locks of this process. A forked child makes new ones: a thread that holds the parent's does not exist there, and
    /// may have left the state half changed. `state` makes a state from the table, and the parent's where it is sound.
    pub(super) fn here(&self, state: impl Fn(Option<&State>) -> State) -> &Self {
        let process = process::mark();
        let mut writer = self;
        while writer.process != process {
            writer = writer.child.get().unwrap_or_else(|| writer.make_child(process, &state));
        }
        writer
    }

    /// Makes the locks of this process, or waits for the thread that does: only one may try the parent's lock.
    fn make_child(&self, process: u64, state: impl Fn(Option<&State>) -> State) -> &Self {
        let maker = self.maker.load(Ordering::Acquire);
        let is_free = maker != process; // another process's thread does not exist here
        if is_free && self.maker.compare_exchange(maker, process, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return self.child.get_or_init(|| {
                self.held.close_inherited();
                let parents = self.state.try_lock();
                Box::new(Self::new(state(parents.as_deref())))
            });
        }
        poll(|| self.child.get())
    }

    /// Waits for the turn of this thread.
    pub(super) fn turn(&self) -> impl Drop {
        self.turn.take()
    }

    /// The file, if no other thread reads or writes it, or waits for it.
    pub(super) fn try_file(&self) -> Option<impl Drop> {
        self.file.try_take()
    }

    /// The state, if no other thread has it.
    pub(super) fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock()
    }

    /// Waits until no thread that asked before reads or writes the file.
    pub(super) fn file(&self) -> impl Drop {
        self.file.take()
    }

    /// Waits until no other thread has the state.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        poll(|| self.state.try_lock())
    }
}

/// Tries until there is something. Not a blocking lock: those queue in a table of the whole process, which a fork may leave
/// locked.
fn poll<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        match attempt() {
            Some(found) => return found,
            None => std::thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// A fair lock, so that a thread with many changes cannot starve one that revokes a key.
#[derive(Default)]
struct Turn {
    next: AtomicU64,
    now: AtomicU64,
}

struct Taken<'a>(&'a AtomicU64);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Turn {
    fn try_take(&self) -> Option<Taken<'_>> {
        let now = self.now.load(Ordering::Acquire);
        let taken = self.next.compare_exchange(now, now.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok().then(|| Taken(&self.now))
    }

    fn take(&self) -> Taken<'_> {
        let mine = self.next.fetch_add(1, Ordering::Relaxed);
        poll(|| (self.now.load(Ordering::Acquire) == mine).then_some(()));
        Taken(&self.now)
    }
}
