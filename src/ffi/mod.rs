//! The C ABI: the Rust side of `include/bpos.h`.
//!
//! Thin: an export converts its arguments, calls the public Rust API, and converts back. The rules:
//!
//! 1. Deciding is one flat call: pointer and length arguments, and one struct that the caller owns. No nested pointers,
//!    no allocation, no callback.
//! 2. A text is a pointer and a length. `(NULL, 0)` is an absent one, a pointer with length 0 an empty one; `(NULL, n)`
//!    is misuse, and so is a length over `isize::MAX`.
//! 3. `bpos_authorize` returns the HTTP status. Only 200 allows; misuse, a panic and anything unforeseen are 500. Zero
//!    never means allowed.
//! 4. Cold functions return a `bpos_status`, and write a `bpos_error` if they are given one. There is no "last error".
//! 5. Structs that cross the border begin with their `size` and only ever grow at the end, to 4096 bytes at most. The
//!    caller sets `size` to `sizeof`. A struct smaller than in the first header, or over the maximum, is neither read nor
//!    written. One between the first header's and ours is written up to its size; one larger than ours is zeroed beyond it.
//! 6. Every pointer is checked for NULL and alignment, and all pointer conversions are in `pointers.rs`. No enum is read
//!    from C: numbers are integers, and an unknown one is an error or denies.
//! 7. Every export runs in the guard of `guard.rs`, so that no panic crosses the border. `tests.rs` injects one into
//!    each export of `tests/c/symbols.txt`.
//! 8. Numbers are permanent. A retired one stays as a comment.
//! 9. The doc comments of the exports are the header's text: ASCII, whole, and without links.
//!
//! What a caller owes every function: a pointer that is neither NULL nor misaligned points to what the function's
//! documentation says, readable, and writable where it is written, for the length of the call. Nobody else changes it
//! in that time, except a `bpos_registry`, which any number of threads may use at once.

#![allow(unsafe_code)] // the border to C
#![allow(non_camel_case_types)] // the names are C's
#![allow(clippy::missing_safety_doc)] // said once, above

mod authorize;
mod buffer;
mod constants;
mod error;
mod guard;
mod keys;
mod pointers;
mod registry;
mod text;

#[cfg(test)]
mod tests;

pub use authorize::{
    bpos_authorize, bpos_authorize_at, bpos_authorize_scope, bpos_authorize_scope_at, bpos_decision,
    bpos_decision_body, bpos_decision_headers,
};
pub use buffer::{bpos_buffer, bpos_buffer_free};
pub use constants::{
    BPOS_ABI_VERSION, bpos_abi_version, bpos_reason, bpos_reason_code, bpos_reason_name, bpos_scope, bpos_status,
    bpos_status_code, bpos_status_name, bpos_version,
};
pub use error::bpos_error;
pub use keys::{
    bpos_key_create, bpos_key_disable, bpos_key_enable, bpos_key_get, bpos_key_list, bpos_key_list_page,
    bpos_key_remove, bpos_key_revoke, bpos_key_rotate, bpos_key_update, bpos_registry_edit,
};
pub use registry::{
    bpos_registry, bpos_registry_apply, bpos_registry_close, bpos_registry_export, bpos_registry_from_json,
    bpos_registry_init, bpos_registry_open, bpos_registry_reload, bpos_registry_reload_if_changed, bpos_registry_stats,
    bpos_scope_id,
};
pub use text::bpos_redact;
