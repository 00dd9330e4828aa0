//! Attaching to the state that all processes share which have one registry open.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::anchor::{Anchor, Opening, Record};
use super::index::{self, Entry, Name};
use super::mapping::{Mapping, Stamp, failed, unfit};
use super::pieces::{Piece, Pieces};
use super::sharing::Sharing;
use super::sweep::sweep;
use crate::error::{Error, ErrorKind};
use crate::sync::atomics::AtomicU64;
use crate::text::KeyId;

/// How a registry shares.
#[derive(Debug, Clone)]
pub(crate) struct SharedOptions {
    /// Where the mapped file is: a folder in memory.
    pub(crate) dir: PathBuf,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self { dir: "/dev/shm".into() }
    }
}

impl SharedOptions {
    /// `None` if the registry is not shared.
    pub(crate) fn of(sharing: &Sharing) -> Option<Self> {
        match sharing {
            Sharing::On if cfg!(target_os = "linux") => Some(Self::default()),
            Sharing::Off | Sharing::On => None,
            // The host may change its working directory.
            Sharing::In(dir) => Some(Self { dir: std::path::absolute(dir).unwrap_or_else(|_| dir.clone()) }),
        }
    }
}

/// An error of what only a process needs that shares.
pub(crate) fn or_alone(error: Error) -> Error {
    error.with_hint("or say \"shared\": false, and this process counts alone")
}

/// The state that processes share. A process that is forked shares it too.
pub(crate) struct SharedState {
    // Unmapped before the anchor is left.
    pieces: Pieces,
    anchor: Anchor,
    record: Record,
    was_alone: bool,
}

impl SharedState {
    /// Attaches to the state of a registry, or starts it if nobody is in. The caller holds the registry's own lock.
    pub(crate) fn attach(registry: &Path, options: &SharedOptions) -> Result<Self, Error> {
        let path = anchor_path(registry);
        attach(&path, options).map_err(|error| or_alone(error).within(format_args!("the shared state {path:?}")))
    }

    /// Whether nobody else was in.
    pub(crate) fn was_alone(&self) -> bool {
        self.was_alone
    }

    /// The memory of keys' usage.
    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Moves with every change.
    pub(crate) fn generation(&self) -> &AtomicU64 {
        self.mapping().generation()
    }

    /// How often an older document was put in force.
    pub(crate) fn restored(&self) -> &AtomicU64 {
        self.mapping().restored()
    }

    /// The entry in this piece.
    pub(crate) fn entry(&self, piece: Piece) -> Option<Entry<'_>> {
        Entry::at(&self.pieces, piece)
    }

    /// What the writer is about to do.
    pub(crate) fn intent(&self) -> &[AtomicU64; 8] {
        self.mapping().intent()
    }

    /// The entry of a key, made if it must be. `None` if there is none, no memory for one, or damage in its way.
    pub(crate) fn find(&self, id: &KeyId, make: bool) -> Option<Entry<'_>> {
        index::find(&self.pieces, &name(self.record.identity, id), make)
    }

    /// The key of an entry.
    pub(crate) fn id_of(&self, entry: Entry<'_>) -> Option<KeyId> {
        let bytes = entry.name().id.map(u64::to_le_bytes);
        KeyId::new(std::str::from_utf8(bytes.as_flattened()).ok()?.trim_end_matches('\0'))
    }

    /// The entries of all keys, in no order.
    pub(crate) fn each<'a>(&'a self, visit: impl FnMut(Entry<'a>)) {
        index::each(&self.pieces, visit);
    }

    /// A number that no other shared state has.
    #[cfg(test)]
    pub(crate) fn identity(&self) -> u128 {
        self.record.identity
    }

    /// How often the registry's shared state was started on this machine.
    #[cfg(test)]
    pub(crate) fn epoch(&self) -> u64 {
        self.record.epoch
    }

    /// The mapped file.
    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        self.mapping().path()
    }

    /// How many bytes are reserved; 0 if that is not known.
    #[cfg(test)]
    pub(crate) fn size(&self) -> u64 {
        self.mapping().size().unwrap_or(0)
    }

    /// Whether others that open the registry will find this state: nobody has removed or replaced its anchor.
    pub(crate) fn is_in_place(&self) -> bool {
        self.anchor.is_in_place()
    }

    fn mapping(&self) -> &Mapping {
        self.pieces.mapping().expect("they were made from a mapping")
    }
}

fn attach(path: &Path, options: &SharedOptions) -> Result<SharedState, Error> {
    let SharedOptions { dir } = options;
    if dir.to_str().is_none_or(|dir| dir.contains(char::is_control)) {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("shared.dir {dir:?} is not plain text")));
    }
    let here = Here::read()?;
    let opening = Opening::open(path)?;
    let read = opening.read();
    let found = read.as_ref().map_err(Error::clone).and_then(|record| open(record, dir, &here, &opening));
    let (pieces, record) = match (found, read) {
        (Ok(pieces), Ok(record)) => (pieces, record),
        (Err(error), _) if error.kind() == ErrorKind::Io => return Err(error),
        (_, read) if opening.is_alone => start(read.ok(), dir, &here, &opening)?,
        (Err(error), _) | (_, Err(error)) => {
            let kind = if error.kind() == ErrorKind::Format { ErrorKind::Io } else { error.kind() };
            let message = format!(
                "{error}; other processes count by it, so it is not started anew: end them (`fuser {path:?}` names them), or \
                 open the registry as they do, with the same shared.dir"
            );
            return Err(Error::new(kind, message));
        }
    };
    let was_alone = opening.is_alone;
    Ok(SharedState { pieces, anchor: opening.enter()?, record, was_alone })
}

/// The state that the anchor leads to.
fn open(record: &Record, dir: &Path, here: &Here, opening: &Opening) -> Result<Pieces, Error> {
    if record.boot != here.boot {
        return Err(unfit("it is of another boot"));
    }
    let path = dir.join(file_name(record.identity));
    let mapping = Mapping::open(&path, record.mapped, &here.stamp(record.identity), opening.access);
    let pieces = Pieces::mapped(mapping.map_err(|error| error.within(format_args!("its mapped file {path:?}")))?);
    if pieces.taken() <= u64::from(index::ROOT) {
        return Err(unfit(format!("its mapped file {path:?} was not finished")));
    }
    Ok(pieces)
}

/// Starts the state, with nobody in.
fn start(old: Option<Record>, dir: &Path, here: &Here, opening: &Opening) -> Result<(Pieces, Record), Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::new(ErrorKind::Io, format!("no random numbers: {error}")))?;
    let identity = u128::from_be_bytes(random);
    let epoch = old.as_ref().map_or(0, |old| old.epoch).saturating_add(1);
    if let Some(old) = old {
        let name = file_name(old.identity);
        let _ = fs::remove_file(dir.join(&name)); // or it is not there
        if old.path.file_name() == Some(name.as_ref()) {
            let _ = fs::remove_file(&old.path); // likewise
        }
    }
    sweep(dir, is_file_name);
    let path = dir.join(file_name(identity));
    // Whoever comes after a death in the midst removes what the anchor names.
    let mut record = Record { boot: here.boot, identity, epoch, anchor: (0, 0), mapped: (0, 0), path: path.clone() };
    opening.write(&mut record)?;
    let mapping = Mapping::create(&path, opening.path(), &here.stamp(identity), opening.access);
    let mapping = mapping.map_err(|error| error.within(format_args!("its mapped file {path:?}")))?;
    record.mapped = mapping.id();
    let pieces = Pieces::mapped(mapping);
    if pieces.take(1) != Some(index::ROOT) {
        return Err(Error::new(ErrorKind::Io, format!("cannot map its mapped file {path:?}")));
    }
    opening.write(&mut record)?;
    Ok((pieces, record))
}

/// This boot, and the clock of this process.
struct Here {
    boot: u128,
    clock_offset_ns: i64,
}

impl Here {
    fn read() -> Result<Self, Error> {
        if !cfg!(target_os = "linux") {
            return Err(Error::new(ErrorKind::Io, "only on Linux can processes share one"));
        }
        const BOOT: &str = "/proc/sys/kernel/random/boot_id";
        let boot = fs::read_to_string(BOOT)
            .map_err(|error| failed("know the boot of")(error).within(format_args!("{BOOT:?}")))?;
        let boot = u128::from_str_radix(&boot.trim_end().replace('-', ""), 16);
        let boot = boot.map_err(|_| Error::new(ErrorKind::Io, format!("{BOOT:?} has no number")))?;
        // Without time namespaces there is no such file.
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        Ok(Self { boot, clock_offset_ns: clock_offset_ns(&offsets) })
    }

    fn stamp(&self, identity: u128) -> Stamp {
        Stamp { identity, boot: self.boot, clock_offset_ns: self.clock_offset_ns }
    }
}

/// The offset of CLOCK_BOOTTIME: a line of its name, seconds and nanoseconds.
pub(super) fn clock_offset_ns(offsets: &str) -> i64 {
    let boottime = offsets.lines().find_map(|line| line.trim_start().strip_prefix("boottime"));
    let mut numbers = boottime.into_iter().flat_map(str::split_whitespace).map(|number| number.parse().unwrap_or(0));
    let (s, ns): (i64, i64) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    s.wrapping_mul(1_000_000_000).wrapping_add(ns)
}

/// The anchor is beside the registry.
fn anchor_path(registry: &Path) -> PathBuf {
    let mut name = OsString::from(registry);
    name.push(".shared");
    name.into()
}

fn file_name(identity: u128) -> String {
    format!("bpos-{identity:032x}")
}

fn is_file_name(name: &OsStr) -> bool {
    let identity = name.to_str().and_then(|name| name.strip_prefix("bpos-"));
    identity.is_some_and(|identity| {
        u128::from_str_radix(identity, 16).is_ok_and(|identity| name == OsStr::new(&file_name(identity)))
    })
}

/// The hash is the first 8 bytes of the SHA-256 of the identity (16 bytes) and the padded id (32).
pub(super) fn name(identity: u128, id: &KeyId) -> Name {
    let bytes = id.padded();
    let hash = Sha256::new().chain_update(identity.to_be_bytes()).chain_update(bytes).finalize();
    let (words, _) = bytes.as_chunks::<8>();
    let mut name = Name { id: [0; 4], hash: 0 };
    name.id.iter_mut().zip(words).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
    name.hash = hash.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
    name
}
