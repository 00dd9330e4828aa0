//! The life of a key: specs and patches come in as JSON, records go out as JSON.

use std::borrow::Cow;
use std::ffi::c_char;

use zeroize::Zeroizing;

use super::buffer::bpos_buffer;
use super::constants::bpos_status;
use super::error::{bpos_error, report};
use super::pointers::{borrowed, bytes, place, required};
use super::registry::bpos_registry;
use crate::json::forms;
use crate::key::KeyRecord;

/// Creates a key. The answer holds its plaintext, which is nowhere else and cannot be had again: give it to whoever asked
/// for the key, and free the buffer, which wipes it. Copies that the caller makes of it are the caller's to wipe.
///
/// registry: NULL is misuse.
/// spec_json, spec_json_len: a JSON object with the key's name, store and scopes, and if wanted rate_limit (1 to 1000;
///   60), expires_at (null) and test_mode (false): {"name": "Website Sync", "store": "yourstore", "scopes":
///   ["products:read"], "rate_limit": 120, "expires_at": "2030-01-01T00:00:00Z", "test_mode": false}. NULL is misuse.
/// out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
///   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then the key is admitted by every decision that starts later, and is in the file of a file
/// registry; BPOS_ERR_FORMAT if the spec is not as above; BPOS_ERR_LIMIT if the registry has 2,000,000 keys;
/// BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of bpos_registry_reload() if the file could
/// not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE if the file was written but may be lost
/// should the machine stop now: the key is not in force here until the file is read again, and since nobody knows its
/// plaintext, find it with bpos_key_list(), revoke it and create another.
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
                let spec = required(spec_json, spec_json_len, "spec_json")?;
                let spec = forms::parse_spec(spec, Some(registry.policy()))?;
                Ok(registry.create(&spec)?.to_json()?)
            })
        })
    }
}

/// Changes parts of a key: its name, scopes, limit, expiry or mode, or whether it is enabled. What was admitted still
/// counts: a limit changes live.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// patch_json, patch_json_len: a JSON object with the members to change: name, scopes (in the place of all it had),
///   rate_limit, expires_at (null for none), test_mode, enabled. {"enabled": false} disables the key, and {"enabled": true}
///   enables it again. NULL is misuse.
/// out: set to the record as it is then, as from bpos_key_get(), which the caller frees with bpos_buffer_free(); to
///   {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then the change is in force for every decision that starts later, and is in the file of a file
/// registry; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked; BPOS_ERR_FORMAT if the
/// patch is not as above; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
/// bpos_registry_reload() if the file could not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE
/// if it is not sure that the file has the change: what it takes away (disabling, a lower limit, an earlier expiry, test
/// mode, fewer scopes) is in force in this process all the same, stays so when the file is read again, and is written with
/// the next change; what it grants is not in force. Other processes, and this one after a restart, may decide by the old
/// record: free the disk or mend the folder, and change the key again.
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
                let id = text(required(id, id_len, "id")?);
                let patch = required(patch_json, patch_json_len, "patch_json")?;
                let patch = forms::parse_patch(patch, Some(registry.policy()))?;
                Ok(registry.update(&id, &patch)?.to_json()?.into())
            })
        })
    }
}

/// Gives a key another secret. Its id, its limit and what it has counted stay. The answer holds the plaintext, as with
/// bpos_key_create().
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// grace_s: for how many more seconds the secret before works too, at most 31,622,400 (366 days) and never past the key's
///   expiry; 0 ends it at once. Both share the key's limit. A secret that was still in grace from an earlier rotation
///   stops working.
/// out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
///   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then the new secret is admitted by every decision that starts later, and is in the file of a file
/// registry; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked or expired; BPOS_ERR_LIMIT
/// if the grace is too long; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
/// bpos_registry_reload() if the file could not be read or written. After these nothing has changed: the secret before
/// goes on working. BPOS_ERR_NOT_DURABLE if the file was written but may be lost should the machine stop now: the secret
/// before goes on working here until the file is read again, and since nobody knows the new one, rotate the key again.
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
                let id = text(required(id, id_len, "id")?);
                Ok(registry.rotate(&id, grace_s)?.to_json()?)
            })
        })
    }
}

/// Revokes a key, for good: nothing enables it again. A key that is revoked already stays as it is.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then every decision that starts later denies the key, and the file of a file registry says so;
/// BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_READ_ONLY for a read-only registry: after these nothing has changed.
/// BPOS_ERR_NOT_DURABLE if it is not sure that the file says so: the key is denied in this process all the same, stays so
/// when the file is read again, and is written with the next change. Other processes, and this one after a restart, may
/// still admit it: free the disk or mend the folder, and revoke it again. BPOS_ERR_IO or another status of
/// bpos_registry_reload() if the key was revoked before, on file too, and the file could not be read or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_revoke(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            let registry = borrowed(registry, "registry")?.core();
            Ok(registry.revoke(&text(required(id, id_len, "id")?))?)
        })
    }
}

/// Takes a key out of use until bpos_key_enable(). One that is disabled already stays so.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then every decision that starts later denies the key; otherwise as bpos_key_update().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_disable(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            let registry = borrowed(registry, "registry")?.core();
            Ok(registry.disable(&text(required(id, id_len, "id")?))?)
        })
    }
}

/// Puts a key that was disabled back into use. One that is enabled already stays so.
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
    unsafe {
        report(error, || {
            let registry = borrowed(registry, "registry")?.core();
            Ok(registry.enable(&text(required(id, id_len, "id")?))?)
        })
    }
}

/// Forgets a key that is revoked or expired. Its secret is unknown from then on, which is denied as well.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, and then the record is gone, and from the file of a file registry too; BPOS_ERR_NOT_FOUND if no key
/// has the id; BPOS_ERR_CONFLICT if the key is neither revoked nor expired; BPOS_ERR_READ_ONLY for a read-only registry;
/// BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these nothing
/// has changed. BPOS_ERR_NOT_DURABLE if the file could not be written and the key had only expired: it is revoked in this
/// process now; or if the file was written but may be lost should the machine stop now: the record stays here until the
/// file is read again. It is denied as before in both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_key_remove(
    registry: *mut bpos_registry,
    id: *const c_char,
    id_len: usize,
    error: *mut bpos_error,
) -> bpos_status {
    // SAFETY: as the caller of every export promises.
    unsafe {
        report(error, || {
            let registry = borrowed(registry, "registry")?.core();
            Ok(registry.remove(&text(required(id, id_len, "id")?))?)
        })
    }
}

/// Makes several changes to keys together: all or none, and one write for all. Each sees those before it.
///
/// registry: NULL is misuse.
/// changes_json, changes_json_len: a JSON array of at most 100,000 objects, each with one member that names the change:
///   [{"create": {...spec...}}, {"update": {"id": "key_...", "patch": {...}}}, {"rotate": {"id": "key_...", "grace_s": 60}},
///   {"revoke": "key_..."}, {"disable": "key_..."}, {"enable": "key_..."}, {"remove": "key_..."}], the specs and patches as
///   with bpos_key_create() and bpos_key_update(). NULL is misuse.
/// out: set to a JSON array with an answer for each change in its order: {"key": "bpos_...", "record": {...}} for create
///   and rotate, the record for update, null for the others. It can hold keys: free it with bpos_buffer_free(), which wipes
///   it. {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL. The message of a change that is refused begins with its number, counted from 1.
///
/// Returns BPOS_OK, and then all of it is in force for every decision that starts later, and is in the file of a file
/// registry; otherwise as the function of the change that is refused. What the changes take away is in force first, and
/// stays so after BPOS_ERR_NOT_DURABLE, as with bpos_key_update().
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
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
        })
    }
}

/// A JSON array of values, which may hold keys: whole from the start, since a vector that grows leaves what it held behind.
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

/// Gives a key's record, as JSON: {"id": "key_...", "name": "Website Sync", "store": "yourstore", "hint": "bpos_abc1",
/// "scopes": ["products:read"], "rate_limit": 120, "expires_at": null, "test_mode": false, "enabled": true, "created_at":
/// "2026-11-24T00:00:00Z", "revoked_at": null, "retiring_until": null, "usage": {"last_used_at": null, "allowed": 0,
/// "denied": {"revoked_key": 0, ...}}}. It holds neither the key nor its digest. retiring_until is the end of grace of the
/// secret before the last rotation; usage is what this process has counted. Members may be added.
///
/// registry: NULL is misuse.
/// id, id_len: of the key. NULL is misuse.
/// out: set to the record, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_LIMIT if there is no memory for the answer.
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
                let id = text(required(id, id_len, "id")?);
                Ok(registry.get(&id).ok_or_else(|| crate::registry::unknown(&id))?.to_json()?.into())
            })
        })
    }
}

/// Gives the records of a store's keys, or of all, as a JSON array in the order of the document. Each is as from
/// bpos_key_get(). Its cost grows with the registry, not only with the answer.
///
/// registry: NULL is misuse.
/// store, store_len: the store's whole name. NULL and 0 for all stores; a store that is there but empty has no key, and
///   neither has one that is not UTF-8.
/// out: set to the array, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
/// error: may be NULL.
///
/// Returns BPOS_OK, for no key too: the array is empty then; BPOS_ERR_LIMIT if there is no memory for the answer.
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
        report(error, || {
            bpos_buffer::fill(place(out, "out")?, || {
                let registry = borrowed(registry, "registry")?.core();
                let records = match bytes(store, store_len, "store")?.map(std::str::from_utf8) {
                    None => registry.list(None),
                    Some(Ok(store)) => registry.list(Some(store)),
                    Some(Err(_)) => Vec::new(),
                };
                Ok(KeyRecord::list_to_json(&records)?.into())
            })
        })
    }
}

/// An id as text. What is not UTF-8 becomes what no id is: ids are ASCII.
fn text(id: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(id)
}
