//! The registry: the live set of keys, how it is opened, and what those see of it who manage keys.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use crate::clock::SystemClock;
use crate::document;
use crate::error::{Error, ErrorKind};
use crate::hazard::{Reading, Shared};
use crate::policy::Policy;
use crate::record::{Hint, KeyRecord, KeyUsage, Record};
use crate::scope::Scope;
use crate::stats::Counts;
use crate::store;
use crate::table::{Credential, Table};
use crate::tally::Tally;
use crate::text::KeyId;
use crate::usage::Usage;
use crate::writer::{State, Writer, build};

/// The keys of a platform, ready to decide. Open it once, share it between all threads, and ask it for every request.
///
/// - Any thread may call any method at any time. [`Registry::authorize`] takes no lock; changes wait for each other only.
/// - [`Registry::authorize`] allocates nothing, but once each for a key's first admission (its window) and its first denial
///   (its counts). No memory for those is a denial, not an abort.
/// - After a change returns, every decision that starts later, on any thread, is made with it.
/// - A process may fork at any time (on Linux): the child can authorize, but counts apart, so that both together admit up to
///   twice a limit, and neither learns what the other changes before it reads the file again.
pub struct Registry {
    pub(crate) policy: Policy,
    pub(crate) table: Shared<Table>,
    pub(crate) clock: SystemClock,
    /// Denials that no key is to be blamed for, by reason.
    pub(crate) unproved: Tally,
    /// What keys that are gone had counted.
    pub(crate) departed: Counts,
    pub(crate) revision: AtomicU64,
    writer: Writer,
    pub(crate) file: Option<PathBuf>,
    pub(crate) read_only: bool,
}

/// How a registry is opened.
///
/// ```
/// use bpos::{Options, Policy};
///
/// let policy = Policy::from_json(br#"{"scopes": [{"name": "orders:read"}], "routes": []}"#)?;
/// let options = Options::default().policy(policy).read_only(true);
/// # assert!(options.read_only && options.policy.scope("orders:read").is_some());
/// # Ok::<(), bpos::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The scopes and the routes; the documentation's by default.
    pub policy: Policy,
    /// Whether changes through this registry are refused. A read-only registry may be named by a symbolic link.
    pub read_only: bool,
}

impl Options {
    /// Other scopes and routes than the documentation's.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Whether changes through this registry are refused.
    #[must_use]
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Reads options from a JSON object: `{"policy": {…}, "read_only": true}`; both may be left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] for an unknown option or a malformed policy.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let parsed = document::parse_options(json)?;
        Ok(Self { policy: parsed.policy.unwrap_or_default(), read_only: parsed.read_only })
    }
}

impl Registry {
    /// Opens a registry file: it is read, and every change will be written to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Permission`] if others may write it,
    /// [`ErrorKind::Format`] or [`ErrorKind::Limit`] if it is not a registry document.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// Like [`Registry::open`], with options.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let (json, seen) = store::read(path, options.read_only)?;
        let place = |error: Error| error.within(format_args!("{path:?}"));
        let mut registry = Self::from_json_with(&json, options).map_err(place)?;
        // The host may change its working directory.
        let absolute = std::path::absolute(path).map_err(|error| Error::new(ErrorKind::Io, error.to_string()));
        registry.file = Some(absolute.map_err(place)?);
        registry.state().seen = Some(seen);
        Ok(registry)
    }

    /// Makes a registry file without keys, which must not be there yet, and opens it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is such a file; [`ErrorKind::Io`] if it cannot be written.
    pub fn init(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        store::create(path, &document::write(0, &options.policy, &[])?)?;
        Self::open_with(path, options)
    }

    /// Makes a memory registry from a document: the host's own database is the source of truth, and feeds changes in
    /// through [`Registry::apply`]. Nothing is ever written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], [`ErrorKind::Conflict`] or [`ErrorKind::Limit`] if it is not a sound registry document.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        Self::from_json_with(json, Options::default())
    }

    /// All that is wrong with a registry document.
    #[must_use]
    pub fn findings(json: &[u8], policy: &Policy) -> Vec<Error> {
        Self::from_json_with(json, Options::default().policy(policy.clone())).err().into_iter().collect()
    }

    /// Like [`Registry::from_json`], with options.
    ///
    /// # Errors
    ///
    /// As [`Registry::from_json`].
    pub fn from_json_with(json: &[u8], options: Options) -> Result<Self, Error> {
        let document = document::parse(json, &options.policy)?;
        let (table, state) = build(json, document.keys, &options.policy, |_| None)?;
        Ok(Self {
            policy: options.policy,
            table: Shared::new(table, LANES),
            clock: SystemClock::default(),
            unproved: Tally::default(),
            departed: Counts::default(),
            revision: AtomicU64::new(document.revision),
            writer: Writer::new(state),
            file: None,
            read_only: options.read_only,
        })
    }

    /// The scopes and routes it decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The scope with this whole name.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<Scope> {
        self.policy.scope(name)
    }

    /// Writes the registry document that is in force. Waits for no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if it cannot be written as JSON, which no set of keys is known to cause.
    pub fn export(&self) -> Result<Vec<u8>, Error> {
        let state = self.state();
        let table = self.read();
        let keys: Vec<_> = in_order(&table).into_iter().map(|key| (key.digest, Arc::clone(&key.record))).collect();
        let revision = self.revision.load(Ordering::Acquire);
        drop(state); // held until here, so that no change is seen by half
        let keys: Vec<_> = keys.iter().map(|(digest, record)| (digest, &**record)).collect();
        document::write(revision, &self.policy, &keys)
    }

    /// The key with this id; `None` if there is none. Waits for no file.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<KeyRecord> {
        let state = self.state();
        let table = self.read();
        let known = state.ids.get(&table, &KeyId::new(id)?)?;
        Some(self.describe(&known.record, Some(&known.usage)))
    }

    /// The keys of a store, or of all, in the order of the document. Waits for no file.
    #[must_use]
    pub fn list(&self, store: Option<&str>) -> Vec<KeyRecord> {
        let state = self.state();
        let table = self.read();
        let wanted = |key: &&Credential| store.is_none_or(|store| key.record.store.is(store.as_bytes()));
        let mut keys: Vec<_> =
            keys_of(&table).filter(wanted).map(|key| (Arc::clone(&key.record), Arc::clone(&key.usage))).collect();
        drop(state); // held until here, so that no change is seen by half
        keys.sort_by_cached_key(|(_, usage)| usage.position()); // once each: a reload may be moving them
        keys.iter().map(|(record, usage)| self.describe(record, Some(usage))).collect()
    }

    /// The table in force, and a lane of this thread's own, for as long as the answer is kept.
    #[inline]
    pub(crate) fn read(&self) -> Reading<'_, Table> {
        thread_local!(static HOME: Cell<usize> = const { Cell::new(0) });
        HOME.with(|home| {
            let reading = self.table.read(home.get());
            home.set(reading.lane());
            reading
        })
    }

    /// What those see of a key who manage keys.
    pub(crate) fn describe(&self, record: &Record, usage: Option<&Usage>) -> KeyRecord {
        let last_used_at = usage.and_then(Usage::last_us).and_then(|last_us| self.clock.date_of(last_us));
        let allowed = usage.map_or(0, Usage::admitted);
        let usage = KeyUsage { last_used_at, allowed, denied: usage.map(Usage::denied).unwrap_or_default() };
        KeyRecord {
            id: record.id.as_str().to_owned(),
            name: record.name.clone().into_string(),
            store: record.store.as_str().to_owned(),
            hint: record.hint.map(Hint::text),
            scopes: self.policy.names(record.scopes).map(str::to_owned).collect(),
            rate_limit: u32::from(record.rate_limit),
            expires_at: record.expires_at.get(),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.created_at.get(),
            revoked_at: record.revoked_at.get(),
            retiring_until: record.retiring.as_deref().map(|retiring| retiring.until),
            usage,
        }
    }

    /// The locks of this process.
    pub(crate) fn writer(&self) -> &Writer {
        self.writer.here(|parents| State::of(&self.read(), parents))
    }

    /// What this process knows besides the table, for as long as it takes to use it: memory only.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.writer().state()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut self.state().retired);
        retired.into_iter().for_each(|table| drop(self.table.free(table))); // nobody reads any more
    }
}

/// How many threads can decide at once without waiting for each other.
const LANES: usize = 128;

/// The credentials of the current secrets: one for each key.
pub(crate) fn keys_of(table: &Table) -> impl Iterator<Item = &Credential> {
    table.iter().map(|(_, credential)| credential).filter(|credential| !credential.is_retiring())
}

/// The same, in the order of the document.
pub(crate) fn in_order(table: &Table) -> Vec<&Credential> {
    let mut keys: Vec<_> = keys_of(table).collect();
    keys.sort_by_cached_key(|key| key.usage.position()); // once each: a reload may be moving them
    keys
}
