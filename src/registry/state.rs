//! What changes and queries need besides the table, and how a table is built.

use std::collections::{HashMap, HashSet};

use super::file;
use super::ids::Ids;
use super::order::Order;
use super::restriction::Restriction;
use super::table::{Credential, Number, Table};
use crate::error::Error;
use crate::key::{Digest, KeyEntry, OptionalTime, Record};
use crate::limit::Account;
use crate::policy::Policy;
use crate::sync::hazard::Retired;
use crate::text::{KeyId, Store};

/// What changes and queries need besides the table.
#[derive(Default)]
pub(super) struct State {
    pub(super) ids: Ids,
    pub(super) order: Order,
    /// The file in force, if known.
    pub(super) seen: Option<file::Seen>,
    /// A file that was refused, and why: not read again until it changes.
    pub(super) refused: Option<(file::Seen, Error)>,
    /// Keys with restrictions that are not in the file yet. They are in force whatever the file says.
    pub(super) withheld: HashMap<KeyId, Withheld>,
    /// Keys that this process has denied in all processes, by changes that are not on disk yet.
    pub(super) denying: HashSet<KeyId>,
    /// Incremented with each change to what an edit sees.
    pub(super) generation: u64,
    /// The owner of the last edit.
    pub(super) last_owner: Owner,
    /// Revoked secrets whose records are gone, with the time: they stay revoked.
    pub(super) revoked: HashMap<Digest, OptionalTime>,
    /// How many credentials the table in force has.
    pub(super) appended: usize,
    /// Replaced tables that may still be read.
    pub(super) retired: Vec<Retired<Table>>,
}

impl State {
    /// The state of a forked process. Its table counts as full, since an append may have been under way.
    pub(super) fn of(table: &Table, parents: Option<&Self>) -> Self {
        let (mut withheld, revoked) =
            parents.map(|parents| (parents.withheld.clone(), parents.revoked.clone())).unwrap_or_default();
        // What the parent's threads were about to write has no owner here.
        withheld.values_mut().for_each(|withheld| withheld.taken.iter_mut().for_each(|(owner, _)| *owner = SETTLED));
        Self {
            ids: Ids::of(table),
            order: Order::of(table),
            appended: table.capacity(),
            withheld,
            revoked,
            ..Self::default()
        }
    }

    /// A key as it goes into the next document, if nothing more changes.
    pub(super) fn to_write(&self, table: &Table, id: &KeyId, policy: &Policy) -> Option<KeyEntry> {
        let known = self.ids.get(table, id)?;
        Some(self.withheld.get(id).map_or_else(|| known.entry(), |withheld| withheld.to_write(policy)))
    }

    /// The keys in and behind a place of the document, of one store or all, in their order.
    pub(super) fn keys<'t>(
        &self,
        table: &'t Table,
        place: u32,
        store: Option<&Store>,
    ) -> impl Iterator<Item = &'t Credential> {
        let known = self.order.from(place, store).filter_map(|number| table.get(number));
        known.filter(move |key| store.is_none_or(|store| *key.record.store == *store))
    }

    /// When a secret was revoked, if it was. Unfinished edits do not count: they may fail.
    pub(super) fn revoked_at(&self, table: &Table, digest: &Digest, policy: &Policy) -> OptionalTime {
        let gone = self.revoked.get(digest).copied();
        let key = || self.to_write(table, &table.find(digest)?.record.id, policy);
        gone.or_else(|| Some(key()?.record.details.revoked_at)).unwrap_or(OptionalTime::NONE)
    }

    /// Whether this owner has unwritten restrictions.
    pub(super) fn is_unwritten(&self, owner: Owner) -> bool {
        self.withheld.values().any(|withheld| withheld.taken.iter().any(|(of, _)| *of == owner))
    }

    /// Drops this owner's restrictions; returns the keys that had them, for the caller to put in force.
    pub(super) fn drop_taken(&mut self, owner: Owner) -> Vec<KeyId> {
        let mut from = Vec::new();
        for (id, withheld) in &mut self.withheld {
            if withheld.taken.extract_if(.., |(of, _)| *of == owner).count() > 0 {
                from.push(*id);
            }
        }
        from
    }

    /// The number of the next credential.
    pub(super) fn number(&mut self) -> Number {
        self.appended += 1;
        Number::try_from(self.appended).unwrap_or(Number::MAX)
    }

    /// Appends a key's credentials to a table with room for them.
    pub(super) fn append(&mut self, table: &Table, key: KeyEntry, policy: &Policy, account: Account, position: u32) {
        for credential in credentials(key, policy, account, position) {
            let number = self.number();
            if !credential.is_retiring() {
                self.order.set(position, number, &credential.record.store);
            }
            let (id, retiring) = (credential.record.id, credential.is_retiring());
            table.insert(number, credential);
            if !retiring {
                self.ids.insert(table, &id, number);
            }
        }
    }
}

/// The edit under way that restricts a key, or [`SETTLED`].
pub(super) type Owner = u64;

/// The owner of restrictions that could not be written: the next document has them, whoever writes it.
pub(super) const SETTLED: Owner = 0;

/// A key with restrictions that are not in the file yet.
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

    /// As edits see it and the next document has it: without the restrictions of edits under way.
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
pub(super) fn build(keys: Vec<KeyEntry>, policy: &Policy, account_of: impl Fn(&KeyId) -> Account) -> (Table, State) {
    let credentials: usize = keys.iter().map(|key| key.digests().count()).sum();
    // With room for the first changes.
    let table = Table::with_capacity(credentials + credentials / 64 + 64);
    let mut state = State { ids: Ids::with_capacity(keys.len()), ..State::default() };
    for key in keys {
        let (account, position) = (account_of(&key.record.id), state.order.end());
        state.append(&table, key, policy, account, position);
    }
    (table, state)
}

/// A credential for each of a key's secrets: the current one, and a retiring one until its grace period ends.
fn credentials(key: KeyEntry, policy: &Policy, account: Account, position: u32) -> impl Iterator<Item = Credential> {
    let record = Record { position, ..key.record };
    let until = record.details.retiring.as_deref().map(|retiring| (retiring.digest, retiring.until));
    let current = Credential {
        digest: key.digest,
        scopes: policy.close(record.details.scopes),
        ends_at: record.details.expires_at.or_never(),
        account,
        is_revoked: record.details.revoked_at.is_set(),
        record,
    };
    let retiring =
        until.map(|(digest, until)| Credential { digest, ends_at: until.min(current.ends_at), ..current.clone() });
    std::iter::once(current).chain(retiring)
}
