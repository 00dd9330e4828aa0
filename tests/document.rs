//! The registry document: what is read, what is refused and how the refusal reads, and what is written back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

mod sample;

use std::fmt::Write;

use bpos::{DenyReason, Error, ErrorKind, Now, Options, Registry, Request};
use proptest::prelude::*;
use proptest::sample::subsequence;
use sample::{NOW, array, ask, digest, document, exported, later, record, record_with, secret};
use serde_json::{Value, json};

/// Every member of a record, in the order in which it is written, each with a sound value.
const MEMBERS: [(&str, &str); 13] = [
    ("id", r#""key_2""#),
    ("name", r#""Caisse n° 2 – entrée""#),
    ("store", r#""yourstore""#),
    ("sha256", r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#),
    ("hint", r#""bpos_abc1""#),
    ("scopes", r#"["products:read", "inventory:write"]"#),
    ("rate_limit", "120"),
    ("expires_at", r#""2027-01-01T00:00:00Z""#),
    ("test_mode", "false"),
    ("enabled", "true"),
    ("created_at", r#""2026-11-24T00:00:00.250Z""#),
    ("revoked_at", "null"),
    (
        "retiring",
        r#"{"sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", "until": "2026-12-01T00:00:00Z"}"#,
    ),
];
const REQUIRED: [&str; 5] = ["id", "name", "store", "sha256", "scopes"];

/// A document whose second key has these members, each on a line of its own. The first one is on `FIRST_LINE`.
fn laid_out(members: &[(&str, &str)]) -> String {
    let lines: Vec<String> = members.iter().map(|(name, value)| format!("{}: {value}", Value::from(*name))).collect();
    format!("{{\"version\": 1, \"keys\": [\n{},\n{{\n{}\n}}]}}", record(1), lines.join(",\n"))
}

const FIRST_LINE: usize = 4;

/// The members with one of them replaced.
fn members_with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    MEMBERS.map(|(known, sound)| (known, if known == name { value } else { sound })).into()
}

fn refusal(json: impl AsRef<[u8]>) -> Error {
    match Registry::from_json(json.as_ref()) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(json.as_ref())),
    }
}

/// A refusal in which a key's record is at fault, in this member and on this line of the document.
#[track_caller]
fn assert_refused_at(json: &str, member: &str, line: usize) {
    let error = refusal(json);
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Format, "{text}");
    assert!(text.starts_with("the registry document: key 2 (key_2): "), "{text}\n{json}");
    assert!(text.contains(member), "{member} is not named: {text}");
    let (_, place) = text.rsplit_once(" at line ").unwrap_or_else(|| panic!("no place: {text}"));
    let (found, column) = place.split_once(" column ").unwrap();
    assert_eq!(found, line.to_string(), "{text}\n{json}");
    let length = json.lines().nth(line - 1).unwrap().len();
    assert!((1..=length).contains(&column.parse().unwrap()), "column outside of its line: {text}\n{json}");
}

// ---- Loading is all or nothing ----

fn real_document() -> String {
    let json = laid_out(&MEMBERS);
    assert_eq!(Registry::from_json(json.as_bytes()).unwrap().stats().keys, 2);
    json
}

#[test]
fn a_document_cut_anywhere_is_refused() {
    let json = real_document();
    for length in 0..json.len() {
        let error = refusal(&json.as_bytes()[..length]);
        assert_eq!(error.kind(), ErrorKind::Format, "cut at {length}: {error}");
    }
}

#[test]
fn a_reload_of_a_cut_document_leaves_the_old_set_deciding() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let json = real_document();
    std::fs::write(&path, &json).unwrap();
    let registry = Registry::open(&path).unwrap();
    let before = registry.export().unwrap();
    for length in 0..json.len() {
        std::fs::write(&path, &json.as_bytes()[..length]).unwrap();
        assert_eq!(registry.reload().unwrap_err().kind(), ErrorKind::Format, "cut at {length}");
        assert_eq!(registry.reload_forced().unwrap_err().kind(), ErrorKind::Format, "cut at {length}");
        assert_eq!(ask(&registry, &secret(1), later(2 * length as u64)), Ok(()), "cut at {length}");
    }
    assert_eq!(registry.export().unwrap(), before);
}

#[test]
fn an_apply_of_cut_records_leaves_the_old_set_deciding() {
    let registry = Registry::from_json(&document(3, &[record(1)])).unwrap();
    let before = registry.export().unwrap();
    let records = array(&[record_with(1, &json!({"enabled": false})), record(7), record(8)]);
    for length in 0..records.len() {
        assert_eq!(registry.apply(&records[..length]).unwrap_err().kind(), ErrorKind::Format, "cut at {length}");
        assert_eq!(ask(&registry, &secret(1), later(2 * length as u64)), Ok(()), "cut at {length}");
        assert_eq!(ask(&registry, &secret(7), NOW), Err(DenyReason::UnknownKey), "cut at {length}");
    }
    assert_eq!(registry.export().unwrap(), before);
}

#[test]
fn no_keys_load_and_deny_everybody() {
    let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap();
    assert_eq!(registry.stats().keys, 0);
    assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::UnknownKey));
}

// ---- Refusals and how they read ----

#[test]
fn a_refusal_says_which_key_which_member_where_and_what_was_expected() {
    let record =
        |members: &str| format!("{{\n  \"version\": 1,\n  \"keys\": [\n    {{\"id\": \"key_1\", {members}}}\n  ]\n}}");
    let cases = [
        ("".into(), "not JSON: EOF while parsing a value at line 1 column 1"),
        (
            "[]".into(),
            "expected an object with the members version, revision and keys; found an array at line 1 column 1",
        ),
        ("{}".into(), "missing member `version` at line 1 column 2"),
        (r#"{"version": 1}"#.into(), "missing member `keys` at line 1 column 14"),
        (r#"{"version": 2, "keys": []}"#.into(), "member `version`: expected version 1; found 2 at line 1 column 13"),
        (r#"{"version": 1, "keys": []} x"#.into(), "not JSON: trailing characters at line 1 column 28"),
        (
            r#"{"version": 1, "keys": [7]}"#.into(),
            "key 1: expected a key record, an object; found 7 at line 1 column 25",
        ),
        (r#"{"version": 1, "version": 1, "keys": []}"#.into(), "duplicate member `version` at line 1 column 24"),
        (
            "{\"version\": 1,\n \"owner\": 1}".into(),
            "unknown member \"owner\"; expected one of version, revision, keys at line 2 column 8",
        ),
        (
            record(r#""name": """#),
            "key 1 (key_1): member `name`: expected 1 to 200 bytes without control characters; found \"\" at line 4 column 30",
        ),
        (
            record(r#""rate_limit": 1001"#),
            "key 1 (key_1): member `rate_limit`: expected a whole number of requests a minute, \
             1 to 1000; found 1001 at line 4 column 38",
        ),
        (
            record(r#""expires_at": "2027-02-30T00:00:00Z""#),
            "key 1 (key_1): member `expires_at`: expected a UTC date such as \"2027-01-01T00:00:00Z\"; found \
             \"2027-02-30T00:00:00Z\" at line 4 column 56",
        ),
        (
            record(r#""sha256": "ABCD""#),
            "key 1 (key_1): member `sha256`: expected 64 lower-case hexadecimal digits; found a text of 4 characters at line 4 \
             column 36",
        ),
        (
            record(r#""hint": "bpos_abc""#),
            "key 1 (key_1): member `hint`: expected \"bpos_\" and the first 4 letters or digits of the secret; found \"bpos_abc\" \
             at line 4 column 38",
        ),
        (
            record(r#""scopes": ["products:read", "products:"]"#),
            "key 1 (key_1): member `scopes`: unknown scope \"products:\"; expected one of products:read, customers:read, \
             sales:read, inventory:read, loyalty:read, gift_cards:read, store_credits:read, products:write, customers:write, \
             inventory:write, webhooks:manage at line 4 column 59",
        ),
        (
            record(r#""scopes": ["sales:read", "sales:read"]"#),
            "key 1 (key_1): member `scopes`: duplicate scope \"sales:read\" at line 4 column 57",
        ),
        (
            record(r#""retiring": {"until": "2027-01-01T00:00:00Z"}"#),
            "key 1 (key_1): member `retiring`: missing member `sha256` at line 4 column 65",
        ),
        (
            record(r#""enabled": true, "enabled": true"#),
            "key 1 (key_1): duplicate member `enabled` at line 4 column 46",
        ),
        (
            record(r#""test_mode": "no""#),
            "key 1 (key_1): member `test_mode`: expected a boolean; found the string \"no\" at line 4 column 37",
        ),
        (
            record(r#""limit": 5"#),
            "key 1 (key_1): unknown member \"limit\"; expected one of id, name, store, sha256, hint, scopes, rate_limit, \
             expires_at, test_mode, enabled, created_at, revoked_at, retiring at line 4 column 27",
        ),
        (record(r#""name": "x""#), "key 1 (key_1): missing member `store` at line 4 column 32"),
        // What is behind the value makes no difference to its place.
        (
            "{\"keys\": [],\n\"version\": 2\n\n}".into(),
            "member `version`: expected version 1; found 2 at line 2 column 12",
        ),
        (
            record("\"scopes\": [\n\"sales:read\",\n\"sales:read\"\n\n]"),
            "key 1 (key_1): member `scopes`: duplicate scope \"sales:read\" at line 6 column 12",
        ),
        (
            record("\"scopes\": [\n\"x\"\n\n]"),
            "key 1 (key_1): member `scopes`: unknown scope \"x\"; expected one of products:read, customers:read, sales:read, \
             inventory:read, loyalty:read, gift_cards:read, store_credits:read, products:write, customers:write, \
             inventory:write, webhooks:manage at line 5 column 3",
        ),
        (
            r#"{"version": 1, "keys": [{"id": "bpos_x"}]}"#.into(),
            "key 1: member `id`: expected 1 to 31 letters, digits or any of \"_-.:\", not beginning with \"bpos_\"; found \
             \"bpos_x\" at line 1 column 39",
        ),
    ];
    for (json, expected) in cases {
        let json: String = json;
        assert_eq!(refusal(&json).to_string(), format!("the registry document: {expected}"), "{json}");
    }
    let error = Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap().apply(b"[{\"id\": 5}]").unwrap_err();
    let expected = "the records: key 1: member `id`: expected a key's id, a string; found 5 at line 1 column 9";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_member_of_a_wrong_type_is_refused_where_it_stands() {
    // Which of these each member takes; everything else is refused.
    const VALUES: [&str; 12] =
        ["null", "true", "0", "7", "-1", "1.5", "1e2", "18446744073709551616", r#""x""#, "[]", "{}", r#"[["x"]]"#];
    for (place, (member, _)) in MEMBERS.into_iter().enumerate().skip(1) {
        let taken: &[&str] = match member {
            "name" | "store" => &[r#""x""#],
            "hint" | "expires_at" | "created_at" | "revoked_at" | "retiring" => &["null"],
            "scopes" => &["[]"],
            "rate_limit" => &["7"],
            "test_mode" | "enabled" => &["true"],
            _ => &[],
        };
        for value in VALUES {
            let json = laid_out(&members_with(member, value));
            if taken.contains(&value) {
                assert!(Registry::from_json(json.as_bytes()).is_ok(), "{member}: {value}");
            } else {
                assert_refused_at(&json, &format!("member `{member}`: "), FIRST_LINE + place);
            }
        }
    }
    for value in VALUES {
        if value != "7" && value != "0" {
            let error = refusal(format!("{{\"version\": 1,\n\"revision\":\n{value}, \"keys\": []}}"));
            assert!(error.to_string().contains(" at line 3 column "), "revision {value}: {error}");
        }
        if value != "[]" {
            let error = refusal(format!("{{\"version\": 1,\n\"keys\":\n{value}}}"));
            assert!(error.to_string().contains(" at line 3 column "), "keys {value}: {error}");
        }
        let error = refusal(format!("{{\"keys\": [],\n\"version\":\n{value}}}"));
        assert!(error.to_string().contains(" at line 3 column "), "version {value}: {error}");
    }
}

#[test]
fn a_missing_member_is_named() {
    for (missing, _) in MEMBERS {
        let members: Vec<_> = MEMBERS.into_iter().filter(|(name, _)| *name != missing).collect();
        let loaded = Registry::from_json(laid_out(&members).as_bytes());
        if REQUIRED.contains(&missing) {
            let text = loaded.err().unwrap().to_string();
            let key = if missing == "id" { "key 2" } else { "key 2 (key_2)" };
            let expected = format!("the registry document: {key}: missing member `{missing}` at line ");
            assert!(text.starts_with(&expected), "{text}");
        } else {
            assert!(loaded.is_ok(), "{missing} may be left out");
        }
    }
}

#[test]
fn a_member_that_is_there_twice_is_refused_at_the_second() {
    for (member, value) in MEMBERS {
        for place in 1..=MEMBERS.len() {
            let first = MEMBERS.iter().position(|(name, _)| *name == member).unwrap();
            let mut members = MEMBERS.to_vec();
            members.insert(place, (member, value));
            let second = if place <= first { first + 1 } else { place };
            assert_refused_at(&laid_out(&members), &format!("duplicate member `{member}`"), FIRST_LINE + second);
        }
    }
    let retiring = r#"{"until": "2026-12-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}"#;
    let json = laid_out(&members_with("retiring", retiring));
    assert_refused_at(&json, "member `retiring`: duplicate member `until`", FIRST_LINE + 12);
}

proptest! {
    /// An unknown member anywhere in a document is refused, named, and placed on its line.
    #[test]
    fn an_unknown_member_is_refused_where_it_stands(
        name in "[a-z_A-Z0-9 é]{0,12}",
        value in prop_oneof![Just("null"), Just("[]"), Just("{\"version\": 1}"), Just("\"x\"")],
        place in 1..=MEMBERS.len(),
    ) {
        prop_assume!(MEMBERS.iter().all(|(known, _)| *known != name));
        prop_assume!(!["version", "revision", "keys", "until"].contains(&name.as_str()));
        let mut members: Vec<(&str, &str)> = MEMBERS.to_vec();
        members.insert(place, (&name, value));
        assert_refused_at(&laid_out(&members), &format!("unknown member {name:?}; expected one of id, "), FIRST_LINE + place);

        let retiring = format!(
            r#"{{"sha256": "{}", "until": "2026-12-01T00:00:00Z", {}: {value}}}"#, digest(9), Value::from(name.as_str())
        );
        let mut members: Vec<(&str, &str)> = MEMBERS.to_vec();
        members[12].1 = &retiring;
        let message = format!("member `retiring`: unknown member {name:?}; expected one of sha256, until");
        assert_refused_at(&laid_out(&members), &message, FIRST_LINE + 12);

        let text = refusal(format!("{{\"version\": 1, \"keys\": [],\n{}: {value}}}", Value::from(name.as_str()))).to_string();
        let message = format!("unknown member {name:?}; expected one of version, revision, keys at line 2 column ");
        prop_assert!(text.contains(&message), "{}", text);
    }
}

#[test]
fn a_member_is_known_by_its_whole_name_only() {
    for (member, _) in MEMBERS {
        for name in [&member[..member.len() - 1], &member.to_uppercase(), &format!("{member} "), &format!("{member}\0")]
        {
            let mut members = MEMBERS.to_vec();
            members.push((name, "null"));
            assert_refused_at(&laid_out(&members), "unknown member ", FIRST_LINE + MEMBERS.len());
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let json = real_document();
    for (what, byte) in [("a NUL", 0), ("a stray byte", 0x80), ("a byte that no UTF-8 has", 0xff)] {
        for place in 0..=json.len() {
            let mut bytes = json.clone().into_bytes();
            bytes.insert(place, byte);
            assert_eq!(refusal(bytes).kind(), ErrorKind::Format, "{what} at {place}");
        }
    }
    for text in [r#""\ud800""#, r#""\u12""#, r#""\x""#, "\"a\tb\"", "'x'"] {
        // What is no JSON at all is found before any key is.
        let json = laid_out(&members_with_text("name", text));
        if text == r#""\ud800""# {
            assert_refused_at(&json, "member `name`: not a Unicode text", FIRST_LINE + 1);
        } else {
            let error = refusal(&json);
            assert!(error.to_string().starts_with("the registry document: not JSON: "), "{error}");
            assert_eq!(error.line(), Some(u32::try_from(FIRST_LINE + 1).unwrap()), "{error}");
        }
    }
    assert_eq!(refusal(format!("\u{feff}{json}")).kind(), ErrorKind::Format, "a byte order mark");
}

fn members_with_text<'a>(name: &str, value: &'a str) -> Vec<(&'static str, &'a str)> {
    MEMBERS.map(|(known, sound)| (known, if known == name { value } else { sound })).into()
}

#[test]
fn nothing_may_follow_the_document() {
    let json = real_document();
    for more in ["x", "{}", ",", "}", "\0", "null", &json, "\u{feff}", "\u{c}"] {
        let error = refusal(format!("{json}{more}"));
        assert!(error.to_string().contains("not JSON: trailing characters at line "), "{error}");
    }
    assert!(Registry::from_json(format!(" \t\r\n{json} \t\r\n").as_bytes()).is_ok());
    assert_eq!(refusal(format!("\u{c}{json}")).kind(), ErrorKind::Format, "a form feed is not white space in JSON");
}

#[test]
fn a_document_that_nests_too_deep_is_an_error() {
    for (open, close) in [("[", "]"), ("{\"keys\":", "}"), ("[{\"id\":", "}]")] {
        for depth in [8, 9, 127, 128, 129, 100_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            // Two keys are twins, and stand before what nests.
            let twins = format!(r#"{{"version": 1, "keys": [{0}, {0}], "x": {nested}}}"#, record(1));
            assert_eq!(refusal(&twins).kind(), ErrorKind::Conflict, "{open} {depth}");
            for json in [
                nested.clone(),
                format!(r#"{{"version": 1, "keys": {nested}}}"#),
                format!(r#"{{"version": 1, "keys": [{nested}]}}"#),
                laid_out(&members_with_text("scopes", &nested)),
                laid_out(&members_with_text("retiring", &nested)),
            ] {
                assert_eq!(refusal(&json).kind(), ErrorKind::Format, "{open} {depth}");
            }
        }
    }
}

// ---- Values ----

/// Whether a document is accepted in which one member of a record has this value.
fn takes(member: &str, value: &str) -> bool {
    let json = laid_out(&members_with_text(member, value));
    match Registry::from_json(json.as_bytes()) {
        Ok(_) => true,
        Err(error) => {
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Format, "{text}");
            let line = FIRST_LINE + MEMBERS.iter().position(|(known, _)| *known == member).unwrap();
            let expected = [format!("member `{member}`: "), "not JSON: ".into()];
            assert!(expected.iter().any(|reason| text.contains(reason)), "refused for another reason: {text}");
            assert!(text.contains(&format!(" at line {line} column ")), "refused elsewhere: {text}");
            false
        }
    }
}

#[test]
fn a_date_is_rfc_3339_in_utc_to_the_millisecond() {
    // With the exact time that each means: it is denied from then on, not a millisecond before.
    let accepted = [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ("2024-02-29T23:59:59Z", 1_709_251_199_000),
        ("2027-01-01T00:00:00.5Z", 1_798_761_600_500),
        ("2027-01-01T00:00:00.05Z", 1_798_761_600_050),
        ("2027-01-01T00:00:00.005Z", 1_798_761_600_005),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ];
    for (date, unix_ms) in accepted {
        let registry = Registry::from_json(&document(1, &[record_with(1, &json!({"expires_at": date}))])).unwrap();
        let at = |unix_ms| ask(&registry, &secret(1), Now { unix_ms, ..NOW });
        assert_eq!(at(unix_ms - 1), Ok(()), "{date}");
        assert_eq!(at(unix_ms), Err(DenyReason::ExpiredKey), "{date}");
    }
    let refused = [
        "",
        "Z",
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01T00:00:00z",
        "2027-01-01t00:00:00Z",
        "2027-01-01 00:00:00Z",
        "2027-01-01T00:00:00+00:00",
        "2027-01-01T00:00:00-00:00",
        "2027-01-01T00:00:00+01:00",
        "2027-01-01T00:00:00Z[UTC]",
        "2027-01-01T00:00:00ZZ",
        "2027-01-01T00:00Z",
        "2027-01-01T00Z",
        "20270101T000000Z",
        "2027-1-01T00:00:00Z",
        "2027-01-01T0:00:00Z",
        "27-01-01T00:00:00Z",
        "2027-001T00:00:00Z",
        "2027-W01-5T00:00:00Z",
        "+2027-01-01T00:00:00Z",
        "-2027-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "+010000-01-01T00:00:00Z",
        "2027-00-01T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-00T00:00:00Z",
        "2027-01-32T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2027-04-31T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "2027-01-01T00:00:61Z",
        "2027-01-01T00:00:00.Z",
        "2027-01-01T00:00:00,5Z",
        "2027-01-01T00:00:00.0000Z",
        "2027-01-01T00:00:00.123456Z",
        "2027-01-01T00:00:00.1 Z",
        " 2027-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z ",
        "2027-01-01T00:00:00Z\0",
        "２027-01-01T00:00:00Z",
        "2027-01-01T00:00:0٣Z",
        "2027−01-01T00:00:00Z",
        "1798761600",
        "never",
    ];
    for date in refused {
        for member in ["expires_at", "created_at", "revoked_at"] {
            assert!(!takes(member, &Value::from(date).to_string()), "{member}: {date}");
        }
        let retiring = json!({"sha256": digest(9), "until": date}).to_string();
        assert!(!takes("retiring", &retiring), "until: {date}");
    }
}

#[test]
fn a_digest_is_64_lower_case_hexadecimal_digits() {
    let digest = "0123456789abcdef".repeat(4);
    assert!(takes("sha256", &format!("{digest:?}")));
    for wrong in [
        String::new(),
        digest[1..].into(),
        format!("{digest}0"),
        format!("{digest}00"),
        digest.to_uppercase(),
        digest.replacen('a', "A", 1),
        digest.replacen('a', "g", 1),
        digest.replacen('0', " ", 1),
        format!("0x{}", &digest[2..]),
        "é".repeat(32),
        digest.replacen('0', "\0", 1),
    ] {
        assert!(!takes("sha256", &Value::from(wrong.as_str()).to_string()), "{wrong}");
        let retiring = json!({"sha256": wrong, "until": "2027-01-01T00:00:00Z"}).to_string();
        assert!(!takes("retiring", &retiring), "retiring {wrong}");
    }
}

#[test]
fn a_rate_limit_is_a_whole_number_from_1_to_1000() {
    for limit in ["1", "60", "1000"] {
        assert!(takes("rate_limit", limit), "{limit}");
    }
    for limit in [
        "0",
        "1001",
        "-1",
        "-0",
        "1.5",
        "60.0",
        "1e3",
        "1E2",
        "\"60\"",
        "4294967297",
        "18446744073709551617",
        "060",
        "+6",
    ] {
        assert!(!takes("rate_limit", limit), "{limit}");
    }
}

#[test]
fn a_scope_is_known_by_its_whole_name() {
    let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap();
    let names: Vec<String> = registry.policy().scopes().map(String::from).collect();
    assert_eq!(names.len(), 11);
    for name in &names {
        assert!(takes("scopes", &format!("[{name:?}]")), "{name}");
        assert!(!takes("scopes", &format!("[{name:?}, {name:?}]")), "{name} twice");
        for length in 0..name.len() {
            assert!(!takes("scopes", &format!("[{:?}]", &name[..length])), "the beginning of {name}");
        }
        for other in
            [format!("{name}s"), format!("{name} "), name.to_uppercase(), format!("{name}\0"), format!(" {name}")]
        {
            assert!(!takes("scopes", &format!("[{}]", Value::from(other.as_str()))), "{other:?}");
        }
    }
    for other in ["*", "products:*", "products", "admin", "all"] {
        assert!(!takes("scopes", &format!("[{other:?}]")), "{other}");
    }
    assert!(takes("scopes", &Value::from(names).to_string()), "all of them");
}

#[test]
fn an_id_is_short_plain_and_no_key() {
    for id in
        ["k", "key_4f9aT0q1Zb7YcXw2mK8s", "a-b.c:d_E9", &"x".repeat(31), "bpos", "Bpos_x", "my_bpos_key", "bpos-1"]
    {
        assert!(takes("id", &format!("{id:?}")), "{id}");
    }
    for id in ["", &"x".repeat(32), "a b", "é", "a/b", "a\0", "a\n", "\u{202e}", "bpos_", "bpos_x", "\"", "a%2f"] {
        assert!(!takes("id", &Value::from(id).to_string()), "{id:?}");
    }
    // A key that somebody took for an id must not come into the logs.
    assert!(!takes("id", r#""bpos_0123456789abcdef""#));
    assert!(!takes("id", r#""key:bpos_0123456789abcdef""#));
}

#[test]
fn a_hint_is_the_beginning_of_a_key() {
    for hint in ["bpos_abc1", "bpos_0000", "bpos_ZZZZ"] {
        assert!(takes("hint", &format!("{hint:?}")), "{hint}");
    }
    for hint in [
        "",
        "abc1",
        "bpos_",
        "bpos_abc",
        "bpos_abc12",
        "bpos_abc_",
        "bpos_ab 1",
        "BPOS_abc1",
        "bpos_abcé",
        "bpos_abc\0",
    ] {
        assert!(!takes("hint", &Value::from(hint).to_string()), "{hint:?}");
    }
}

#[test]
fn names_and_stores_have_a_longest_length_in_bytes() {
    for (member, longest) in [("name", 200), ("store", 63)] {
        let text = |letter: &str, times: usize, more: &str| format!("{:?}", letter.repeat(times) + more);
        assert!(takes(member, &text("x", 1, "")));
        assert!(takes(member, &text("x", longest, "")));
        assert!(takes(member, &text("é", longest / 2, if longest % 2 == 1 { "x" } else { "" })));
        assert!(!takes(member, &text("x", 0, "")));
        assert!(!takes(member, &text("x", longest + 1, "")));
        assert!(!takes(member, &text("é", longest / 2, if longest % 2 == 1 { "xx" } else { "x" })));
        assert!(!takes(member, &text("x", 1_000_000, "")));
    }
}

#[test]
fn control_characters_in_names_and_stores_are_refused() {
    let controls =
        ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}').chain('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    for member in ["name", "store"] {
        for control in controls.clone() {
            for text in [format!("{control}"), format!("a{control}b"), format!("ab{control}")] {
                let mut escaped = String::from("\"");
                for unit in text.encode_utf16() {
                    write!(escaped, "\\u{unit:04x}").unwrap();
                }
                assert!(!takes(member, &format!("{escaped}\"")), "{member}: {control:?}");
                assert!(!takes(member, &Value::from(text).to_string()), "{member}: {control:?}");
            }
            let error = refusal(laid_out(&members_with_text(member, &Value::from(format!("a{control}b")).to_string())));
            assert!(!error.to_string().contains(control), "printed as it is: {error:?}");
        }
        for fine in [' ', '~', '\u{a0}', '\u{2027}', '\u{202f}', '\u{206a}', 'é', '日', '\u{1f6d2}', '"', '\\', '<'] {
            assert!(takes(member, &Value::from(format!("a{fine}b")).to_string()), "{member}: {fine:?}");
        }
    }
}

#[test]
fn absent_members_have_the_stated_defaults() {
    let registry = Registry::from_json(&json!({"version": 1, "keys": [record(1)]}).to_string().into_bytes()).unwrap();
    let expected = json!({"version": 1, "revision": 0, "keys": [{
        "id": "key_1", "name": "Name 1", "store": "yourstore", "sha256": digest(1), "hint": null,
        "scopes": ["products:read"], "rate_limit": 60, "expires_at": null, "test_mode": false, "enabled": true,
        "created_at": null, "revoked_at": null, "retiring": null,
    }]});
    assert_eq!(exported(&registry), expected);

    let registry =
        Registry::from_json(&document(0, &[record_with(1, &json!({"scopes": ["products:write"]}))])).unwrap();
    let secret = secret(1);
    let write = Request::new("PATCH", "/api/v1/products/bulk").api_key(&secret);
    let never = Now { unix_ms: i64::MAX, ..NOW };
    for _ in 0..60 {
        let grant = registry.authorize_at(&write, never).expect("enabled, not in test mode, and never expired");
        assert_eq!((grant.limit(), grant.test_mode()), (60, false));
    }
    assert_eq!(registry.authorize_at(&write, never).unwrap_err().reason(), DenyReason::RateLimited);
}

// ---- What only the whole set can tell ----

#[test]
fn no_two_keys_share_an_id_and_no_two_secrets_a_digest() {
    let retiring = |number| json!({"retiring": {"sha256": digest(number), "until": "2027-01-01T00:00:00Z"}});
    let digest_of = |number| json!({"sha256": digest(number)});
    let (own, old) = ("member `sha256`: ", "member `retiring`: member `sha256`: ");
    let cases = [
        (vec![record(1), record(2), record_with(3, &json!({"id": "key_1"}))], "key 3 (key_1): member `id`: ", 1, "id"),
        (vec![record(1), record_with(2, &digest_of(1))], &format!("key 2 (key_2): {own}"), 1, "secret"),
        (
            vec![record_with(1, &retiring(9)), record_with(2, &digest_of(9))],
            &format!("key 2 (key_2): {own}"),
            1,
            "secret",
        ),
        (vec![record(1), record_with(2, &retiring(1))], &format!("key 2 (key_2): {old}"), 1, "secret"),
        (
            vec![record_with(1, &retiring(9)), record_with(2, &retiring(9))],
            &format!("key 2 (key_2): {old}"),
            1,
            "secret",
        ),
        (vec![record_with(1, &retiring(1))], &format!("key 1 (key_1): {old}"), 1, "secret"),
    ];
    for (records, label, first, what) in cases {
        // One record a line, from line 2 on, each with its id first: the place is where what is shared ends.
        let line = |record: &Value| {
            let mut members = record.as_object().unwrap().clone();
            let id = members.remove("id").unwrap();
            let rest = Value::from(members).to_string();
            format!("{{\"id\": {id}, {}", &rest[1..])
        };
        let lines: Vec<String> = records.iter().map(line).collect();
        let json = format!("{{\"version\": 1, \"keys\": [\n{}\n]}}", lines.join(",\n"));
        let error = refusal(&json);
        let last = records.last().unwrap();
        let shared = match (what, label.contains("retiring")) {
            ("id", _) => &last["id"],
            (_, false) => &last["sha256"],
            (_, true) => &last["retiring"]["sha256"],
        };
        // In a record whose retiring secret is its own, that one stands first.
        let column = lines.last().unwrap().find(&shared.to_string()).unwrap() + shared.to_string().len();
        let expected = format!(
            "the registry document: {label}key {first} has the same {what} at line {} column {column}",
            records.len() + 1
        );
        assert_eq!(error.to_string(), expected, "{json}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    // The id is the last member here, and what is behind it makes no difference to its place.
    let mut members = record(2);
    members.as_object_mut().unwrap().remove("id");
    let text = members.to_string();
    let second = format!("{},\n\"id\": \"key_1\"\n\n}}", &text[..text.len() - 1]);
    let error = refusal(format!("{{\"version\": 1, \"keys\": [{},\n{second}]}}", record(1)));
    assert_eq!(
        error.to_string(),
        "the registry document: key 2 (key_1): member `id`: key 1 has the same id at line 3 column 13"
    );

    let other = [record(1), record_with(2, &json!({"id": "KEY_1"})), record_with(3, &retiring(9))];
    assert!(Registry::from_json(&document(1, &other)).is_ok(), "ids are compared byte for byte");
    let alike = format!("{}{}", &digest(1)[..16], &digest(2)[16..]);
    let alike = [record(1), record_with(2, &json!({"sha256": alike}))];
    assert!(Registry::from_json(&document(1, &alike)).is_ok(), "digests are compared as a whole");
}

// ---- Bounds ----

#[test]
fn a_document_has_at_most_a_gibibyte() {
    let mut json = document(1, &[record(1)]);
    json.resize(1 << 30, b' ');
    assert_eq!(Registry::from_json(&json).unwrap().stats().keys, 1);
    json.push(b' ');
    let error = refusal_of_large(&json);
    assert_eq!(error.kind(), ErrorKind::Limit);
    let expected = "the registry document: 1073741825 bytes; expected at most 1073741824 (1 GiB)";
    assert_eq!(error.to_string(), expected);
}

fn refusal_of_large(json: &[u8]) -> Error {
    Registry::from_json(json).err().expect("more than the bound")
}

#[test]
fn a_document_has_at_most_two_million_keys() {
    const MOST: u64 = 2_000_000;
    let mut json = String::from(r#"{"version":1,"keys":["#);
    for number in 0..MOST {
        // Odd multiples: every digest begins differently.
        let start = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let comma = if number == 0 { "" } else { "," };
        write!(
            json,
            r#"{comma}{{"id":"{number}","name":"n","store":"s","scopes":[],"sha256":"{start:016x}{number:048x}"}}"#
        )
        .unwrap();
    }
    json.push_str("]}");
    assert_eq!(Registry::from_json(json.as_bytes()).unwrap().stats().keys, 2_000_000);
    json.truncate(json.len() - 2);
    json.push(',');
    json.push_str(&record(1).to_string());
    json.push_str("]}");
    let error = refusal_of_large(json.as_bytes());
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let expected = format!(
        "the registry document: member `keys`: expected at most 2000000 keys; found one more at line 1 column {}",
        json.len() - 2
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn only_a_bound_that_was_passed_is_a_limit() {
    let error = refusal(r#"{"version": 1, "keys": [], "expected at most": 1}"#);
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
}

#[test]
fn a_message_stays_short_and_keeps_its_beginning_and_its_place() {
    let long = format!("{:?}", "é\n".repeat(100_000));
    for member in MEMBERS.iter().map(|(name, _)| *name).filter(|name| *name != "id") {
        for value in [long.clone(), format!("[{long}]"), format!("{{{long}: 1}}")] {
            let json = laid_out(&members_with_text(member, &value));
            let text = refusal(&json).to_string();
            assert!(text.len() < 480, "{} bytes", text.len());
            assert!(text.starts_with("the registry document: key 2 (key_2): "), "{text}");
            assert!(text.contains(" at line "), "{text}");
        }
    }
}

// ---- No key in an error ----

#[test]
fn an_error_never_holds_a_key() {
    const CANARY: &str = "bpos_c4n4ryC4N4RYc4n4ry0123456789abcdefghij";
    let shows = |text: &str| text.contains(&CANARY[10..20]) || text.contains(&CANARY[25..]);
    let escaped = CANARY.replace('_', "\\u005f");
    let values = |key: &str| {
        [
            format!("\"{key}\""),
            format!("\"see {key}, please\""),
            format!("\"{key} {key}\""),
            format!("\"x\\u0000{key}\""),
            format!("\"id:{key}\""),
            format!("[\"{key}\"]"),
            format!("[\"{key}\", \"{key}\"]"),
            format!("[[\"{key}\"]]"),
            format!("{{\"{key}\": 1}}"),
            format!("{{\"sha256\": \"{key}\"}}"),
            format!("{{\"until\": \"{key}\"}}"),
            format!("\"{key}"),
            key.to_string(),
        ]
    };
    let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap();
    let mut refused = 0;
    for value in values(CANARY).iter().chain(&values(&escaped)).chain(&values(&CANARY[..21])) {
        let shown = |json: &str| {
            let failures = [
                Registry::from_json(json.as_bytes()).err(),
                registry.apply(json.as_bytes()).err(),
                Options::from_json(json.as_bytes()).err(),
                bpos::Policy::from_json(json.as_bytes()).err(),
            ];
            failures
                .into_iter()
                .flatten()
                .map(|error| format!("{error} {error:?}"))
                .find(|text| text.contains(&CANARY[..21]) || shows(text))
        };
        let mut documents = vec![
            value.clone(),
            format!("[{value}]"),
            format!(r#"{{"version": {value}, "keys": []}}"#),
            format!(r#"{{"version": 1, "revision": {value}, "keys": []}}"#),
            format!(r#"{{"version": 1, "keys": {value}}}"#),
            format!(r#"{{"version": 1, "keys": [{value}]}}"#),
            format!(r#"{{"version": 1, "keys": []}} {value}"#),
            format!(r#"{{{value}: 1}}"#),
            format!(r#"{{"policy": {value}}}"#),
            format!(r#"{{"read_only": {value}}}"#),
            format!(r#"{{"policy": {{"scopes": [{{"name": "a", "includes": {value}}}], "routes": []}}}}"#),
            format!(r#"{{"scopes": {value}, "routes": []}}"#),
            format!(r#"{{"scopes": [{{"name": {value}}}, {{"name": {value}}}], "routes": []}}"#),
            format!(r#"{{"scopes": [{{"name": "a", "includes": {value}}}], "routes": []}}"#),
            format!(r#"{{"scopes": [{{"name": "a", "writes": {value}}}], "routes": []}}"#),
        ];
        for member in ["method", "path", "scope", "writes"] {
            let route = [("method", "\"GET\""), ("path", "\"/a\""), ("scope", "\"a\""), ("writes", "true")]
                .map(|(name, sound)| format!("\"{name}\": {}", if name == member { value } else { sound }))
                .join(", ");
            documents.push(format!(r#"{{"scopes": [{{"name": "a"}}], "routes": [{{{route}}}, {{{route}}}]}}"#));
        }
        for (member, _) in MEMBERS {
            let json = laid_out(&members_with_text(member, value));
            refused += usize::from(Registry::from_json(json.as_bytes()).is_err());
            // With a fault behind it, so that a value that is taken (a name may hold anything) comes before one.
            documents.push(json.replacen("\"store\": \"yourstore\",\n", "\"store\": 5,\n", 1));
            // And twice the same key: the error of the whole set.
            documents.push(format!("{0}, {1}", &json[..json.len() - 2], &json[json.find("[\n").unwrap() + 2..]));
            documents.push(json);
        }
        for json in documents {
            assert_eq!(shown(&json), None, "{json}");
        }
    }
    assert!(refused > 13 * 30, "most of these are refused: {refused}");
}

// ---- Writing ----

/// A key as this test understands it, written here and read back from the export.
#[derive(Debug, Clone)]
struct Model {
    name: String,
    store: String,
    hint: Option<String>,
    scopes: Vec<&'static str>,
    rate_limit: Option<u32>,
    test_mode: Option<bool>,
    enabled: Option<bool>,
    expires_at: Option<Option<Date>>,
    created_at: Option<Option<Date>>,
    revoked_at: Option<Option<Date>>,
    retiring: Option<Option<Date>>,
}

#[derive(Debug, Clone)]
struct Date {
    seconds: String,
    ms: u32,
    /// How many digits of the fraction are written: as many as it needs, or more.
    digits: usize,
}

impl Date {
    fn given(&self) -> String {
        let fraction = format!("{:03}", self.ms);
        let needed = fraction.trim_end_matches('0').len().max(self.digits);
        if needed == 0 { format!("{}Z", self.seconds) } else { format!("{}.{}Z", self.seconds, &fraction[..needed]) }
    }

    fn written(&self) -> String {
        Self { digits: 3, ..self.clone() }.given()
    }
}

impl Model {
    fn given(&self, number: usize) -> Value {
        let date = |date: &Option<Date>| Value::from(date.as_ref().map(Date::given));
        let mut record = json!({
            "id": format!("key_{number}"), "name": self.name, "store": self.store, "sha256": digest(number), "scopes": self.scopes,
        });
        let members = record.as_object_mut().unwrap();
        let mut add = |name: &str, value: Option<Value>| {
            value.map(|value| members.insert(name.into(), value));
        };
        add("hint", self.hint.clone().map(Value::from));
        add("rate_limit", self.rate_limit.map(Value::from));
        add("test_mode", self.test_mode.map(Value::from));
        add("enabled", self.enabled.map(Value::from));
        add("expires_at", self.expires_at.as_ref().map(date));
        add("created_at", self.created_at.as_ref().map(date));
        add("revoked_at", self.revoked_at.as_ref().map(date));
        add(
            "retiring",
            self.retiring.as_ref().map(|until| match until {
                Some(until) => json!({"sha256": digest(1_000 + number), "until": until.given()}),
                None => Value::Null,
            }),
        );
        record
    }

    fn written(&self, number: usize) -> Value {
        let date = |date: &Option<Option<Date>>| date.clone().flatten().map(|date| date.written());
        let mut scopes = self.scopes.clone();
        scopes.sort_by_key(|name| SCOPES.iter().position(|known| known == name));
        let retiring = date(&self.retiring).map(|until| json!({"sha256": digest(1_000 + number), "until": until}));
        json!({
            "id": format!("key_{number}"), "name": self.name, "store": self.store, "sha256": digest(number),
            "hint": self.hint, "scopes": scopes, "rate_limit": self.rate_limit.unwrap_or(60),
            "expires_at": date(&self.expires_at), "test_mode": self.test_mode.unwrap_or(false),
            "enabled": self.enabled.unwrap_or(true), "created_at": date(&self.created_at),
            "revoked_at": date(&self.revoked_at), "retiring": retiring,
        })
    }
}

const SCOPES: [&str; 11] = [
    "products:read",
    "customers:read",
    "sales:read",
    "inventory:read",
    "loyalty:read",
    "gift_cards:read",
    "store_credits:read",
    "products:write",
    "customers:write",
    "inventory:write",
    "webhooks:manage",
];

fn date() -> impl Strategy<Value = Date> {
    let day = (0..=9999_i32, 1..=12_i32, 1..=31_i32).prop_map(|(year, month, day)| {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match month {
            2 => 28 + i32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        format!("{year:04}-{month:02}-{:02}", day.min(longest))
    });
    let ms = prop_oneof![Just(0), 0..1000_u32, (0..10_u32).prop_map(|tenth| tenth * 100)];
    (day, 0..24, 0..60, 0..60, ms, 0..=3_usize).prop_map(|(day, hour, minute, second, ms, digits)| Date {
        seconds: format!("{day}T{hour:02}:{minute:02}:{second:02}"),
        ms,
        digits,
    })
}

fn model() -> impl Strategy<Value = Model> {
    let text = |most: usize| {
        any::<String>().prop_filter_map("1 byte or more of plain text", move |text| {
            let plain = |c: &char| {
                !(c.is_control()
                    || ['\u{61c}', '\u{200e}', '\u{200f}'].contains(c)
                    || ('\u{2028}'..='\u{202e}').contains(c)
                    || ('\u{2066}'..='\u{2069}').contains(c))
            };
            let mut text: String = text.chars().filter(plain).collect();
            while text.len() > most {
                text.pop();
            }
            (!text.is_empty()).then_some(text)
        })
    };
    let maybe_date = || proptest::option::of(proptest::option::of(date()));
    let scopes = subsequence(SCOPES.to_vec(), 0..=SCOPES.len()).prop_shuffle();
    let plain =
        (text(200), text(63), proptest::option::of("bpos_[0-9A-Za-z]{4}"), scopes, proptest::option::of(1..=1000_u32));
    let flags = (any::<Option<bool>>(), any::<Option<bool>>());
    (plain, flags, maybe_date(), maybe_date(), maybe_date(), maybe_date()).prop_map(
        |(
            (name, store, hint, scopes, rate_limit),
            (test_mode, enabled),
            expires_at,
            created_at,
            revoked_at,
            retiring,
        )| {
            Model {
                name,
                store,
                hint,
                scopes,
                rate_limit,
                test_mode,
                enabled,
                expires_at,
                created_at,
                revoked_at,
                retiring,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_read_is_what_is_written(keys in proptest::collection::vec(model(), 0..8), revision in any::<u64>()) {
        let records: Vec<Value> = keys.iter().zip(1..).map(|(key, number)| key.given(number)).collect();
        let registry = Registry::from_json(&document(revision, &records)).unwrap();
        let expected: Vec<Value> = keys.iter().zip(1..).map(|(key, number)| key.written(number)).collect();
        prop_assert_eq!(exported(&registry), json!({"version": 1, "revision": revision, "keys": expected}));

        let written = registry.export().unwrap();
        prop_assert_eq!(Registry::from_json(&written).unwrap().export().unwrap(), written);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let registry = Registry::from_json(&document(1, &[record(1)])).unwrap();
        let before = registry.export().unwrap();
        prop_assert!(Registry::from_json(&bytes).is_err());
        prop_assert!(registry.apply(&bytes).is_err());
        prop_assert!(bpos::Policy::from_json(&bytes).is_err());
        prop_assert!(Options::from_json(&bytes).is_err());
        prop_assert_eq!(registry.export().unwrap(), before);
    }

    /// A document with some bytes changed, taken out, or put in twice is refused, or is sound and survives a round trip.
    #[test]
    fn a_mutated_document_never_panics(
        mutations in proptest::collection::vec((any::<proptest::sample::Index>(), 0..4, any::<u8>(), 1..40_usize), 1..4),
    ) {
        let mut json = laid_out(&MEMBERS).into_bytes();
        for (place, kind, byte, length) in mutations {
            let place = place.index(json.len());
            let end = (place + length).min(json.len());
            match kind {
                0 => json[place] = byte,
                1 => json[place] = b"{}[]\",:0e-"[usize::from(byte) % 10],
                2 => drop(json.drain(place..end)),
                _ => {
                    let copy = json[place..end].to_vec();
                    json.splice(place..place, copy);
                }
            }
            prop_assume!(!json.is_empty());
        }
        if let Ok(registry) = Registry::from_json(&json) {
            let written = registry.export().unwrap();
            prop_assert_eq!(Registry::from_json(&written).unwrap().export().unwrap(), written);
        }
    }
}

// ---- The schema for editors ----

/// What the reader and the schema say to a document.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// Both take it.
    Sound,
    /// Both refuse it.
    Wrong,
    /// The reader refuses it; the schema cannot, for this reason.
    BeyondSchema(&'static str),
}

use Verdict::{BeyondSchema, Sound, Wrong};

const COUNTS_CHARACTERS: Verdict = BeyondSchema("a schema counts characters, the reader bytes");
const NUMBER_FORMS: Verdict = BeyondSchema("to a schema 60.0 and 6e1 are the integer 60");
const CALENDAR: Verdict = BeyondSchema("a pattern does not know how many days a month has");
const UNIQUE: Verdict = BeyondSchema("a schema cannot compare two records");
const PARSED_BEFORE: Verdict = BeyondSchema("a schema sees only the last of two members of one name");
const OWN_POLICY: Verdict = BeyondSchema("a host's own policy may have the scope");

#[test]
fn the_schema_agrees_with_the_reader() {
    let schema: Value = serde_json::from_str(include_str!("../docs/registry.schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is one");
    let schema = jsonschema::draft202012::new(&schema).unwrap();

    let texts = |length: usize| format!("{:?}", "x".repeat(length));
    let accents = |length: usize| format!("{:?}", "é".repeat(length));
    let scopes_of = |count: usize| Value::from(SCOPES[..count].to_vec()).to_string();
    let retiring = |members: &str| format!("{{{members}}}");
    let other = digest(77);
    let members: Vec<(&str, String, Verdict)> = [
        ("id", "\"k\"", Sound),
        ("id", "\"a-b.c:d_E9\"", Sound),
        ("id", "\"\"", Wrong),
        ("id", "\"a b\"", Wrong),
        ("id", "\"é\"", Wrong),
        ("id", "\"a\\n\"", Wrong),
        ("id", "\"bpos_x\"", Wrong),
        ("id", "\"my_bpos_x\"", Sound),
        ("id", "\"my:bpos_0123456789abcdef\"", Wrong),
        ("id", "\"key_1\"", UNIQUE),
        ("name", "\"\"", Wrong),
        ("name", "\"日本\"", Sound),
        ("name", "\"a\\u0000\"", Wrong),
        ("name", "\"a\\u001f\"", Wrong),
        ("name", "\"a\\u007f\"", Wrong),
        ("name", "\"a\\u009f\"", Wrong),
        ("name", "\"a\\u00a0\"", Sound),
        ("name", "\"a\\u2027\"", Sound),
        ("name", "\"a\\u2028\"", Wrong),
        ("name", "\"a\\u202e\"", Wrong),
        ("name", "\"a\\u2066\"", Wrong),
        ("name", "\"a\\u206a\"", Sound),
        ("name", "\"a\\n\"", Wrong),
        ("store", "\"\"", Wrong),
        ("store", "\"a\\n\"", Wrong),
        ("store", "\"two words\"", Sound),
        ("sha256", "\"abc\"", Wrong),
        ("hint", "null", Sound),
        ("hint", "\"bpos_0Zaz\"", Sound),
        ("hint", "\"bpos_0Za\"", Wrong),
        ("hint", "\"bpos_0Zaz1\"", Wrong),
        ("scopes", "[]", Sound),
        ("scopes", "[\"products\"]", OWN_POLICY),
        ("scopes", "[\"a b\"]", Wrong),
        ("scopes", "[\"\"]", Wrong),
        ("scopes", "[\"sales:read\", \"sales:read\"]", Wrong),
        ("rate_limit", "0", Wrong),
        ("rate_limit", "1", Sound),
        ("rate_limit", "1000", Sound),
        ("rate_limit", "1001", Wrong),
        ("rate_limit", "-1", Wrong),
        ("rate_limit", "1.5", Wrong),
        ("rate_limit", "60.0", NUMBER_FORMS),
        ("rate_limit", "6e1", NUMBER_FORMS),
        ("expires_at", "\"2027-01-01T00:00:00.250Z\"", Sound),
        ("expires_at", "\"0000-01-01T00:00:00Z\"", Sound),
        ("expires_at", "\"9999-12-31T23:59:59.999Z\"", Sound),
        ("expires_at", "\"2024-02-29T00:00:00Z\"", Sound),
        ("expires_at", "\"2027-02-29T00:00:00Z\"", CALENDAR),
        ("expires_at", "\"2027-04-31T00:00:00Z\"", CALENDAR),
        ("expires_at", "\"2027-13-01T00:00:00Z\"", Wrong),
        ("expires_at", "\"2027-01-32T00:00:00Z\"", Wrong),
        ("expires_at", "\"2027-01-00T00:00:00Z\"", Wrong),
        ("expires_at", "\"2027-01-01T24:00:00Z\"", Wrong),
        ("expires_at", "\"2027-01-01T23:60:00Z\"", Wrong),
        ("expires_at", "\"2016-12-31T23:59:60Z\"", Wrong),
        ("expires_at", "\"2027-01-01T00:00:00.1234Z\"", Wrong),
        ("expires_at", "\"2027-01-01T00:00:00.Z\"", Wrong),
        ("expires_at", "\"2027-01-01T00:00:00z\"", Wrong),
        ("expires_at", "\"2027-01-01T00:00:00+00:00\"", Wrong),
        ("expires_at", "\"2027-01-01T00:00:00Z\\n\"", Wrong),
        ("expires_at", "\"10000-01-01T00:00:00Z\"", Wrong),
        ("created_at", "\"yesterday\"", Wrong),
        ("revoked_at", "\"2027-01-01T00:00:00Z\"", Sound),
        ("retiring", "null", Sound),
        ("retiring", "{}", Wrong),
    ]
    .into_iter()
    .map(|(name, value, verdict)| (name, value.to_string(), verdict))
    .chain([
        ("id", texts(31), Sound),
        ("id", texts(32), Wrong),
        ("name", texts(200), Sound),
        ("name", texts(201), Wrong),
        ("name", accents(100), Sound),
        ("name", accents(101), COUNTS_CHARACTERS),
        ("store", texts(63), Sound),
        ("store", texts(64), Wrong),
        ("store", accents(32), COUNTS_CHARACTERS),
        ("sha256", format!("{:?}", digest(1)), UNIQUE),
        ("sha256", format!("{:?}", &other[1..]), Wrong),
        ("sha256", format!("{:?}", format!("{other}0")), Wrong),
        ("sha256", format!("{:?}", other.to_uppercase()), Wrong),
        ("scopes", scopes_of(11), Sound),
        ("retiring", retiring(&format!("\"sha256\": {other:?}")), Wrong),
        ("retiring", retiring("\"until\": \"2027-01-01T00:00:00Z\""), Wrong),
        ("retiring", retiring(&format!("\"sha256\": {other:?}, \"until\": null")), Wrong),
        ("retiring", retiring(&format!("\"sha256\": {other:?}, \"until\": \"2027-02-30T00:00:00Z\"")), CALENDAR),
        ("retiring", retiring(&format!("\"sha256\": {other:?}, \"until\": \"2027-01-01T00:00:00Z\", \"x\": 1")), Wrong),
        ("retiring", retiring(&format!("\"sha256\": {:?}, \"until\": \"2027-01-01T00:00:00Z\"", digest(1))), UNIQUE),
    ])
    .collect();
    let mut cases: Vec<(String, Verdict)> =
        members.iter().map(|(name, value, verdict)| (laid_out(&members_with_text(name, value)), *verdict)).collect();

    for (name, _) in MEMBERS {
        let missing: Vec<_> = MEMBERS.into_iter().filter(|(known, _)| *known != name).collect();
        cases.push((laid_out(&missing), if REQUIRED.contains(&name) { Wrong } else { Sound }));
        for value in ["null", "true", "7", "\"\\u0000\"", "[7]", "{\"x\": 7}"] {
            let sound = match value {
                "null" => ["hint", "expires_at", "created_at", "revoked_at", "retiring"].contains(&name),
                "true" => ["test_mode", "enabled"].contains(&name),
                "7" => name == "rate_limit",
                _ => false,
            };
            cases.push((laid_out(&members_with_text(name, value)), if sound { Sound } else { Wrong }));
        }
        let mut twice = MEMBERS.to_vec();
        twice.push(MEMBERS[MEMBERS.iter().position(|(known, _)| *known == name).unwrap()]);
        cases.push((laid_out(&twice), PARSED_BEFORE));
    }
    let mut unknown = MEMBERS.to_vec();
    unknown.push(("limit", "7"));
    cases.push((laid_out(&unknown), Wrong));
    cases.extend(
        [
            ("{}", Wrong),
            ("[]", Wrong),
            ("null", Wrong),
            (r#"{"version": 1, "keys": []}"#, Sound),
            (r#"{"version": 1}"#, Wrong),
            (r#"{"keys": []}"#, Wrong),
            (r#"{"version": 2, "keys": []}"#, Wrong),
            (r#"{"version": "1", "keys": []}"#, Wrong),
            (r#"{"version": 1.0, "keys": []}"#, NUMBER_FORMS),
            (r#"{"version": 1, "keys": {}}"#, Wrong),
            (r#"{"version": 1, "keys": [7]}"#, Wrong),
            (r#"{"version": 1, "keys": null}"#, Wrong),
            (r#"{"version": 1, "revision": 0, "keys": []}"#, Sound),
            (r#"{"version": 1, "revision": 18446744073709551615, "keys": []}"#, Sound),
            (r#"{"version": 1, "revision": -1, "keys": []}"#, Wrong),
            (r#"{"version": 1, "revision": 1.5, "keys": []}"#, Wrong),
            (r#"{"version": 1, "revision": 2.0, "keys": []}"#, NUMBER_FORMS),
            (r#"{"version": 1, "revision": null, "keys": []}"#, Wrong),
            (r#"{"version": 1, "keys": [], "$schema": "registry.schema.json"}"#, Wrong),
            (r#"{"version": 1, "keys": [], "keys": []}"#, PARSED_BEFORE),
        ]
        .map(|(json, verdict)| (json.to_string(), verdict)),
    );

    for (json, verdict) in cases {
        let value: Value = serde_json::from_str(&json).unwrap();
        let read = Registry::from_json(json.as_bytes()).map(drop);
        assert_eq!(read.is_ok(), verdict == Sound, "the reader: {verdict:?} {read:?}\n{json}");
        let allowed = verdict != Wrong;
        assert_eq!(
            schema.is_valid(&value),
            allowed,
            "the schema: {verdict:?} {:?}\n{json}",
            schema.validate(&value).err()
        );
    }
}

#[test]
fn the_schema_describes_every_member_that_is_written() {
    let schema: Value = serde_json::from_str(include_str!("../docs/registry.schema.json")).unwrap();
    let export = exported(&Registry::from_json(laid_out(&MEMBERS).as_bytes()).unwrap());
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let record = &schema["$defs"]["record"]["properties"];
    assert_eq!(names(&schema["properties"]), names(&export));
    assert_eq!(names(record), names(&export["keys"][1]));
    assert_eq!(names(&schema["$defs"]["retiring"]["properties"]), names(&export["keys"][1]["retiring"]));
    for (name, member) in record.as_object().unwrap() {
        assert!(member["title"].is_string() && member["description"].is_string(), "{name} is not explained");
    }
    let defaults = exported(&Registry::from_json(&document(0, &[sample::record(1)])).unwrap());
    for (name, member) in record.as_object().unwrap() {
        if let Some(default) = member.get("default") {
            assert_eq!(&defaults["keys"][0][name], default, "{name}");
        }
    }
}
