//! Changes fed into a memory registry: all or nothing, at once, and as a naive model says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets something unexpected has failed")]

mod sample;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bpos::{DenyReason, ErrorKind, Now, Registry, Request};
use proptest::prelude::*;
use sample::{NOW, array, ask, digest, document, exported, later, record, record_with, secret};
use serde_json::{Value, json};

fn registry_of(records: &[Value]) -> Registry {
    Registry::from_json(&document(1, records)).unwrap()
}

#[test]
fn records_are_added_and_replaced_at_once() {
    let registry = registry_of(&[]);
    registry.apply(b"[]").unwrap();
    registry.apply(&array(&[record(1), record(2)])).unwrap();
    assert_eq!((ask(&registry, &secret(1), NOW), ask(&registry, &secret(2), NOW)), (Ok(()), Ok(())));
    registry.apply(&array(&[record_with(1, &json!({"enabled": false})), record(3)])).unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::DisabledKey));
    assert_eq!((ask(&registry, &secret(2), NOW), ask(&registry, &secret(3), NOW)), (Ok(()), Ok(())));
    registry.apply(&array(&[record(1)])).unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()), "disabling is reversible");
    assert_eq!(registry.stats().keys, 3);
    assert_eq!(registry.stats().revision, 1, "the host's own database counts its revisions");
}

#[test]
fn a_key_that_moves_to_another_store_is_listed_there_in_its_place() {
    let registry = registry_of(&[record(1), record(2), record(3)]);
    let ids = |store| registry.list(Some(store)).into_iter().map(|key| key.id).collect::<Vec<_>>();
    registry.apply(&array(&[record_with(3, &json!({"store": "other"}))])).unwrap();
    registry.apply(&array(&[record_with(2, &json!({"store": "other"}))])).unwrap();
    assert_eq!((ids("yourstore"), ids("other")), (vec!["key_1".into()], vec!["key_2".into(), "key_3".into()]));
    registry.apply(&array(&[record(2)])).unwrap();
    assert_eq!((ids("yourstore"), ids("other")), (vec!["key_1".into(), "key_2".into()], vec!["key_3".into()]));
}

#[test]
fn one_bad_record_among_many_leaves_everything_as_it_was() {
    let revoked = json!({"revoked_at": "2026-11-01T00:00:00.000Z"});
    let retiring = |number| json!({"retiring": {"sha256": digest(number), "until": "2099-01-01T00:00:00.000Z"}});
    let digest_of = |number| json!({"sha256": digest(number)});
    let mut known: Vec<Value> = (1..10).map(record).collect();
    known.push(record_with(10, &revoked));
    known.push(record_with(11, &retiring(111)));
    let registry = registry_of(&known);
    let before = (registry.export().unwrap(), registry.stats());
    let format = "the records: key 3 (key_3): member `rate_limit`: ";
    let cases = [
        (record_with(3, &json!({"rate_limit": 0})), ErrorKind::Format, format),
        (json!(7), ErrorKind::Format, "the records: key 3: expected a key record, an object; found 7 at line 1"),
        (
            record(1),
            ErrorKind::Conflict,
            "the records: key 3 (key_1): member `id`: key 1 has the same id at line 1 column ",
        ),
        (
            record(10),
            ErrorKind::Conflict,
            "the records: key 3 (key_10): the key was revoked, and revocation is permanent; create a new key at line 1",
        ),
        (
            record_with(10, &digest_of(50)),
            ErrorKind::Conflict,
            "the records: key 3 (key_10): the key was revoked, and revocation is permanent; create a new key at line 1",
        ),
        (
            record_with(30, &digest_of(5)),
            ErrorKind::Conflict,
            "the records: key 3 (key_30): another key has the same secret at line 1",
        ),
        (
            record_with(30, &digest_of(20)),
            ErrorKind::Conflict,
            "the records: key 3 (key_30): member `sha256`: key 2 has the same secret at line 1",
        ),
        (
            record_with(30, &digest_of(111)),
            ErrorKind::Conflict,
            "the records: key 3 (key_30): another key has the same secret at line 1",
        ),
        (
            record_with(30, &retiring(5)),
            ErrorKind::Conflict,
            "the records: key 3 (key_30): another key has the same secret at line 1",
        ),
        (
            record_with(30, &retiring(30)),
            ErrorKind::Conflict,
            "the records: key 3 (key_30): member `retiring`: member `sha256`: key 3 has the same secret at line 1",
        ),
        (
            record_with(11, &digest_of(10)),
            ErrorKind::Conflict,
            "the records: key 3 (key_11): another key has the same secret at line 1",
        ),
    ];
    for (bad, kind, text) in cases {
        // Between sound changes, of a known key and of a new one.
        let error = registry
            .apply(&array(&[record_with(1, &json!({"enabled": false})), record(20), bad.clone(), record(21)]))
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(text), "{error}\n{bad}");
        assert_eq!((registry.export().unwrap(), registry.stats()), before, "{bad}");
    }
    for bad in ["", "{}", "null", "[{}", "[] []", "[[]]"] {
        assert_eq!(registry.apply(bad.as_bytes()).unwrap_err().kind(), ErrorKind::Format, "{bad}");
    }
    assert_eq!(registry.export().unwrap(), before.0);
    assert_eq!(
        (ask(&registry, &secret(1), NOW), ask(&registry, &secret(20), NOW)),
        (Ok(()), Err(DenyReason::UnknownKey))
    );
}

#[test]
fn a_replaced_record_keeps_its_window_and_takes_its_new_limit() {
    let limited = |limit: u32| array(&[record_with(1, &json!({"rate_limit": limit}))]);
    let registry = registry_of(&[record_with(1, &json!({"rate_limit": 3}))]);
    let admitted = |now| (0..).take_while(|_| ask(&registry, &secret(1), now).is_ok()).count();
    assert_eq!(admitted(NOW), 3);
    for (limit, more) in [(3, 0), (2, 0), (5, 2), (70, 65), (300, 230), (1_000, 700), (1, 0), (1_000, 0)] {
        registry.apply(&limited(limit)).unwrap();
        assert_eq!(admitted(NOW), more, "limit {limit}");
    }
    assert_eq!(admitted(later(61)), 1_000);
    assert_eq!(registry.stats().allowed, 2_000);
}

#[test]
fn a_changed_secret_ends_the_old_one_at_once() {
    let registry = registry_of(&[record_with(1, &json!({"rate_limit": 5}))]);
    let with = |mut members: Value| {
        members["rate_limit"] = 5.into();
        registry.apply(&array(&[record_with(1, &members)])).unwrap();
    };
    let denied = |reason| Err(reason);
    let answers = || (2..6).map(|number| ask(&registry, &secret(number), NOW)).collect::<Vec<_>>();
    assert_eq!(ask(&registry, &secret(1), NOW), Ok(()));

    with(json!({"sha256": digest(2)}));
    assert_eq!(ask(&registry, &secret(1), NOW), denied(DenyReason::UnknownKey));
    assert_eq!(answers()[0], Ok(()));

    // A rotation keeps the old one until its end of grace.
    let until = |unix_ms| Now { unix_ms, ..NOW };
    with(json!({"sha256": digest(3), "retiring": {"sha256": digest(2), "until": "2027-01-01T00:00:00.000Z"}}));
    assert_eq!(ask(&registry, &secret(2), until(1_798_761_599_999)), Ok(()));
    assert_eq!(ask(&registry, &secret(2), until(1_798_761_600_000)), denied(DenyReason::ExpiredKey));
    assert_eq!(ask(&registry, &secret(3), until(1_798_761_600_000)), Ok(()));

    // Another rotation ends the retiring one.
    with(json!({"sha256": digest(4), "retiring": {"sha256": digest(3), "until": "2027-01-01T00:00:00.000Z"}}));
    assert_eq!(ask(&registry, &secret(2), NOW), denied(DenyReason::UnknownKey));
    // One key, one window, whichever secret is used.
    assert_eq!(ask(&registry, &secret(3), NOW), Ok(()));
    assert_eq!(ask(&registry, &secret(4), NOW), denied(DenyReason::RateLimited));
    assert_eq!(ask(&registry, &secret(3), NOW), denied(DenyReason::RateLimited));

    // Back to the first, and the two change places.
    with(json!({"sha256": digest(3), "retiring": {"sha256": digest(4), "until": "2027-01-01T00:00:00.000Z"}}));
    assert_eq!(exported(&registry)["keys"].as_array().unwrap().len(), 1);
    with(json!({"sha256": digest(1)}));
    assert_eq!(ask(&registry, &secret(1), later(61)), Ok(()));
    assert_eq!(answers(), vec![denied(DenyReason::UnknownKey); 4]);
    // A secret that was given up can be another key's.
    registry.apply(&array(&[record_with(9, &json!({"sha256": digest(4)}))])).unwrap();
    assert_eq!(ask(&registry, &secret(4), NOW), Ok(()));
    assert_eq!(registry.stats().keys, 2);
}

#[test]
fn a_revocation_holds_for_every_secret_and_for_good() {
    let retiring = json!({"sha256": digest(2), "until": "2099-01-01T00:00:00.000Z"});
    let registry = registry_of(&[record_with(1, &json!({"retiring": retiring}))]);
    assert_eq!((ask(&registry, &secret(1), NOW), ask(&registry, &secret(2), NOW)), (Ok(()), Ok(())));
    let revoked = |date: &str| array(&[record_with(1, &json!({"retiring": retiring, "revoked_at": date}))]);
    registry.apply(&revoked("2026-11-24T00:00:00.000Z")).unwrap();
    for number in [1, 2] {
        assert_eq!(ask(&registry, &secret(number), NOW), Err(DenyReason::RevokedKey));
    }
    assert_eq!(registry.apply(&array(&[record(1)])).unwrap_err().kind(), ErrorKind::Conflict);
    registry.apply(&revoked("2099-01-01T00:00:00.000Z")).unwrap();
    assert_eq!(ask(&registry, &secret(1), NOW), Err(DenyReason::RevokedKey));
    assert_eq!(exported(&registry)["keys"][0]["revoked_at"], "2099-01-01T00:00:00.000Z", "its record may still change");
}

/// What each key of a table of answers is counted under, and that nothing else is counted.
#[test]
fn every_answer_is_counted_once_under_its_reason() {
    let registry = registry_of(&[
        record_with(1, &json!({"rate_limit": 2, "scopes": ["products:read", "inventory:write"]})),
        record_with(2, &json!({"revoked_at": "2026-11-01T00:00:00.000Z"})),
        record_with(3, &json!({"enabled": false})),
        record_with(4, &json!({"expires_at": "2026-11-01T00:00:00.000Z"})),
        record_with(5, &json!({"test_mode": true, "scopes": ["inventory:write"]})),
    ]);
    let read = "/api/v1/products";
    let asked = [
        ("key_in_url", "GET", format!("{read}?k={}", secret(1)), Some(secret(1)), 1),
        ("missing_key", "GET", read.into(), None, 2),
        ("missing_key", "GET", read.into(), Some(String::new()), 3),
        ("malformed_key", "GET", read.into(), Some("bpos_short".into()), 4),
        ("unknown_key", "GET", read.into(), Some(secret(99)), 5),
        ("revoked_key", "GET", read.into(), Some(secret(2)), 6),
        ("disabled_key", "GET", read.into(), Some(secret(3)), 7),
        ("expired_key", "GET", read.into(), Some(secret(4)), 8),
        ("unmapped_route", "GET", "/nowhere".into(), Some(secret(1)), 9),
        ("insufficient_scope", "GET", "/api/v1/sales".into(), Some(secret(1)), 10),
        ("test_mode", "POST", "/api/v1/inventory/adjustments".into(), Some(secret(5)), 11),
        ("allowed", "GET", read.into(), Some(secret(1)), 2),
        ("rate_limited", "GET", read.into(), Some(secret(1)), 12),
    ];
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..2 {
        for (reason, method, target, key, times) in &asked {
            // The second round finds the limit used up.
            let reason = if round == 1 && *reason == "allowed" { "rate_limited" } else { *reason };
            for _ in 0..*times {
                let request = Request::new(*method, target).api_key(key.as_deref()).store("yourstore");
                let answer =
                    registry.authorize_at(&request, NOW).map_or_else(|denial| denial.reason().name(), |_| "allowed");
                assert_eq!(answer, reason);
                *expected.entry(reason.into()).or_default() += 1;
            }
        }
        let request = Request::new("GET", read).api_key(&asked[0].3.as_ref().unwrap()[..]).store("other");
        assert_eq!(registry.authorize_at(&request, NOW).unwrap_err().reason(), DenyReason::WrongStore);
        *expected.entry("wrong_store".into()).or_default() += 1;
    }
    let stats = registry.stats();
    assert_eq!(stats.allowed, expected.remove("allowed").unwrap());
    let counted: BTreeMap<String, u64> =
        stats.denied().filter(|(_, count)| *count > 0).map(|(reason, count)| (reason.into(), count)).collect();
    assert_eq!(counted, expected);

    let json: Value = serde_json::from_slice(&registry.stats_json().unwrap()).unwrap();
    let denied: BTreeMap<&str, u64> = stats.denied().collect();
    assert_eq!(json, json!({"keys": 5, "revision": 1, "allowed": stats.allowed, "denied": denied}));
    assert_eq!(denied.len(), 13, "every reason is named");
}

// ---- Against a naive model ----

/// A key as this test understands it.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    secret: usize,
    retiring: Option<usize>,
    rate_limit: usize,
    enabled: bool,
    revoked: bool,
}

impl Model {
    fn record(&self, id: usize) -> Value {
        let retiring =
            self.retiring.map(|number| json!({"sha256": digest(number), "until": "2099-01-01T00:00:00.000Z"}));
        record_with(
            id,
            &json!({
                "sha256": digest(self.secret),
                "retiring": retiring,
                "rate_limit": self.rate_limit,
                "enabled": self.enabled,
                "revoked_at": self.revoked.then_some("2026-11-01T00:00:00.000Z"),
            }),
        )
    }

    fn secrets(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.secret).chain(self.retiring)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(usize, Model)>),
    /// Asks with this secret, so many seconds after the step before.
    Ask(usize, u64),
    Export,
}

const IDS: usize = 12;
const SECRETS: usize = 40;

fn step() -> impl Strategy<Value = Step> {
    let model = (
        0..SECRETS,
        proptest::option::weighted(0.3, 0..SECRETS),
        1..4_usize,
        any::<bool>(),
        proptest::bool::weighted(0.05),
    );
    let model = model.prop_map(|(secret, retiring, rate_limit, enabled, revoked)| Model {
        secret,
        retiring,
        rate_limit,
        enabled,
        revoked,
    });
    prop_oneof![
        4 => proptest::collection::vec((0..IDS, model), 1..4).prop_map(Step::Apply),
        6 => (0..SECRETS, prop_oneof![4 => Just(0), 1 => 1..70_u64]).prop_map(|(secret, wait)| Step::Ask(secret, wait)),
        1 => Just(Step::Export),
    ]
}

/// The registry as a list of keys, and of the times at which each was admitted.
#[derive(Default)]
struct Naive {
    keys: HashMap<usize, Model>,
    /// Secrets that a key lost when it was revoked, or that is revoked by the same change: they are revoked for good.
    burnt: BTreeSet<usize>,
    admitted: HashMap<usize, Vec<u64>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Naive {
    fn apply(&mut self, changes: &[(usize, Model)]) -> bool {
        let (mut ids, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for (id, change) in changes {
            let revoked = self.keys.get(id).is_some_and(|known| known.revoked);
            if !ids.insert(id) || (revoked && !change.revoked) {
                return false;
            }
            for secret in change.secrets() {
                if self.burnt.contains(&secret) && !change.revoked {
                    return false;
                }
                let others =
                    self.keys.iter().any(|(other, known)| other != id && known.secrets().any(|known| known == secret));
                if others || !secrets.insert(secret) {
                    return false;
                }
            }
        }
        for (id, change) in changes {
            let before = self.keys.insert(*id, change.clone());
            let gone = before.iter().filter(|before| before.revoked || change.revoked).flat_map(Model::secrets);
            self.burnt.extend(gone.filter(|secret| !change.secrets().any(|kept| kept == *secret)));
        }
        true
    }

    fn ask(&mut self, secret: usize, second: u64) -> &'static str {
        let found = self.keys.iter().find(|(_, key)| key.secrets().any(|known| known == secret));
        let reason = match found {
            None => "unknown_key",
            Some((_, key)) if key.revoked => "revoked_key",
            Some((_, key)) if !key.enabled => "disabled_key",
            Some((id, key)) => {
                let times = self.admitted.entry(*id).or_default();
                // A time on the edge of the 60 seconds still counts.
                if times.iter().filter(|time| second - **time <= 60).count() >= key.rate_limit {
                    "rate_limited"
                } else {
                    times.push(second);
                    "allowed"
                }
            }
        };
        *self.counts.entry(reason).or_default() += 1;
        reason
    }
}

/// Takes the steps on both, and compares after each.
fn compare(steps: &[Step]) {
    let registry = registry_of(&[]);
    let mut naive = Naive::default();
    let mut second = 0;
    for step in steps {
        match step {
            Step::Apply(changes) => {
                let records: Vec<Value> = changes.iter().map(|(id, change)| change.record(*id)).collect();
                let applied = registry.apply(&array(&records));
                assert_eq!(applied.is_ok(), naive.apply(changes), "{changes:?}: {applied:?}");
                assert_eq!(registry.stats().keys, naive.keys.len());
            }
            Step::Ask(number, wait) => {
                second += wait;
                let answer =
                    ask(&registry, &secret(*number), later(second)).map_or_else(DenyReason::name, |()| "allowed");
                assert_eq!(answer, naive.ask(*number, second), "secret {number} at {second}: {:?}", naive.keys);
            }
            Step::Export => {
                let export = exported(&registry);
                let keys: BTreeMap<String, Value> =
                    export["keys"].as_array().unwrap().iter().map(|key| (key["id"].to_string(), key.clone())).collect();
                assert_eq!(keys.len(), export["keys"].as_array().unwrap().len(), "each id once");
                let expected: BTreeMap<String, Value> = naive
                    .keys
                    .iter()
                    .map(|(id, key)| {
                        let members = json!({"hint": null, "expires_at": null, "created_at": null, "test_mode": false});
                        let mut record = key.record(*id);
                        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
                        (record["id"].to_string(), record)
                    })
                    .collect();
                assert_eq!(keys, expected);
            }
        }
    }
    let stats = registry.stats();
    let counts: BTreeMap<&str, u64> =
        stats.denied().chain([("allowed", stats.allowed)]).filter(|(_, count)| *count > 0).collect();
    assert_eq!((counts, stats.keys), (naive.counts, naive.keys.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changes_and_answers_are_those_of_a_naive_model(steps in proptest::collection::vec(step(), 1..120)) {
        compare(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    /// Long enough for the table to be replaced many times.
    #[test]
    fn thousands_of_changes_are_those_of_a_naive_model(steps in proptest::collection::vec(step(), 5_000)) {
        compare(&steps);
    }
}

#[test]
fn a_registry_grows_by_thousands_of_changes() {
    let registry = registry_of(&[]);
    for number in 0..5_000 {
        registry.apply(&array(&[record(number)])).unwrap();
        if number % 2 == 1 {
            registry.apply(&array(&[record_with(number - 1, &json!({"sha256": digest(10_000 + number)}))])).unwrap();
        }
    }
    assert_eq!(registry.stats().keys, 5_000);
    for number in 0..5_000 {
        let (current, old) = if number % 2 == 0 { (10_001 + number, Some(number)) } else { (number, None) };
        assert_eq!(ask(&registry, &secret(current), NOW), Ok(()), "{number}");
        if let Some(old) = old {
            assert_eq!(ask(&registry, &secret(old), NOW), Err(DenyReason::UnknownKey), "{number}");
        }
    }
    let stats = registry.stats();
    assert_eq!(stats.allowed, 5_000);
    assert_eq!(stats.denied().find(|(reason, _)| *reason == "unknown_key").unwrap().1, 2_500);
}
