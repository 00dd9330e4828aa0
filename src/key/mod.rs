//! A key: presented and hashed, drawn, masked in text, recorded and administered.
//!
//! - [`api_key`] and [`digest`]: the presented key, and its SHA-256, all that is stored of it;
//! - [`secret`]: a new key, drawn and shown once;
//! - [`masking`] and [`redactor`]: keys in text, masked;
//! - [`record`] and [`members`]: what the registry knows of a key, and the rules for each member;
//! - [`forms`]: `KeyRecord`, `KeySpec` and `KeyPatch`, for hosts.
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
pub(crate) use record::{Details, Hint, KeyEntry, OptionalTime, Record, Retiring};
pub use redactor::Redactor;
pub(crate) use secret::draw_id;
pub use secret::{NewKey, Secret, has_checksum};
