//! The life of a key, one change at a time: created, shown once, limited, rotated, revoked.

use super::live::Registry;
use crate::error::Error;
use crate::key::{KeyPatch, KeyRecord, KeySpec, NewKey};

/// Changes. Each takes effect before it returns, on all threads, and is on disk if the registry is a file's.
///
/// What takes something away (revoke, disable, a shorter expiry, a lower limit) is in force first and written then: if it
/// cannot be written, it stays in force and the error is [`ErrorKind::NotDurable`](crate::ErrorKind::NotDurable). What grants something is written
/// first: if it cannot be written, nothing has changed.
impl Registry {
    /// Creates a key. The answer holds its plaintext, which is nowhere else and cannot be had again.
    ///
    /// ```
    /// use bpos::{KeySpec, Registry, Request, Scope};
    ///
    /// let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// let new = registry.create(&KeySpec::new("Website Sync", "yourstore", ["products:read"]).rate_limit(120))?;
    /// let request = Request::default().api_key(new.key.expose()).store("yourstore");
    /// assert!(registry.authorize_scope(&request, Scope::PRODUCTS_READ).is_ok_and(|grant| grant.limit() == 120));
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if a part of the spec is not as [`KeySpec`] asks for, [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the registry
    /// has 2,000,000 keys; otherwise as [`Registry::edit`].
    pub fn create(&self, spec: &KeySpec) -> Result<NewKey, Error> {
        self.edit(|edit| edit.create(spec))
    }

    /// Changes parts of a key, and gives what it is then. Its admissions still count: a limit changes live.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a revoked key; [`ErrorKind::Format`](crate::ErrorKind::Format) if a part of the patch is
    /// not as [`KeyPatch`] asks for; otherwise as [`Registry::edit`].
    pub fn update(&self, id: &str, patch: &KeyPatch) -> Result<KeyRecord, Error> {
        self.edit(|edit| {
            edit.update(id, patch)?;
            edit.get(id)
        })
    }

    /// Gives a key another secret. The id, the limit and the counts stay; the secret before works for `grace_s` more
    /// seconds (0 for none, at most 366 days), but never past the key's expiry, and shares the limit. A secret that was
    /// still in grace from an earlier rotation stops working.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a revoked or expired key; [`ErrorKind::Limit`](crate::ErrorKind::Limit) for too long a
    /// grace; otherwise as [`Registry::edit`].
    pub fn rotate(&self, id: &str, grace_s: u64) -> Result<NewKey, Error> {
        self.edit(|edit| edit.rotate(id, grace_s))
    }

    /// Revokes a key, for good. One that is revoked already stays as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); otherwise as [`Registry::edit`]. After [`ErrorKind::NotDurable`](crate::ErrorKind::NotDurable) the key is denied in
    /// this process; other processes and a restart may still admit it.
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

    /// Forgets a key that is revoked or expired. Its secret is unknown from then on, and counts as revoked in this process:
    /// no later file brings it back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a key that is neither; otherwise as [`Registry::edit`].
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        self.edit(|edit| edit.remove(id))
    }
}
