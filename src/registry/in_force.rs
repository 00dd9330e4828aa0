//! How records come into force: in memory, each at one moment.

use super::edit::Change;
use super::ids::Ids;
use super::live::Registry;
use super::order::Order;
use super::restriction::Restriction;
use super::state::{Owner, SETTLED, State, Withheld};
use super::table::Table;
use crate::clock::Clock;
use crate::key::{Digest, KeyEntry, OptionalTime};
use crate::sync::hazard::Retired;
use crate::text::KeyId;

impl Registry {
    /// Puts in force what changes take away, and only that, in the place of what this owner took before.
    pub(super) fn withhold(&self, state: &mut State, owner: Owner, changes: &[Change]) {
        let mut touched: Vec<KeyId> = state.drop_taken(owner);
        let table = self.read();
        for change in changes {
            let Some(before) = state.to_write(&table, &change.id, &self.policy) else { continue };
            let taken = match &change.to {
                Some(to) => Restriction::between(&before.record, &to.record, |set| self.policy.close(set)),
                None => Some(Restriction::all(Some(self.clock.unix_ms()).into())),
            };
            if let Some(taken) = taken {
                let withheld = state.withheld.entry(change.id).or_insert(Withheld { key: before, taken: Vec::new() });
                withheld.taken.push((owner, taken));
                touched.push(change.id);
            }
        }
        drop(table); // or what `apply_changes` replaces could not be freed
        self.put_withheld(state, &touched);
        self.tell_denials(state, &touched);
    }

    /// What an edit took is in the file, and what was settled before; or it is settled: the next document has it.
    pub(super) fn settle(&self, state: &mut State, owner: Owner, is_written: bool) {
        state.generation += 1;
        for withheld in state.withheld.values_mut() {
            for (of, _) in withheld.taken.iter_mut().filter(|(of, _)| *of == owner) {
                *of = SETTLED;
            }
            if is_written {
                withheld.key = withheld.to_write(&self.policy);
                withheld.taken.retain(|(of, _)| *of != SETTLED);
            }
        }
        state.withheld.retain(|_, withheld| !withheld.taken.is_empty());
    }

    /// Puts keys in force as their withheld records say.
    pub(super) fn put_withheld(&self, state: &mut State, ids: &[KeyId]) {
        let table = self.read();
        // A key that the file no longer has stays gone.
        let there = ids.iter().filter(|id| state.ids.get(&table, id).is_some());
        let keys = there.filter_map(|id| Some(state.withheld.get(id)?.in_force(&self.policy)));
        let changes = keys.map(|key| Change { id: key.record.id, to: Some(key) }).collect();
        drop(table); // or what `put_records` replaces could not be freed
        state.withheld.retain(|_, withheld| !withheld.taken.is_empty());
        self.put_records(state, changes);
    }

    /// Puts changes in force, each at one moment, but for what other edits have taken.
    pub(super) fn apply_changes(&self, state: &mut State, mut changes: Vec<Change>) {
        state.generation += 1;
        for Change { id, to } in &mut changes {
            match (state.withheld.get_mut(id), to) {
                (Some(withheld), Some(to)) => {
                    withheld.key = to.clone();
                    *to = withheld.in_force(&self.policy);
                }
                (Some(_), None) => drop(state.withheld.remove(id)),
                (None, _) => {}
            }
        }
        self.put_records(state, changes);
    }

    /// Puts records in force, each at one moment.
    pub(super) fn put_records(&self, state: &mut State, changes: Vec<Change>) {
        let more = changes.iter().filter_map(|change| change.to.as_ref()).map(|key| key.digests().count()).sum();
        self.make_room(state, more);
        let table = self.read();
        for Change { id, to } in changes {
            let known = state.ids.get(&table, &id);
            let before: Vec<Digest> =
                known.into_iter().flat_map(|known| known.record.digests(&known.digest)).copied().collect();
            let after: Vec<Digest> = to.iter().flat_map(KeyEntry::digests).copied().collect();
            // A key that is removed is as good as revoked, and a secret that a revoked key loses stays so.
            let was = known.map_or(OptionalTime::NONE, |known| known.record.details.revoked_at);
            let is = to.as_ref().map_or(Some(self.clock.unix_ms()).into(), |to| to.record.details.revoked_at);
            let revoked_at = was.or(is);
            match (known, to) {
                (known, Some(key)) => {
                    let known = known.map(|known| (known.account.clone(), known.record.position));
                    let (account, position) = known.unwrap_or_else(|| (self.usages.open(), state.order.end()));
                    state.append(&table, key, &self.policy, account, position);
                }
                (Some(known), None) => {
                    self.departed.add(self.usage(known));
                    state.order.clear(known.record.position);
                    state.ids.remove(&table, &id);
                }
                (None, None) => {}
            }
            for digest in before.iter().filter(|digest| !after.contains(digest)) {
                if revoked_at.is_set() {
                    state.revoked.insert(*digest, revoked_at);
                }
                table.remove(digest);
            }
        }
    }

    /// Sees to it that so many credentials can be appended to the table in force, if need be by a larger copy.
    pub(super) fn make_room(&self, state: &mut State, more: usize) {
        let table = self.read();
        if state.appended + more <= table.capacity() {
            return;
        }
        let live = table.iter().count();
        let copy = Table::with_capacity((live + more).saturating_mul(2));
        state.appended = 0;
        for (_, credential) in table.iter() {
            copy.insert(state.number(), credential.clone());
        }
        drop(table);
        (state.ids, state.order) = (Ids::of(&copy), Order::of(&copy));
        let retired = self.table.replace(copy);
        self.retire(state, retired);
    }

    /// Frees the tables that were replaced and that nobody reads any more. A reader never does: it takes long.
    pub(super) fn retire(&self, state: &mut State, table: Retired<Table>) {
        state.retired.push(table);
        let retired = std::mem::take(&mut state.retired);
        state.retired = retired.into_iter().filter_map(|table| self.table.free(table).err()).collect();
    }
}
