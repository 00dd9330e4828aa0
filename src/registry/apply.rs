//! How a host's records come into force in a memory registry.

use std::cell::Cell;

use super::edit::Change;
use super::live::Registry;
use super::state::State;
use crate::error::{Error, ErrorKind};
use crate::json::document::{self, MAX_KEYS};
use crate::key::KeyEntry;

impl Registry {
    /// Feeds changes into a memory registry: a JSON array of records, each as in the registry document. A record with
    /// a known id replaces the one before, and keeps its window; others are added. `revoked_at` revokes.
    ///
    /// All or nothing: if one record is refused, none is applied.
    ///
    /// ```
    /// let registry = bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// registry.apply(br#"[{
    ///   "id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": ["products:read"],
    ///   "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    /// }]"#)?;
    /// assert_eq!(registry.stats().keys, 1);
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] or [`ErrorKind::Limit`] for a malformed record; [`ErrorKind::Conflict`] for a duplicate id
    /// or digest, or for a revoked key that a record does not revoke: revocation is permanent;
    /// [`ErrorKind::InvalidArgument`] for a file registry, whose file is the source of truth;
    /// [`ErrorKind::ReadOnly`] for a read-only one.
    pub fn apply(&self, records_json: &[u8]) -> Result<(), Error> {
        if self.file.is_some() {
            let message = "a file registry takes its keys from its file; apply is for memory registries";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the registry was opened read-only"));
        }
        let mut state = self.state();
        let new = Cell::new(0);
        let records = document::parse_records(records_json, &self.policy, |key| self.check_record(&state, key, &new))?;
        let changes = records.into_iter().map(|key| Change { id: key.record.id, to: Some(key) }).collect();
        self.apply_changes(&mut state, changes);
        Ok(())
    }

    /// Holds a record against what is in force, and counts it if its key is new.
    fn check_record(&self, state: &State, key: &KeyEntry, new: &Cell<usize>) -> Result<(), Error> {
        let table = self.read();
        let conflict = |message| Err(Error::new(ErrorKind::Conflict, message));
        let comes_back = !key.record.details.revoked_at.is_set();
        match state.ids.get(&table, &key.record.id) {
            Some(known) if known.record.details.revoked_at.is_set() && comes_back => {
                return conflict("the key was revoked, and revocation is permanent; create a new key");
            }
            Some(_) => {}
            None => new.set(new.get() + 1),
        }
        for digest in key.digests() {
            if state.revoked.contains_key(digest) && comes_back {
                return conflict("the secret was revoked, and revocation is permanent; create a new key");
            }
            if table.find(digest).is_some_and(|other| other.record.id != key.record.id) {
                return conflict("another key has the same secret");
            }
        }
        let keys = state.ids.len() + new.get();
        if keys > MAX_KEYS {
            let message = format!("the registry would have {keys} keys; expected at most {MAX_KEYS}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }
}
