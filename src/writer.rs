//! The right to change a registry, one thread at a time, and what only its holder needs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, getpid};

use crate::document::{self, Keyed};
use crate::error::{Error, ErrorKind};
use crate::hazard::Retired;
use crate::ids::Ids;
use crate::key::Digest;
use crate::policy::Policy;
use crate::record::{Date, Taken};
use crate::registry::keys_of;
use crate::store;
use crate::table::{Credential, Number, Table};
use crate::text::KeyId;
use crate::usage::Usage;

/// The right to change a registry, in the process that it was made in.
pub(crate) struct Writer {
    process: Pid,
    state: Mutex<State>,
    /// The same in a child of that process.
    child: OnceBox<Writer>,
}

impl Writer {
    pub(crate) fn new(state: State) -> Self {
        Self { process: getpid(), state: Mutex::new(state), child: OnceBox::new() }
    }

    /// Waits for the right. In a child of the process that this was made in, the first to ask makes a state of its own: the
    /// parent's lock may be held by a thread that does not exist here, and its state may be half changed. `state` makes one
    /// from the table, which never is, and from the parent's state where that is sound.
    pub(crate) fn lock(&self, state: impl Fn(Option<&State>) -> State) -> MutexGuard<'_, State> {
        /// Asked for again and again, since to wait in line takes a lock of the whole process, which a fork may leave held.
        const PAUSE: Duration = Duration::from_micros(100);
        let writer = self.here(state);
        loop {
            match writer.state.try_lock() {
                Some(state) => return state,
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The right, if nobody has it.
    pub(crate) fn try_lock(&self, state: impl Fn(Option<&State>) -> State) -> Option<MutexGuard<'_, State>> {
        self.here(state).state.try_lock()
    }

    fn here(&self, state: impl Fn(Option<&State>) -> State) -> &Self {
        let process = getpid();
        let mut writer = self;
        while writer.process != process {
            writer = writer.child.get_or_init(|| {
                let parents = writer.state.try_lock();
                Box::new(Self::new(state(parents.as_deref())))
            });
        }
        writer
    }
}

/// What only the writer needs.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) ids: Ids,
    /// The position of the key that was added last.
    pub(crate) last_position: u32,
    /// The version of the file that is in force, as far as it is known.
    pub(crate) seen: Option<store::Version>,
    /// What was taken from keys and could not be written. It is in force whatever the file says.
    pub(crate) unwritten: HashMap<KeyId, Taken>,
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
        let (unwritten, revoked) =
            parents.map(|parents| (parents.unwritten.clone(), parents.revoked.clone())).unwrap_or_default();
        Self { ids: Ids::of(table), appended: table.capacity(), last_position, unwritten, revoked, ..Self::default() }
    }

    /// When a secret was revoked, if it was.
    pub(crate) fn revoked_at(&self, table: &Table, digest: &Digest) -> Date {
        let gone = self.revoked.get(digest).copied();
        gone.or_else(|| Some(table.find(digest)?.record.revoked_at)).unwrap_or(Date::NONE)
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
