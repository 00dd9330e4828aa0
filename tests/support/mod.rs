//! Made-up keys and documents for the tests.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use sha2::{Digest, Sha256};

/// A made-up key in the length that keys have.
pub fn key(number: usize) -> String {
    format!("bpos_made{number:032}")
}

/// The digest of a key, as the document has it.
pub fn sha256(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a test says of a key; the rest is as the documentation has it.
#[derive(Clone)]
pub struct Key {
    pub plaintext: String,
    pub id: String,
    pub store: &'static str,
    pub scopes: &'static [&'static str],
    pub rate_limit: u32,
    pub expires_at: Option<&'static str>,
    pub test_mode: bool,
    pub enabled: bool,
    pub revoked: bool,
}

impl Key {
    pub fn new(number: usize) -> Self {
        Self {
            plaintext: key(number),
            id: format!("key_{number:020}"),
            store: "yourstore",
            scopes: &["products:read"],
            rate_limit: 60,
            expires_at: None,
            test_mode: false,
            enabled: true,
            revoked: false,
        }
    }

    /// Its record in a document.
    pub fn record(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id, "name": "A made-up key", "store": self.store, "sha256": sha256(&self.plaintext),
            "scopes": self.scopes, "rate_limit": self.rate_limit, "expires_at": self.expires_at,
            "test_mode": self.test_mode, "enabled": self.enabled,
            "revoked_at": self.revoked.then_some("2026-01-01T00:00:00Z"),
        })
    }
}

/// A registry document.
pub fn document(revision: u64, keys: &[Key]) -> String {
    let keys: Vec<_> = keys.iter().map(Key::record).collect();
    serde_json::json!({ "version": 1, "revision": revision, "keys": keys }).to_string()
}
