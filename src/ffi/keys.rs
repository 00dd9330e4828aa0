//! Administering keys: specs and patches come in as JSON, records go out as JSON.

use std::borrow::Cow;
use std::ffi::c_char;

use zeroize::Zeroizing;

use super::buffer::bpos_buffer;
use super::constants::bpos_status;
use super::error::{bpos_error, report};
use super::pointers::{borrowed, bytes, required};
use super::registry::{answer, bpos_registry};
use crate::error::Error;
use crate::json::forms;
use crate::key::KeyRecord;
use crate::registry::Registry;

/// Creates a key. The answer holds its plaintext, which is stored nowhere and cannot be shown again: give it to whoever
/// asked for the key, then free the buffer, which wipes it. The caller must wipe any copies it makes.
///
/// registry: NULL is misuse.
/// spec_json, spec_json_len: a JSON object with the key's name, store and scopes, and optionally rate_limit (1 to 1000; 60
///   by default), expires_at (null) and test_mode (false): {"name": "Website Sync", "store": "yourstore", "scopes":
///   ["products:read"], "rate_limit": 120, "expires_at": "2030-01-01T00:00:00Z", "test_mode": false}. NULL is misuse.
/// out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
///   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: every decision that starts later accepts the key, and a file registry's file has it; BPOS_ERR_FORMAT if
/// the spec is not as above; BPOS_ERR_LIMIT if the registry has 2,000,000 keys already; BPOS_ERR_READ_ONLY for a read-only
/// registry; BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these
/// nothing has changed. BPOS_ERR_NOT_DURABLE if the file was written but may lose the change if the machine stops now: the
/// key is not in force here until the file is read again, and since nobody knows its plaintext, find it with
/// bpos_key_list(), revoke it and create another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_create(
    registry: *mut bpos_registry,
    spec_json: *const c_char,
    spec_json_len: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let spec = required(spec_json, spec_json_len, "spec_json")?;
            let spec = forms::parse_spec(spec, Some(registry.policy()))?;
            Ok(registry.create(&spec)?.to_json()?)
        })
    }
}

/// Changes parts of a key: its name, scopes, limit, expiry or mode, or whether it is enabled. Requests that were admitted
/// before still count: a limit changes live.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// patch_json, patch_json_len: a JSON object with the members to change: name, scopes (replacing all it had), rate_limit,
///   expires_at (null for none), test_mode, enabled. {"enabled": false} disables the key, and {"enabled": true} enables it
///   again. NULL is misuse.
/// out: set to the changed record, as from bpos_key_get(), which the caller frees with bpos_buffer_free(); to {NULL, 0} on
///   failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: the change is in force for every decision that starts later, and a file registry's file has it;
/// BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked; BPOS_ERR_FORMAT if the
/// patch is not as above; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
/// bpos_registry_reload() if the file could not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE
/// if the file may not have the change: what it takes away (disabling, a lower limit, an earlier expiry, test mode, fewer
/// scopes) is in force in this process anyway, stays in force when the file is read again, and is written with the next
/// change; what it grants is not in force. Other processes, and this one after a restart, may decide by the old record: free
/// disk space or repair the folder, and change the key again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_update(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    patch_json: *const c_char,
    patch_json_len: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let id = text(required(id, id_len, "id")?);
            let patch = required(patch_json, patch_json_len, "patch_json")?;
            let patch = forms::parse_patch(patch, Some(registry.policy()))?;
            Ok(registry.update(&id, &patch)?.to_json()?.into())
        })
    }
}

/// Gives a key a new secret. Its id, limit and counts stay. The answer holds the plaintext, as with bpos_key_create().
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// grace_s: for how many more seconds the previous secret works too, at most 31,622,400 (366 days) and never past the
///   key's expiry; 0 ends it at once. Both share the key's limit. A secret still in its grace period from an earlier
///   rotation stops working.
/// out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
///   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: every decision that starts later accepts the new secret, and a file registry's file has it;
/// BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked or expired; BPOS_ERR_LIMIT
/// if grace_s is too large; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
/// bpos_registry_reload() if the file could not be read or written. After these nothing has changed: the previous
/// secret still works. BPOS_ERR_NOT_DURABLE if the file was written but may lose the change if the machine stops now: the
/// previous secret works here until the file is read again, and since nobody knows the new one, rotate the key again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_rotate(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    grace_s: u64,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let id = text(required(id, id_len, "id")?);
            Ok(registry.rotate(&id, grace_s)?.to_json()?)
        })
    }
}

/// Revokes a key. Revocation is permanent: nothing enables the key again. A key that is already revoked stays as it is.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: every decision that starts later denies the key, and a file registry's file has the revocation;
/// BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_READ_ONLY for a read-only registry: after these nothing has changed.
/// BPOS_ERR_NOT_DURABLE if the file may not have the revocation: the key is denied in this process anyway, stays denied when
/// the file is read again, and the revocation is written with the next change. Other processes, and this one after a
/// restart, may still accept the key: free disk space or repair the folder, and revoke it again. BPOS_ERR_IO or another
/// status of bpos_registry_reload() if the file had the revocation already, and could not be read or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_revoke(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { change_key(registry, id, id_len, error, Registry::revoke) }
}

/// Disables a key until bpos_key_enable(). A key that is already disabled stays disabled.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: every decision that starts later denies the key; otherwise as bpos_key_update().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_disable(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { change_key(registry, id, id_len, error, Registry::disable) }
}

/// Enables a disabled key again. A key that is already enabled stays enabled.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns as bpos_key_update().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_enable(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { change_key(registry, id, id_len, error, Registry::enable) }
}

/// Removes the record of a key that is revoked or expired. Its secret is unknown from then on, which is denied too.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK: the record is gone, from a file registry's file too; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is neither revoked nor expired; BPOS_ERR_READ_ONLY for a read-only registry;
/// BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these nothing
/// has changed. BPOS_ERR_NOT_DURABLE if the file could not be written and the key had only expired: it is revoked in this
/// process now; or if the file was written but may lose the change if the machine stops now: the record stays here until
/// the file is read again. In both cases the key is still denied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_remove(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe { change_key(registry, id, id_len, error, Registry::remove) }
}

/// Makes several changes to keys together: all or none, in one write. Each sees the changes before it.
///
/// registry: NULL is misuse.
/// changes_json, changes_json_len: a JSON array of at most 100,000 objects, each with one member that names the change:
///   [{"create": {...spec...}}, {"update": {"id": "key_...", "patch": {...}}}, {"rotate": {"id": "key_...", "grace_s": 60}},
///   {"revoke": "key_..."}, {"disable": "key_..."}, {"enable": "key_..."}, {"remove": "key_..."}], the specs and patches as
///   with bpos_key_create() and bpos_key_update(). NULL is misuse.
/// out: set to a JSON array with an answer for each change, in order: {"key": "bpos_...", "record": {...}} for create and
///   rotate, the record for update, null for the others. It can hold keys: free it with bpos_buffer_free(), which wipes it.
///   {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL. If a change is refused, the message begins with its number, counted from 1.
///
/// Returns BPOS_OK: all changes are in force for every decision that starts later, and a file registry's file has them;
/// otherwise as the function of the change that is refused. What the changes take away is in force first, and stays in force
/// after BPOS_ERR_NOT_DURABLE, as with bpos_key_update().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_registry_edit(
    registry: *mut bpos_registry,
    changes_json: *const c_char,
    changes_json_len: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let changes = required(changes_json, changes_json_len, "changes_json")?;
            let changes = forms::parse_changes(changes, registry.policy())?;
            Ok(array(&registry.edit(|edit| {
                let numbered = (1..).zip(&changes);
                let made = numbered.map(|(number, change)| {
                    change.make(edit).map_err(|error| error.within(format_args!("change {number}")))
                });
                made.collect::<Result<Vec<_>, _>>()
            })?))
        })
    }
}

/// A JSON array of values, which may hold keys. It is allocated once: a vector that grows leaves a copy behind.
fn array(values: &[Zeroizing<Vec<u8>>]) -> Zeroizing<Vec<u8>> {
    let length = values.iter().map(|value| value.len() + 1).sum::<usize>() + 2;
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    json.push(b'[');
    for (index, value) in values.iter().enumerate() {
        json.extend_from_slice(if index > 0 { b"," } else { b"" });
        json.extend_from_slice(value);
    }
    json.push(b']');
    json
}

/// Returns a key's record as JSON: {"id": "key_...", "name": "Website Sync", "store": "yourstore", "hint": "bpos_abc1",
/// "scopes": ["products:read"], "rate_limit": 120, "expires_at": null, "test_mode": false, "enabled": true, "created_at":
/// "2026-11-24T00:00:00Z", "revoked_at": null, "retiring_until": null, "usage": {"last_used_at": null, "allowed": 0,
/// "denied": {"revoked_key": 0, ...}}}. It holds neither the key nor its digest. retiring_until is when the grace period of
/// the previous secret ends; usage is what this process has counted. Members may be added.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// out: set to the record, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_LIMIT if memory ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_get(
    registry: *const bpos_registry,
    id: *const c_char,
    id_len: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let id = text(required(id, id_len, "id")?);
            Ok(registry.get(&id).ok_or_else(|| crate::registry::unknown(&id))?.to_json()?.into())
        })
    }
}

/// Returns the records of a store's keys, or of all keys, as a JSON array in the order of the document. Each is as from
/// bpos_key_get(). See bpos_key_list_page() for registries with many keys.
///
/// registry: NULL is misuse.
/// store, store_len: the store's whole name. NULL and 0 for all stores; an empty store that is not NULL has no keys, and
///   neither has one that is not UTF-8.
/// out: set to the array, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, also when there is no key: the array is empty then; BPOS_ERR_LIMIT if memory ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_list(
    registry: *const bpos_registry,
    store: *const c_char,
    store_len: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let records = registry.list(bytes(store, store_len, "store")?.map(store_name));
            Ok(KeyRecord::list_to_json(&records)?.into())
        })
    }
}

/// Returns the first records of those that bpos_key_list() returns, or the first behind a key: a page, whose cost does not grow
/// with the registry. A key that is created meanwhile is behind all others, so whoever goes on from the last id of each page
/// sees every key once that was there throughout.
///
/// registry, store, store_len, error: as for bpos_key_list().
/// after, after_len: the id of the key behind which the page begins, which may be one of another store; NULL and 0 for the
///   first page.
/// most: how many records to return at most.
/// out: set to the JSON array, empty behind the last key, which the caller frees with bpos_buffer_free(); to {NULL, 0} on
///   failure. NULL is misuse.
///
/// Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id, perhaps no longer: begin again; BPOS_ERR_LIMIT if memory ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_list_page(
    registry: *const bpos_registry,
    store: *const c_char,
    store_len: usize,
    after: *const c_char,
    after_len: usize,
    most: usize,
    out: *mut bpos_buffer,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(registry, out, error, |registry| {
            let store = bytes(store, store_len, "store")?.map(store_name);
            let after = bytes(after, after_len, "after")?.map(text);
            let records = registry.list_page(store, after.as_deref(), most)?;
            Ok(KeyRecord::list_to_json(&records)?.into())
        })
    }
}

/// Makes a change to one key that answers nothing.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
unsafe fn change_key(
    registry: *const bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
    change: impl FnOnce(&Registry, &str) -> Result<(), Error>,
) -> bpos_status {
    // SAFETY: as asked of our caller.
    unsafe {
        report(error, || {
            let registry = borrowed(registry, "registry")?.core();
            Ok(change(registry, &text(required(id, id_len, "id")?))?)
        })
    }
}

/// A store's name. What is not UTF-8 is no store's.
fn store_name(store: &[u8]) -> &str {
    std::str::from_utf8(store).unwrap_or_default()
}

/// An id as text. Invalid UTF-8 becomes a text that is no id: ids are ASCII.
fn text(id: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(id)
}
