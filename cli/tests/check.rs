//! `bpos check`: every row of the decision, explained.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that finds something else may panic")]

mod support;

use serde_json::Value;
use support::{Place, Ran, bpos, run, text};

/// What decided, in the order of the table.
const REASONS: [&str; 12] = [
    "key_in_url",
    "missing_key",
    "malformed_key",
    "unknown_key",
    "revoked_key",
    "disabled_key",
    "expired_key",
    "wrong_store",
    "unmapped_route",
    "insufficient_scope",
    "test_mode",
    "rate_limited",
];

const READ: [&str; 2] = ["--scope", "products:read"];
const ROUTED: [&str; 6] = ["--store", "yourstore", "--method", "GET", "--target", "/api/v1/products"];

fn check(place: &Place, words: &[&str], key: &str) -> Ran {
    place.run_with(["check"].iter().chain(words), key.as_bytes())
}

/// The explanation as JSON, which must agree with the one for people.
#[track_caller]
fn explained(place: &Place, words: &[&str], key: &str) -> Value {
    let told = check(place, words, key);
    let json = check(place, &[words, &["--json"]].concat(), key);
    assert_eq!((told.code, told.err.as_str(), json.err.as_str()), (json.code, "", ""), "{told:?}");
    let report = json.json();
    assert_eq!(json.code, i32::from(report["allowed"] == false), "{report}");
    let rows = report["checks"].as_array().unwrap();
    assert_eq!(rows.len(), REASONS.len());
    for ((row, line), (number, reason)) in rows.iter().zip(told.out.lines()).zip((1..).zip(REASONS)) {
        assert_eq!((&row["number"], &row["reason"]), (&Value::from(number), &Value::from(reason)));
        let result = match row["result"].as_str().unwrap() {
            "passed" => " ok",
            "failed" => " FAILED",
            "skipped" => " skipped",
            "not_reached" => " -",
            _ => " ?",
        };
        assert!(line.contains(result) && line.contains(row["detail"].as_str().unwrap()), "{line} {row}");
    }
    if key.len() > 20 {
        assert!(!told.out.contains(key) && !json.out.contains(key), "a key is not shown");
    }
    report
}

/// The request must be denied for this reason, and the table must say so.
#[track_caller]
fn denied(place: &Place, words: &[&str], key: &str, status: u16, reason: &str, detail: &str) -> Value {
    let report = explained(place, words, key);
    assert_eq!((&report["status"], &report["reason"]), (&Value::from(status), &Value::from(reason)), "{report}");
    let decided = REASONS.iter().position(|other| *other == reason).unwrap();
    for (index, row) in report["checks"].as_array().unwrap().iter().enumerate() {
        let result = row["result"].as_str().unwrap();
        let fits = match index.cmp(&decided) {
            std::cmp::Ordering::Less => matches!(result, "passed" | "skipped"),
            std::cmp::Ordering::Equal => result == "failed",
            std::cmp::Ordering::Greater => result == "not_reached",
        };
        assert!(fits, "{row}");
    }
    let told = text(&report["checks"][decided]["detail"]);
    assert!(told.contains(detail), "expected {detail:?} in {told:?}");
    assert_eq!(report["body"]["status"], status);
    report
}

#[test]
fn every_row_can_decide() {
    let place = Place::new();
    let (key, id) = place.create(&[&READ[..], &["--test-mode"]].concat());
    let (writer, _) = place.create(&["--scope", "customers:write", "--test-mode"]);
    let request = |method, target| ["--store", "yourstore", "--method", method, "--target", target];

    let made_up = "bpos_0123456789abcdef";
    let in_url = format!("/api/v1/products?key={made_up}");
    denied(&place, &request("GET", &in_url), &key, 401, "key_in_url", "");
    denied(&place, &ROUTED, "", 401, "missing_key", "");
    denied(&place, &ROUTED, "\n", 401, "missing_key", "");
    for (malformed, why) in [
        ("bpos_short", "it has 5 letters and digits after bpos_; expected 16 to 123"),
        ("BPOS_0123456789abcdef", "it does not begin with bpos_"),
        ("bpos_0123456789-abcdef", "its character 16 is neither a letter nor a digit"),
        (" bpos_0123456789abcdef", "white space"),
        ("bpos_0123456789abcdef \n", "white space"),
    ] {
        denied(&place, &ROUTED, malformed, 401, "malformed_key", why);
    }
    denied(&place, &ROUTED, made_up, 401, "unknown_key", "mistyped?");
    let report =
        denied(&place, &["--store", "other", "--scope", "products:read"], &key, 401, "wrong_store", "\"other\"");
    assert_eq!(report["body"]["code"], "invalid_key", "the client is told less");
    denied(&place, &request("GET", "/api/v1/employees"), &key, 403, "unmapped_route", "GET /api/v1/employees");
    denied(
        &place,
        &request("GET", "/api/v1/sales"),
        &key,
        403,
        "insufficient_scope",
        "needs sales:read; has products:read",
    );
    let report = denied(&place, &request("POST", "/api/v1/customers"), &writer, 403, "test_mode", "is read-only");
    assert_eq!(report["required_scope"], "customers:write");

    let report = explained(&place, &ROUTED, &key);
    assert_eq!((&report["status"], &report["reason"]), (&Value::from(200), &Value::from("allowed")));
    assert_eq!(
        (&report["key"]["id"], &report["checks"][11]["result"]),
        (&Value::from(&*id), &Value::from("not_known"))
    );
    assert!(text(&report["checks"][11]["detail"]).starts_with("60 in any 60 seconds"));

    place.run(["key", "update", &id, "--expires", "2020-01-01"]).done();
    denied(&place, &ROUTED, &key, 401, "expired_key", "expired 2020-01-01T00:00:00.000Z");
    place.run(["key", "disable", &id]).done();
    denied(&place, &ROUTED, &key, 401, "disabled_key", "");
    place.run(["key", "revoke", &id]).done();
    let report = denied(&place, &ROUTED, &key, 401, "revoked_key", " ago)");
    assert_eq!((&report["key"]["id"], &report["key"]["state"]), (&Value::from(id), &Value::from("revoked")));
}

#[test]
fn an_unknown_key_may_be_mistyped_or_gone() {
    let place = Place::new();
    let (key, id) = place.create(&READ);
    let last = if key.ends_with('0') { '1' } else { '0' };
    let mistyped = format!("{}{last}", &key[..key.len() - 1]);
    denied(&place, &ROUTED, &mistyped, 401, "unknown_key", "its checksum is wrong: mistyped?");
    place.run(["key", "rotate", &id, "--grace", "0"]).done();
    denied(&place, &ROUTED, &key, 401, "unknown_key", "its checksum is right: it was removed or rotated out");
}

#[test]
fn a_secret_that_retires_is_told_from_the_current_one() {
    let place = Place::new();
    let (old, id) = place.create(&READ);
    place.run(["key", "rotate", &id, "--grace", "1h"]).done();
    let report = explained(&place, &ROUTED, &old);
    assert_eq!(report["allowed"], true);
    assert!(text(&report["checks"][3]["detail"]).contains("by its previous secret, which works until 2"));

    let mut document = place.document();
    document["keys"][0]["retiring"]["until"] = "2020-01-01T00:00:00Z".into();
    place.write("keys.json", document.to_string());
    denied(
        &place,
        &ROUTED,
        &old,
        401,
        "expired_key",
        "this secret was rotated out: its grace period ended 2020-01-01T00:00:00.000Z",
    );
}

#[test]
fn the_key_is_the_first_line_of_standard_input() {
    let place = Place::new();
    let (key, _) = place.create(&READ);
    for input in [key.clone(), format!("{key}\n"), format!("{key}\r\n"), format!("{key}\nmore\n")] {
        assert_eq!(check(&place, &ROUTED, &input).code, 0, "{:?}", input.replace(&key, "KEY"));
    }
    let before = place.read();
    assert_eq!(place.run_with(["check"].iter().chain(&ROUTED), b"bpos_\xff\xfe0123456789abcdef").code, 1);
    assert_eq!(place.run_with(["check"].iter().chain(&ROUTED), &vec![b'x'; 1 << 20]).code, 1);
    assert_eq!(place.read(), before, "nothing is written");
}

#[test]
fn what_is_not_named_is_left_out() {
    let place = Place::new();
    let (key, _) = place.create(&READ);
    let report = explained(&place, &["--scope", "products:read"], &key);
    let results: Vec<_> = report["checks"].as_array().unwrap().iter().map(|row| row["result"].clone()).collect();
    assert_eq!((&results[0], &results[7], &results[8]), (&"skipped".into(), &"skipped".into(), &"skipped".into()));
    denied(&place, &["--store", "", "--scope", "products:read"], &key, 401, "wrong_store", "\"\"");

    check(&place, &["--method", "GET"], &key).failed(2, "--target <PATH>");
    check(&place, &["--scope", "products:read", "--method", "GET"], &key).failed(2, "cannot be used with");
    check(&place, &["--scope", "product:read"], &key).failed(2, "unknown scope \"product:read\"; expected one of");
    run(bpos().arg("check").args(ROUTED), key.as_bytes()).failed(2, "no registry given");
}

#[test]
fn a_key_in_a_target_is_not_repeated() {
    let place = Place::new();
    let (key, _) = place.create(&READ);
    let target = format!("/api/v1/{key}");
    let ran = check(&place, &["--method", "GET", "--target", &target], &key);
    assert_eq!(ran.code, 1);
    assert!(!ran.out.contains(&key) && ran.out.contains(&key[..9]), "{ran:?}");
}
