//! The registry: the live set of keys, how it is opened, and how its keys are listed.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use super::file;
use super::ids::unknown;
use super::state::{State, build};
use super::table::{Credential, Table};
use super::writer::Writer;
use crate::clock::SystemClock;
use crate::decision::DenyReason;
use crate::error::{Error, ErrorKind};
use crate::json::document::{self, Document};
use crate::json::policy;
use crate::key::{Hint, KeyRecord, KeyUsage, Record};
use crate::limit::{Account, Counts, Usage, Usages};
use crate::policy::{Policy, Scope};
use crate::shared::{SharedOptions, SharedState, Sharing, or_alone};
use crate::sync::hazard::{Reading, Shared};
use crate::text::{KeyId, Store};

/// The keys of a platform, ready to decide. Open it once and share it between all threads.
///
/// - Any thread may call any method at any time. [`Registry::authorize`] takes no lock; changes wait only for each other.
/// - [`Registry::authorize`] allocates only at a key's first admission (its window) and first denial (its counts). Without
///   memory for those it denies instead of aborting.
/// - Once a change has returned, every decision that starts later, on any thread, sees it.
/// - On Linux all processes that open one file count together, and a change in one is in force in all of them once it has
///   returned: see [`Sharing`]. What a process counted outlives it, until the machine restarts.
/// - A process may fork at any time (on Linux). Parent and child of a file registry share it as any two processes do. Those
///   of a registry that is not shared count apart, and neither sees the other's changes until it reads the file again.
///
/// ```no_run
/// use bpos::{Options, Registry};
///
/// let registry = Registry::init("keys.json", Options::default())?; // or open, or open_with
/// for key in registry.list(Some("yourstore")) {
///     println!("{} {} {:?}", key.id, key.name, key.hint);
///     assert!(registry.get(&key.id).is_some());
/// }
/// assert_eq!(registry.scope("products:read"), registry.policy().scope("products:read"));
/// let copy = Registry::from_json_with(&registry.export()?, Options::default().read_only(true))?;
/// assert_eq!(copy.stats().keys, registry.stats().keys);
/// # Ok::<(), bpos::Error>(())
/// ```
pub struct Registry {
    pub(super) policy: Policy,
    pub(super) table: Shared<Table>,
    pub(super) clock: SystemClock,
    /// What was counted, of all keys and of denials not attributable to one.
    pub(super) usages: Usages,
    /// The counts of removed keys.
    pub(super) departed: Counts,
    pub(super) revision: AtomicU64,
    /// How many forced reloads of all processes are in force here.
    pub(super) restored: AtomicU64,
    /// When to try again to read what other processes have changed.
    pub(super) retry_at_us: AtomicU64,
    writer: Writer,
    pub(super) file: Option<PathBuf>,
    pub(super) read_only: bool,
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
    /// The scopes and routes; by default the documentation's.
    pub policy: Policy,
    /// Whether changes are refused. Only a read-only registry may be opened through a symbolic link.
    pub read_only: bool,
    /// Whether the processes that open the file share what they count. A memory registry has nothing to share.
    pub shared: Sharing,
}

impl Options {
    /// Sets the policy.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Sets whether changes are refused.
    #[must_use]
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Sets whether the processes that open the file share what they count, and where: `true`, `false`, or a [`Sharing`].
    #[must_use]
    pub fn shared(self, shared: impl Into<Sharing>) -> Self {
        Self { shared: shared.into(), ..self }
    }

    /// Reads options from a JSON object: `{"policy": {…}, "read_only": true, "shared": false}`; each may be left out. `shared`
    /// is a boolean, or `{"dir": "/a/folder/in/memory"}`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] for an unknown option or a malformed policy.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let (policy, read_only, shared) = policy::parse_options(json)?;
        Ok(Self { policy: policy.unwrap_or_default(), read_only, shared })
    }
}

impl Registry {
    /// Opens a registry file: reads it, and writes every change to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if it cannot be read, or if this process cannot share it with others that have it open;
    /// [`ErrorKind::Permission`] if others may write it, or the shared memory; [`ErrorKind::Format`] or [`ErrorKind::Limit`] if it is not a registry document.
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
        let place = |error: Error| error.within(format_args!("{path:?}"));
        // The host may change its working directory.
        let absolute = std::path::absolute(path).map_err(|error| Error::new(ErrorKind::Io, error.to_string()));
        let absolute = absolute.map_err(place)?;
        let (mut json, mut seen) = file::read(path, options.read_only)?;
        let (held, sharing) = (file::Held::default(), SharedOptions::of(&options.shared));
        // Nobody changes the file, or the shared memory, while this process joins those that have it open.
        let lock =
            sharing.is_some().then(|| file::lock(&absolute, file::deadline(), &held).map_err(or_alone)).transpose()?;
        if lock.is_some() && (!seen.is_settled() || seen.is_outdated(path, options.read_only)?) {
            (json, seen) = file::read(path, options.read_only)?;
        }
        let document = document::parse(&json, &options.policy).map_err(place)?;
        let shared = sharing.map(|sharing| SharedState::attach(&absolute, &sharing)).transpose()?;
        let mut registry = Self::made(document, options, shared);
        registry.file = Some(absolute);
        registry.state().seen = Some(seen);
        registry.join().map_err(place)?;
        Ok(registry)
    }

    /// Creates a registry file without keys and opens it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if the file exists; [`ErrorKind::Io`] if it cannot be written.
    pub fn init(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        file::create(path, &document::write(0, &options.policy, &[])?)?;
        Self::open_with(path, options)
    }

    /// Makes a memory registry from a document, for hosts whose own database is the source of truth and feeds changes in
    /// through [`Registry::apply`]. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], [`ErrorKind::Conflict`] or [`ErrorKind::Limit`] if it is not a sound registry document.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        Self::from_json_with(json, Options::default())
    }

    /// Like [`Registry::from_json`], with options.
    ///
    /// # Errors
    ///
    /// As [`Registry::from_json`].
    pub fn from_json_with(json: &[u8], options: Options) -> Result<Self, Error> {
        Ok(Self::made(document::parse(json, &options.policy)?, options, None))
    }

    fn made(document: Document, options: Options, shared: Option<SharedState>) -> Self {
        let usages = Usages::new(shared);
        let (table, state) = build(document.keys, &options.policy, |_| usages.open());
        Self {
            policy: options.policy,
            table: Shared::new(table, LANES),
            clock: SystemClock::default(),
            usages,
            departed: Counts::default(),
            revision: AtomicU64::new(document.revision),
            restored: AtomicU64::new(0),
            retry_at_us: AtomicU64::new(0),
            writer: Writer::new(state),
            file: None,
            read_only: options.read_only,
        }
    }

    /// Everything that is wrong with a registry document, in the order of its text, at most 10,000 findings; none if
    /// [`Registry::from_json_with`] accepts it with this policy.
    ///
    /// ```
    /// let json = br#"{"version": 2, "keys": [7]}"#;
    /// let findings = bpos::Registry::findings(json, &bpos::Policy::default());
    /// let messages: Vec<&str> = findings.iter().map(bpos::Error::message).collect();
    /// assert_eq!(messages, [
    ///     "member `version`: expected version 1; found 2",
    ///     "key 1: expected a key record, an object; found 7",
    /// ]);
    /// ```
    #[must_use]
    pub fn findings(json: &[u8], policy: &Policy) -> Vec<Error> {
        document::findings_of(json, policy)
    }

    /// Its scopes and routes.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The scope with this name.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<Scope> {
        self.policy.scope(name)
    }

    /// The registry document in force. Waits for no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if it cannot be written as JSON, which is not known to happen.
    pub fn export(&self) -> Result<Vec<u8>, Error> {
        self.follow_others();
        let state = self.state();
        let table = self.read();
        let keys: Vec<_> = state.keys(&table, 0, None).collect();
        let revision = self.revision.load(Ordering::Acquire);
        drop(state); // held until here, so that no change is seen half done
        let keys: Vec<_> = keys.into_iter().map(|key| (&key.digest, &key.record)).collect();
        document::write(revision, &self.policy, &keys)
    }

    /// The key with this id; `None` if there is none. Waits for no file.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<KeyRecord> {
        self.follow_others();
        let state = self.state();
        let table = self.read();
        let known = state.ids.get(&table, &KeyId::new(id)?)?;
        Some(self.describe(&known.record, Some(&known.account)))
    }

    /// The keys of a store, or all keys, in the order of the document. Waits for no file.
    #[must_use]
    pub fn list(&self, store: Option<&str>) -> Vec<KeyRecord> {
        self.list_from(store, None, usize::MAX).unwrap_or_default()
    }

    /// The first keys of those that [`Registry::list`] gives, at most so many, or the first behind the key with the id
    /// `after`: a page, whose cost does not grow with the registry.
    ///
    /// A key that is created meanwhile is behind all others, so whoever goes on from the last id of each page sees every key
    /// once that was there throughout.
    ///
    /// ```
    /// # use bpos::{KeySpec, Registry};
    /// # let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// # (0..5).try_for_each(|n| registry.create(&KeySpec::new(format!("{n}"), "yourstore", ["products:read"])).map(drop))?;
    /// let mut page = registry.list_page(Some("yourstore"), None, 2)?;
    /// let mut names = Vec::new();
    /// while let Some(last) = page.last() {
    ///     names.extend(page.iter().map(|key| key.name.clone()));
    ///     page = registry.list_page(Some("yourstore"), Some(&last.id), 2)?;
    /// }
    /// assert_eq!(names, ["0", "1", "2", "3", "4"]);
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if no key has the id `after`, perhaps no longer.
    pub fn list_page(&self, store: Option<&str>, after: Option<&str>, most: usize) -> Result<Vec<KeyRecord>, Error> {
        self.list_from(store, after, most).ok_or_else(|| unknown(after.unwrap_or_default()))
    }

    fn list_from(&self, store: Option<&str>, after: Option<&str>, most: usize) -> Option<Vec<KeyRecord>> {
        self.follow_others();
        let state = self.state();
        let table = self.read();
        let place = match after {
            None => 0,
            Some(id) => state.ids.get(&table, &KeyId::new(id)?)?.record.position + 1,
        };
        // A name that no store can have has no keys.
        let store = store.map(|store| Store::new(store).unwrap_or(Store::EMPTY));
        let keys: Vec<_> = state.keys(&table, place, store.as_ref()).take(most).collect();
        drop(state); // held until here, so that no change is seen half done
        Some(keys.into_iter().map(|key| self.describe(&key.record, Some(&key.account))).collect())
    }

    /// The table in force, with a lane that is this thread's own while the reading is kept.
    #[inline]
    pub(crate) fn read(&self) -> Reading<'_, Table> {
        thread_local!(static HOME: Cell<usize> = const { Cell::new(0) });
        HOME.with(|home| {
            let reading = self.table.read(home.get());
            home.set(reading.lane());
            reading
        })
    }

    /// The usage of a credential's key.
    #[inline]
    pub(crate) fn usage<'a>(&'a self, key: &'a Credential) -> Usage<'a> {
        self.usages.of(&key.account, &key.record.id)
    }

    #[inline]
    pub(crate) fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// Counts a denial that is not attributable to a key, from a lane that is the caller's own.
    #[inline]
    pub(crate) fn count_unproved(&self, lane: usize, reason: DenyReason) {
        self.usages.count_unproved(lane, reason);
    }

    /// A key as administrators see it.
    pub(super) fn describe(&self, record: &Record, account: Option<&Account>) -> KeyRecord {
        let usage = account.map(|account| self.usages.of(account, &record.id));
        let last_used_at = usage.and_then(Usage::last_us).and_then(|last_us| self.clock.date_of(last_us));
        let allowed = usage.map_or(0, Usage::admitted);
        let usage = KeyUsage { last_used_at, allowed, denied: usage.map(Usage::denied).unwrap_or_default() };
        KeyRecord {
            id: record.id.as_str().to_owned(),
            name: record.details.name.clone().into_string(),
            store: record.store.as_str().to_owned(),
            hint: record.details.hint.map(Hint::text),
            scopes: self.policy.names(record.details.scopes).map(str::to_owned).collect(),
            rate_limit: u32::from(record.rate_limit),
            expires_at: record.details.expires_at.get(),
            test_mode: record.test_mode,
            enabled: record.enabled,
            created_at: record.details.created_at.get(),
            revoked_at: record.details.revoked_at.get(),
            retiring_until: record.details.retiring.as_deref().map(|retiring| retiring.until),
            usage,
        }
    }

    /// The locks of this process.
    pub(super) fn writer(&self) -> &Writer {
        self.writer.here(|parents| State::of(&self.read(), parents))
    }

    /// What this process knows besides the table. Never held while a file is waited for.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.writer().state()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut self.state().retired);
        retired.into_iter().for_each(|table| drop(self.table.free(table))); // nobody is reading
    }
}

/// How many threads can decide at once without waiting.
const LANES: usize = 128;
