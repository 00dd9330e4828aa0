//! Which credential a key's id stands for.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::table::{Credential, Number, Table};
use crate::error::{Error, ErrorKind};
use crate::key::excerpt;
use crate::text::KeyId;

/// From a key's id to the number of its credential, the one of its current secret, in one table.
#[derive(Default)]
pub(super) struct Ids {
    numbers: HashTable<Number>,
    hasher: DefaultHashBuilder,
}

impl Ids {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { numbers: HashTable::with_capacity(capacity), hasher: DefaultHashBuilder::default() }
    }

    /// The ids of all keys of a table.
    pub(super) fn of(table: &Table) -> Self {
        let mut ids = Self::default();
        for (number, credential) in table.iter().filter(|(_, credential)| !credential.is_retiring()) {
            ids.insert(table, &credential.record.id, number);
        }
        ids
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn get<'t>(&self, table: &'t Table, id: &KeyId) -> Option<&'t Credential> {
        let found = self.numbers.find(self.hash(id), |number| has_id(table, *number, id))?;
        table.get(*found)
    }

    /// Makes a credential, which is in the table already, the one of its id.
    pub(super) fn insert(&mut self, table: &Table, id: &KeyId, number: Number) {
        let hash = self.hash(id);
        match self.numbers.find_mut(hash, |known| has_id(table, *known, id)) {
            Some(known) => *known = number,
            None => {
                let hasher = &self.hasher;
                let rehash =
                    |known: &Number| table.get(*known).map_or(0, |key| hasher.hash_one(key.record.id.as_bytes()));
                self.numbers.insert_unique(hash, number, rehash);
            }
        }
    }

    /// Forgets an id.
    pub(super) fn remove(&mut self, table: &Table, id: &KeyId) {
        let hash = self.hash(id);
        if let Ok(known) = self.numbers.find_entry(hash, |known| has_id(table, *known, id)) {
            known.remove();
        }
    }

    fn hash(&self, id: &KeyId) -> u64 {
        self.hasher.hash_one(id.as_bytes())
    }
}

fn has_id(table: &Table, number: Number, id: &KeyId) -> bool {
    table.get(number).is_some_and(|credential| credential.record.id == *id)
}

/// The error of an id that no key has.
pub(crate) fn unknown(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no key has the id {:?}", excerpt(id)))
}
