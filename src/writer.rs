//! Who may change a registry, in which order, and what only they need.
//!
//! Three locks, always taken in this order, so that nobody waits longer than what it does itself asks for:
//!
//! 1. the **turn**: one change of this process at a time waits for other processes, first come, first served;
//! 2. the **file**: one thread at a time reads the registry file into memory, or replaces it;
//! 3. the **state**: memory only. Nobody holds it while a file is waited for, read or written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::{Mutex, MutexGuard};

use crate::document::{self, Keyed};
use crate::error::{Error, ErrorKind};
use crate::hazard::Retired;
use crate::ids::Ids;
use crate::key::Digest;
use crate::policy::Policy;
use crate::process;
use crate::record::{Date, Taken};
use crate::registry::keys_of;
use crate::store;
use crate::table::{Credential, Number, Table};
use crate::text::KeyId;
use crate::usage::Usage;

/// The locks of a registry, in the process that it was made in.
pub(crate) struct Writer {
    process: u64,
    turn: Turn,
    file: Turn,
    state: Mutex<State>,
    /// The lock files that a change holds open.
    pub(crate) held: store::Held,
    /// The same in a child of that process.
    child: OnceBox<Writer>,
    /// The child of which a thread makes them, or has.
    maker: AtomicU64,
}

impl Writer {
    pub(crate) fn new(state: State) -> Self {
        Self {
            process: process::mark(),
            turn: Turn::default(),
            file: Turn::default(),
            state: Mutex::new(state),
            held: store::Held::default(),
            child: OnceBox::new(),
            maker: AtomicU64::new(0),
        }
    }

    /// The locks of this process. In a child of the process that this was made in, the first to ask makes new ones: the
    /// parent's may be held by a thread that does not exist here, and its state may be half changed. `state` makes one
    /// from the table, which never is, and from the parent's state where that is sound.
    pub(crate) fn here(&self, state: impl Fn(Option<&State>) -> State) -> &Self {
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
    pub(crate) fn turn(&self) -> impl Drop {
        self.turn.take()
    }

    /// Waits until no thread that asked before reads or writes the file.
    pub(crate) fn file(&self) -> impl Drop {
        self.file.take()
    }

    /// Waits until no other thread has the state.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
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
        struct Taken<'a>(&'a Turn);

        impl Drop for Taken<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_add(1, Ordering::Release);
            }
        }

        let mine = self.next.fetch_add(1, Ordering::Relaxed);
        while self.now.load(Ordering::Acquire) != mine {
            std::thread::sleep(PAUSE);
        }
        Taken(self)
    }
}

/// What only those need who change the registry or ask about keys.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) ids: Ids,
    /// The position of the key that was added last.
    pub(crate) last_position: u32,
    /// The file that is in force, as far as it is known.
    pub(crate) seen: Option<store::Seen>,
    /// A file that could not be put in force, and why: it is not read again until it changes.
    pub(crate) refused: Option<(store::Seen, Error)>,
    /// The keys from which something was taken that is not in the file yet. It is in force whatever the file says.
    pub(crate) withheld: HashMap<KeyId, Withheld>,
    /// Raised with each change to what an edit sees.
    pub(crate) generation: u64,
    /// The owner of the last edit.
    pub(crate) last_owner: Owner,
    /// Secrets that were revoked and whose records are gone, with the time of the revocation: they stay revoked.
    pub(crate) revoked: HashMap<Digest, Date>,
    /// How many credentials were appended to the table in force.
    pub(crate) appended: usize,
    /// Tables that were replaced while somebody read them.
    pub(crate) retired: Vec<Retired<Table>>,
}

impl State {
    /// The state of a forked process for the table that it has: the room counts as used up, since an append may have been
    /// under way.
    pub(crate) fn of(table: &Table, parents: Option<&Self>) -> Self {
        let last_position = keys_of(table).map(|key| key.usage.position()).max().unwrap_or(0);
        let (mut withheld, revoked) =
            parents.map(|parents| (parents.withheld.clone(), parents.revoked.clone())).unwrap_or_default();
        // Nobody here waits for what the parent's threads are about to write.
        withheld.values_mut().for_each(|withheld| withheld.taken.iter_mut().for_each(|(owner, _)| *owner = SETTLED));
        Self { ids: Ids::of(table), appended: table.capacity(), last_position, withheld, revoked, ..Self::default() }
    }

    /// A key as the next document is to have it, if nothing more changes.
    pub(crate) fn to_write(&self, table: &Table, id: &KeyId, policy: &Policy) -> Option<Keyed> {
        let known = self.ids.get(table, id)?;
        Some(self.withheld.get(id).map_or_else(|| Keyed::of(known), |withheld| withheld.to_write(policy)))
    }

    /// When a secret was revoked, if it was. An edit under way may yet fail, and revokes none.
    pub(crate) fn revoked_at(&self, table: &Table, digest: &Digest, policy: &Policy) -> Date {
        let gone = self.revoked.get(digest).copied();
        let key = || self.to_write(table, &table.find(digest)?.record.id, policy);
        gone.or_else(|| Some(key()?.record.revoked_at)).unwrap_or(Date::NONE)
    }

    /// Whether this owner has taken something that is not written.
    pub(crate) fn is_unwritten(&self, owner: Owner) -> bool {
        self.withheld.values().any(|withheld| withheld.taken.iter().any(|(of, _)| *of == owner))
    }

    /// Gives back what this owner has taken, but for putting it in force. Gives the keys from which it was taken.
    pub(crate) fn drop_taken(&mut self, owner: Owner) -> Vec<KeyId> {
        let mut from = Vec::new();
        for (id, withheld) in &mut self.withheld {
            let before = withheld.taken.len();
            withheld.taken.retain(|(of, _)| *of != owner);
            if withheld.taken.len() < before {
                from.push(*id);
            }
        }
        from
    }

    /// The position of a new key: after all others.
    pub(crate) fn position(&mut self) -> u32 {
        self.last_position = self.last_position.saturating_add(1);
        self.last_position
    }

    /// The number of the next credential.
    pub(crate) fn number(&mut self) -> Number {
        self.appended += 1;
        Number::try_from(self.appended).unwrap_or(Number::MAX)
    }

    /// Appends a key's credentials to a table that has room for them, and makes them the ones of its id. Says whether the id
    /// had others.
    pub(crate) fn append(&mut self, table: &Table, key: Keyed, policy: &Policy, usage: Option<Arc<Usage>>) -> bool {
        let usage = usage.unwrap_or_else(|| {
            let usage = Usage::new(u32::from(key.record.rate_limit));
            usage.set_position(self.position());
            Arc::new(usage)
        });
        let mut known = false;
        for credential in credentials(key, policy, &usage) {
            let (number, id, retiring) = (self.number(), credential.record.id, credential.is_retiring());
            table.insert(number, credential);
            known |= !retiring && self.ids.insert(table, &id, number);
        }
        known
    }
}

/// Who takes something from a key: an edit that is under way, or nobody any more.
pub(crate) type Owner = u64;

/// Of what an edit took that could not be written: the next document has it, whosever that is.
pub(crate) const SETTLED: Owner = 0;

/// A key from which something was taken that is not in the file yet.
#[derive(Debug, Clone)]
pub(crate) struct Withheld {
    /// As the file has it.
    pub(crate) key: Keyed,
    pub(crate) taken: Vec<(Owner, Taken)>,
}

impl Withheld {
    /// As decisions see it.
    pub(crate) fn in_force(&self, policy: &Policy) -> Keyed {
        self.without(policy, |_| true)
    }

    /// As edits see it and the next document has it: what edits under way take is theirs to write.
    pub(crate) fn to_write(&self, policy: &Policy) -> Keyed {
        self.without(policy, |owner| owner == SETTLED)
    }

    fn without(&self, policy: &Policy, counts: impl Fn(Owner) -> bool) -> Keyed {
        let mut key = self.key.clone();
        for (_, taken) in self.taken.iter().filter(|(owner, _)| counts(*owner)) {
            taken.take_from(&mut key.record, |set| policy.close(set));
        }
        key
    }
}

const SAME_ID: &str = "another key has the same id";

/// Builds a table from a document's keys; none may share an id or a digest.
pub(crate) fn build(
    json: &[u8],
    keys: Vec<Keyed>,
    policy: &Policy,
    usage_of: impl Fn(&KeyId) -> Option<Arc<Usage>>,
) -> Result<(Table, State), Error> {
    let credentials: usize = keys.iter().map(|key| key.digests().count()).sum();
    // A little room, so that the first changes need no copy.
    let table = Table::with_capacity(credentials + credentials / 64 + 64);
    let mut state = State { ids: Ids::with_capacity(keys.len()), ..State::default() };
    for (index, key) in keys.into_iter().enumerate() {
        let own = key.record.retiring.as_deref().is_some_and(|retiring| retiring.digest == key.digest);
        if own || key.digests().any(|digest| table.find(digest).is_some()) {
            let same_id = state.ids.get(&table, &key.record.id).is_some();
            let what = if same_id { SAME_ID } else { "another secret has the same sha256" };
            return Err(conflict(json, index, &key.record.id, what));
        }
        let (id, usage) = (key.record.id, usage_of(&key.record.id));
        if state.append(&table, key, policy, usage) {
            return Err(conflict(json, index, &id, SAME_ID));
        }
    }
    Ok((table, state))
}

/// What a key's secrets grant: the current one, and a retiring one until its end of grace.
fn credentials(key: Keyed, policy: &Policy, usage: &Arc<Usage>) -> impl Iterator<Item = Credential> {
    let record = Arc::new(key.record);
    let current = Credential {
        digest: key.digest,
        scopes: policy.close(record.scopes),
        ends_at: record.expires_at.or_never(),
        record: Arc::clone(&record),
        usage: Arc::clone(usage),
    };
    let retiring = record.retiring.as_deref().map(|retiring| Credential {
        digest: retiring.digest,
        ends_at: retiring.until.min(current.ends_at),
        ..current.clone()
    });
    std::iter::once(current).chain(retiring)
}

impl Keyed {
    /// The record and the digest of a credential that is in force.
    pub(crate) fn of(credential: &Credential) -> Self {
        Self { digest: credential.digest, record: (*credential.record).clone() }
    }

    /// The digests by which the key is found: its own, and that of a retiring secret.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.record.digests(&self.digest)
    }
}

pub(crate) fn conflict(json: &[u8], index: usize, id: &KeyId, message: &str) -> Error {
    let (number, id, place) = (index + 1, id.as_str(), document::place_of_key(json, index));
    Error::new(ErrorKind::Conflict, format!("key {number} ({id}): {message}{place}"))
}
