//! Changes to keys: what each means, before it is in force or on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::ids::unknown;
use super::live::Registry;
use super::state::State;
use super::table::Table;
use crate::error::{Error, ErrorKind};
use crate::json::document::MAX_KEYS;
#[cfg(feature = "ffi")]
use crate::key::KeyChange;
use crate::key::{
    Details, KeyEntry, KeyPatch, KeyRecord, KeySpec, NewKey, OptionalTime, Record, Retiring, Secret, check_expiry,
    check_rate_limit, draw_id, parse_id, parse_name, parse_store, redact,
};
use crate::policy::{Policy, ScopeSet};
use crate::text::KeyId;
#[cfg(feature = "ffi")]
use zeroize::Zeroizing;

/// The longest grace of a rotation: 366 days.
const MAX_GRACE_S: u64 = 366 * 24 * 60 * 60;

/// Several changes that are made together: all of them or none, and one write for all. See [`Registry::edit`].
pub struct Edit<'r> {
    registry: &'r Registry,
    table: &'r Table,
    state: &'r State,
    now_ms: i64,
    changes: Vec<Change>,
    /// Where in `changes` a key is that was changed already.
    places: HashMap<KeyId, usize>,
    added: usize,
}

/// What a key is to become: another record, or nothing.
pub(super) struct Change {
    pub(super) id: KeyId,
    pub(super) to: Option<KeyEntry>,
}

#[cfg(feature = "ffi")]
impl KeyChange {
    /// Makes the change, and gives its answer as JSON: what the function of its name answers, or `null`.
    pub(crate) fn make(&self, edit: &mut Edit<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
        let answer = match self {
            Self::Create(spec) => return edit.create(spec)?.to_json(),
            Self::Rotate(id, grace_s) => return edit.rotate(id, *grace_s)?.to_json(),
            Self::Update(id, patch) => {
                edit.update(id, patch)?;
                return Ok(edit.get(id)?.to_json()?.into());
            }
            Self::Revoke(id) => edit.revoke(id),
            Self::Enable(id) => edit.enable(id),
            Self::Disable(id) => edit.disable(id),
            Self::Remove(id) => edit.remove(id),
        };
        answer.map(|()| b"null".to_vec().into())
    }
}

impl<'r> Edit<'r> {
    pub(super) fn new(registry: &'r Registry, table: &'r Table, state: &'r State, now_ms: i64) -> Self {
        Self { registry, table, state, now_ms, changes: Vec::new(), places: HashMap::new(), added: 0 }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// As [`Registry::create`].
    ///
    /// # Errors
    ///
    /// As [`Registry::create`].
    pub fn create(&mut self, spec: &KeySpec) -> Result<NewKey, Error> {
        if self.state.ids.len() + self.added >= MAX_KEYS {
            let message = format!("the registry is full: it has at most {} keys", MAX_KEYS);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if spec.expires_at.is_some_and(|end| end <= self.now_ms) {
            return Err(
                Error::new(ErrorKind::Format, "expected a future time; found one in the past").in_member("expires_at")
            );
        }
        let secret = Secret::draw()?;
        let details = Details {
            name: parse_name(&spec.name).map_err(|error| error.in_member("name"))?,
            hint: secret.hint(),
            scopes: scopes(self.policy(), &spec.scopes)?,
            expires_at: spec.expires_at.map(check_expiry).transpose()?.into(),
            created_at: Some(whole_seconds(self.now_ms)).into(),
            revoked_at: OptionalTime::NONE,
            retiring: None,
        };
        let record = Record {
            rate_limit: check_rate_limit(spec.rate_limit)?,
            test_mode: spec.test_mode,
            enabled: true,
            position: 0,
            id: draw_id()?,
            store: Arc::new(parse_store(&spec.store).map_err(|error| error.in_member("store"))?),
            details: Box::new(details),
        };
        self.added += 1;
        self.with_secret(secret, record)
    }

    /// A key as it would be after the changes so far.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn get(&self, id: &str) -> Result<KeyRecord, Error> {
        let key = self.key(id)?;
        let known = self.state.ids.get(self.table, &key.record.id).map(|known| &known.account);
        Ok(self.registry.describe(&key.record, known))
    }

    /// As [`Registry::update`], but for the answer.
    ///
    /// # Errors
    ///
    /// As [`Registry::update`].
    pub fn update(&mut self, id: &str, patch: &KeyPatch) -> Result<(), Error> {
        let mut key = self.living(id)?;
        let record = &mut key.record;
        if let Some(name) = &patch.name {
            record.details.name = parse_name(name).map_err(|error| error.in_member("name"))?;
        }
        if let Some(names) = &patch.scopes {
            record.details.scopes = scopes(self.policy(), names)?;
        }
        if let Some(limit) = patch.rate_limit {
            record.rate_limit = check_rate_limit(limit)?;
        }
        if let Some(expiry) = patch.expires_at {
            record.details.expires_at = expiry.map(check_expiry).transpose()?.into();
            // A retiring secret never outlives its key.
            if let Some(retiring) = &mut record.details.retiring {
                retiring.until = retiring.until.min(record.details.expires_at.or_never());
            }
        }
        record.test_mode = patch.test_mode.unwrap_or(record.test_mode);
        record.enabled = patch.enabled.unwrap_or(record.enabled);
        self.put(key);
        Ok(())
    }

    /// As [`Registry::rotate`].
    ///
    /// # Errors
    ///
    /// As [`Registry::rotate`].
    pub fn rotate(&mut self, id: &str, grace_s: u64) -> Result<NewKey, Error> {
        if grace_s > MAX_GRACE_S {
            let message = format!("a grace period has at most {MAX_GRACE_S} seconds (366 days); found {grace_s}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let KeyEntry { digest, mut record } = self.living(id)?;
        if record.details.expires_at.or_never() <= self.now_ms {
            return Err(conflict(&record.id, "expired; give it a later expiry first, or create a new key"));
        }
        let grace_ms = i64::try_from(grace_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let until = self.now_ms.saturating_add(grace_ms).min(record.details.expires_at.or_never());
        record.details.retiring = (grace_s > 0).then(|| Box::new(Retiring { digest, until }));
        let secret = Secret::draw()?;
        record.details.hint = secret.hint();
        self.with_secret(secret, record)
    }

    /// As [`Registry::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Registry::revoke`].
    pub fn revoke(&mut self, id: &str) -> Result<(), Error> {
        let mut key = self.key(id)?;
        if !key.record.details.revoked_at.is_set() {
            key.record.details.revoked_at = Some(whole_seconds(self.now_ms)).into();
            self.put(key);
        }
        Ok(())
    }

    /// As [`Registry::enable`].
    ///
    /// # Errors
    ///
    /// As [`Registry::enable`].
    pub fn enable(&mut self, id: &str) -> Result<(), Error> {
        self.update(id, &KeyPatch::new().enabled(true))
    }

    /// As [`Registry::disable`].
    ///
    /// # Errors
    ///
    /// As [`Registry::disable`].
    pub fn disable(&mut self, id: &str) -> Result<(), Error> {
        self.update(id, &KeyPatch::new().enabled(false))
    }

    /// As [`Registry::remove`].
    ///
    /// # Errors
    ///
    /// As [`Registry::remove`].
    pub fn remove(&mut self, id: &str) -> Result<(), Error> {
        let key = self.key(id)?;
        if !key.record.details.revoked_at.is_set() && key.record.details.expires_at.or_never() > self.now_ms {
            return Err(conflict(
                &key.record.id,
                "in use; only a revoked or expired key can be removed: revoke it first",
            ));
        }
        self.change(Change { id: key.record.id, to: None });
        Ok(())
    }

    fn policy(&self) -> &Policy {
        &self.registry.policy
    }

    /// A key as it would be after the changes so far.
    fn key(&self, id: &str) -> Result<KeyEntry, Error> {
        let known =
            parse_id(id).ok().and_then(|id| match self.places.get(&id).and_then(|place| self.changes.get(*place)) {
                Some(change) => change.to.clone(),
                None => self.state.to_write(self.table, &id, self.policy()),
            });
        known.ok_or_else(|| unknown(id))
    }

    /// A key that was not revoked.
    fn living(&self, id: &str) -> Result<KeyEntry, Error> {
        let key = self.key(id)?;
        match key.record.details.revoked_at.get() {
            Some(_) => Err(conflict(&key.record.id, "revoked, and revocation is permanent; create a new key")),
            None => Ok(key),
        }
    }

    /// Gives a record a secret, and whoever asked for it the only sight of it.
    fn with_secret(&mut self, secret: Secret, record: Record) -> Result<NewKey, Error> {
        let digest = secret
            .digest()
            .filter(|digest| self.table.find(digest).is_none())
            .ok_or_else(|| Error::new(ErrorKind::Conflict, "a new secret is not new; try again"))?;
        let known = self.state.ids.get(self.table, &record.id).map(|known| &known.account);
        let shown = self.registry.describe(&record, known);
        self.put(KeyEntry { digest, record });
        Ok(NewKey { key: secret, record: shown })
    }

    fn put(&mut self, key: KeyEntry) {
        self.change(Change { id: key.record.id, to: Some(key) });
    }

    fn change(&mut self, change: Change) {
        match self.places.get(&change.id).and_then(|place| self.changes.get_mut(*place)) {
            Some(before) => *before = change,
            None => {
                self.places.insert(change.id, self.changes.len());
                self.changes.push(change);
            }
        }
    }
}

/// The set of some names, each there once.
fn scopes(policy: &Policy, names: &[String]) -> Result<ScopeSet, Error> {
    let mut set = ScopeSet::EMPTY;
    for name in names {
        // A key that was put there by mistake is not printed.
        let shown = |error: Error| Error::new(error.kind(), redact(error.message()).0).in_member("scopes");
        policy.add_to(&mut set, name).map_err(shown)?;
    }
    Ok(set)
}

fn conflict(id: &KeyId, state: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the key {} is {state}", id.as_str()))
}

fn whole_seconds(unix_ms: i64) -> i64 {
    unix_ms - unix_ms.rem_euclid(1_000)
}
