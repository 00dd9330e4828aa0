//! A key: as it is presented and hashed, drawn, masked in text, recorded, and described by those who manage it.
//!
//! - [`api_key`] and [`digest`]: the presented key, and the SHA-256 that is all that is stored of it;
//! - [`secret`]: a new key, drawn and shown once;
//! - [`masking`] and [`redactor`]: keys in text, masked;
//! - [`record`] and [`members`]: what the registry knows of a key, and what each member may be;
//! - [`forms`]: `KeyRecord`, `KeySpec` and `KeyPatch`, as hosts see and describe keys.
//!
//! May use `text`, `error`, `policy` (for sets of scopes) and `decision` (for the reasons).

mod api_key;
mod digest;
mod forms;
mod masking;
mod members;
mod record;
mod redactor;
mod secret;

pub(crate) use api_key::ApiKey;
pub(crate) use digest::Digest;
#[cfg(feature = "ffi")]
pub(crate) use forms::KeyChange;
pub use forms::{KeyPatch, KeyRecord, KeySpec, KeyUsage};
pub(crate) use masking::{excerpt, in_query};
pub use masking::{redact, redact_in_place};
pub(crate) use members::{
    DEFAULT_RATE_LIMIT, RATE_LIMIT, check_expiry, check_rate_limit, parse_hint, parse_id, parse_name, parse_store,
};
pub(crate) use record::{Hint, KeyEntry, OptionalTime, Record, Retiring};
pub use redactor::Redactor;
pub(crate) use secret::draw_id;
pub use secret::{NewKey, Secret, has_checksum};
