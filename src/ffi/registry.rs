//! The registry behind its handle.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use zeroize::Zeroizing;

use super::buffer::bpos_buffer;
use super::constants::bpos_status;
use super::error::{Failure, bpos_error, report};
use super::guard::{guard_or, without_cancellation};
use super::pointers::{borrowed, bytes, given, place, place_or_null, required, taken_back};
use crate::policy::Scope;
use crate::registry::{Options, Registry};

/// The keys of a platform, ready to decide on requests.
///
/// It lives from bpos_registry_open(), _init() or _from_json() until bpos_registry_close(). Any number of threads may
/// use and change it at once; only bpos_registry_close() must come after the last use on every thread. Once a change
/// returns, every decision that starts later, on any thread, uses it. On Linux, all processes that open one file share it,
/// unless an option says otherwise: together they admit a key as often as its limit says, and once a change returns in one,
/// it is in force in all. A process may fork at any time. Parent and child of a registry that is not shared count apart, and
/// neither sees the other's changes until it reads the file again: see bpos_registry_reload_if_changed().
///
/// Methods:
///   bpos_registry_open(), bpos_registry_from_json()   make one, to be freed with bpos_registry_close()
///   bpos_registry_init()                              creates the file too
///   bpos_authorize(), bpos_authorize_scope()          decide on a request
///   bpos_authorize_at(), bpos_authorize_scope_at()    the same at a given time
///   bpos_scope_id()                                   the number of a scope
///   bpos_key_create(), bpos_key_rotate()              make a key, or a new secret for one
///   bpos_key_update()                                 changes one
///   bpos_key_disable(), bpos_key_enable()             disable one, and enable it again
///   bpos_key_revoke(), bpos_key_remove()              revoke one permanently, or remove its record
///   bpos_registry_edit()                              several changes, all or none
///   bpos_key_get(), bpos_key_list()                   the record of one, or of all
///   bpos_key_list_page()                              the records of some, and then of the next
///   bpos_registry_reload()                            reads a file registry's file again
///   bpos_registry_reload_if_changed()                 the same, if it has changed
///   bpos_registry_apply()                             applies changes to a memory registry
///   bpos_registry_export()                            the document in force
///   bpos_registry_stats()                             what it has counted
///   bpos_registry_close()                             frees it
pub struct bpos_registry(Registry);

impl bpos_registry {
    #[inline]
    pub(super) fn core(&self) -> &Registry {
        &self.0
    }
}

/// Opens a registry file. Changes made with the bpos_key functions are written to it. Changes that other processes make are
/// in force at once if they share the registry; otherwise they are read by bpos_registry_reload() and
/// bpos_registry_reload_if_changed(), and before each change.
///
/// path, path_len: of the registry document. NULL is misuse.
/// options_json, options_json_len: a JSON object such as {"policy": {...}, "read_only": true, "shared": false}, each
///   optional; NULL and 0 for the defaults. "shared" is true, false, or {"dir": "..."}, the folder of the memory that the
///   processes share, in place of /dev/shm. All that open one file must say the same. It makes the files NAME.shared,
///   NAME.lock and NAME.queue beside it.
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_IO if the file cannot be read, or this process cannot share it: the text says why;
/// BPOS_ERR_PERMISSION if others may write to the file, or to what is shared; BPOS_ERR_STALE if the file is older than what
/// is in force in the processes that share it; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the
/// options are not valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_open(
    path: *const c_char,
    path_len: usize,
    options_json: *const c_char,
    options_json_len: usize,
    out: *mut *mut bpos_registry,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        make(out, error, || {
            let path = required(path, path_len, "path")?;
            Ok(Registry::open_with(file(path), options(options_json, options_json_len)?)?)
        })
    }
}

/// Creates a registry file without keys, which must not exist yet, and opens it as bpos_registry_open() does. The file
/// belongs to this process's user, and only that user may read and write it.
///
/// path, path_len: of the registry document to create. NULL is misuse.
/// options_json, options_json_len: as with bpos_registry_open().
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_CONFLICT if the file exists already; otherwise as bpos_registry_open().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_init(
    path: *const c_char,
    path_len: usize,
    options_json: *const c_char,
    options_json_len: usize,
    out: *mut *mut bpos_registry,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        make(out, error, || {
            let path = required(path, path_len, "path")?;
            Ok(Registry::init(file(path), options(options_json, options_json_len)?)?)
        })
    }
}

/// Makes a memory registry from a document: the host's own database is the source of truth, and the host passes its
/// changes to bpos_registry_apply(). Nothing is ever written: changes made with the bpos_key functions are lost with the
/// registry; use bpos_registry_export() to get them.
///
/// json, json_len: the registry document. NULL is misuse.
/// options_json, options_json_len: as with bpos_registry_open().
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the options are not valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_from_json(
    json: *const c_char,
    json_len: usize,
    options_json: *const c_char,
    options_json_len: usize,
    out: *mut *mut bpos_registry,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        make(out, error, || {
            let json = required(json, json_len, "json")?;
            Ok(Registry::from_json_with(json, options(options_json, options_json_len)?)?)
        })
    }
}

/// Reads the registry file again and decides by it from then on. All or nothing: after a failure nothing has changed. Keys
/// that are still in the file keep their window and their counts; a key that was revoked here stays revoked.
///
/// registry: a file registry. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; a status as from bpos_registry_open(); BPOS_ERR_STALE if the file's revision is lower than the one in
/// force; BPOS_ERR_INVALID_ARGUMENT for a memory registry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_reload(registry: *mut bpos_registry, error: *mut bpos_error) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { report(error, || Ok(borrowed(registry, "registry")?.core().reload()?)) }
}

/// Reads the registry file again if it has changed since it was last read or written here. The check is one call to the
/// operating system, so a host can make it before each request. After BPOS_OK, decisions use what the file said at the
/// call, or something newer. It waits only if the file has changed, and then only for another thread of this process that is
/// reading or writing it. Otherwise it is as bpos_registry_reload().
///
/// registry: a file registry. NULL is misuse.
/// changed: set to 1 if the file had changed and is in force now; to 0 if it had not, and on failure. May be NULL.
/// error: may be NULL.
///
/// Returns BPOS_OK, whether or not it had changed; or a status as from bpos_registry_reload(): then the next call tries
/// again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_reload_if_changed(
    registry: *mut bpos_registry,
    changed: *mut u8,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            let changed = place_or_null(changed, "changed")?.map(|place| place.write(0));
            let has = borrowed(registry, "registry")?.core().reload_if_changed()?;
            if let Some(changed) = changed {
                *changed = u8::from(has);
            }
            Ok(())
        })
    }
}

/// Applies changes to a memory registry. All or nothing: if one record is refused, none is applied.
///
/// registry: a memory registry. NULL is misuse.
/// records_json, records_json_len: a JSON array of records, each as in the registry document. A record with a known id
///   replaces the present one, and keeps its window; others are added. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_FORMAT or BPOS_ERR_LIMIT for a malformed record; BPOS_ERR_CONFLICT for a duplicate id or
/// digest, or a revoked key brought back; BPOS_ERR_INVALID_ARGUMENT for a file registry; BPOS_ERR_READ_ONLY for a
/// read-only one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_apply(
    registry: *mut bpos_registry,
    records_json: *const c_char,
    records_json_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            let records = required(records_json, records_json_len, "records_json")?;
            Ok(borrowed(registry, "registry")?.core().apply(records)?)
        })
    }
}

/// Returns the registry document that is in force, as JSON. It holds digests, and no keys.
///
/// registry: NULL is misuse.
/// out: set to the document, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_LIMIT if memory ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_export(
    registry: *const bpos_registry,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { answer(registry, out, error, |registry| Ok(registry.export()?.into())) }
}

/// Returns what the registry has counted, as a JSON object: {"keys": 3, "revision": 12, "allowed": 70, "denied":
/// {"internal": 0, "key_in_url": 2, ...}}. Reads the counters of every key, so the cost grows with their number.
///
/// registry: NULL is misuse.
/// out: set to the object, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_LIMIT if memory ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_stats(
    registry: *const bpos_registry,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { answer(registry, out, error, |registry| Ok(registry.stats_json()?.into())) }
}

/// Frees a registry. No thread may be using it, or use it afterwards.
///
/// registry: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_close(registry: *mut bpos_registry) {
    // SAFETY: as the caller of every export promises; and this is the last use of the registry.
    without_cancellation(|| guard_or((), || drop(unsafe { taken_back(registry) })));
}

/// The number of a scope of the registry's policy, for bpos_authorize_scope(). Look it up once and keep it.
///
/// registry: NULL has no scopes.
/// name, name_len: the whole name, such as "products:read". NULL is no scope.
///
/// Returns the number, or 0 if there is no such scope.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_scope_id(registry: *const bpos_registry, name: *const c_char, name_len: usize) -> u32 {
    guard_or(0, || {
        // SAFETY: as the caller of every export promises.
        let (registry, name) = unsafe { (borrowed(registry, "registry"), bytes(name, name_len, "name")) };
        let scope = match (registry, name) {
            (Ok(registry), Ok(Some(name))) => {
                std::str::from_utf8(name).ok().and_then(|name| registry.core().scope(name))
            }
            _ => None,
        };
        scope.map_or(0, Scope::id)
    })
}

/// Makes a registry and hands it to C; `out` is NULL after a failure.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
unsafe fn make(
    out: *mut *mut bpos_registry,
    error: *mut bpos_error,
    made: impl FnOnce() -> Result<Registry, Failure>,
) -> bpos_status {
    // SAFETY: as asked of our caller.
    unsafe {
        report(error, || {
            let out = place(out, "out")?.write(ptr::null_mut());
            *out = given(bpos_registry(made()?));
            Ok(())
        })
    }
}

/// Fills the caller's buffer with what a registry answers.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
pub(super) unsafe fn answer(
    registry: *const bpos_registry,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
    text: impl FnOnce(&Registry) -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> bpos_status {
    // SAFETY: as asked of our caller.
    unsafe { report(error, || bpos_buffer::fill(place(out, "out")?, || text(borrowed(registry, "registry")?.core()))) }
}

fn file(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
unsafe fn options(json: *const c_char, length: usize) -> Result<Options, Failure> {
    // SAFETY: as asked of our caller.
    let json = unsafe { bytes(json, length, "options_json") }?;
    Ok(json.map(Options::from_json).transpose()?.unwrap_or_default())
}
