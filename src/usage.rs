//! What a key has used: its window, where the window's slots live, and how often it was denied.
//!
//! One [`Usage`] belongs to a key's id and is shared by every version of its record, so a change, a reload or a
//! rotation forgets no admission. An idle key has no slots; its first admission allocates them. A limit that is raised
//! past them moves the log to larger ones: the old log is sealed, its times are copied, and whoever meets the seal
//! does the same, so no thread waits for another.

use once_cell::race::OnceBox;

use crate::clock::Clock;
use crate::decision::{DENY_REASONS, DenyReason};
use crate::sync::AtomicU64;
use crate::tally::{CELLS, Tally};
use crate::window::{Verdict, Window};

/// The admissions and the denials of one key.
#[derive(Debug)]
pub(crate) struct Usage {
    log: Log,
    /// Allocated with the key's first denial.
    denied: OnceBox<[Tally; 1]>,
}

/// The first reason that is held against a key: the secret was proved. Those before count for the registry.
const FIRST_PROVED: usize = DenyReason::RevokedKey as usize;

const _: () = assert!(DENY_REASONS - FIRST_PROVED <= CELLS && FIRST_PROVED <= CELLS, "a tally has a cell for each");

/// There was no memory for a key's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl Usage {
    pub(crate) fn new(limit: u32) -> Self {
        Self { log: Log::new(limit), denied: OnceBox::new() }
    }

    /// Admits one request if the key's limit has room for it.
    pub(crate) fn admit(&self, limit: u32, clock: &impl Clock) -> Result<Verdict, OutOfMemory> {
        let mut log = &self.log;
        loop {
            while let Some(next) = log.next() {
                log = next;
            }
            if log.slots.len() <= limit as usize {
                log = log.grow(limit)?;
                continue;
            }
            let window = log.window()?;
            if let Some(glance) = clock.glance()
                && let Some(wait_us) = window.refuse(limit, glance.earliest_us, glance.latest_us)
            {
                return Ok(Verdict::Refused { wait_us });
            }
            match window.admit(limit, || clock.monotonic_us()) {
                Verdict::Sealed => log = log.grow(limit)?,
                verdict => return Ok(verdict),
            }
        }
    }

    /// Counts a denial. One that cannot be counted for want of memory is a denial all the same.
    #[inline]
    pub(crate) fn count_denial(&self, reason: DenyReason) {
        if let Ok([tally]) = self.denied.get_or_try_init(|| boxed(Tally::default())) {
            tally.add((reason as usize).wrapping_sub(FIRST_PROVED));
        }
    }

    /// How often the key was admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.logs().filter_map(|log| Some(log.allocated()?.admitted().saturating_sub(log.carried))).sum()
    }

    /// How often the key was denied, by the number of the reason.
    pub(crate) fn denied(&self) -> [u64; DENY_REASONS] {
        let sums = self.denied.get().map(|[tally]| tally.sums()).unwrap_or_default();
        let mut denied = [0; DENY_REASONS];
        for (count, sum) in denied.iter_mut().skip(FIRST_PROVED).zip(sums) {
            *count = sum;
        }
        denied
    }

    /// When the key was last admitted, on the monotonic clock.
    pub(crate) fn last_us(&self) -> Option<u64> {
        self.logs().filter_map(|log| log.allocated()?.newest_us()).last()
    }

    fn logs(&self) -> impl Iterator<Item = &Log> {
        std::iter::successors(Some(&self.log), |log| log.next())
    }
}

/// A window with the memory that it is written to.
#[derive(Debug)]
struct Log {
    head: AtomicU64,
    tail: AtomicU64,
    slots: Slots,
    /// How many of the admissions were copied from the log before.
    carried: u64,
    /// The larger log that this one was sealed for. An array of one, because only a vector can be allocated without
    /// aborting the host when there is no memory.
    next: OnceBox<[Log; 1]>,
}

/// Slots, allocated at first use. Always more than the limit, since a seal takes one.
#[derive(Debug)]
enum Slots {
    Few(OnceBox<[AtomicU64; 64]>),
    Some(OnceBox<[AtomicU64; 256]>),
    Many(OnceBox<[AtomicU64; 1024]>),
}

impl Log {
    fn new(limit: u32) -> Self {
        let slots = match limit {
            0..64 => Slots::Few(OnceBox::new()),
            64..256 => Slots::Some(OnceBox::new()),
            _ => Slots::Many(OnceBox::new()),
        };
        Self { head: AtomicU64::new(0), tail: AtomicU64::new(0), slots, carried: 0, next: OnceBox::new() }
    }

    /// Seals this log and gives the one after it, with room for `limit`.
    fn grow(&self, limit: u32) -> Result<&Self, OutOfMemory> {
        let old = self.window()?;
        old.seal();
        let larger = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(limit);
        let [next] = self.next.get_or_try_init(|| {
            let mut log = Self::new(larger);
            let window = log.window()?;
            old.last().for_each(|time| window.restore(time));
            log.carried = window.admitted();
            boxed(log)
        })?;
        Ok(next)
    }

    fn next(&self) -> Option<&Self> {
        self.next.get().map(|[next]| next)
    }

    fn window(&self) -> Result<Window<'_>, OutOfMemory> {
        Ok(self.over(match &self.slots {
            Slots::Few(slots) => slots.get_or_try_init(vacant)?,
            Slots::Some(slots) => slots.get_or_try_init(vacant)?,
            Slots::Many(slots) => slots.get_or_try_init(vacant)?,
        }))
    }

    fn allocated(&self) -> Option<Window<'_>> {
        Some(self.over(match &self.slots {
            Slots::Few(slots) => slots.get()?,
            Slots::Some(slots) => slots.get()?,
            Slots::Many(slots) => slots.get()?,
        }))
    }

    fn over<'a>(&'a self, slots: &'a [AtomicU64]) -> Window<'a> {
        Window { head: &self.head, tail: &self.tail, slots }
    }
}

impl Slots {
    fn len(&self) -> usize {
        match self {
            Self::Few(_) => 64,
            Self::Some(_) => 256,
            Self::Many(_) => 1024,
        }
    }
}

fn vacant<const N: usize>() -> Result<Box<[AtomicU64; N]>, OutOfMemory> {
    collect(std::iter::repeat_with(|| AtomicU64::new(0)).take(N))
}

fn boxed<T>(value: T) -> Result<Box<[T; 1]>, OutOfMemory> {
    collect(std::iter::once(value))
}

/// `N` values in memory that was asked for, not demanded.
fn collect<T, const N: usize>(values: impl Iterator<Item = T>) -> Result<Box<[T; N]>, OutOfMemory> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(N).map_err(|_| OutOfMemory)?;
    memory.extend(values);
    memory.try_into().map_err(|_| OutOfMemory)
}
