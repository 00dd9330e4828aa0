//! The life of a key: created, changed, rotated, revoked, removed; in memory and in a file; and when it cannot be written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

mod sample;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bpos::{DenyReason, Edit, Error, ErrorKind, KeyPatch, KeyRecord, KeySpec, NewKey, Now, Options, Registry, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sample::{ask, digest, document, exported, record, record_with, secret};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOUR_MS: i64 = 3_600_000;
const EMPTY: &[u8] = br#"{"version": 1, "revision": 0, "keys": []}"#;

struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn with(json: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let place = Self { folder, file };
        place.write(json);
        place
    }

    fn write(&self, json: &[u8]) {
        // Another file in its place, as an editor makes it.
        let _ = fs::remove_file(&self.file);
        fs::write(&self.file, json).unwrap();
        fs::set_permissions(&self.file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn open(&self) -> Registry {
        Registry::open_with(&self.file, Options::default().shared(false)).unwrap()
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.file).unwrap()).unwrap()
    }

    /// From now on nothing can be written, until [`Place::mend`].
    fn spoil(&self) {
        fs::create_dir(self.folder.path().join("keys.json.new")).unwrap();
    }

    fn mend(&self) {
        fs::remove_dir(self.folder.path().join("keys.json.new")).unwrap();
    }
}

/// Runs a test with a memory registry and with a file registry, each of the same document; the latter's file must be
/// what is in force, before and afterwards.
fn both(json: &[u8], test: impl Fn(&Registry)) {
    test(&Registry::from_json(json).unwrap());
    let place = Place::with(json);
    let registry = place.open();
    test(&registry);
    assert_eq!(exported(&place.open()), exported(&registry));
}

fn spec() -> KeySpec {
    KeySpec::new("Website Sync", "yourstore", ["products:read"])
}

fn now() -> Now {
    Now::read()
}

/// This moment, but so many milliseconds later on the wall clock.
fn at(unix_ms: i64) -> Now {
    Now { unix_ms, ..Now::read() }
}

fn says(registry: &Registry, key: &str) -> Result<(), DenyReason> {
    ask(registry, key, now())
}

/// What a key that asks in its own store may do.
fn may(registry: &Registry, key: &str, method: &str, path: &str) -> Result<(), DenyReason> {
    let request = Request::new(method, path).api_key(key).store("yourstore");
    registry.authorize_at(&request, now()).map(drop).map_err(|denial| denial.reason())
}

/// How often a key is admitted at one moment, up to a bound.
fn admitted(registry: &Registry, key: &str, at: Now) -> usize {
    (0..2_000).take_while(|_| ask(registry, key, at).is_ok()).count()
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, kind: ErrorKind, text: &str) {
    let error = result.err().expect("it was not refused");
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
}

/// A member of the only key of what is in force.
fn member(registry: &Registry, name: &str) -> Value {
    exported(registry)["keys"][0][name].clone()
}

fn date(unix_ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(unix_ms).unwrap())
}

// ---- Create ----

#[test]
fn a_key_is_made_of_the_form_and_its_defaults() {
    both(EMPTY, |registry| {
        let before = now().unix_ms;
        let form = br#"{"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"]}"#;
        let NewKey { key, record } = registry.create(&KeySpec::from_json(form).unwrap()).unwrap();
        let created = record.created_at.unwrap();
        assert!((before - 1_000..=now().unix_ms).contains(&created) && created % 1_000 == 0, "a whole second");
        assert_eq!(registry.get(&record.id).as_ref(), Some(&record));
        assert_eq!(
            exported(registry)["keys"],
            json!([{
                "id": record.id, "name": "Website Sync", "store": "yourstore", "sha256": sha256(key.expose()),
                "hint": &key.expose()[..9], "scopes": ["products:read"], "rate_limit": 60, "expires_at": null,
                "test_mode": false, "enabled": true, "created_at": date(created), "revoked_at": null, "retiring": null,
            }])
        );
        let shown: Value = serde_json::from_slice(&record.to_json().unwrap()).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": record.id, "name": "Website Sync", "store": "yourstore", "hint": &key.expose()[..9],
                "scopes": ["products:read"], "rate_limit": 60, "expires_at": null, "test_mode": false, "enabled": true,
                "created_at": date(created), "revoked_at": null, "retiring_until": null,
                "usage": {"last_used_at": null, "allowed": 0, "denied": {
                    "revoked_key": 0, "disabled_key": 0, "expired_key": 0, "wrong_store": 0, "unmapped_route": 0,
                    "insufficient_scope": 0, "test_mode": 0, "rate_limited": 0,
                }},
            })
        );
        assert_eq!(admitted(registry, key.expose(), now()), 60);
    });
}

fn sha256(key: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_part_of_the_form_is_what_the_key_is() {
    both(EMPTY, |registry| {
        let expiry = now().unix_ms / 1_000 * 1_000 + HOUR_MS + 250;
        let form = json!({
            "name": "BI — Dashboard", "store": "another", "scopes": ["customers:write", "sales:read"], "rate_limit": 3,
            "expires_at": date(expiry), "test_mode": true,
        });
        let NewKey { key, record } =
            registry.create(&KeySpec::from_json(form.to_string().as_bytes()).unwrap()).unwrap();
        let key = key.expose();
        for (name, value) in form.as_object().unwrap() {
            let mut value = value.clone();
            if name == "scopes" {
                value = json!(["sales:read", "customers:write"]); // in the policy's order
            }
            assert_eq!(member(registry, name), value, "{name}");
        }
        assert_eq!(record.expires_at, Some(expiry));

        let request = |method, path| Request::new(method, path).api_key(key).store("another");
        let decide = |request, at| registry.authorize_at(&request, at).map(drop).map_err(|denial| denial.reason());
        let now = at(expiry - 1);
        assert_eq!(decide(request("GET", "/api/v1/customers"), now), Ok(()), "a write scope includes reading");
        assert_eq!(decide(request("POST", "/api/v1/customers"), now), Err(DenyReason::TestMode));
        assert_eq!(decide(request("GET", "/api/v1/products"), now), Err(DenyReason::InsufficientScope));
        assert_eq!(decide(request("GET", "/api/v1/sales").store("yourstore"), now), Err(DenyReason::WrongStore));
        assert_eq!(decide(request("GET", "/api/v1/sales"), at(expiry)), Err(DenyReason::ExpiredKey));
        assert_eq!(decide(request("GET", "/api/v1/sales"), now), Ok(()));
        assert_eq!(decide(request("GET", "/api/v1/sales"), now), Ok(()));
        assert_eq!(decide(request("GET", "/api/v1/sales"), now), Err(DenyReason::RateLimited));
    });
}

#[test]
fn a_form_that_is_out_of_bounds_makes_no_key() {
    let long = "n".repeat(201);
    let bad: Vec<(KeySpec, &str)> = vec![
        (
            KeySpec::new("", "yourstore", ["products:read"]),
            "name: expected 1 to 200 bytes without control characters; found \"\"",
        ),
        (
            KeySpec::new(&long, "yourstore", ["products:read"]),
            "name: expected 1 to 200 bytes without control characters; found \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\" and more",
        ),
        (
            KeySpec::new("a\nb", "yourstore", ["products:read"]),
            "name: expected 1 to 200 bytes without control characters; found \"a\\nb\"",
        ),
        (
            KeySpec::new("a\u{202e}b", "yourstore", ["products:read"]),
            "name: expected 1 to 200 bytes without control characters; found \"a\\u{202e}b\"",
        ),
        (
            KeySpec::new("Name", "", ["products:read"]),
            "store: expected 1 to 63 bytes without control characters; found \"\"",
        ),
        (
            KeySpec::new("Name", &long[..64], ["products:read"]),
            "store: expected 1 to 63 bytes without control characters; found \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\" and more",
        ),
        (
            KeySpec::new("Name", "a\0b", ["products:read"]),
            "store: expected 1 to 63 bytes without control characters; found \"a\\0b\"",
        ),
        (
            KeySpec::new("Name", "yourstore", ["products:read", "sales:read", "products:read"]),
            "scopes: duplicate scope \"products:read\"",
        ),
        (spec().rate_limit(0), "rate_limit: expected 1 to 1000; found 0"),
        (spec().rate_limit(1_001), "rate_limit: expected 1 to 1000; found 1001"),
        (spec().rate_limit(u32::MAX), "rate_limit: expected 1 to 1000; found 4294967295"),
        (spec().expires_at(now().unix_ms - 1), "expires_at: expected a future time; found one in the past"),
        (spec().expires_at(i64::MIN), "expires_at: expected a future time; found one in the past"),
        (
            spec().expires_at(253_402_300_800_000),
            "expires_at: expected a year from 0 to 9999; found 253402300800000 ms",
        ),
        (spec().expires_at(i64::MAX), "expires_at: expected a year from 0 to 9999; found 9223372036854775807 ms"),
    ];
    both(EMPTY, |registry| {
        for (spec, text) in &bad {
            refused(registry.create(spec), ErrorKind::Format, text);
        }
        for scope in ["products", "products:read ", "Products:read", "products:*", ""] {
            let error = registry.create(&KeySpec::new("Name", "yourstore", [scope])).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Format);
            assert!(error.to_string().starts_with("scopes: "), "{error}");
        }
        assert!(registry.list(None).is_empty());
        assert_eq!(registry.stats().revision, 0);
    });

    // At the bounds, and without any scope.
    both(EMPTY, |registry| {
        let none: [&str; 0] = [];
        let new = registry.create(&KeySpec::new(&long[..200], &long[..63], none).rate_limit(1)).unwrap();
        assert_eq!(new.record.scopes, none);
        registry.create(&spec().rate_limit(1_000).expires_at(253_402_300_799_999)).unwrap();
        assert_eq!(exported(registry)["keys"][1]["expires_at"], "9999-12-31T23:59:59.999Z");
    });
}

#[test]
fn a_form_or_a_patch_that_is_not_json_is_refused_where_it_is_wrong() {
    let specs = [
        ("", "the key's spec: not JSON: EOF while parsing a value at line 1 column 1"),
        (
            "[]",
            "the key's spec: expected a key's spec, an object with the members name, store and scopes; found an array at line 1 column 1",
        ),
        ("{\"name\": \"a\",\n \"store\": \"b\"}", "the key's spec: missing member `scopes` at line 2 column 14"),
        ("{\"store\": \"b\", \"scopes\": []}", "the key's spec: missing member `name` at line 1 column 28"),
        ("{\"name\": \"a\", \"scopes\": []}", "the key's spec: missing member `store` at line 1 column 27"),
        ("{\"name\": \"a\",\n\"name\": \"a\"}", "the key's spec: duplicate member `name` at line 2 column 6"),
        (
            "{\"enabled\": true}",
            "the key's spec: unknown member \"enabled\"; expected one of name, store, scopes, rate_limit, expires_at, test_mode at line 1 column 10",
        ),
        (
            "{\"rate_limit\": 0}",
            "the key's spec: member `rate_limit`: expected a whole number of requests a minute, 1 to 1000; found 0 at line 1 column 16",
        ),
        (
            "{\"rate_limit\": 1001}",
            "the key's spec: member `rate_limit`: expected a whole number of requests a minute, 1 to 1000; found 1001 at line 1 column 19",
        ),
        (
            "{\"rate_limit\": 1.5}",
            "the key's spec: member `rate_limit`: expected a whole number of requests a minute, 1 to 1000; found 1.5 at line 1 column 18",
        ),
        (
            "{\"expires_at\": \"tomorrow\"}",
            "the key's spec: member `expires_at`: expected a UTC date such as \"2027-01-01T00:00:00Z\"; found \"tomorrow\" at line 1 column 25",
        ),
        (
            "{\"expires_at\": 5}",
            "the key's spec: member `expires_at`: expected a date, a string; found 5 at line 1 column 16",
        ),
        (
            "{\"name\": \"\"}",
            "the key's spec: member `name`: expected 1 to 200 bytes without control characters; found \"\" at line 1 column 11",
        ),
        (
            "{\"name\": \"a\",\n \"store\": \"a\\u200eb\"}",
            "the key's spec: member `store`: expected 1 to 63 bytes without control characters; found \"a\\u{200e}b\" at line 2 column 20",
        ),
        (
            "{\"test_mode\": null}",
            "the key's spec: member `test_mode`: expected a boolean; found null at line 1 column 18",
        ),
        (
            "{\"name\": \"a\", \"store\": \"b\", \"scopes\": []} {}",
            "the key's spec: not JSON: trailing characters at line 1 column 43",
        ),
    ];
    for (json, text) in specs {
        refused(KeySpec::from_json(json.as_bytes()), ErrorKind::Format, text);
    }
    let patches = [
        ("null", "the patch: expected a patch, an object with the members to change; found null at line 1 column 4"),
        (
            "{\"store\": \"b\"}",
            "the patch: unknown member \"store\"; expected one of name, scopes, rate_limit, expires_at, test_mode, enabled at line 1 column 8",
        ),
        ("{\"enabled\": true,\n \"enabled\": true}", "the patch: duplicate member `enabled` at line 2 column 10"),
        (
            "{\"rate_limit\": null}",
            "the patch: member `rate_limit`: expected a whole number of requests a minute, 1 to 1000; found null at line 1 column 19",
        ),
        (
            "{\"revoked_at\": null}",
            "the patch: unknown member \"revoked_at\"; expected one of name, scopes, rate_limit, expires_at, test_mode, enabled at line 1 column 13",
        ),
        (
            "{\"expires_at\": \"2027-01-01T00:00:00+01:00\"}",
            "the patch: member `expires_at`: expected a UTC date such as \"2027-01-01T00:00:00Z\"; found \"2027-01-01T00:00:00+01:00\" at line 1 column 42",
        ),
    ];
    for (json, text) in patches {
        refused(KeyPatch::from_json(json.as_bytes()), ErrorKind::Format, text);
    }
    assert_eq!(KeyPatch::from_json(b"{}"), Ok(KeyPatch::new()));
    assert_eq!(KeyPatch::from_json(br#"{"expires_at": null}"#), Ok(KeyPatch::new().expires_at(None)));
    assert_ne!(KeyPatch::new().expires_at(None), KeyPatch::new(), "no expiry is not no change");
}

// ---- Update ----

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let expiry = now().unix_ms / 1_000 * 1_000 + HOUR_MS;
    let full = json!({
        "rate_limit": 9, "expires_at": "2999-01-01T00:00:00Z", "created_at": "2020-01-01T00:00:00Z", "hint": "bpos_abcd",
        "retiring": {"sha256": digest(7), "until": "2998-01-01T00:00:00Z"},
    });
    let cases = [
        (KeyPatch::new(), vec![]),
        (KeyPatch::new().name("Other"), vec![("name", json!("Other"))]),
        (
            KeyPatch::new().scopes(["sales:read", "inventory:write"]),
            vec![("scopes", json!(["sales:read", "inventory:write"]))],
        ),
        (KeyPatch::new().rate_limit(1_000), vec![("rate_limit", json!(1_000))]),
        (KeyPatch::new().expires_at(None), vec![("expires_at", json!(null))]),
        (
            KeyPatch::new().expires_at(Some(expiry)),
            // A secret in grace never outlives its key.
            vec![
                ("expires_at", json!(date(expiry))),
                ("retiring", json!({"sha256": digest(7), "until": date(expiry)})),
            ],
        ),
        (KeyPatch::new().test_mode(true), vec![("test_mode", json!(true))]),
        (KeyPatch::new().enabled(false), vec![("enabled", json!(false))]),
        (
            KeyPatch::new()
                .name("All")
                .rate_limit(1)
                .test_mode(true)
                .enabled(false)
                .expires_at(None)
                .scopes(["sales:read"]),
            vec![
                ("name", json!("All")),
                ("rate_limit", json!(1)),
                ("test_mode", json!(true)),
                ("enabled", json!(false)),
                ("expires_at", json!(null)),
                ("scopes", json!(["sales:read"])),
            ],
        ),
    ];
    for (patch, changes) in cases {
        both(&document(4, &[record_with(1, &full), record(2)]), |registry| {
            let mut expected = exported(registry)["keys"].clone();
            let answer = registry.update("key_1", &patch).unwrap();
            for (name, value) in &changes {
                expected[0][*name] = value.clone();
            }
            assert_eq!(exported(registry)["keys"], expected, "{patch:?}");
            assert_eq!(Some(answer), registry.get("key_1"));
        });
    }
}

#[test]
fn an_update_that_is_out_of_bounds_changes_nothing() {
    both(&document(4, &[record(1)]), |registry| {
        let before = registry.export().unwrap();
        let good = || KeyPatch::new().name("Other").enabled(false);
        for (patch, text) in [
            (good().rate_limit(0), "rate_limit: expected 1 to 1000; found 0"),
            (good().rate_limit(1_001), "rate_limit: expected 1 to 1000; found 1001"),
            (good().name(""), "name: expected 1 to 200 bytes without control characters; found \"\""),
            (good().scopes(["sales:read", "sales:read"]), "scopes: duplicate scope \"sales:read\""),
            (
                good().expires_at(Some(i64::MAX)),
                "expires_at: expected a year from 0 to 9999; found 9223372036854775807 ms",
            ),
            (
                good().expires_at(Some(i64::MIN)),
                "expires_at: expected a year from 0 to 9999; found -9223372036854775808 ms",
            ),
        ] {
            refused(registry.update("key_1", &patch), ErrorKind::Format, text);
        }
        assert_eq!(registry.export().unwrap(), before);
        assert_eq!(says(registry, &secret(1)), Ok(()));
    });
}

#[test]
fn a_change_holds_for_the_next_request() {
    both(&document(4, &[record(1)]), |registry| {
        let key = &secret(1);
        let update = |patch: KeyPatch| drop(registry.update("key_1", &patch).unwrap());
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Err(DenyReason::InsufficientScope));
        update(KeyPatch::new().scopes(["sales:read", "customers:write"]));
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Ok(()));
        assert_eq!(may(registry, key, "GET", "/api/v1/products"), Err(DenyReason::InsufficientScope));
        assert_eq!(may(registry, key, "POST", "/api/v1/customers"), Ok(()));
        update(KeyPatch::new().test_mode(true));
        assert_eq!(may(registry, key, "POST", "/api/v1/customers"), Err(DenyReason::TestMode));
        assert_eq!(may(registry, key, "GET", "/api/v1/customers"), Ok(()));
        update(KeyPatch::new().test_mode(false));
        assert_eq!(may(registry, key, "POST", "/api/v1/customers"), Ok(()));
        registry.disable("key_1").unwrap();
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Err(DenyReason::DisabledKey));
        registry.disable("key_1").unwrap();
        registry.enable("key_1").unwrap();
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Ok(()));
        // An expiry that has come ends the key, and a later one begins it again.
        update(KeyPatch::new().expires_at(Some(now().unix_ms)));
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Err(DenyReason::ExpiredKey));
        update(KeyPatch::new().expires_at(None));
        assert_eq!(may(registry, key, "GET", "/api/v1/sales"), Ok(()));
    });
}

#[test]
fn a_limit_changes_live_and_what_was_used_counts() {
    both(&document(4, &[record_with(1, &json!({"rate_limit": 3}))]), |registry| {
        let (key, now) = (&secret(1), now());
        let limit = |limit| drop(registry.update("key_1", &KeyPatch::new().rate_limit(limit)).unwrap());
        assert_eq!(admitted(registry, key, now), 3);
        limit(5);
        assert_eq!(admitted(registry, key, now), 2);
        limit(2);
        assert_eq!(admitted(registry, key, now), 0);
        limit(1_000);
        assert_eq!(admitted(registry, key, now), 995);
        limit(1);
        let later = |seconds: u64| Now { monotonic_us: now.monotonic_us + seconds * 1_000_000, ..now };
        assert_eq!((admitted(registry, key, later(60)), admitted(registry, key, later(61))), (0, 1));
        assert_eq!(registry.get("key_1").unwrap().usage.allowed, 1_001);
    });
}

// ---- Rotate ----

#[test]
fn both_secrets_work_within_grace_and_share_one_limit() {
    both(&document(4, &[record_with(1, &json!({"rate_limit": 7}))]), |registry| {
        let now = now();
        assert_eq!(ask(registry, &secret(1), now), Ok(()));
        let before = Now::read().unix_ms;
        let NewKey { key, record } = registry.rotate("key_1", 600).unwrap();
        let until = record.retiring_until.unwrap();
        assert!((before + 600_000..=Now::read().unix_ms + 600_000).contains(&until));
        assert_eq!((record.id.as_str(), record.hint.as_deref()), ("key_1", Some(&key.expose()[..9])));
        assert_eq!(record.usage.allowed, 1, "the counts stay");
        assert_eq!(
            member(registry, "retiring"),
            json!({"sha256": digest(1), "until": date(until)}),
            "the old secret, until then"
        );

        let at = |unix_ms| Now { unix_ms, ..now };
        for secret in [secret(1).as_str(), key.expose(), key.expose(), secret(1).as_str(), key.expose()] {
            assert_eq!(ask(registry, secret, at(until - 1)), Ok(()));
        }
        // Denials count against neither.
        assert_eq!(ask(registry, &secret(1), at(until)), Err(DenyReason::ExpiredKey));
        assert_eq!(ask(registry, &secret(1), at(i64::MAX)), Err(DenyReason::ExpiredKey));
        assert_eq!(ask(registry, key.expose(), at(until)), Ok(()), "the seventh");
        for secret in [secret(1).as_str(), key.expose()] {
            assert_eq!(ask(registry, secret, at(until - 1)), Err(DenyReason::RateLimited));
        }
        let usage = registry.get("key_1").unwrap().usage;
        assert_eq!(usage.allowed, 7);
        let denied: Vec<_> = usage.denied().filter(|(_, count)| *count > 0).collect();
        assert_eq!(denied, [("expired_key", 2), ("rate_limited", 2)]);

        // Another rotation ends the grace of the first secret, and the third shares the limit too.
        let third = registry.rotate("key_1", 600).unwrap();
        assert_eq!(ask(registry, &secret(1), now), Err(DenyReason::UnknownKey));
        for secret in [third.key.expose(), key.expose()] {
            assert_eq!(ask(registry, secret, now), Err(DenyReason::RateLimited));
        }
        // What is said of the key is said of both its secrets.
        registry.disable("key_1").unwrap();
        assert_eq!(ask(registry, key.expose(), now), Err(DenyReason::DisabledKey));
        registry.enable("key_1").unwrap();
        registry.revoke("key_1").unwrap();
        for secret in [third.key.expose(), key.expose()] {
            assert_eq!(ask(registry, secret, now), Err(DenyReason::RevokedKey));
        }
    });
}

#[test]
fn a_rotation_without_grace_ends_the_old_secret_at_once() {
    both(&document(4, &[record(1)]), |registry| {
        let new = registry.rotate("key_1", 0).unwrap();
        assert_eq!((new.record.retiring_until, member(registry, "retiring")), (None, json!(null)));
        assert_eq!(says(registry, &secret(1)), Err(DenyReason::UnknownKey));
        assert_eq!(says(registry, new.key.expose()), Ok(()));
    });
}

#[test]
fn an_old_secret_never_outlives_its_key() {
    let expiry = now().unix_ms / 1_000 * 1_000 + HOUR_MS;
    both(&document(4, &[record_with(1, &json!({"expires_at": date(expiry)}))]), |registry| {
        let new = registry.rotate("key_1", 366 * 24 * 3_600).unwrap();
        assert_eq!(new.record.retiring_until, Some(expiry));
        let end = |at_ms| [secret(1).as_str(), new.key.expose()].map(|secret| ask(registry, secret, at(at_ms)));
        assert_eq!(end(expiry - 1), [Ok(()), Ok(())]);
        assert_eq!(end(expiry), [Err(DenyReason::ExpiredKey), Err(DenyReason::ExpiredKey)]);

        // The key's expiry is brought forward, and put off: the old secret goes with the first, not with the second.
        registry.update("key_1", &KeyPatch::new().expires_at(Some(expiry - 60_000))).unwrap();
        assert_eq!(registry.get("key_1").unwrap().retiring_until, Some(expiry - 60_000));
        registry.update("key_1", &KeyPatch::new().expires_at(None)).unwrap();
        assert_eq!(registry.get("key_1").unwrap().retiring_until, Some(expiry - 60_000));
        assert_eq!(end(expiry - 60_001), [Ok(()), Ok(())]);
        assert_eq!(end(expiry - 60_000), [Err(DenyReason::ExpiredKey), Ok(())]);
    });
    // Also if a document says otherwise.
    let retiring = json!({"sha256": digest(2), "until": date(expiry + HOUR_MS)});
    both(&document(4, &[record_with(1, &json!({"expires_at": date(expiry), "retiring": retiring}))]), |registry| {
        assert_eq!(ask(registry, &secret(2), at(expiry - 1)), Ok(()));
        assert_eq!(ask(registry, &secret(2), at(expiry)), Err(DenyReason::ExpiredKey));
    });
}

#[test]
fn a_rotation_is_refused_for_too_long_a_grace_and_for_an_expired_key() {
    both(&document(4, &[record(1), record_with(2, &json!({"expires_at": "2020-01-01T00:00:00Z"}))]), |registry| {
        let before = registry.export().unwrap();
        for grace_s in [31_622_401, u64::MAX] {
            let text = format!("a grace period has at most 31622400 seconds (366 days); found {grace_s}");
            refused(registry.rotate("key_1", grace_s), ErrorKind::Limit, &text);
        }
        let text = "the key key_2 is expired; give it a later expiry first, or create a new key";
        refused(registry.rotate("key_2", 0), ErrorKind::Conflict, text);
        assert_eq!(registry.export().unwrap(), before);
        let new = registry.rotate("key_1", 31_622_400).unwrap();
        let far = new.record.retiring_until.unwrap();
        assert_eq!(ask(registry, &secret(1), at(far - 1)), Ok(()));
        registry.update("key_2", &KeyPatch::new().expires_at(None)).unwrap();
        registry.rotate("key_2", 0).unwrap();
    });
}

// ---- Revoke, remove ----

#[test]
fn a_revocation_is_for_good() {
    both(&document(4, &[record(1), record(2)]), |registry| {
        let before = now().unix_ms;
        registry.revoke("key_1").unwrap();
        let revoked = registry.get("key_1").unwrap();
        let since = revoked.revoked_at.unwrap();
        assert!((before - 1_000..=now().unix_ms).contains(&since) && since % 1_000 == 0);
        assert_eq!(says(registry, &secret(1)), Err(DenyReason::RevokedKey));

        let text = "the key key_1 is revoked, and revocation is permanent; create a new key";
        let patches = [KeyPatch::new(), KeyPatch::new().enabled(true), KeyPatch::new().expires_at(None)];
        for patch in patches {
            refused(registry.update("key_1", &patch), ErrorKind::Conflict, text);
        }
        refused(registry.enable("key_1"), ErrorKind::Conflict, text);
        refused(registry.disable("key_1"), ErrorKind::Conflict, text);
        refused(registry.rotate("key_1", 0), ErrorKind::Conflict, text);
        refused(registry.rotate("key_1", 60), ErrorKind::Conflict, text);

        // Again: nothing changes, not even the revision.
        let before = registry.export().unwrap();
        registry.revoke("key_1").unwrap();
        assert_eq!(registry.export().unwrap(), before);
        assert_eq!(says(registry, &secret(1)), Err(DenyReason::RevokedKey));
        assert_eq!(says(registry, &secret(2)), Ok(()));
    });
}

#[test]
fn only_a_key_that_is_revoked_or_expired_is_removed() {
    let records = [
        record(1),
        record_with(
            2,
            &json!({"expires_at": "2020-01-01T00:00:00Z", "retiring": {"sha256": digest(7), "until": "2999-01-01T00:00:00Z"}}),
        ),
        record_with(3, &json!({"enabled": false})),
        record_with(4, &json!({"expires_at": "2999-01-01T00:00:00Z"})),
    ];
    both(&document(4, &records), |registry| {
        for id in ["key_1", "key_3", "key_4"] {
            let text = format!("the key {id} is in use; only a revoked or expired key can be removed: revoke it first");
            refused(registry.remove(id), ErrorKind::Conflict, &text);
        }
        registry.remove("key_2").unwrap();
        registry.revoke("key_1").unwrap();
        registry.remove("key_1").unwrap();
        for number in [1, 2, 7] {
            assert_eq!(says(registry, &secret(number)), Err(DenyReason::UnknownKey), "{number}");
        }
        assert_eq!(ids(registry), ["key_3", "key_4"]);
        assert_eq!(registry.get("key_1"), None);
    });
}

fn ids(registry: &Registry) -> Vec<String> {
    registry.list(None).into_iter().map(|key| key.id).collect()
}

/// Every store's list, and every list in pages, is what a filter of the whole list gives.
fn assert_listed_by_store_and_page(registry: &Registry, all: &[bpos::KeyRecord]) {
    let mut stores: Vec<Option<&str>> = all.iter().map(|key| Some(key.store.as_str())).collect();
    stores.sort_unstable();
    stores.dedup();
    for store in stores.into_iter().chain([None, Some("no such store"), Some("")]) {
        let expected: Vec<_> = all.iter().filter(|key| store.is_none_or(|store| key.store == store)).cloned().collect();
        assert_eq!(registry.list(store), expected, "{store:?}");
        for most in [1, 3] {
            let mut pages: Vec<bpos::KeyRecord> = Vec::new();
            loop {
                let page = registry.list_page(store, pages.last().map(|key| key.id.as_str()), most).unwrap();
                assert!(page.len() <= most);
                if page.is_empty() {
                    break;
                }
                pages.extend(page);
            }
            assert_eq!(pages, expected, "{store:?}, {most} a page");
        }
    }
}

/// A page goes on behind a key wherever that is, even in another store.
#[test]
fn a_page_begins_behind_its_key() {
    let other = |number| record_with(number, &json!({"store": "other"}));
    both(&document(4, &[record(3), other(1), record(2)]), |registry| {
        let page = |store, after| {
            registry.list_page(store, after, 10).map(|keys| keys.into_iter().map(|key| key.id).collect())
        };
        let page = |store, after| page(store, after).unwrap_or_else(|error: bpos::Error| vec![error.to_string()]);
        assert_eq!(page(None, Some("key_3")), ["key_1", "key_2"]);
        assert_eq!(page(Some("yourstore"), Some("key_1")), ["key_2"]);
        assert_eq!(page(Some("other"), Some("key_1")), [""; 0]);
        assert_eq!(page(None, Some("key_9")), [r#"no key has the id "key_9""#]);
        assert_eq!(registry.list_page(None, None, 0).unwrap(), []);
        registry.revoke("key_1").unwrap();
        registry.remove("key_1").unwrap();
        assert_eq!(page(None, Some("key_1")), [r#"no key has the id "key_1""#]);
        assert_eq!(page(Some("other"), None), [""; 0]);
    });
}

#[test]
fn a_key_that_is_not_there_is_not_found() {
    both(&document(4, &[record(1)]), |registry| {
        let before = registry.export().unwrap();
        for (id, shown) in [
            ("key_2", "\"key_2\""),
            ("", "\"\""),
            ("KEY_1", "\"KEY_1\""),
            ("key_1 ", "\"key_1 \""),
            ("key_1\n", "\"key_1\\n\""),
            ("key_12345678901234567890123456789012345678901234567890", "\"key_123456789012345678901234567890123456\""),
        ] {
            let text = format!("no key has the id {shown}");
            refused(registry.update(id, &KeyPatch::new()), ErrorKind::NotFound, &text);
            refused(registry.rotate(id, 0), ErrorKind::NotFound, &text);
            refused(registry.revoke(id), ErrorKind::NotFound, &text);
            refused(registry.enable(id), ErrorKind::NotFound, &text);
            refused(registry.disable(id), ErrorKind::NotFound, &text);
            refused(registry.remove(id), ErrorKind::NotFound, &text);
            assert_eq!(registry.get(id), None);
        }
        assert_eq!(registry.export().unwrap(), before);
    });
}

#[test]
fn changes_do_not_move_keys() {
    both(&document(4, &[record(3), record(1), record(2)]), |registry| {
        registry.update("key_1", &KeyPatch::new().name("Other")).unwrap();
        registry.rotate("key_3", 60).unwrap();
        registry.rotate("key_3", 60).unwrap();
        let new = registry.create(&spec()).unwrap().record.id;
        registry.disable("key_2").unwrap();
        registry.revoke("key_3").unwrap();
        let last = registry.create(&spec()).unwrap().record.id;
        assert_eq!(ids(registry), ["key_3", "key_1", "key_2", &new, &last]);
        let written: Vec<Value> =
            exported(registry)["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
        assert_eq!(written, ["key_3", "key_1", "key_2", &new, &last]);
        // So many that the table is made anew.
        for number in 0..200 {
            registry.update("key_1", &KeyPatch::new().name(format!("{number}"))).unwrap();
        }
        registry.remove("key_3").unwrap();
        assert_eq!(ids(registry), ["key_1", "key_2", &new, &last]);
        assert_eq!(registry.list(Some("yourstore")).len(), 4);
        assert!(registry.list(Some("yourstor")).is_empty() && registry.list(Some("")).is_empty());
    });
}

/// An order that a refused file would have brought is not taken from it.
#[test]
fn a_reload_that_fails_moves_no_key() {
    let place = Place::with(&document(4, &[record(1), record(2), record(3)]));
    let registry = place.open();
    place.write(&document(5, &[record(3), record(2), record(1), record(1)]));
    assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ids(&registry), ["key_1", "key_2", "key_3"]);
    place.write(&document(5, &[record(3), record(2), record(1)]));
    registry.reload().unwrap();
    assert_eq!(ids(&registry), ["key_3", "key_2", "key_1"]);
}

// ---- Edit ----

#[test]
fn an_edit_is_one_change_of_all_that_is_in_it() {
    both(&document(4, &[record(1), record(2)]), |registry| {
        let revision = registry.stats().revision;
        let (made, rotated) = registry
            .edit(|edit| {
                let made = edit.create(&spec())?;
                // A key that was made or changed here can be changed again.
                edit.update(&made.record.id, &KeyPatch::new().name("Second name").rate_limit(2))?;
                edit.update("key_1", &KeyPatch::new().rate_limit(9))?;
                let _first = edit.rotate("key_1", 60)?;
                let second = edit.rotate("key_1", 60)?;
                edit.disable("key_1")?;
                edit.enable("key_1")?;
                edit.revoke("key_2")?;
                edit.remove("key_2")?;
                assert_eq!(edit.revoke("key_2").unwrap_err().kind(), ErrorKind::NotFound, "it is gone here");
                Ok((made, second))
            })
            .unwrap();
        if registry.reload().is_ok() {
            assert_eq!(registry.stats().revision, revision + 1, "one step, and one write");
        }
        assert_eq!(ids(registry), ["key_1", &made.record.id]);
        assert_eq!(exported(registry)["keys"][0]["rate_limit"], 9);
        assert_eq!(exported(registry)["keys"][1]["name"], "Second name");
        assert_eq!(admitted(registry, made.key.expose(), now()), 2);
        assert_eq!(says(registry, rotated.key.expose()), Ok(()));
        // The secret between was never in force, and only that one is in grace.
        assert_eq!(says(registry, &secret(1)), Err(DenyReason::UnknownKey));
        assert_eq!(says(registry, &secret(2)), Err(DenyReason::UnknownKey));
    });
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    both(&document(4, &[record(1), record(2)]), |registry| {
        let before = registry.export().unwrap();
        let everything = |edit: &mut Edit<'_>| {
            edit.create(&spec())?;
            edit.update("key_1", &KeyPatch::new().rate_limit(1))?;
            edit.rotate("key_1", 0)?;
            edit.revoke("key_2")?;
            edit.remove("key_2")
        };
        let failed: Result<(), Error> = registry.edit(|edit| {
            everything(edit)?;
            edit.enable("key_2")
        });
        refused(failed, ErrorKind::NotFound, "no key has the id \"key_2\"");
        // An error of the host's own is handed on.
        let own = KeyPatch::from_json(b"[]").unwrap_err();
        let failed: Result<(), Error> = registry.edit(|edit| everything(edit).and(Err(own.clone())));
        assert_eq!(failed, Err(own));
        // A panic too, and what comes after it finds neither lock held.
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = registry.edit(|edit| -> Result<(), Error> {
                everything(edit)?;
                std::panic::resume_unwind(Box::new("the host's"))
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(registry.export().unwrap(), before);
        assert_eq!([1, 2].map(|number| says(registry, &secret(number))), [Ok(()), Ok(())]);
        registry.edit(everything).unwrap();
        assert_eq!(registry.list(None).len(), 2);
    });
}

#[test]
fn an_edit_without_changes_writes_nothing() {
    let place = Place::with(&document(4, &[record(1)]));
    let registry = place.open();
    let before = fs::read(&place.file).unwrap();
    assert_eq!(registry.edit(|_| Ok(5)), Ok(5));
    assert_eq!(fs::read(&place.file).unwrap(), before);
    assert_eq!(registry.stats().revision, 4);
    assert!(!registry.reload_if_changed().unwrap());
}

// ---- Other processes' changes ----

#[test]
fn a_reload_sees_what_another_registry_has_changed() {
    let place = Place::with(&document(4, &[record(1)]));
    let (one, other) = (place.open(), place.open());
    assert_eq!([one.reload_if_changed(), other.reload_if_changed()], [Ok(false), Ok(false)]);
    let new = one.create(&spec()).unwrap();
    one.revoke("key_1").unwrap();
    assert_eq!(one.reload_if_changed(), Ok(false), "its own change is none to read");
    assert_eq!(says(&other, new.key.expose()), Err(DenyReason::UnknownKey));
    assert_eq!(other.reload_if_changed(), Ok(true));
    assert_eq!(other.reload_if_changed(), Ok(false));
    assert_eq!(says(&other, new.key.expose()), Ok(()));
    assert_eq!(says(&other, &secret(1)), Err(DenyReason::RevokedKey));
    assert_eq!(other.export(), one.export());

    // A change is made to what is in the file, not to what is remembered of it.
    other.disable(&new.record.id).unwrap();
    let third = one.create(&spec()).unwrap();
    assert_eq!(says(&one, new.key.expose()), Err(DenyReason::DisabledKey));
    assert_eq!(one.stats().revision, 8);
    assert_eq!(ids(&one), ["key_1", &new.record.id, &third.record.id]);
    // Also to what was written by hand.
    place.write(&document(9, &[record(1), record(2)]));
    one.update("key_2", &KeyPatch::new().rate_limit(3)).unwrap();
    assert_eq!(place.document()["revision"], 10);
    assert_eq!(admitted(&one, &secret(2), now()), 3);
    assert_eq!(says(&one, &secret(1)), Err(DenyReason::RevokedKey), "it was revoked here");
    assert!(place.document()["keys"][0]["revoked_at"].is_string(), "and that is written with the change");
}

#[test]
fn a_file_whose_revision_is_lower_takes_no_change_and_a_revocation_is_in_force() {
    let place = Place::with(&document(9, &[record(1), record(2)]));
    let registry = place.open();
    let backup = document(8, &[record(1), record(2), record(3)]);
    place.write(&backup);
    let text = format!(
        "{:?}: the file has revision 8, but 9 is in force: an older file could bring back a revoked key; reload it by force if \
         that is meant",
        place.file
    );
    refused(registry.create(&spec()), ErrorKind::Stale, &text);
    refused(registry.rotate("key_1", 0), ErrorKind::Stale, &text);
    refused(registry.enable("key_1"), ErrorKind::Stale, &text);
    refused(registry.reload_if_changed(), ErrorKind::Stale, &text);
    assert_eq!(says(&registry, &secret(1)), Ok(()));
    let taken = "what the change takes away is in force in this process, and will be written with the next change";
    refused(registry.revoke("key_1"), ErrorKind::NotDurable, &format!("{text}: not durable: {taken}"));
    assert_eq!(says(&registry, &secret(1)), Err(DenyReason::RevokedKey));
    assert_eq!(fs::read(&place.file).unwrap(), backup);

    // A file that is newer again is taken, but for what was revoked here; the next change writes that.
    place.write(&document(10, &[record(1), record(2), record(3)]));
    registry.reload().unwrap();
    assert_eq!([1, 2, 3].map(|number| says(&registry, &secret(number))), [Err(DenyReason::RevokedKey), Ok(()), Ok(())]);
    registry.disable("key_2").unwrap();
    assert_eq!(says(&place.open(), &secret(1)), Err(DenyReason::RevokedKey));

    // By force, the backup is what holds.
    place.write(&backup);
    registry.reload_forced().unwrap();
    assert_eq!([1, 2, 3].map(|number| says(&registry, &secret(number))), [Ok(()), Ok(()), Ok(())]);
    registry.disable("key_2").unwrap();
    assert_eq!(place.document()["revision"], 9);
    assert_eq!(place.document()["keys"][0]["revoked_at"], json!(null));
}

// ---- What cannot be written ----

/// What each change is worth to a caller.
#[derive(Debug, Clone, Copy)]
enum Worth {
    /// In force at once, whatever the disk does.
    Takes,
    /// In force only once it is written.
    Grants,
}

type Try = fn(&Registry) -> Result<(), Error>;

fn update(registry: &Registry, patch: &KeyPatch) -> Result<(), Error> {
    registry.update("key_1", patch).map(drop)
}

/// Changes of a key with the limit 60, the scopes products:write and sales:read and an expiry in 2999, and how the next
/// request of it is answered if the change is in force.
const CHANGES: [(&str, Worth, Try); 16] = [
    ("revoke", Worth::Takes, |registry| registry.revoke("key_1")),
    ("disable", Worth::Takes, |registry| registry.disable("key_1")),
    ("a shorter expiry", Worth::Takes, |registry| update(registry, &KeyPatch::new().expires_at(Some(now().unix_ms)))),
    ("a lower limit", Worth::Takes, |registry| update(registry, &KeyPatch::new().rate_limit(5))),
    ("fewer scopes", Worth::Takes, |registry| update(registry, &KeyPatch::new().scopes(["sales:read"]))),
    ("a scope in the place of one that includes it", Worth::Takes, |registry| {
        update(registry, &KeyPatch::new().scopes(["products:read", "sales:read"]))
    }),
    ("test mode", Worth::Takes, |registry| update(registry, &KeyPatch::new().test_mode(true))),
    ("no scopes", Worth::Takes, |registry| update(registry, &KeyPatch::new().scopes([""; 0]))),
    ("create", Worth::Grants, |registry| registry.create(&spec()).map(drop)),
    ("rotate", Worth::Grants, |registry| registry.rotate("key_1", 60).map(drop)),
    ("rotate at once", Worth::Grants, |registry| registry.rotate("key_1", 0).map(drop)),
    ("a higher limit", Worth::Grants, |registry| update(registry, &KeyPatch::new().rate_limit(61))),
    ("a later expiry", Worth::Grants, |registry| update(registry, &KeyPatch::new().expires_at(None))),
    ("more scopes", Worth::Grants, |registry| {
        update(registry, &KeyPatch::new().scopes(["products:write", "sales:read", "loyalty:read"]))
    }),
    ("another name", Worth::Grants, |registry| update(registry, &KeyPatch::new().name("Other"))),
    ("a scope that another includes", Worth::Grants, |registry| {
        update(registry, &KeyPatch::new().scopes(["products:read", "products:write", "sales:read"]))
    }),
];

#[test]
fn what_takes_away_is_in_force_though_it_cannot_be_written_and_what_grants_is_not() {
    let members = json!({"scopes": ["products:write", "sales:read"], "expires_at": "2999-01-01T00:00:00Z"});
    let old = document(4, &[record_with(1, &members), record(2)]);
    for (change, worth, make) in CHANGES {
        // What it is when nothing fails.
        let reference = Place::with(&old);
        let whole = reference.open();
        make(&whole).unwrap();

        let place = Place::with(&old);
        let registry = place.open();
        let before = exported(&registry);
        place.spoil();
        let error = make(&registry).unwrap_err();
        assert_eq!(place.document(), serde_json::from_slice::<Value>(&old).unwrap(), "{change}: the file is as it was");
        match worth {
            Worth::Grants => {
                assert_eq!(error.kind(), ErrorKind::Io, "{change}: {error}");
                assert_eq!(exported(&registry), before, "{change}");
            }
            Worth::Takes => {
                assert_eq!(error.kind(), ErrorKind::NotDurable, "{change}: {error}");
                assert_same(&registry, &whole, change);
                assert_eq!(registry.stats().revision, 4, "{change}: that of the file");
                // It holds against a reload, and against a file that others have changed.
                registry.reload().unwrap();
                assert_same(&registry, &whole, change);
                place.write(&document(5, &[record_with(1, &members), record(2), record(3)]));
                registry.reload().unwrap();
                assert_same(&registry, &whole, change);
                assert_eq!(says(&registry, &secret(3)), Ok(()), "{change}");
            }
        }
        // The next change writes it too.
        place.mend();
        registry.update("key_2", &KeyPatch::new().name("Next")).unwrap();
        let again = place.open();
        assert_eq!(exported(&again), exported(&registry), "{change}");
        match worth {
            Worth::Takes => assert_same(&again, &whole, change),
            Worth::Grants => assert_eq!(exported(&again)["keys"][0], before["keys"][0], "{change}"),
        }
        // And then it is a key like others: it can be widened again, if it was not revoked.
        if !matches!(change, "revoke") {
            let wide =
                KeyPatch::new().enabled(true).expires_at(None).rate_limit(99).test_mode(false).scopes(["sales:read"]);
            again.update("key_1", &wide).unwrap();
            registry.reload().unwrap();
            assert_eq!(may(&registry, &secret(1), "GET", "/api/v1/sales"), Ok(()), "{change}");
        }
    }
}

/// The same record, but for the moment at which something was done to it.
#[track_caller]
fn assert_same(registry: &Registry, whole: &Registry, change: &str) {
    let timeless = |registry: &Registry| {
        let mut key = exported(registry)["keys"][0].clone();
        if key["revoked_at"].is_string() {
            key["revoked_at"] = json!("revoked");
        }
        if change == "a shorter expiry" {
            key["expires_at"] = json!(key["expires_at"].as_str().is_some_and(|date| !date.starts_with("2999")));
        }
        key
    };
    assert_eq!(timeless(registry), timeless(whole), "{change}");
}

/// One change can do both: what it takes away is in force, what it grants is not.
#[test]
fn of_a_change_that_does_both_only_what_it_takes_away_is_in_force() {
    let place = Place::with(&document(4, &[record_with(1, &json!({"rate_limit": 7, "test_mode": true}))]));
    let registry = place.open();
    place.spoil();
    let patch = KeyPatch::new().scopes(["sales:read", "customers:write"]).rate_limit(5).test_mode(false).name("Other");
    assert_eq!(registry.update("key_1", &patch).unwrap_err().kind(), ErrorKind::NotDurable);
    let key = &exported(&registry)["keys"][0];
    let shown = ["scopes", "rate_limit", "test_mode", "name"].map(|name| key[name].clone());
    assert_eq!(shown, [json!([]), json!(5), json!(true), json!("Name 1")]);
    // A rotation beside a revocation: the new secret is never in force.
    let edit: Result<(), Error> = registry.edit(|edit| {
        let _new = edit.create(&spec())?;
        edit.rotate("key_1", 60)?;
        edit.revoke("key_1")
    });
    assert_eq!(edit.unwrap_err().kind(), ErrorKind::NotDurable);
    assert_eq!(says(&registry, &secret(1)), Err(DenyReason::RevokedKey));
    assert_eq!(ids(&registry), ["key_1"]);

    // A revocation that says nothing new is not on disk either, and says so.
    assert_eq!(registry.revoke("key_1").unwrap_err().kind(), ErrorKind::NotDurable);
    assert_eq!(place.document()["revision"], 4);
    // It is written with one, too.
    place.mend();
    registry.revoke("key_1").unwrap();
    assert_eq!(place.document()["revision"], 5);
    assert!(place.document()["keys"][0]["revoked_at"].is_string());
}

/// A key that is revoked and removed in one change is as good as revoked, whatever the disk does.
#[test]
fn a_removal_that_cannot_be_written_is_a_revocation() {
    let place = Place::with(&document(4, &[record(1), record(2)]));
    let registry = place.open();
    place.spoil();
    let removed = registry.edit(|edit| {
        edit.revoke("key_1")?;
        edit.remove("key_1")
    });
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::NotDurable);
    assert_eq!(says(&registry, &secret(1)), Err(DenyReason::RevokedKey));
    registry.reload().unwrap();
    assert_eq!(says(&registry, &secret(1)), Err(DenyReason::RevokedKey));
    place.mend();
    registry.disable("key_2").unwrap();
    assert_eq!(says(&place.open(), &secret(1)), Err(DenyReason::RevokedKey));
}

#[test]
fn a_file_that_went_away_or_bad_takes_no_change_and_a_revocation_is_in_force() {
    type Spoil = fn(&Path);
    let cases: [(&str, ErrorKind, Spoil); 5] = [
        ("gone", ErrorKind::Io, |file| fs::remove_file(file).unwrap()),
        ("a folder", ErrorKind::Io, |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
        ("cut", ErrorKind::Format, |file| {
            let json = fs::read(file).unwrap();
            fs::write(file, &json[..json.len() - 2]).unwrap();
        }),
        ("empty", ErrorKind::Format, |file| fs::write(file, "").unwrap()),
        ("a duplicate", ErrorKind::Conflict, |file| {
            fs::write(file, document(7, &[record(1), record_with(2, &json!({"sha256": digest(1)}))])).unwrap();
        }),
    ];
    for (what, kind, spoil) in cases {
        let place = Place::with(&document(4, &[record(1), record(2)]));
        let registry = place.open();
        spoil(&place.file);
        let left = fs::read(&place.file).ok();
        for result in [
            registry.create(&spec()).map(drop),
            registry.rotate("key_1", 60).map(drop),
            registry.update("key_1", &KeyPatch::new().name("Other")).map(drop),
            registry.reload_if_changed().map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind, "{what}: {error}");
            assert!(error.to_string().starts_with(&format!("{:?}: ", place.file)), "{what}: {error}");
        }
        assert_eq!(registry.revoke("key_1").unwrap_err().kind(), ErrorKind::NotDurable, "{what}");
        let verdicts = [1, 2].map(|number| says(&registry, &secret(number)));
        assert_eq!(verdicts, [Err(DenyReason::RevokedKey), Ok(())], "{what}: the rest decides as before");
        assert_eq!(fs::read(&place.file).ok(), left, "{what}: nothing is made in its place");

        let _ = fs::remove_dir(&place.file);
        place.write(&document(5, &[record(1), record(2)]));
        registry.disable("key_2").unwrap();
        assert_eq!(says(&place.open(), &secret(1)), Err(DenyReason::RevokedKey), "{what}: written in the end");
    }
}

#[test]
fn a_registry_that_is_read_only_takes_no_change() {
    let place = Place::with(&document(4, &[record(1)]));
    let options = Options::default().read_only(true).shared(false);
    let file = Registry::open_with(&place.file, options.clone()).unwrap();
    let memory = Registry::from_json_with(&document(4, &[record(1)]), options).unwrap();
    for registry in [file, memory] {
        let text = "the registry was opened read-only";
        refused(registry.create(&spec()), ErrorKind::ReadOnly, text);
        refused(registry.update("key_1", &KeyPatch::new()), ErrorKind::ReadOnly, text);
        refused(registry.rotate("key_1", 0), ErrorKind::ReadOnly, text);
        refused(registry.revoke("key_1"), ErrorKind::ReadOnly, text);
        refused(registry.remove("key_1"), ErrorKind::ReadOnly, text);
        refused(registry.edit(|_| Ok(())), ErrorKind::ReadOnly, text);
        assert_eq!(says(&registry, &secret(1)), Ok(()));
    }
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1, "nor makes a lock");
}

// ---- Usage ----

/// It is worked out from two clocks, which are never read at one moment.
#[test]
fn the_last_use_of_a_key_is_one_moment() {
    both(EMPTY, |registry| {
        let NewKey { key, record } = registry.create(&spec()).unwrap();
        let request = Request::new("GET", "/api/v1/products").api_key(key.expose()).store("yourstore");
        assert!(registry.authorize(&request).is_ok());
        let used = registry.get(&record.id).unwrap();
        assert!(used.usage.last_used_at.is_some());
        for _ in 0..10_000 {
            assert_eq!(registry.get(&record.id).as_ref(), Some(&used));
        }
    });
}

#[test]
fn the_usage_of_a_key_is_exact_and_outlives_its_changes() {
    let place = Place::with(&document(4, &[record_with(1, &json!({"rate_limit": 4})), record(2)]));
    let registry = place.open();
    let key = secret(1);
    assert_eq!(registry.get("key_1").unwrap().usage.last_used_at, None);
    let before = now().unix_ms;
    for _ in 0..4 {
        // The real clock, since that is what a time of use is told by.
        let _grant = registry.authorize(&Request::new("GET", "/api/v1/products").api_key(&key)).unwrap();
    }
    let after = now().unix_ms;
    // Two clocks are read, one after the other, and told in milliseconds: a thread that is held up between them tells a
    // later time.
    let told = (0..100).map(|_| registry.get("key_1").unwrap().usage.last_used_at.unwrap()).min().unwrap();
    assert!((before - 1..=after + 1).contains(&told), "{before} {told} {after}");
    let request = |method, path, store| Request::new(method, path).api_key(&key).store(store);
    let denials = [
        (request("GET", "/api/v1/products", "yourstore"), "rate_limited", 3),
        (request("GET", "/api/v1/products", "another"), "wrong_store", 2),
        (request("GET", "/nowhere", "yourstore"), "unmapped_route", 1),
        (request("GET", "/api/v1/sales", "yourstore"), "insufficient_scope", 5),
    ];
    for (request, reason, times) in &denials {
        for _ in 0..*times {
            assert_eq!(registry.authorize_at(request, now()).unwrap_err().reason().name(), *reason);
        }
    }
    // What no key is to be blamed for counts for the registry alone.
    assert_eq!(says(&registry, &secret(3)), Err(DenyReason::UnknownKey));
    let expected = |record: &KeyRecord, extra: &[(&str, u64)]| {
        assert_eq!(record.usage.allowed, 4);
        assert!(record.usage.last_used_at.unwrap() >= before - 1);
        for (reason, count) in record.usage.denied() {
            let of_table = denials.iter().find(|(_, name, _)| *name == reason).map_or(0, |(_, _, times)| *times);
            let of_extra = extra.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count);
            assert_eq!(count, of_table + of_extra, "{reason}");
        }
    };
    let both = |extra: &[(&str, u64)]| {
        expected(&registry.get("key_1").unwrap(), extra);
        expected(&registry.list(None)[0], extra);
        assert_eq!(registry.list(None)[1].usage, Default::default(), "the other key was not used");
    };
    both(&[]);
    expected(&registry.update("key_1", &KeyPatch::new().rate_limit(1_000)).unwrap(), &[]);
    expected(&registry.rotate("key_1", 60).unwrap().record, &[]);
    registry.reload().unwrap();
    both(&[]);
    registry.disable("key_1").unwrap();
    assert_eq!(says(&registry, &key), Err(DenyReason::DisabledKey));
    registry.enable("key_1").unwrap();
    registry.revoke("key_1").unwrap();
    assert_eq!(says(&registry, &key), Err(DenyReason::RevokedKey));
    both(&[("disabled_key", 1), ("revoked_key", 1)]);

    // A key that is removed leaves its counts to the whole.
    let sums = registry.stats();
    registry.remove("key_1").unwrap();
    let left = registry.stats();
    assert_eq!((left.allowed, left.denied().collect::<Vec<_>>()), (4, sums.denied().collect()));
    let counts: Vec<_> = left.denied().filter(|(_, count)| *count > 0).collect();
    let all = [
        ("unknown_key", 1),
        ("revoked_key", 1),
        ("disabled_key", 1),
        ("wrong_store", 2),
        ("unmapped_route", 1),
        ("insufficient_scope", 5),
        ("rate_limited", 3),
    ];
    assert_eq!(counts, all);
    assert_eq!(left.keys, 1);
}

// ---- Anything in any order ----

/// What is known of a key, kept as plainly as can be: no digests, no sets of bits, no windows.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    name: String,
    store: &'static str,
    scopes: Vec<&'static str>,
    rate_limit: u32,
    expires_at: Option<i64>,
    test_mode: bool,
    enabled: bool,
    revoked: bool,
    current: String,
    retiring: Option<(String, i64)>,
}

/// The admissions and denials of a key in one registry.
#[derive(Debug, Clone, Default)]
struct Used {
    admitted_us: Vec<u64>,
    denied: HashMap<&'static str, u64>,
}

#[derive(Clone, Default)]
struct Model {
    keys: Vec<Known>,
    /// Each secret that there ever was.
    secrets: Vec<String>,
    revision: u64,
}

const STORES: [&str; 2] = ["yourstore", "another"];
const SCOPES: [&str; 3] = ["products:read", "customers:read", "customers:write"];

/// A change to one of the keys, which are named by a number.
#[derive(Debug, Clone)]
enum Step {
    Create { store: usize, scopes: u8, rate_limit: u32, hours: Option<i64>, test_mode: bool },
    Name(usize, u8),
    Scopes(usize, u8),
    RateLimit(usize, u32),
    Hours(usize, Option<i64>),
    TestMode(usize, bool),
    Enabled(usize, bool),
    Rotate(usize, u64),
    Revoke(usize),
    Remove(usize),
}

#[derive(Debug, Clone)]
enum Action {
    /// An edit, in one of the registries; perhaps one that fails in the end.
    Edit {
        registry: usize,
        steps: Vec<Step>,
        fails: bool,
    },
    Reload(usize),
    /// Requests with a secret, mostly one of a key that there is and in its store, to a route, after so many hours or beside
    /// the moment when the secret ends, each so long after the one before.
    Ask {
        registry: usize,
        secret: usize,
        elsewhere: bool,
        route: usize,
        hours: i64,
        edge: Option<i64>,
        times: u8,
        apart_us: u64,
    },
}

fn names(scopes: u8) -> Vec<&'static str> {
    SCOPES.into_iter().enumerate().filter(|(bit, _)| scopes >> bit & 1 == 1).map(|(_, name)| name).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_usize;
    let hours = || proptest::option::of(-1..20_i64);
    let scopes = || prop_oneof![1 => 0..8_u8, 2 => Just(7_u8)];
    let limit = || prop_oneof![8 => 1..6_u32, 1 => Just(0), 1 => Just(1_001)];
    prop_oneof![
        6 => (0..2_usize, scopes(), limit(), hours(), any::<bool>()).prop_map(|(store, scopes, rate_limit, hours, test_mode)| {
            Step::Create { store, scopes, rate_limit, hours, test_mode: test_mode && scopes % 2 == 0 }
        }),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, name)| Step::Name(key, name)),
        3 => (key.clone(), scopes()).prop_map(|(key, scopes)| Step::Scopes(key, scopes)),
        3 => (key.clone(), limit()).prop_map(|(key, limit)| Step::RateLimit(key, limit)),
        3 => (key.clone(), hours()).prop_map(|(key, hours)| Step::Hours(key, hours)),
        1 => (key.clone(), any::<bool>()).prop_map(|(key, on)| Step::TestMode(key, on)),
        3 => (key.clone(), prop_oneof![1 => Just(false), 3 => Just(true)]).prop_map(|(key, on)| Step::Enabled(key, on)),
        6 => (key.clone(), prop_oneof![Just(0), Just(3_600), Just(36_000), Just(31_622_401)]).prop_map(|(key, s)| Step::Rotate(key, s)),
        1 => key.clone().prop_map(Step::Revoke),
        1 => key.prop_map(Step::Remove),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let edge = proptest::option::weighted(0.4, -1..2_i64);
    let hours = prop_oneof![3 => Just(0_i64), 1 => 0..22_i64];
    let ask = (0..2_usize, 0..64_usize, 0..20_u8, 0..8_usize, hours, edge, 1..9_u8, 0..30_000_000_u64);
    prop_oneof![
        4 => (0..2_usize, proptest::collection::vec(step(), 1..4), proptest::bool::weighted(0.1))
            .prop_map(|(registry, steps, fails)| Action::Edit { registry, steps, fails }),
        1 => (0..2_usize).prop_map(Action::Reload),
        7 => ask.prop_map(|(registry, secret, store, route, hours, edge, times, apart_us)| Action::Ask {
            registry, secret, elsewhere: store == 0, route: [0, 1, 2, 0, 1, 2, 3, 4][route], hours, edge, times, apart_us,
        }),
    ]
}

impl Model {
    fn id(&self, key: usize) -> String {
        self.keys.get(key).map_or_else(|| "key_none".to_owned(), |key| key.id.clone())
    }

    /// One of the secrets, mostly one that works, and the store of its key.
    fn secret(&self, number: usize) -> (String, &'static str) {
        let both = |key: &Known| {
            let retiring = key.retiring.as_ref().map(|(old, _)| (old.clone(), key.store));
            [Some((key.current.clone(), key.store)), retiring].into_iter().flatten().collect::<Vec<_>>()
        };
        let working: Vec<_> = self.keys.iter().flat_map(both).collect();
        let any = self.secrets.get(number % self.secrets.len().max(1));
        let any = || any.map_or_else(|| (secret(number), STORES[0]), |any| (any.clone(), STORES[0]));
        let working = working.get(number % working.len().max(1)).filter(|_| !number.is_multiple_of(16));
        working.cloned().unwrap_or_else(any)
    }

    /// Makes a step in an edit.
    fn make(&self, edit: &mut Edit<'_>, step: &Step, base_ms: i64) -> Result<Option<NewKey>, Error> {
        let later = |hours: i64| base_ms + hours * HOUR_MS;
        let patch = KeyPatch::new();
        let (key, patch) = match step {
            Step::Create { store, scopes, rate_limit, hours, test_mode } => {
                let spec = KeySpec::new("Name", STORES[*store], names(*scopes)).rate_limit(*rate_limit);
                return edit.create(&spec.expires_at(hours.map(later)).test_mode(*test_mode)).map(Some);
            }
            Step::Rotate(key, grace_s) => return edit.rotate(&self.id(*key), *grace_s).map(Some),
            Step::Revoke(key) => return edit.revoke(&self.id(*key)).map(|()| None),
            Step::Remove(key) => return edit.remove(&self.id(*key)).map(|()| None),
            Step::Enabled(key, true) => return edit.enable(&self.id(*key)).map(|()| None),
            Step::Enabled(key, false) => return edit.disable(&self.id(*key)).map(|()| None),
            Step::Name(key, name) => (key, patch.name(name.to_string())),
            Step::Scopes(key, scopes) => (key, patch.scopes(names(*scopes))),
            Step::RateLimit(key, limit) => (key, patch.rate_limit(*limit)),
            Step::TestMode(key, on) => (key, patch.test_mode(*on)),
            Step::Hours(key, hours) => (key, patch.expires_at(hours.map(later))),
        };
        edit.update(&self.id(*key), &patch).map(|()| None)
    }

    /// Makes a step here and in an edit; both must agree on whether it can be made. Says whether it changed anything.
    fn step(&mut self, edit: &mut Edit<'_>, step: &Step, base_ms: i64, before_ms: i64) -> Result<bool, Error> {
        let later = |hours: i64| base_ms + hours * HOUR_MS;
        let made = self.make(edit, step, base_ms);
        let kind = made.as_ref().map(drop).map_err(Error::kind);
        let key = match step {
            Step::Create { store, scopes, rate_limit, hours, test_mode } => {
                let sound = (1..=1_000).contains(rate_limit) && hours.is_none_or(|hours| hours > 0);
                assert_eq!(kind, sound.then_some(()).ok_or(ErrorKind::Format));
                let NewKey { key, record } = made?.unwrap();
                self.secrets.push(key.expose().to_owned());
                self.keys.push(Known {
                    id: record.id,
                    name: "Name".to_owned(),
                    store: STORES[*store],
                    scopes: names(*scopes),
                    rate_limit: *rate_limit,
                    expires_at: hours.map(later),
                    test_mode: *test_mode,
                    enabled: true,
                    revoked: false,
                    current: key.expose().to_owned(),
                    retiring: None,
                });
                return Ok(true);
            }
            Step::Rotate(key, grace_s) => {
                let known = self.keys.get_mut(*key);
                let expected = match &known {
                    _ if *grace_s > 31_622_400 => Err(ErrorKind::Limit),
                    None => Err(ErrorKind::NotFound),
                    Some(known) if known.revoked || known.has_expired(before_ms) => Err(ErrorKind::Conflict),
                    Some(_) => Ok(()),
                };
                assert_eq!(kind, expected);
                let (made, known) = (made?.unwrap(), known.unwrap());
                let end = known.expires_at.unwrap_or(i64::MAX);
                let bounds = [before_ms, Now::read().unix_ms].map(|now| end.min(now + 1_000 * grace_s.cast_signed()));
                let old = std::mem::replace(&mut known.current, made.key.expose().to_owned());
                known.retiring = made.record.retiring_until.map(|until| (old, until));
                assert_eq!(known.retiring.is_some(), *grace_s > 0);
                let until = made.record.retiring_until.unwrap_or(bounds[0]);
                assert!((bounds[0]..=bounds[1]).contains(&until), "{bounds:?} {until}");
                self.secrets.push(known.current.clone());
                return Ok(true);
            }
            Step::Revoke(key)
            | Step::Remove(key)
            | Step::Enabled(key, _)
            | Step::Name(key, _)
            | Step::Scopes(key, _)
            | Step::RateLimit(key, _)
            | Step::TestMode(key, _)
            | Step::Hours(key, _) => key,
        };
        let expected = match (step, self.keys.get(*key)) {
            (_, None) => Err(ErrorKind::NotFound),
            (Step::Revoke(_), Some(_)) => Ok(()),
            (Step::Remove(_), Some(known)) if known.revoked || known.has_expired(before_ms) => Ok(()),
            (Step::Remove(_), Some(_)) => Err(ErrorKind::Conflict),
            (_, Some(known)) if known.revoked => Err(ErrorKind::Conflict),
            (Step::RateLimit(_, limit), _) if !(1..=1_000).contains(limit) => Err(ErrorKind::Format),
            _ => Ok(()),
        };
        assert_eq!(kind, expected, "{step:?}");
        made?;
        if let Step::Remove(key) = step {
            self.keys.remove(*key);
            return Ok(true);
        }
        let known = &mut self.keys[*key];
        match step {
            Step::Revoke(_) => return Ok(!std::mem::replace(&mut known.revoked, true)),
            Step::Enabled(_, on) => known.enabled = *on,
            Step::Name(_, name) => known.name = name.to_string(),
            Step::Scopes(_, scopes) => known.scopes = names(*scopes),
            Step::RateLimit(_, limit) => known.rate_limit = *limit,
            Step::TestMode(_, on) => known.test_mode = *on,
            Step::Hours(_, hours) => {
                known.expires_at = hours.map(later);
                if let (Some(end), Some((_, until))) = (known.expires_at, &mut known.retiring) {
                    *until = end.min(*until);
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// What a request is answered, by the table of the documentation.
    fn decide(
        &self,
        used: &mut HashMap<String, Used>,
        secret: &str,
        store: &str,
        route: usize,
        now: Now,
    ) -> Result<(), &'static str> {
        let holds = |key: &&Known| key.current == secret || key.retiring.as_ref().is_some_and(|(old, _)| old == secret);
        let Some(key) = self.keys.iter().find(holds) else { return Err("unknown_key") };
        let until = key.retiring.as_ref().filter(|(old, _)| old == secret).map_or(i64::MAX, |(_, until)| *until);
        let (_, _, scope, writes) = ROUTES[route];
        let used = used.entry(key.id.clone()).or_default();
        let has = |scope: &str| {
            key.scopes.contains(&scope) || (scope == "customers:read" && key.scopes.contains(&"customers:write"))
        };
        let last = used.admitted_us.last().copied().unwrap_or(0);
        let at = now.monotonic_us.max(last);
        let counted = used.admitted_us.iter().filter(|time| at - **time <= 60_000_000).count();
        let verdict = match scope {
            _ if key.revoked => Err("revoked_key"),
            _ if !key.enabled => Err("disabled_key"),
            _ if now.unix_ms >= until || key.has_expired(now.unix_ms) => Err("expired_key"),
            _ if key.store != store => Err("wrong_store"),
            None => Err("unmapped_route"),
            Some(scope) if !has(scope) => Err("insufficient_scope"),
            _ if key.test_mode && writes => Err("test_mode"),
            _ if counted >= key.rate_limit as usize => Err("rate_limited"),
            _ => Ok(()),
        };
        match verdict {
            Ok(()) => used.admitted_us.push(at),
            Err(reason) => *used.denied.entry(reason).or_default() += 1,
        }
        verdict
    }
}

impl Known {
    fn has_expired(&self, unix_ms: i64) -> bool {
        self.expires_at.is_some_and(|end| unix_ms >= end)
    }
}

/// Method, path, the scope that they need, and whether they write.
const ROUTES: [(&str, &str, Option<&str>, bool); 5] = [
    ("GET", "/api/v1/products", Some("products:read"), false),
    ("HEAD", "/api/v1/customers/5", Some("customers:read"), false),
    ("POST", "/api/v1/customers", Some("customers:write"), true),
    ("GET", "/api/v1/sales", Some("sales:read"), false),
    ("GET", "/api/v2/products", None, false),
];

/// One or two registries of the same keys, and what they must say.
struct World {
    place: Option<Place>,
    registries: Vec<Registry>,
    /// The revision that each has read or written last.
    seen: Vec<u64>,
    used: Vec<HashMap<String, Used>>,
    unknown: Vec<u64>,
    model: Model,
    base: Now,
}

impl World {
    fn new(place: Option<Place>) -> Self {
        let registries = match &place {
            Some(place) => vec![place.open(), place.open()],
            None => vec![Registry::from_json(EMPTY).unwrap()],
        };
        let many = registries.len();
        Self {
            place,
            registries,
            seen: vec![0; many],
            used: vec![HashMap::new(); many],
            unknown: vec![0; many],
            model: Model::default(),
            base: Now::read(),
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Edit { registry, steps, fails } => self.edit(registry % self.registries.len(), steps, *fails),
            Action::Reload(registry) => self.reload(registry % self.registries.len()),
            Action::Ask { registry, secret, elsewhere, route, hours, edge, times, apart_us } => {
                let registry = registry % self.registries.len();
                self.reload(registry);
                let (secret, store) = self.model.secret(*secret);
                let store = if *elsewhere { STORES[usize::from(store == STORES[0])] } else { store };
                let unix_ms = self.moment(&secret, *hours, *edge);
                for _ in 0..*times {
                    self.base.monotonic_us += apart_us;
                    self.ask(registry, &secret, store, *route, Now { unix_ms, ..self.base });
                }
            }
        }
        self.compare();
    }

    /// A number of hours from the beginning; or the moment when a secret ends, or one millisecond beside it.
    fn moment(&self, secret: &str, hours: i64, edge: Option<i64>) -> i64 {
        let end = |key: &Known| match &key.retiring {
            Some((old, until)) if old == secret => Some(*until),
            _ => key.expires_at.filter(|_| key.current == secret),
        };
        let end = self.model.keys.iter().find_map(end);
        edge.and_then(|beside| Some(end? + beside)).unwrap_or(self.base.unix_ms + hours * HOUR_MS)
    }

    fn edit(&mut self, registry: usize, steps: &[Step], fails: bool) {
        let mut draft = self.model.clone();
        let mut changed = false;
        let (base_ms, before_ms) = (self.base.unix_ms, Now::read().unix_ms);
        // One that does not know the file runs the edit on what it has in memory first.
        let mut is_stale = self.seen[registry] != self.model.revision;
        let made = self.registries[registry].edit(|edit| {
            if std::mem::take(&mut is_stale) {
                return steps.iter().try_for_each(|step| draft.make(edit, step, base_ms).map(drop));
            }
            (draft, changed) = (self.model.clone(), false); // it may be the second time
            for step in steps {
                changed |= draft.step(edit, step, base_ms, before_ms)?;
            }
            if fails { edit.revoke("key_none") } else { Ok(()) }
        });
        // An edit reads what others have written, whatever becomes of it.
        self.seen[registry] = self.model.revision;
        match made {
            Ok(()) => {
                draft.revision += u64::from(changed);
                self.model = draft;
                self.seen[registry] = self.model.revision;
            }
            // The secrets that were drawn are none; the test goes on asking with them.
            Err(_) => self.model.secrets = draft.secrets,
        }
    }

    fn reload(&mut self, registry: usize) {
        if self.place.is_some() {
            let changed = self.registries[registry].reload_if_changed().unwrap();
            assert_eq!(changed, self.seen[registry] != self.model.revision);
            self.seen[registry] = self.model.revision;
        }
    }

    fn ask(&mut self, registry: usize, secret: &str, store: &str, route: usize, now: Now) {
        let (method, path, _, _) = ROUTES[route];
        let request = Request::new(method, path).api_key(secret).store(store);
        let found = self.registries[registry].authorize_at(&request, now).map(drop);
        let expected = self.model.decide(&mut self.used[registry], secret, store, route, now);
        self.unknown[registry] += u64::from(expected == Err("unknown_key"));
        assert_eq!(found.map_err(|denial| denial.reason().name()), expected, "{method} {path} {store} {now:?}");
    }

    /// Everything that can be seen of the registries that are up to date.
    fn compare(&self) {
        for (registry, used) in self.registries.iter().zip(&self.used) {
            let number = self.registries.iter().position(|other| std::ptr::eq(other, registry)).unwrap();
            if self.seen[number] != self.model.revision && self.place.is_some() {
                continue;
            }
            let stats = registry.stats();
            let sum = |of: &dyn Fn(&Used) -> u64| used.values().map(of).sum::<u64>();
            assert_eq!(stats.allowed, sum(&|used| used.admitted_us.len() as u64));
            for (reason, count) in stats.denied() {
                let unknown = if reason == "unknown_key" { self.unknown[number] } else { 0 };
                assert_eq!(count, unknown + sum(&|used| used.denied.get(reason).copied().unwrap_or(0)), "{reason}");
            }
            if self.place.is_some() {
                assert_eq!(stats.revision, self.model.revision);
            }
            let keys = registry.list(None);
            assert_eq!(keys.len(), self.model.keys.len());
            assert_listed_by_store_and_page(registry, &keys);
            for (found, known) in keys.iter().zip(&self.model.keys) {
                let used = used.get(&known.id).cloned().unwrap_or_default();
                assert_eq!((&found.id, &found.name, found.store.as_str()), (&known.id, &known.name, known.store));
                assert_eq!(
                    (&found.scopes[..], found.rate_limit, found.expires_at),
                    (
                        &known.scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>()[..],
                        known.rate_limit,
                        known.expires_at
                    )
                );
                assert_eq!(
                    (found.test_mode, found.enabled, found.revoked_at.is_some()),
                    (known.test_mode, known.enabled, known.revoked)
                );
                assert_eq!(found.retiring_until, known.retiring.as_ref().map(|(_, until)| *until));
                assert_eq!(found.hint.as_deref(), Some(&known.current[..9]));
                assert_eq!(found.usage.allowed, used.admitted_us.len() as u64);
                for (reason, count) in found.usage.denied() {
                    assert_eq!(count, used.denied.get(reason).copied().unwrap_or(0), "{reason}");
                }
                assert_eq!(registry.get(&known.id).as_ref().map(|key| &key.usage.allowed), Some(&found.usage.allowed));
            }
            if let Some(place) = &self.place {
                assert_eq!(place.document(), exported(registry));
            }
        }
    }
}

fn run(cases: u32, world: impl Fn() -> World) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let decisions = std::cell::Cell::new((0_u64, 0_u64));
    let result = runner.run(&proptest::collection::vec(action(), 60..120), |actions| {
        let mut world = world();
        actions.iter().for_each(|action| world.act(action));
        let (allowed, denied) = decisions.get();
        let of = |registry: &Registry| {
            (registry.stats().allowed, registry.stats().denied().map(|(_, count)| count).sum::<u64>())
        };
        let sums =
            world.registries.iter().map(of).fold((allowed, denied), |sum, more| (sum.0 + more.0, sum.1 + more.1));
        decisions.set(sums);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    // Both were met often, or the model was never asked.
    let (allowed, denied) = decisions.get();
    assert!(allowed > 20 * u64::from(cases) && denied > 20 * u64::from(cases), "{allowed} allowed, {denied} denied");
}

#[test]
fn any_changes_of_a_memory_registry_are_as_a_naive_model_says() {
    run(1_000, || World::new(None));
}

/// Two registries of one file, as two processes have them.
#[test]
fn any_changes_of_a_file_by_two_registries_are_as_a_naive_model_says() {
    run(60, || World::new(Some(Place::with(EMPTY))));
}
