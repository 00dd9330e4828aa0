//! The registry behind its handle.

use std::ffi::{OsStr, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::buffer::bpos_buffer;
use super::constants::bpos_status;
use super::error::{Failure, bpos_error, report};
use super::guard::{guard_or, without_cancellation};
use super::pointers::{borrowed, bytes, given, place, place_or_null, required, taken_back};
use crate::policy::Scope;
use crate::registry::{Options, Registry};

/// The keys of a platform, ready to decide.
///
/// It lives from bpos_registry_open(), _init() or _from_json() until bpos_registry_close(). Any number of threads may
/// use it at once, and any of them may change it meanwhile; only closing it must come after everybody's last use. After a
/// change returns, every decision that starts later, on any thread, is made with it. A process may fork at any time: the
/// child can authorize, but counts apart, so that both together admit up to twice a limit, and neither learns what the other
/// changes before it reads the file again: see bpos_registry_reload_if_changed().
///
/// Methods:
///   bpos_registry_open(), bpos_registry_from_json()   make one, which bpos_registry_close() must free
///   bpos_registry_init()                              makes the file too
///   bpos_authorize(), bpos_authorize_scope()          decide on a request
///   bpos_authorize_at(), bpos_authorize_scope_at()    the same at a given time
///   bpos_scope_id()                                   the number of a scope
///   bpos_key_create(), bpos_key_rotate()              make a key, or a new secret for one
///   bpos_key_update()                                 changes one
///   bpos_key_disable(), bpos_key_enable()             take one out of use, and back
///   bpos_key_revoke(), bpos_key_remove()              end one
///   bpos_registry_edit()                              several changes, all or none
///   bpos_key_get(), bpos_key_list()                   what is known of one, or of all
///   bpos_registry_reload()                            reads the file of a file registry again
///   bpos_registry_reload_if_changed()                 the same, if it has changed
///   bpos_registry_apply()                             feeds changes into a memory registry
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

/// Opens a registry file. Changes through the bpos_key functions are written to it; those that others write to it are
/// seen by bpos_registry_reload() and bpos_registry_reload_if_changed(), and before each change.
///
/// path, path_len: of the registry document. NULL is misuse.
/// options_json, options_json_len: a JSON object such as {"policy": {...}, "read_only": true}, both optional; NULL and 0
///   for the defaults.
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_IO if the file cannot be read; BPOS_ERR_PERMISSION if others may write it; BPOS_ERR_FORMAT,
/// BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if it is no sound registry document, or the options are not.
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
        report(error, || {
            let out = vacated(place(out, "out")?);
            let path = required(path, path_len, "path")?;
            let options = options(bytes(options_json, options_json_len, "options_json")?)?;
            *out = given(bpos_registry(Registry::open_with(Path::new(OsStr::from_bytes(path)), options)?));
            Ok(())
        })
    }
}

/// Makes a registry file without keys, which must not exist yet, and opens it as bpos_registry_open() does. The file
/// belongs to this process's user, who alone may read and write it.
///
/// path, path_len: of the registry document to make. NULL is misuse.
/// options_json, options_json_len: as with bpos_registry_open().
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_CONFLICT if such a file exists; otherwise as bpos_registry_open().
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
        report(error, || {
            let out = vacated(place(out, "out")?);
            let path = required(path, path_len, "path")?;
            let options = options(bytes(options_json, options_json_len, "options_json")?)?;
            *out = given(bpos_registry(Registry::init(Path::new(OsStr::from_bytes(path)), options)?));
            Ok(())
        })
    }
}

/// Makes a memory registry from a document: the host's own database is the source of truth, and feeds changes in with
/// bpos_registry_apply(). Nothing is ever written: what the bpos_key functions change is to be had from
/// bpos_registry_export(), and gone with the registry.
///
/// json, json_len: the registry document. NULL is misuse.
/// options_json, options_json_len: as with bpos_registry_open().
/// out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the options are not sound.
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
        report(error, || {
            let out = vacated(place(out, "out")?);
            let json = required(json, json_len, "json")?;
            let options = options(bytes(options_json, options_json_len, "options_json")?)?;
            *out = given(bpos_registry(Registry::from_json_with(json, options)?));
            Ok(())
        })
    }
}

/// Reads the registry file again and decides by it from now on. All or nothing: after a failure, what was in force stays.
/// Keys whose id stays keep their window and their counts; a key that was revoked here stays revoked.
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

/// Reads the registry file again if it has changed since it was last read or written here, which one call to the operating
/// system finds out: for hosts that ask before each request. After it has returned BPOS_OK, decisions are made by what the
/// file said when it was called, or by something newer. It waits only where the file has changed, and then for another thread
/// of this process that is reading or writing it. Otherwise it is as bpos_registry_reload().
///
/// registry: a file registry. NULL is misuse.
/// changed: set to 1 if the file had changed, and is in force now; to 0 if it had not, and on failure. May be NULL.
/// error: may be NULL.
///
/// Returns BPOS_OK, whether or not it had changed; a status as from bpos_registry_reload(), and then the next call tries
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

/// Feeds changes into a memory registry. All or nothing: if one record is refused, none is applied.
///
/// registry: a memory registry. NULL is misuse.
/// records_json, records_json_len: a JSON array of records, each as in the registry document. A record with a known id
///   replaces the one before, and keeps its window; others are added. NULL is misuse.
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

/// Gives the registry document that is in force, as JSON. It holds digests, and no key.
///
/// registry: NULL is misuse.
/// out: set to the document, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_LIMIT if there is no memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_export(
    registry: *const bpos_registry,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || Ok(borrowed(registry, "registry")?.core().export()?.into()))
        })
    }
}

/// Gives what the registry has counted, as a JSON object: {"keys": 3, "revision": 12, "allowed": 70, "denied":
/// {"internal": 0, "key_in_url": 2, ...}}. Reads the counters of every key, so its cost grows with them.
///
/// registry: NULL is misuse.
/// out: set to the object, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_LIMIT if there is no memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_stats(
    registry: *const bpos_registry,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || Ok(borrowed(registry, "registry")?.core().stats_json()?.into()))
        })
    }
}

/// Frees a registry. No thread may use it any more, nor after this.
///
/// registry: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_close(registry: *mut bpos_registry) {
    // SAFETY: as the caller of every export promises; and this is the last use of the registry.
    without_cancellation(|| guard_or((), || drop(unsafe { taken_back(registry) })));
}

/// The number of a scope of the registry's policy, for bpos_authorize_scope(). Ask once and keep it.
///
/// registry: NULL has no scopes.
/// name, name_len: the whole name, such as "products:read". NULL is no scope's.
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

/// NULL until there is something better: what a failure leaves behind.
fn vacated(out: &mut MaybeUninit<*mut bpos_registry>) -> &mut *mut bpos_registry {
    out.write(ptr::null_mut())
}

fn options(json: Option<&[u8]>) -> Result<Options, Failure> {
    Ok(json.map(Options::from_json).transpose()?.unwrap_or_default())
}
