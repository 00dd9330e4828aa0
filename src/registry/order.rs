//! The order of the document, of all keys and of each store's.

use std::sync::Arc;

use hashbrown::HashMap;

use super::table::{Number, Table};
use crate::text::Store;

/// From a key's place in the document, and from its store, to the number of its credential in one table.
#[derive(Default)]
pub(super) struct Order {
    /// By place; 0 where a key was removed.
    numbers: Vec<Number>,
    /// The places of a store's keys, in order. One whose key has moved to another store, or is gone, may remain.
    stores: HashMap<Arc<Store>, Vec<u32>>,
}

impl Order {
    /// The order of all keys of a table.
    pub(super) fn of(table: &Table) -> Self {
        let mut order = Self::default();
        for (number, key) in table.iter().filter(|(_, key)| !key.is_retiring()) {
            order.set(key.record.position, number, &key.record.store);
        }
        order
    }

    /// The place behind the last key.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// Says which credential is in a place, and whose it is.
    pub(super) fn set(&mut self, place: u32, number: Number, store: &Arc<Store>) {
        let index = place as usize;
        if index >= self.numbers.len() {
            self.numbers.resize(index + 1, 0);
        }
        self.numbers.get_mut(index).into_iter().for_each(|known| *known = number);
        let places = self.stores.entry_ref(store).or_default();
        if let Err(at) = places.binary_search(&place) {
            places.insert(at, place);
        }
    }

    /// Empties a place.
    pub(super) fn clear(&mut self, place: u32) {
        self.numbers.get_mut(place as usize).into_iter().for_each(|known| *known = 0);
    }

    /// The credentials in and behind a place: all, or those that a store's keys have or had.
    pub(super) fn from(&self, place: u32, store: Option<&Store>) -> Box<dyn Iterator<Item = Number> + '_> {
        let number = |place: &u32| self.numbers.get(*place as usize).copied().unwrap_or(0);
        match store {
            None => Box::new(self.numbers.iter().skip(place as usize).copied().filter(|number| *number != 0)),
            Some(store) => {
                let places = self.stores.get(store).map(Vec::as_slice).unwrap_or_default();
                let first = places.partition_point(|known| *known < place);
                Box::new(places.iter().skip(first).map(number).filter(|number| *number != 0))
            }
        }
    }
}
