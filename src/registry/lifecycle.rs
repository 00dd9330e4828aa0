//! Changes to one key, as methods of the registry.

use super::live::Registry;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::key::{KeyPatch, KeyRecord, KeySpec, NewKey};

/// Changes. Each is in effect on all threads, and on disk if the registry has a file, before the method returns.
///
/// What takes something away (revoke, disable, a shorter expiry, a lower limit) is in force first and written then: if the
/// write fails, it stays in force and the error is [`ErrorKind::NotDurable`]. What grants something is written first: if
/// the write fails, nothing has changed.
///
/// ```
/// use bpos::{KeyPatch, KeySpec, Registry};
///
/// let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
/// let new = registry.create(&KeySpec::new("Website Sync", "yourstore", ["products:read"]))?;
/// let id = &new.record.id;
/// assert_eq!(registry.update(id, &KeyPatch::new().rate_limit(120))?.rate_limit, 120);
/// registry.disable(id)?;
/// registry.enable(id)?;
/// let rotated = registry.rotate(id, 3_600)?; // the previous secret works for another hour
/// assert_ne!(rotated.key.expose(), new.key.expose());
/// registry.revoke(id)?;
/// registry.remove(id)?;
/// # Ok::<(), bpos::Error>(())
/// ```
impl Registry {
    /// Creates a key. The result holds the only copy of its plaintext.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if the spec breaks a rule of [`KeySpec`], [`ErrorKind::Limit`] if the registry has 2,000,000
    /// keys; otherwise as [`Registry::edit`].
    pub fn create(&self, spec: &KeySpec) -> Result<NewKey, Error> {
        self.edit(|edit| edit.create(spec))
    }

    /// Changes a key and returns its new record. Past admissions still count against a new limit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for a revoked key; [`ErrorKind::Format`] if the patch breaks a rule
    /// of [`KeySpec`]; otherwise as [`Registry::edit`].
    pub fn update(&self, id: &str, patch: &KeyPatch) -> Result<KeyRecord, Error> {
        self.edit(|edit| {
            edit.update(id, patch)?;
            edit.get(id)
        })
    }

    /// Gives a key a new secret; its id, limit and counts stay. The previous secret works for `grace_s` more seconds (at
    /// most 366 days), but never past the key's expiry, and shares the limit. A secret still in grace from an earlier
    /// rotation stops working.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for a revoked or expired key; [`ErrorKind::Limit`] if the grace is
    /// too long; otherwise as [`Registry::edit`].
    pub fn rotate(&self, id: &str, grace_s: u64) -> Result<NewKey, Error> {
        self.edit(|edit| edit.rotate(id, grace_s))
    }

    /// Revokes a key permanently. Revoking it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; otherwise as [`Registry::edit`]. After [`ErrorKind::NotDurable`] the key is denied in this
    /// process; other processes and a restart may still admit it.
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        self.edit(|edit| edit.revoke(id))
    }

    /// Enables a key that was disabled.
    ///
    /// # Errors
    ///
    /// As [`Registry::update`].
    pub fn enable(&self, id: &str) -> Result<(), Error> {
        self.edit(|edit| edit.enable(id))
    }

    /// Disables a key until it is enabled.
    ///
    /// # Errors
    ///
    /// As [`Registry::update`].
    pub fn disable(&self, id: &str) -> Result<(), Error> {
        self.edit(|edit| edit.disable(id))
    }

    /// Removes a key that is revoked or expired. Its secret counts as revoked in this process: no later file brings it back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for any other key; otherwise as [`Registry::edit`].
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        self.edit(|edit| edit.remove(id))
    }
}
