//! `bpos lint`: every mistake, with its place.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that finds something else may panic")]

mod support;

use std::fmt::Write;

use bpos::{Policy, Registry};
use serde_json::{Value, json};
use support::Place;

const REGISTRY: &str = r#"{
  "version": 2,
  "revision": -1,
  "surprise": true,
  "keys": [
    { "id": "key_1", "name": "A", "store": "s", "sha256": "00", "scopes": ["sale:read", "products:read", "nope"],
      "rate_limit": 1001, "expires_at": "2027-01-01", "retiring": {"sha256": "zz", "until": "soon", "x": 1},
      "enabled": "yes", "colour": "red", "rate_limit": 5 },
    { "id": "key_2", "name": "", "store": "s",
      "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "scopes": [] },
    { "id": "key_2", "store": "s",
      "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "scopes": "all" },
    7,
    { "id": "k3", "name": "B", "store": "s", "scopes": ["sales:read", "sales:read"], "sha256":
      "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", "retiring": { "until": "2027-01-01T00:00:00Z",
      "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" } }
  ]
}
"#;

/// Line, column, and how the message begins.
const MISTAKES: &[(u64, u64, &str)] = &[
    (2, 14, "member `version`: expected version 1; found 2"),
    (3, 16, "member `revision`: expected a whole number, 0 or more; found -1"),
    (4, 12, "unknown member \"surprise\"; expected one of version, revision, keys"),
    (6, 62, "key 1 (key_1): member `sha256`: expected 64 lower-case hexadecimal digits; found a text of 2 characters"),
    (6, 86, "key 1 (key_1): member `scopes`: unknown scope \"sale:read\"; expected one of products:read,"),
    (6, 111, "key 1 (key_1): member `scopes`: unknown scope \"nope\""),
    (7, 24, "key 1 (key_1): member `rate_limit`: expected a whole number of requests a minute, 1 to 1000; found 1001"),
    (7, 52, "key 1 (key_1): member `expires_at`: expected a UTC date"),
    (7, 81, "key 1 (key_1): member `retiring`: member `sha256`: expected 64 lower-case hexadecimal digits"),
    (7, 98, "key 1 (key_1): member `retiring`: member `until`: expected a UTC date"),
    (7, 103, "key 1 (key_1): member `retiring`: unknown member \"x\""),
    (8, 22, "key 1 (key_1): member `enabled`: expected a boolean; found the string \"yes\""),
    (8, 32, "key 1 (key_1): unknown member \"colour\""),
    (8, 53, "key 1 (key_1): duplicate member `rate_limit`"),
    (9, 31, "key 2 (key_2): member `name`: expected 1 to 200 bytes"),
    (11, 19, "key 3 (key_2): member `id`: key 2 has the same id"),
    (12, 82, "key 3 (key_2): member `sha256`: key 2 has the same secret"),
    (12, 99, "key 3 (key_2): member `scopes`: expected an array of scopes; found the string \"all\""),
    (12, 101, "key 3 (key_2): missing member `name`"),
    (13, 5, "key 4: expected a key record, an object; found 7"),
    (14, 82, "key 5 (k3): member `scopes`: duplicate scope \"sales:read\""),
    (16, 82, "key 5 (k3): member `retiring`: member `sha256`: key 2 has the same secret"),
];

#[track_caller]
fn assert_mistakes(report: &Value, expected: &[(u64, u64, &str)]) {
    assert_eq!(report["sound"], expected.is_empty());
    let mut found = String::new();
    for mistake in report["mistakes"].as_array().unwrap() {
        writeln!(found, "{}:{} {}", mistake["line"], mistake["column"], mistake["message"].as_str().unwrap()).unwrap();
    }
    for (number, (line, (row, column, message))) in found.lines().zip(expected).enumerate() {
        assert!(line.starts_with(&format!("{row}:{column} {message}")), "mistake {number}: {line}\nin\n{found}");
    }
    assert_eq!(found.lines().count(), expected.len(), "{found}");
}

#[test]
fn all_mistakes_of_a_registry_are_told() {
    let place = Place::empty();
    place.write("keys.json", REGISTRY);
    let json = place.run(["lint", "keys.json", "--json"]);
    let report = json.json();
    assert_eq!((json.code, &report[0]["file"], &report[0]["kind"]), (1, &json!("keys.json"), &json!("registry")));
    assert_mistakes(&report[0], MISTAKES);

    let told = place.run(["lint", "keys.json"]);
    assert_eq!((told.code, told.err.lines().next()), (1, Some("22 mistakes")));
    assert!(told.out.starts_with("keys.json:2:14: member `version`: expected version 1; found 2\nkeys.json:3:16: "));
    // Without a name, it checks the registry that the other commands use.
    assert_eq!(place.run(["lint", "--json"]).json()[0]["mistakes"], report[0]["mistakes"]);
}

#[test]
fn all_mistakes_of_a_policy_are_told() {
    let place = Place::empty();
    let policy = r#"{
  "scopes": [
    {"name": "orders:read"},
    {"name": "orders:write", "includes": ["orders:read", "order:read", 7]},
    {"name": "orders:read"},
    {"name": "a b", "writes": "no"},
    {"includes": []},
    "x"
  ],
  "routes": [
    {"method": "get", "path": "/orders/{id}", "scope": "orders:read"},
    {"method": "GET", "path": "/orders/{id}", "scope": "order:read"},
    {"method": "GET", "path": "/orders/{a}", "scope": "orders:read"},
    {"method": "GET", "path": "/orders/{b}", "scope": "orders:read"},
    {"method": "POST", "path": "orders//", "scope": "nope", "write": false}
  ],
  "extra": 1
}"#;
    place.write("policy.json", policy);
    let ran = place.run(["lint", "policy.json", "--json"]);
    assert_eq!((ran.code, &ran.json()[0]["kind"]), (1, &json!("policy")));
    assert_mistakes(
        &ran.json()[0],
        &[
            (
                4,
                69,
                "scope 2: member `includes`: unknown scope \"order:read\"; expected one of orders:read, orders:write",
            ),
            (4, 72, "scope 2: member `includes`: expected a scope, a string; found 7"),
            (5, 26, "scope 3: member `name`: duplicate scope \"orders:read\""),
            (6, 18, "scope 4: member `name`: a scope's name has 1 to 63 visible ASCII characters"),
            (6, 34, "scope 4: member `writes`: expected a boolean; found the string \"no\""),
            (7, 20, "scope 5: missing member `name`"),
            (8, 7, "scope 6: expected a scope, an object with the member name; found the string \"x\""),
            (11, 20, "route 1: member `method`: a method is 1 to 32 capital letters"),
            (12, 67, "route 2: member `scope`: unknown scope \"order:read\""),
            (14, 43, "route 4: member `path`: route 3 already serves GET /orders/{b}"),
            (15, 41, "route 5: member `path`: a path begins with '/'"),
            (15, 58, "route 5: member `scope`: unknown scope \"nope\""),
            (15, 67, "route 5: unknown member \"write\""),
            (17, 9, "unknown member \"extra\"; expected one of scopes, routes"),
        ],
    );
}

#[test]
fn sound_files_are_said_to_be() {
    let place = Place::new();
    place.create(&["--scope", "products:read"]);
    let ran = place.run(["lint"]).done();
    assert!(ran.out.ends_with("keys.json: a sound registry\n") && ran.err.is_empty(), "{ran:?}");
    place.write("policy.json", r#"{"scopes": [], "routes": []}"#);
    assert_eq!(place.run(["lint", "policy.json"]).done().out, "policy.json: a sound policy\n");
    place.run(["lint", "gone.json"]).failed(3, "gone.json");
}

#[test]
fn the_scopes_of_a_registry_are_those_of_its_policy() {
    let place = Place::new();
    place.create(&["--scope", "products:read"]);
    place.write("policy.json", r#"{"scopes": [{"name": "orders:read"}], "routes": []}"#);
    let ran = place.run(["lint", "--policy", "policy.json", "--json"]);
    let reports = ran.json();
    assert_eq!((ran.code, &reports[0]["sound"], &reports[1]["sound"]), (1, &json!(true), &json!(false)));
    let expected = "member `scopes`: unknown scope \"products:read\"; expected one of orders:read";
    assert!(reports[1]["mistakes"][0]["message"].as_str().unwrap().ends_with(expected), "{reports}");

    place.write("policy.json", r#"{"scopes": 1, "routes": []}"#);
    let ran = place.run(["lint", "--policy", "policy.json"]);
    assert_eq!(ran.out, "policy.json:1:12: member `scopes`: expected an array; found 1\n");
    assert!(ran.err.contains("was not checked: its policy has mistakes"), "{ran:?}");
}

#[test]
fn what_is_no_json_is_checked_up_to_there() {
    let place = Place::empty();
    for (text, expected) in [
        (&b""[..], &[(1, 1, "not JSON: EOF")][..]),
        (b"[]", &[(1, 1, "expected an object with the members version, revision and keys; found an array")]),
        (b"{\"version\": 1}", &[(1, 14, "missing member `keys`")]),
        (b"{\"version\": 1, \"keys\": 7}", &[(1, 24, "member `keys`: expected an array of key records; found 7")]),
        (b"{\"version\": 1, \"keys\": []} x", &[(1, 28, "not JSON: trailing characters")]),
        (
            b"{\"version\": 1, \"keys\": [\n8,\n{]",
            &[(2, 1, "key 1: expected a key record, an object; found 8"), (3, 2, "not JSON: key must be a string")],
        ),
        (
            b"{\"version\": 1, \"keys\": [\n8,\n\"\xff\"]}",
            &[(2, 1, "key 1: expected a key record, an object; found 8"), (3, 2, "not UTF-8")],
        ),
        (b"{\"scopes\": [", &[(1, 12, "not JSON: EOF")]),
    ] {
        let ran = place.run_with(["lint", "-", "--json"], text);
        assert_eq!((ran.code, &ran.json()[0]["file"]), (1, &json!("-")));
        assert_mistakes(&ran.json()[0], expected);
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown() {
    let place = Place::empty();
    let key = "bpos_abcdEFGH0123456789";
    for text in [
        format!(
            r#"{{"version": 1, "keys": [{{"id": "{key}", "{key}": 1, "scopes": ["{key}"], "expires_at": "{key}"}}]}}"#
        ),
        format!(r#"{{"version": 1, "{key}": 1, "{key}": 2, "keys": "{key}"}}"#),
        format!(r#"{{"scopes": [{{"name": "{key}", "includes": ["{key}"]}}, {{"name": "{key}"}}], "routes": []}}"#),
        format!(
            r#"{{"scopes": [{{"name": "a", "includes": ["{key}"]}}], "routes": [{{"path": "{key}", "scope": "{key}"}}]}}"#
        ),
    ] {
        for words in [&["lint", "-"][..], &["lint", "-", "--json"]] {
            let ran = place.run_with(words, text.as_bytes());
            assert_eq!(ran.code, 1);
            assert!(!ran.out.contains(&key[9..]) && !ran.err.contains(&key[9..]), "{ran:?}");
        }
    }
}

/// A single mistake is where the library's error has it.
#[test]
fn a_single_mistake_is_where_the_library_finds_it() {
    let place = Place::empty();
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let sound = format!(
        "{{\n  \"version\": 1,\n  \"revision\": 3,\n  \"keys\": [\n    {{\"id\": \"k\\u0031\", \"name\": \"\u{5546}\u{5e97}\", \
         \"store\": \"s\",\n\t\"sha256\" : \"{digest}\", \"scopes\": [ \"products:read\" ], \"hint\": \"bpos_abc1\",\n \
         \"rate_limit\": 60, \"expires_at\": null, \"test_mode\": false, \"enabled\": true, \"created_at\": \
         \"2026-11-24T00:00:00Z\", \"retiring\": {{\"sha256\": \"{}\", \"until\": \"2027-01-01T00:00:00Z\"}}}}\n  ]\n}}",
        "0".repeat(64)
    );
    Registry::from_json(sound.as_bytes()).unwrap();
    for (from, to) in [
        ("\"version\": 1", "\"version\": 3"),
        ("\"version\": 1", "\"version\": \"1\""),
        ("\"revision\": 3", "\"revision\": 1.5"),
        ("\"revision\": 3", "\"revisions\": 3"),
        ("\"k\\u0031\"", "\"\""),
        ("\"k\\u0031\"", "null"),
        ("\"k\\u0031\"", "\"\\ud800\""),
        ("\"s\"", "[]"),
        ("\"s\"", "{}"),
        ("9f86", "9F86"),
        ("\"products:read\"", "\"product:read\""),
        ("\"products:read\"", "\"products:read\", 1"),
        ("[ \"products:read\" ]", "{ }"),
        ("bpos_abc1", "bpos_"),
        ("60", "0"),
        ("60", "60.0"),
        ("60", "99999999999999999999"),
        ("null", "\"2027-02-30T00:00:00Z\""),
        ("false", "0"),
        ("\"enabled\": true", "\"enable\": true"),
        ("2027-01-01T00", "2027-01-01 00"),
        ("\"until\"", "\"till\": 1, \"until\""),
        ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00+00:00"),
        ("\n}", "\n} ]"),
        ("\n}", ""),
        ("\"store\"", "store"),
    ] {
        let text = sound.replacen(from, to, 1);
        assert_ne!(text, sound);
        let error = Registry::from_json(text.as_bytes()).err().unwrap().to_string();
        let report = place.run_with(["lint", "-", "--json"], text.as_bytes()).json();
        let mistakes = report[0]["mistakes"].as_array().unwrap();
        assert_eq!(mistakes.len(), 1, "{from} -> {to}: {report}");
        let place = format!(" at line {} column {}", mistakes[0]["line"], mistakes[0]["column"]);
        assert!(error.ends_with(&place), "{from} -> {to}: {error}; {place}");
    }
}

#[test]
fn a_policy_may_have_too_much() {
    let place = Place::empty();
    let scopes: Vec<_> = (0..65).map(|number| json!({"name": format!("s{number}")})).collect();
    let policy = json!({"scopes": scopes, "routes": []}).to_string();
    assert!(Policy::from_json(policy.as_bytes()).is_err());
    let ran = place.run_with(["lint", "-"], policy.as_bytes());
    assert!(ran.code == 1 && ran.out.contains("expected at most 64 scopes"), "{ran:?}");
}

#[test]
fn mistakes_among_many_keys_are_found() {
    let place = Place::empty();
    let mut keys = String::new();
    for number in 0..5_000 {
        let limit = if number % 1_000 == 999 { 2_000 } else { 60 };
        let comma = if number == 4_999 { "" } else { "," };
        let (id, twin) = (format!("key_{}", number % 4_500), number % 4_900);
        writeln!(
            keys,
            r#"{{"id": "{id}", "name": "n", "store": "s", "scopes": [], "rate_limit": {limit}, "sha256": "{twin:064x}"}}{comma}"#
        )
        .unwrap();
    }
    let ran = place.run_with(["lint", "-", "--json"], format!("{{\"version\": 1, \"keys\": [\n{keys}]}}").as_bytes());
    let report = ran.json();
    let mistakes = report[0]["mistakes"].as_array().unwrap();
    let of = |part: &str| mistakes.iter().filter(|mistake| mistake["message"].as_str().unwrap().contains(part)).count();
    assert_eq!((of("rate_limit"), of("the same id"), of("the same secret")), (5, 500, 100));
    assert!(mistakes.is_sorted_by_key(|mistake| (mistake["line"].as_u64(), mistake["column"].as_u64())));
    assert_eq!(mistakes[0]["line"], 1_001);
}
