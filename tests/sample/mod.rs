//! Keys, records and documents for tests. A key is made from its number, so a test can name it without keeping it.

#![allow(dead_code, reason = "each test file is a crate of its own and uses some of it")]

use bpos::{DenyReason, Now, Registry, Request};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A moment in 2026, long after the machine booted.
pub(crate) const NOW: Now = Now { unix_ms: 1_795_521_600_000, monotonic_us: 1_000_000_000_000 };

/// `NOW`, but so many seconds later.
pub(crate) fn later(seconds: u64) -> Now {
    Now { unix_ms: NOW.unix_ms + 1_000 * seconds.cast_signed(), monotonic_us: NOW.monotonic_us + 1_000_000 * seconds }
}

/// The secret with this number.
pub(crate) fn secret(number: usize) -> String {
    format!("bpos_{number:036}")
}

/// Its digest, as a document has it.
pub(crate) fn digest(number: usize) -> String {
    Sha256::digest(secret(number)).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record with its required members and nothing else.
pub(crate) fn record(number: usize) -> Value {
    json!({
        "id": format!("key_{number}"),
        "name": format!("Name {number}"),
        "store": "yourstore",
        "sha256": digest(number),
        "scopes": ["products:read"],
    })
}

/// The same with some members added or replaced.
pub(crate) fn record_with(number: usize, members: &Value) -> Value {
    let mut record = record(number);
    let added = members.as_object().expect("an object of members").clone();
    record.as_object_mut().expect("a record is an object").extend(added);
    record
}

/// A document of these records.
pub(crate) fn document(revision: u64, records: &[Value]) -> Vec<u8> {
    json!({"version": 1, "revision": revision, "keys": records}).to_string().into_bytes()
}

/// A JSON array of these records.
pub(crate) fn array(records: &[Value]) -> Vec<u8> {
    Value::from(records).to_string().into_bytes()
}

/// What a registry says to a secret that reads products.
pub(crate) fn ask(registry: &Registry, secret: &str, now: Now) -> Result<(), DenyReason> {
    let request = Request::new("GET", "/api/v1/products").api_key(secret).store("yourstore");
    registry.authorize_at(&request, now).map(|_| ()).map_err(|denial| denial.reason())
}

/// What a registry exports, as a value.
pub(crate) fn exported(registry: &Registry) -> Value {
    serde_json::from_slice(&registry.export().expect("a registry can be exported")).expect("an export is JSON")
}
