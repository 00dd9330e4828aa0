//! `bpos init` and `bpos key`: what they do, what they print and how they exit.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that finds something else may panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bpos::{Options, Request, Sharing};
use serde_json::{Value, json};
use support::{Place, bpos, run, set_mode, text};

const READ: [&str; 2] = ["--scope", "products:read"];

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["key", "create", "--name", "Website Sync", "--store", "yourstore"];
    words.extend(more);
    words
}

#[test]
fn init_makes_a_private_file_once() {
    let place = Place::empty();
    let made = place.run(["init", "other.json", "--json"]).done();
    assert_eq!(made.json(), json!({"registry": "other.json", "revision": 0, "keys": 0}));
    assert_eq!(fs::metadata(place.path("other.json")).unwrap().mode() & 0o7777, 0o600);

    let other = place.run(["init", "third.json"]).done();
    assert!(other.err.contains("next: bpos key create --registry third.json --name "), "{}", other.err);

    let named = place.run(["init"]).done();
    assert!(named.out.starts_with("created ") && named.out.contains("keys.json"), "{}", named.out);
    assert!(named.err.contains("next: bpos key create --name "), "the environment names it: {}", named.err);
    assert_eq!(place.document(), json!({"version": 1, "revision": 0, "keys": []}));
    place.run(["init"]).failed(5, "file already exists");
    place.run(["init", "nowhere/keys.json"]).failed(3, "No such file");
}

#[test]
fn a_registry_must_be_named_and_there_and_sound_and_private() {
    let place = Place::new();
    run(bpos().args(["key", "list"]), b"").failed(2, "no registry given; pass --registry FILE or set BPOS_REGISTRY");
    place.run(["key", "list", "--registry", "gone.json"]).failed(3, "bpos init");
    place.write("keys.json", r#"{"version": 1, "keys": [{}]}"#);
    place.run(["key", "list"]).failed(7, "Run 'bpos lint' to list all");
    place.run(create(&READ)).failed(7, "key 1");
    set_mode(&place.registry(), 0o666);
    place.run(["key", "list"]).failed(3, "others may write this file");
    // The option takes precedence over the environment.
    let other = Place::new();
    let path = other.registry();
    place.run(["--registry", path.to_str().unwrap(), "key", "list", "--json"]).done();
}

#[test]
fn create_writes_the_key_and_nothing_else_to_what_is_no_terminal() {
    let place = Place::new();
    let made = place.run(create(&READ)).done();
    let key = made.out.strip_suffix('\n').unwrap();
    assert!(
        key.len() == 41 && key.starts_with("bpos_") && key.bytes().skip(5).all(|byte| byte.is_ascii_alphanumeric())
    );
    assert!(bpos::has_checksum(key));
    assert!(made.err.contains("shown only once") && made.err.contains("key_") && !made.err.contains(key), "{made:?}");
    assert!(!place.read().contains(&key[5..]), "the registry has no key");
}

#[test]
fn create_takes_all_that_a_key_can_be() {
    let place = Place::new();
    let all = ["--scope", "products:read", "--scope", "inventory:write", "--rate-limit", "120", "--test-mode"];
    let made = place.run(create(&[&all[..], &["--expires", "2027-01-01", "--json"]].concat())).done().json();
    let record = &made["record"];
    assert_eq!(
        (&record["name"], &record["store"], &record["state"], &record["hint"]),
        (&json!("Website Sync"), &json!("yourstore"), &json!("active"), &json!(text(&made["key"])[..9])),
    );
    assert_eq!(
        (&record["scopes"], &record["rate_limit"], &record["test_mode"], &record["expires_at"]),
        (&json!(["products:read", "inventory:write"]), &json!(120), &json!(true), &json!("2027-01-01T00:00:00.000Z")),
    );
    let members: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(!members.contains(&"usage") && !members.contains(&"sha256"), "{members:?}");

    let plain = place.run(create(&[&READ[..], &["--json"]].concat())).done().json();
    assert_eq!((&plain["record"]["rate_limit"], &plain["record"]["expires_at"]), (&json!(60), &Value::Null));
}

#[test]
fn create_refuses_what_no_key_can_be() {
    let place = Place::new();
    let before = place.read();
    for (more, said) in [
        (&["--scope", "sale:read"][..], "unknown scope \"sale:read\"; expected one of products:read"),
        (&["--scope", "products:read", "--scope", "products:read"], "duplicate scope"),
        (&["--scope", "products:read", "--rate-limit", "0"], "expected 1 to 1000"),
        (&["--scope", "products:read", "--rate-limit", "1001"], "expected 1 to 1000"),
        (&["--scope", "products:read", "--rate-limit", "many"], "invalid value 'many'"),
        (&["--scope", "products:read", "--expires", "soon"], "--expires: \"soon\" is neither a time nor a duration"),
        (&["--scope", "products:read", "--expires", "2027-01-01T00:00:00"], "a time with its zone"),
        (&["--scope", "products:read", "--expires", "-1d"], "\"-1d\" is neither a time nor a duration"),
        (&["--scope", "products:read", "--expires", "2020-01-01"], "in the past"),
        (&["--scope", "products:read", "--expires", "never"], "is neither a time nor a duration"),
        (&[], "--scope <SCOPE>"),
        (&["--scope", "products:read", "--name", "Again"], "cannot be used multiple times"),
    ] {
        place.run(create(more)).failed(2, said);
    }
    let named = |name| ["key", "create", "--name", name, "--store", "s", "--scope", "products:read"];
    let refused = place.run(named("a\u{1b}[2Jb\u{202e}")).failed(2, "without control characters");
    assert!(!refused.err.contains(['\u{1b}', '\u{202e}']), "{refused:?}");
    place.run(named("")).failed(2, "name: expected 1 to 200 bytes");
    assert_eq!(place.read(), before);
}

/// The time that the command reads lies between two readings here.
#[test]
fn an_expiry_is_a_duration_or_a_time() {
    let place = Place::new();
    let day = 86_400;
    for (written, duration_s) in [("90d", 90 * day), ("12h", day / 2), ("2w", 14 * day), ("1d 12h", day + day / 2)] {
        let before = jiff::Timestamp::now().as_second();
        let (_, id) = place.create(&[&READ[..], &["--expires", written]].concat());
        let after = jiff::Timestamp::now().as_second();
        let end: jiff::Timestamp = text(&place.show(&id)["expires_at"]).parse().unwrap();
        assert!((before + duration_s..=after + duration_s).contains(&end.as_second()), "{written}: {end}");
    }
    for (written, end) in [
        ("2030-06-01", "2030-06-01T00:00:00.000Z"),
        ("2030-06-01T12:30:00Z", "2030-06-01T12:30:00.000Z"),
        ("2030-06-01T12:30:00-05:00", "2030-06-01T17:30:00.000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ] {
        let (_, id) = place.create(&[&READ[..], &["--expires", written]].concat());
        assert_eq!(place.show(&id)["expires_at"], json!(end), "{written}");
    }
}

#[test]
fn a_key_that_cannot_be_handed_out_is_named() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = bpos();
    command.env("BPOS_REGISTRY", place.registry()).args(create(&READ)).stdin(Stdio::null()).stdout(full);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let id = text(&place.document()["keys"][0]["id"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains(&id) && said.contains("is lost: revoke it"), "{said}");
}

/// A server has the registry open, and shares what it counts in a folder of its own.
#[test]
fn the_command_shares_as_it_is_told() {
    let place = Place::new();
    let (key, id) = place.create(&READ);
    let folder = place.path("memory");
    fs::create_dir(&folder).unwrap();
    let server =
        bpos::Registry::open_with(place.registry(), Options::default().shared(Sharing::In(folder.clone()))).unwrap();
    let asks = || server.authorize_scope(&Request::new("GET", "/").api_key(&key), bpos::Scope::PRODUCTS_READ).is_ok();
    assert!(asks());

    place.run(["key", "disable", &id]).failed(3, "Pass --shared as the servers are told");
    let shared = folder.to_str().unwrap();
    let told = place.run(["key", "disable", &id, "--shared", shared]).done();
    assert!(!asks() && told.err.is_empty(), "{}", told.err);
    place.run(["key", "enable", &id, "--shared", shared]).done();
    assert!(asks());

    let told = place.run(["key", "disable", &id, "--shared", "off"]).done();
    assert!(told.err.contains("once they have reloaded"), "{}", told.err);
    assert!(asks(), "it hears of nothing");
    assert_eq!(server.reload_if_changed(), Ok(true));
    assert!(!asks());
}

#[test]
fn list_shows_all_keys_or_those_of_a_store() {
    let place = Place::new();
    let none = place.run(["key", "list"]).done();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "there are no keys\n"));
    assert_eq!(place.run(["key", "list", "--json"]).done().json(), json!([]));

    let (_, first) = place.create(&READ);
    let words = ["key", "create", "--name", "BI 商店", "--store", "other", "--scope", "sales:read", "--test-mode"];
    place.run(words).done();
    let listed = place.run(["key", "list"]).done();
    let lines: Vec<_> = listed.out.lines().collect();
    assert_eq!(lines.len(), 3, "{listed:?}");
    assert!(lines[0].starts_with("ID ") && lines[0].ends_with("SCOPES"));
    assert!(lines[1].starts_with(&first) && lines[1].contains("yourstore  active  "));
    assert!(lines[2].contains("BI 商店") && lines[2].contains("active, test"));

    let of_store = place.run(["key", "list", "--store", "yourstore", "--json"]).done().json();
    assert_eq!((of_store.as_array().unwrap().len(), &of_store[0]["id"]), (1, &json!(first)));
}

#[test]
fn list_goes_on_behind_a_key() {
    let place = Place::new();
    let [first, other, second, third] = ["yourstore", "other", "yourstore", "yourstore"].map(|store| {
        let words = ["key", "create", "--name", "Sync", "--store", store, "--scope", "sales:read", "--json"];
        text(&place.run(words).done().json()["record"]["id"])
    });
    let list = |more: &[&str]| place.run(["key", "list"].iter().chain(more));
    let ids = |more: &[&str]| {
        let page = list(&[more, &["--json"]].concat()).done();
        (page.json().as_array().unwrap().iter().map(|key| text(&key["id"])).collect::<Vec<_>>(), page.err)
    };
    let page = list(&["--limit", "2"]).done();
    assert_eq!(page.out.lines().count(), 3, "{page:?}");
    assert!(page.out.contains(&first) && page.out.contains(&other), "{page:?}");
    assert_eq!(page.err, format!("More keys follow: list them with --after {other}.\n"));
    assert_eq!(ids(&["--limit", "2"]), (vec![first.clone(), other.clone()], page.err));

    assert_eq!(ids(&["--limit", "2", "--after", &other]), (vec![second.clone(), third.clone()], String::new()));
    assert_eq!(ids(&["--after", &second]), (vec![third.clone()], String::new()));
    let of_store = ids(&["--store", "yourstore", "--after", &first, "--limit", "1"]);
    assert_eq!(of_store, (vec![second.clone()], format!("More keys follow: list them with --after {second}.\n")));

    let last = list(&["--after", &third]).done();
    assert_eq!((last.out.as_str(), last.err.as_str()), ("", "no keys follow\n"));
    assert_eq!(ids(&["--after", &third]), (Vec::new(), String::new()));
    list(&["--after", "key_nobody"]).failed(4, "no key has the id \"key_nobody\"");
    list(&["--limit", "0"]).failed(2, "--limit");
}

#[test]
fn show_tells_everything_but_the_secret() {
    let place = Place::new();
    let (key, id) = place.create(&[&READ[..], &["--expires", "2099-01-01"]].concat());
    let shown = place.run(["key", "show", &id]).done();
    for part in
        [&*id, "Website Sync", "active", "products:read", "60 requests", "2099-01-01T00:00:00.000Z (in ", &key[..9]]
    {
        assert!(shown.out.contains(part), "expected {part:?} in {shown:?}");
    }
    assert!(!shown.out.contains(&key));
    place.run(["key", "show", "key_nobody"]).failed(4, "no key has the id \"key_nobody\"");
}

#[test]
fn update_changes_what_is_named() {
    let place = Place::new();
    let (_, id) = place.create(&READ);
    let update = |more: &[&str]| place.run(["key", "update", &id].iter().chain(more));
    let changed = update(&["--name", "Sync", "--rate-limit", "300", "--expires", "2099-01-01", "--json"]).done().json();
    assert_eq!(
        (&changed["name"], &changed["rate_limit"], &changed["expires_at"], &changed["scopes"], &changed["store"]),
        (
            &json!("Sync"),
            &json!(300),
            &json!("2099-01-01T00:00:00.000Z"),
            &json!(["products:read"]),
            &json!("yourstore")
        ),
    );
    update(&["--scope", "sales:read", "--scope", "loyalty:read", "--test-mode", "on", "--expires", "never"]).done();
    let shown = place.show(&id);
    assert_eq!(
        (&shown["scopes"], &shown["test_mode"], &shown["expires_at"], &shown["name"]),
        (&json!(["sales:read", "loyalty:read"]), &json!(true), &Value::Null, &json!("Sync")),
    );
    update(&["--test-mode", "false", "--expires", "2020-01-01"]).done();
    assert_eq!((&place.show(&id)["test_mode"], &place.show(&id)["state"]), (&json!(false), &json!("expired")));

    update(&[]).failed(2, "required");
    update(&["--expires", "soon"]).failed(2, "or 'never'");
    update(&["--rate-limit", "1001"]).failed(2, "expected 1 to 1000");
    place.run(["key", "update", "key_nobody", "--rate-limit", "5"]).failed(4, "key_nobody");
    place.run(["key", "revoke", &id]).done();
    update(&["--rate-limit", "5"]).failed(5, "revocation is permanent");
}

#[test]
fn several_keys_change_together_or_not_at_all() {
    let place = Place::new();
    let (_, one) = place.create(&READ);
    let (_, two) = place.create(&READ);
    let states = || [place.show(&one)["state"].clone(), place.show(&two)["state"].clone()];

    let disabled = place.run(["key", "disable", &one, &two]).done();
    assert_eq!(disabled.out, format!("disabled  {one}  Website Sync\ndisabled  {two}  Website Sync\n"));
    assert!(disabled.err.is_empty(), "{disabled:?}");
    assert_eq!(states(), ["disabled", "disabled"]);
    assert_eq!(place.document()["revision"], 3, "one write for both");

    let enabled = place.run(["key", "enable", &one, &two, "--json"]).done().json();
    assert_eq!((&enabled[0]["id"], &enabled[1]["state"]), (&json!(one), &json!("active")));

    place.run(["key", "revoke", &one, "key_nobody"]).failed(4, "key_nobody");
    assert_eq!(states(), ["active", "active"]);
    place.run(["key", "revoke", &one, &two]).done();
    assert_eq!(states(), ["revoked", "revoked"]);
    place.run(["key", "revoke", &one]).done();
    place.run(["key", "enable", &one]).failed(5, "revocation is permanent");
}

#[test]
fn remove_forgets_what_can_no_longer_be_used() {
    let place = Place::new();
    let (_, id) = place.create(&READ);
    place.run(["key", "remove", &id]).failed(5, "revoke it first");
    place.run(["key", "revoke", &id]).done();
    assert_eq!(place.run(["key", "remove", &id, "--json"]).done().json(), json!({"removed": [id]}));
    assert_eq!(place.document()["keys"], json!([]));
    place.run(["key", "remove", &id]).failed(4, &id);
}

#[test]
fn rotate_gives_another_secret_and_time_to_change() {
    let place = Place::new();
    let (old, id) = place.create(&READ);
    let rotated = place.run(["key", "rotate", &id, "--grace", "7d"]).done();
    let new = rotated.out.strip_suffix('\n').unwrap();
    assert!(new != old && new.len() == 41 && !rotated.err.contains(new), "{rotated:?}");
    assert!(rotated.err.contains("The previous secret works until 2"), "{rotated:?}");
    assert!(!place.show(&id)["retiring_until"].is_null());

    let check = |key: &str| {
        place.run_with(["check", "--store", "yourstore", "--scope", "products:read", "--json"], key.as_bytes()).code
    };
    assert_eq!((check(&old), check(new)), (0, 0));
    let last = place.run(["key", "rotate", &id, "--grace", "0", "--json"]).done();
    assert!(last.err.contains("no longer works"), "{last:?}");
    assert_eq!((check(&old), check(new), check(&text(&last.json()["key"]))), (1, 1, 0));

    place.run(["key", "rotate", &id]).failed(2, "--grace <DURATION>");
    place.run(["key", "rotate", &id, "--grace", "7"]).failed(2, "--grace: \"7\" is not a duration");
    place.run(["key", "rotate", &id, "--grace", "2y"]).failed(2, "at most");
    place.run(["key", "rotate", "key_nobody", "--grace", "0"]).failed(4, "key_nobody");
    place.run(["key", "revoke", &id]).done();
    place.run(["key", "rotate", &id, "--grace", "0"]).failed(5, "revocation is permanent");
}

#[test]
fn what_cannot_be_written_is_not_said_to_be_done() {
    let place = Place::new();
    let (_, id) = place.create(&READ);
    let before = place.read();
    // A folder is in the way of the new document.
    fs::create_dir(place.path("keys.json.new")).unwrap();
    place.run(["key", "revoke", &id]).failed(6, "not durable").failed(6, "run it again");
    place.run(create(&READ)).failed(3, "keys.json");
    assert_eq!(place.read(), before);
}

#[test]
fn a_key_in_an_argument_is_refused_and_not_repeated() {
    let place = Place::new();
    let (key, id) = place.create(&READ);
    for words in [
        &["key", "revoke", &key][..],
        &["key", "show", &key],
        &["check", &key],
        &["check", "--store", &key],
        &["lint", &format!("{key}.json")],
        &["nonsense", &format!("--key={key}")],
        &["key", "update", &id, "--name", &format!("now {key}")],
    ] {
        let refused = place.run(words).failed(2, "an argument holds a key");
        assert!(!refused.err.contains(&key[9..]), "{refused:?}");
    }
}

#[test]
fn a_policy_brings_its_own_scopes() {
    let place = Place::new();
    place.write(
        "policy.json",
        r#"{"scopes": [{"name": "orders:read"}, {"name": "orders:write", "includes": ["orders:read"]}], "routes": []}"#,
    );
    let words = |scope| create(&["--policy", "policy.json", "--scope", scope]);
    place.run(words("orders:write")).done();
    place.run(words("products:read")).failed(2, "expected one of orders:read, orders:write");
    place.run(["key", "list"]).failed(7, "unknown scope \"orders:write\"");
    let mut command = bpos();
    command.env("BPOS_REGISTRY", place.registry()).env("BPOS_POLICY", place.path("policy.json"));
    assert_eq!(run(command.args(["key", "list", "--json"]), b"").done().json()[0]["scopes"], json!(["orders:write"]));

    let scopes = place.run(["scopes", "--policy", "policy.json", "--json"]).done().json();
    assert_eq!(scopes[1], json!({"name": "orders:write", "id": 13, "includes": ["orders:read"], "writes": true}));
    // All that a scope includes, in the order of the policy, however indirectly; a circle is no harm.
    let chain = r#"{"scopes": [{"name": "d", "includes": ["b"]}, {"name": "a:read"}, {"name": "b", "includes": ["a:read", "d"],
        "writes": false}, {"name": "sales:read"}], "routes": []}"#;
    place.write("chain.json", chain);
    let scopes = place.run(["scopes", "--policy", "chain.json", "--json"]).done().json();
    assert_eq!(scopes[0], json!({"name": "d", "id": 12, "includes": ["a:read", "b"], "writes": true}));
    assert_eq!(scopes[1], json!({"name": "a:read", "id": 13, "includes": [], "writes": false}));
    assert_eq!(scopes[2], json!({"name": "b", "id": 14, "includes": ["d", "a:read"], "writes": false}));
    assert_eq!(scopes[3], json!({"name": "sales:read", "id": 3, "includes": [], "writes": false}));
    place.run(["scopes", "--policy", "gone.json"]).failed(3, "gone.json");
    place.write("policy.json", "{}");
    place.run(["scopes", "--policy", "policy.json"]).failed(7, "missing member `scopes`");
}

const ORDERS: &str =
    r#"{"scopes": [{"name": "orders:read"}, {"name": "orders:write", "includes": ["orders:read"]}], "routes": []}"#;

#[test]
fn a_scope_that_no_policy_was_named_for_says_how_to_name_one() {
    let place = Place::new();
    place.write("policy.json", ORDERS);
    let hint = "pass --policy FILE or set BPOS_POLICY";
    let (_, id) = place.create(&READ);

    place.run(create(&["--scope", "orders:read"])).failed(2, "expected one of products:read").failed(2, hint);
    place.run(["key", "update", &id, "--scope", "orders:read"]).failed(2, hint);
    place.run(["check", "--scope", "orders:read"]).failed(2, hint);
    let of_the_policy = create(&["--policy", "policy.json", "--scope", "products:read"]);
    let refused = place.run(of_the_policy).failed(7, "unknown scope");
    assert!(!refused.err.contains(hint), "a policy was named: {refused:?}");
    assert!(!place.run(["key", "show", "key_nobody"]).failed(4, "key_nobody").err.contains(hint));

    place.run(["init", "orders.json", "--policy", "policy.json"]).done();
    let orders = ["--policy", "policy.json", "--scope", "orders:write", "--registry", "orders.json"];
    place.run(create(&orders)).done();
    place.run(["key", "list", "--registry", "orders.json"]).failed(7, hint);
    let lint = place.run(["lint", "orders.json"]);
    assert!(lint.code == 1 && lint.out.contains("unknown scope") && lint.err.contains(hint), "{lint:?}");
    place.write("wrong.json", ORDERS.replace(r#"["orders:read"]"#, r#"["order:read"]"#));
    let lint = place.run(["lint", "wrong.json"]);
    assert!(lint.code == 1 && !lint.err.contains(hint), "a policy's own mistake: {lint:?}");
}

#[test]
fn init_suggests_a_key_that_can_be_created() {
    let place = Place::empty();
    place.write("own policy.json", ORDERS);
    place.write("none.json", r#"{"scopes": [], "routes": []}"#);
    let suggested = |words: &[&str], policy: Option<&str>| {
        let mut command = bpos();
        command.current_dir(place.path("")).args(words);
        command.envs(policy.map(|policy| ("BPOS_POLICY", policy)));
        let said = run(&mut command, b"").done().err;
        said.strip_prefix("next: ").map(|suggested| suggested.trim_end().to_owned())
    };
    let created = |suggested: &str, policy: Option<&str>| {
        let mut shell = Command::new("sh");
        let path = Path::new(env!("CARGO_BIN_EXE_bpos")).parent().unwrap().to_owned();
        let path = std::env::join_paths([path, "/usr/bin".into(), "/bin".into()]).unwrap();
        shell.current_dir(place.path("")).env("PATH", path).args(["-c", suggested]);
        shell.env_remove("BPOS_REGISTRY").env_remove("BPOS_POLICY");
        shell.envs(policy.map(|policy| ("BPOS_POLICY", policy)));
        run(&mut shell, b"").done();
    };

    let built_in = suggested(&["init", "a.json"], None).unwrap();
    assert!(built_in.ends_with("--store yourstore --scope products:read"), "{built_in}");
    created(&built_in, None);
    let named = suggested(&["init", "it's.json", "--policy", "own policy.json"], None).unwrap();
    assert!(named.ends_with("--scope orders:read"), "{named}");
    created(&named, None);
    let by_environment = suggested(&["init", "c.json"], Some("own policy.json")).unwrap();
    assert!(
        by_environment.ends_with("--scope orders:read") && !by_environment.contains("--policy"),
        "{by_environment}"
    );
    created(&by_environment, Some("own policy.json"));
    assert_eq!(suggested(&["init", "d.json", "--policy", "none.json"], None), None);
}

#[test]
fn scopes_lists_those_of_the_documentation() {
    let place = Place::empty();
    let listed = run(bpos().arg("scopes"), b"").done();
    assert_eq!(listed.out.lines().count(), 12);
    assert!(listed.out.contains("products:write      8       writes  products:read\n"), "{listed:?}");
    let scopes = place.run(["scopes", "--json"]).done().json();
    let writes: Vec<_> = scopes.as_array().unwrap().iter().filter(|scope| scope["writes"] == true).collect();
    assert_eq!(writes.iter().map(|scope| scope["id"].as_u64().unwrap()).collect::<Vec<_>>(), [8, 9, 10, 11]);
}

#[test]
fn a_link_to_a_registry_is_read_and_not_written() {
    let place = Place::new();
    let (_, id) = place.create(&READ);
    std::os::unix::fs::symlink(place.registry(), place.path("link.json")).unwrap();
    place.run(["key", "show", &id, "--registry", "link.json"]).done();
    place.run(["key", "revoke", &id, "--registry", "link.json"]).failed(3, "not by a link");
}

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| place.create(&READ));
        }
    });
    let document = place.document();
    assert_eq!((document["keys"].as_array().unwrap().len(), &document["revision"]), (12, &json!(12)));
}
