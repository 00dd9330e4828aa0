//! What only those need who change the registry or ask about keys, and how a table is made.

use std::collections::HashMap;
use std::sync::Arc;

use super::file;
use super::ids::Ids;
use super::restriction::Restriction;
use super::table::{Credential, Number, Table};
use crate::error::Error;
use crate::key::{Digest, KeyEntry, OptionalTime};
use crate::limit::Usage;
use crate::policy::Policy;
use crate::sync::hazard::Retired;
use crate::text::KeyId;

/// What only those need who change the registry or ask about keys.
#[derive(Default)]
pub(super) struct State {
    pub(super) ids: Ids,
    /// The position of the key that was added last.
    pub(super) last_position: u32,
    /// The file that is in force, as far as it is known.
    pub(super) seen: Option<file::Seen>,
    /// A file that could not be put in force, and why: it is not read again until it changes.
    pub(super) refused: Option<(file::Seen, Error)>,
    /// The keys from which something was taken that is not in the file yet. It is in force whatever the file says.
    pub(super) withheld: HashMap<KeyId, Withheld>,
    /// Raised with each change to what an edit sees.
    pub(super) generation: u64,
    /// The owner of the last edit.
    pub(super) last_owner: Owner,
    /// Secrets that were revoked and whose records are gone, with the time of the revocation: they stay revoked.
    pub(super) revoked: HashMap<Digest, OptionalTime>,
    /// How many credentials were appended to the table in force.
    pub(super) appended: usize,
    /// Tables that were replaced while somebody read them.
    pub(super) retired: Vec<Retired<Table>>,
}

impl State {
    /// The state of a forked process for the table that it has: the room counts as used up, since an append may have been
    /// under way.
    pub(super) fn of(table: &Table, parents: Option<&Self>) -> Self {
        let last_position = table.keys().map(|key| key.usage.position()).max().unwrap_or(0);
        let (mut withheld, revoked) =
            parents.map(|parents| (parents.withheld.clone(), parents.revoked.clone())).unwrap_or_default();
        // Nobody here waits for what the parent's threads are about to write.
        withheld.values_mut().for_each(|withheld| withheld.taken.iter_mut().for_each(|(owner, _)| *owner = SETTLED));
        Self { ids: Ids::of(table), appended: table.capacity(), last_position, withheld, revoked, ..Self::default() }
    }

    /// A key as the next document is to have it, if nothing more changes.
    pub(super) fn to_write(&self, table: &Table, id: &KeyId, policy: &Policy) -> Option<KeyEntry> {
        let known = self.ids.get(table, id)?;
        Some(self.withheld.get(id).map_or_else(|| known.entry(), |withheld| withheld.to_write(policy)))
    }

    /// When a secret was revoked, if it was. An edit under way may yet fail, and revokes none.
    pub(super) fn revoked_at(&self, table: &Table, digest: &Digest, policy: &Policy) -> OptionalTime {
        let gone = self.revoked.get(digest).copied();
        let key = || self.to_write(table, &table.find(digest)?.record.id, policy);
        gone.or_else(|| Some(key()?.record.revoked_at)).unwrap_or(OptionalTime::NONE)
    }

    /// Whether this owner has taken something that is not written.
    pub(super) fn is_unwritten(&self, owner: Owner) -> bool {
        self.withheld.values().any(|withheld| withheld.taken.iter().any(|(of, _)| *of == owner))
    }

    /// Gives back what this owner has taken, but for putting it in force. Gives the keys from which it was taken.
    pub(super) fn drop_taken(&mut self, owner: Owner) -> Vec<KeyId> {
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
    pub(super) fn position(&mut self) -> u32 {
        self.last_position = self.last_position.saturating_add(1);
        self.last_position
    }

    /// The number of the next credential.
    pub(super) fn number(&mut self) -> Number {
        self.appended += 1;
        Number::try_from(self.appended).unwrap_or(Number::MAX)
    }

    /// Appends a key's credentials to a table that has room for them, and makes them the ones of its id.
    pub(super) fn append(&mut self, table: &Table, key: KeyEntry, policy: &Policy, usage: Option<Arc<Usage>>) {
        let usage = usage.unwrap_or_else(|| {
            let usage = Usage::new(u32::from(key.record.rate_limit));
            usage.set_position(self.position());
            Arc::new(usage)
        });
        for credential in credentials(key, policy, &usage) {
            let (number, id, retiring) = (self.number(), credential.record.id, credential.is_retiring());
            table.insert(number, credential);
            if !retiring {
                self.ids.insert(table, &id, number);
            }
        }
    }
}

/// Who takes something from a key: an edit that is under way, or nobody any more.
pub(super) type Owner = u64;

/// Of what an edit took that could not be written: the next document has it, whosever that is.
pub(super) const SETTLED: Owner = 0;

/// A key from which something was taken that is not in the file yet.
#[derive(Debug, Clone)]
pub(super) struct Withheld {
    /// As the file has it.
    pub(super) key: KeyEntry,
    pub(super) taken: Vec<(Owner, Restriction)>,
}

impl Withheld {
    /// As decisions see it.
    pub(super) fn in_force(&self, policy: &Policy) -> KeyEntry {
        self.without(policy, |_| true)
    }

    /// As edits see it and the next document has it: what edits under way take is theirs to write.
    pub(super) fn to_write(&self, policy: &Policy) -> KeyEntry {
        self.without(policy, |owner| owner == SETTLED)
    }

    fn without(&self, policy: &Policy, counts: impl Fn(Owner) -> bool) -> KeyEntry {
        let mut key = self.key.clone();
        for (_, taken) in self.taken.iter().filter(|(owner, _)| counts(*owner)) {
            taken.apply_to(&mut key.record, |set| policy.close(set));
        }
        key
    }
}

/// Builds a table from a document's keys, none of which share an id or a digest.
pub(super) fn build(
    keys: Vec<KeyEntry>,
    policy: &Policy,
    usage_of: impl Fn(&KeyId) -> Option<Arc<Usage>>,
) -> (Table, State) {
    let credentials: usize = keys.iter().map(|key| key.digests().count()).sum();
    // A little room, so that the first changes need no copy.
    let table = Table::with_capacity(credentials + credentials / 64 + 64);
    let mut state = State { ids: Ids::with_capacity(keys.len()), ..State::default() };
    for key in keys {
        let usage = usage_of(&key.record.id);
        state.append(&table, key, policy, usage);
    }
    (table, state)
}

/// What a key's secrets grant: the current one, and a retiring one until its end of grace.
fn credentials(key: KeyEntry, policy: &Policy, usage: &Arc<Usage>) -> impl Iterator<Item = Credential> {
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
