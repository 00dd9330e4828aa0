//! Policies and options: what is read and refused, what a scope includes, and which route needs which scope.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets something unexpected has failed")]

mod sample;

use std::collections::{BTreeMap, BTreeSet};

use bpos::{DenyReason, ErrorKind, Now, Options, Policy, Registry, Request, Sharing};
use proptest::prelude::*;
use proptest::sample::select;
use sample::{NOW, document, record_with, secret};
use serde_json::{Value, json};

/// A registry with this policy whose key 1 has these scopes.
fn registry_with(policy: &Value, scopes: &[&str]) -> Registry {
    let mut options = Options::default();
    options.policy = Policy::from_json(policy.to_string().as_bytes()).unwrap();
    let members = json!({"scopes": scopes, "rate_limit": 1_000});
    Registry::from_json_with(&document(1, &[record_with(1, &members)]), options).unwrap()
}

/// What key 1 is told: the name of the scope that the route needed, or why not.
fn outcome(registry: &Registry, method: &str, target: &str, now: Now) -> Result<String, DenyReason> {
    let secret = secret(1);
    let grant = registry.authorize_at(&Request::new(method, target).api_key(&secret), now);
    grant
        .map(|grant| registry.policy().name(grant.scope().unwrap()).unwrap().to_string())
        .map_err(|denial| denial.reason())
}

// ---- Refusals and how they read ----

#[test]
fn a_refusal_says_which_entry_which_member_where_and_what_was_expected() {
    let scopes = r#""scopes": [{"name": "a:read"}, {"name": "a:write", "includes": ["a:read"]}]"#;
    let routes = |routes: &str| format!("{{{scopes},\n\"routes\": [{routes}]}}");
    let path =
        |path: &str| routes(&format!(r#"{{"method": "GET", "path": {}, "scope": "a:read"}}"#, Value::from(path)));
    let sound = "a path begins with '/', does not end with one, and has nothing that routers read differently";
    let parameter = "a parameter is a whole segment, '{' and '}' around letters, digits or '_'";
    for (why, text) in [
        (sound, ""),
        (sound, "a"),
        (sound, "/a/"),
        (sound, "//"),
        (sound, "/a//b"),
        (sound, "/."),
        (sound, "/a/../b"),
        (sound, "/a?x"),
        (sound, "/a#x"),
        (sound, "/a;x"),
        (sound, "/a b"),
        (sound, "/%2e"),
        (sound, "/%2F"),
        (sound, "/%5c"),
        (sound, "/%61"),
        (sound, "/%"),
        (sound, "/%zz"),
        (parameter, "/{}"),
        (parameter, "/{id"),
        (parameter, "/id}"),
        (parameter, "/x{id}"),
        (parameter, "/{id}x"),
        (parameter, "/{*rest}"),
        (parameter, "/{a}{b}"),
        (parameter, "/{a-b}"),
        ("a path has at most 3 parameters", "/{a}/{b}/{c}/{d}"),
    ] {
        let error = Policy::from_json(path(text).as_bytes()).unwrap_err();
        // The place is where the path ends.
        let column = r#""routes": [{"method": "GET", "path": """#.len() + text.len();
        let expected = format!("the policy: route 1: member `path`: {why}; found {text:?} at line 2 column {column}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Format, expected));
    }
    let backslash = Policy::from_json(path("/a\\b").as_bytes()).unwrap_err().to_string();
    assert!(backslash.contains(sound), "{backslash}");

    let route = |method: &str, path: &str, scope: &str| {
        format!(r#"{{"method": "{method}", "path": "{path}", "scope": "{scope}"}}"#)
    };
    let two = |first: String, second: String| routes(&format!("{first},\n{second}"));
    let cases = [
        (
            "[]".into(),
            "expected a policy, an object with the members scopes and routes; found an array at line 1 column 1",
        ),
        ("{}".into(), "missing member `scopes` at line 1 column 2"),
        (r#"{"scopes": []}"#.into(), "missing member `routes` at line 1 column 14"),
        (r#"{"scopes": [], "scopes": []}"#.into(), "duplicate member `scopes` at line 1 column 23"),
        (
            r#"{"scopes": [], "x": 1}"#.into(),
            "unknown member \"x\"; expected one of scopes, routes at line 1 column 18",
        ),
        (
            r#"{"scopes": [{"title": "a"}]}"#.into(),
            "scope 1: unknown member \"title\"; expected one of name, includes, writes at line 1 column 20",
        ),
        (r#"{"scopes": [{}]}"#.into(), "scope 1: missing member `name` at line 1 column 14"),
        (
            r#"{"scopes": [["a"]]}"#.into(),
            "scope 1: expected a scope, an object with the member name; found an array at line 1 column 13",
        ),
        (
            r#"{"scopes": [{"name": "a", "writes": null}]}"#.into(),
            "scope 1: member `writes`: expected a boolean; found null at line 1 column 40",
        ),
        (
            routes(r#"{"method": "GET", "path": "/a", "scope": "a:read", "verb": 1}"#),
            "route 1: unknown member \"verb\"; expected one of method, path, scope, writes at line 2 column 68",
        ),
        (routes(r#"{"method": "GET", "path": "/a"}"#), "route 1: missing member `scope` at line 2 column 42"),
        (
            "{\"routes\": [],\n\"scopes\": [{\"name\": \"a\"},\n{\"name\": \"a\"}]}".into(),
            "scope 2: member `name`: duplicate scope \"a\" at line 3 column 12",
        ),
        (
            "{\"routes\": [],\n\"scopes\": [{\"name\": \"a b\"}]}".into(),
            "scope 1: member `name`: a scope's name has 1 to 63 visible ASCII characters; found \"a b\" at line 2 column 25",
        ),
        (
            "{\"routes\": [],\n\"scopes\": [{\"name\": \"ab\",\n\"includes\": [\"a\"]}]}".into(),
            "scope 1: member `includes`: unknown scope \"a\"; expected one of ab at line 3 column 16",
        ),
        (
            routes(&route("GET", "/a", "a")),
            "route 1: member `scope`: unknown scope \"a\"; expected one of a:read, a:write at line 2 column 55",
        ),
        (
            routes(&route("get", "/a", "a:read")),
            "route 1: member `method`: a method is 1 to 32 capital letters, \"-\" or \"_\"; found \"get\" at line 2 column 27",
        ),
        // What is behind the value makes no difference to its place.
        (
            format!(
                "{{{scopes},\n\"routes\": [\n{{\"method\": \"GET\", \"path\": \"/a\",\n\"scope\": \"a\"\n\n}}\n]}}"
            ),
            "route 1: member `scope`: unknown scope \"a\"; expected one of a:read, a:write at line 4 column 12",
        ),
        (
            "{\"routes\": [],\n\"scopes\": [{\"name\": \"ab\",\n\"includes\": [\n\"a\"\n]\n}]}".into(),
            "scope 1: member `includes`: unknown scope \"a\"; expected one of ab at line 4 column 3",
        ),
        (
            two(route("GET", "/a", "a:read"), route("GET", "/a", "a:write")),
            "route 2: member `path`: route 1 already serves GET /a at line 3 column 30",
        ),
        (
            two(route("GET", "/a/{id}", "a:read"), route("GET", "/a/{other}", "a:read")),
            "route 2: member `path`: route 1 already serves GET /a/{other} at line 3 column 38",
        ),
    ];
    for (json, expected) in cases {
        let json: String = json;
        let error = Policy::from_json(json.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Format, format!("the policy: {expected}")), "{json}");
        // As an option, it stands in another place.
        let error =
            Options::from_json(format!("{{\"read_only\": true,\n\n\"policy\": {json}}}").as_bytes()).unwrap_err();
        let text = error.to_string();
        let line: usize = expected.rsplit_once(" at line ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(text.contains(&format!(" at line {} column ", line + 2)), "{text}");
    }
}

#[test]
fn methods_are_capital_letters() {
    let taken = |method: &str| {
        let policy = json!({"scopes": [{"name": "a"}], "routes": [{"method": method, "path": "/", "scope": "a"}]});
        Policy::from_json(policy.to_string().as_bytes()).is_ok()
    };
    for method in ["GET", "M-SEARCH", "A_B", "X", &"X".repeat(32)] {
        assert!(taken(method), "{method}");
    }
    for method in ["", "get", "Get", "G T", " GET", "GET ", "GET\0", "GÉT", "*", "G3T", &"X".repeat(33)] {
        assert!(!taken(method), "{method:?}");
    }
}

#[test]
fn a_policy_has_bounds() {
    let scopes =
        |count: usize| -> Vec<Value> { (0..count).map(|number| json!({"name": format!("s{number}")})).collect() };
    let routes = |count: usize| -> Vec<Value> {
        (0..count).map(|number| json!({"method": "GET", "path": format!("/p{number}"), "scope": "s0"})).collect()
    };
    let read = |scopes: Vec<Value>, routes: Vec<Value>| {
        Policy::from_json(json!({"scopes": scopes, "routes": routes}).to_string().as_bytes())
    };
    let with_path = |length: usize| {
        read(scopes(1), vec![json!({"method": "GET", "path": format!("/{}", "x".repeat(length - 1)), "scope": "s0"})])
    };
    let with_name = |length: usize| read(vec![json!({"name": "x".repeat(length)})], vec![]);

    assert_eq!(read(scopes(64), vec![]).unwrap().scopes().count(), 64);
    let error = read(scopes(65), vec![]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        error
            .to_string()
            .starts_with("the policy: member `scopes`: expected at most 64 scopes; found one more at line 1")
    );

    assert!(read(scopes(1), routes(4_096)).is_ok());
    let error = read(scopes(1), routes(4_097)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        error
            .to_string()
            .starts_with("the policy: member `routes`: expected at most 4096 routes; found one more at line 1")
    );

    assert!(with_path(512).is_ok());
    assert!(with_path(513).unwrap_err().to_string().contains("a path has at most 512 bytes"));
    assert!(with_name(63).is_ok());
    assert!(with_name(64).unwrap_err().to_string().contains("a scope's name has 1 to 63 visible ASCII characters"));
}

#[test]
fn each_of_64_scopes_is_a_scope_of_its_own() {
    let names: Vec<String> = (0..64).map(|number| format!("s{number}")).collect();
    let scopes: Vec<Value> = names.iter().map(|name| json!({"name": name, "writes": false})).collect();
    let policy = json!({"scopes": scopes, "routes": []});
    for held in &names {
        let registry = registry_with(&policy, &[held]);
        let secret = secret(1);
        for asked in &names {
            let request = Request::new("", "").api_key(&secret);
            let allowed = registry.authorize_scope_at(&request, registry.scope(asked).unwrap(), NOW).is_ok();
            assert_eq!(allowed, held == asked, "{held} asked for {asked}");
        }
    }
}

// ---- Options ----

#[test]
fn options_are_read_strictly() {
    let options = Options::from_json(b"{}").unwrap();
    assert!(!options.read_only);
    assert_eq!(options.policy.scopes().count(), 11, "the documentation's policy");
    // A host that could not read its policy must not be given another one.
    let none = Options::from_json(br#"{"policy": null}"#).unwrap_err().to_string();
    assert!(none.contains("expected a policy, an object with the members scopes and routes"), "{none}");
    assert!(Options::from_json(br#"{"read_only": true}"#).unwrap().read_only);
    let shared = |json: &str| Options::from_json(json.as_bytes()).unwrap().shared;
    assert_eq!(shared("{}"), Sharing::On);
    assert_eq!(shared(r#"{"shared": true}"#), Sharing::On);
    assert_eq!(shared(r#"{"shared": false}"#), Sharing::Off);
    assert_eq!(shared(r#"{"shared": {"dir": "/run/bpos"}}"#), Sharing::In("/run/bpos".into()));
    let own =
        Options::from_json(br#"{"read_only": false, "policy": {"scopes": [{"name": "a"}], "routes": []}}"#).unwrap();
    assert_eq!((own.policy.scopes().collect::<Vec<_>>(), own.read_only), (vec!["a"], false));

    let cases = [
        ("", "not JSON: EOF while parsing a value at line 1 column 1"),
        ("null", "expected an object of options, policy, read_only and shared; found null at line 1 column 4"),
        ("{} {}", "not JSON: trailing characters at line 1 column 4"),
        (
            r#"{"readonly": true}"#,
            "unknown member \"readonly\"; expected one of policy, read_only, shared at line 1 column 11",
        ),
        (r#"{"read_only": 1}"#, "member `read_only`: expected a boolean; found 1 at line 1 column 15"),
        (
            r#"{"shared": 1}"#,
            "member `shared`: expected a boolean or an object with the member dir; found 1 at line 1 column 12",
        ),
        (
            r#"{"shared": {"dir": 1}}"#,
            "member `shared`: member `dir`: expected a folder, a string; found 1 at line 1 column 20",
        ),
        (r#"{"shared": {}}"#, "member `shared`: missing member `dir` at line 1 column 13"),
        (r#"{"read_only": null}"#, "member `read_only`: expected a boolean; found null at line 1 column 18"),
        (r#"{"read_only": true, "read_only": true}"#, "duplicate member `read_only` at line 1 column 31"),
    ];
    for (json, expected) in cases {
        let error = Options::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Format, format!("the options: {expected}")),
            "{json}"
        );
    }
}

// ---- What a scope includes ----

#[test]
fn inclusion_is_transitive_and_may_go_round() {
    // A chain of 64, the longest there can be, the last of which includes the first again in the second policy.
    let scopes = |round: bool| -> Vec<Value> {
        (0..64)
            .map(|number| match number {
                63 if !round => json!({"name": "s63", "writes": false}),
                _ => json!({"name": format!("s{number}"), "includes": [format!("s{}", (number + 1) % 64)], "writes": false}),
            })
            .collect()
    };
    for round in [false, true] {
        for held in [0, 1, 62, 63] {
            let mut scopes = scopes(round);
            scopes.rotate_left(17); // the order in the policy makes no difference
            let registry = registry_with(&json!({"scopes": scopes, "routes": []}), &[&format!("s{held}")]);
            let secret = secret(1);
            for asked in 0..64 {
                let scope = registry.scope(&format!("s{asked}")).unwrap();
                let allowed = registry.authorize_scope_at(&Request::new("", "").api_key(&secret), scope, NOW).is_ok();
                assert_eq!(allowed, round || asked >= held, "round: {round}, s{held} asked for s{asked}");
            }
        }
    }
}

/// A policy as this test understands it.
#[derive(Debug, Clone)]
struct Model {
    includes: BTreeMap<String, BTreeSet<String>>,
    writes: BTreeMap<String, Option<bool>>,
}

impl Model {
    /// All that a set of scopes grants.
    fn granted(&self, held: &BTreeSet<String>) -> BTreeSet<String> {
        fn follow(model: &Model, name: &str, granted: &mut BTreeSet<String>) {
            if granted.insert(name.to_string()) {
                for included in &model.includes[name] {
                    follow(model, included, granted);
                }
            }
        }
        let mut granted = BTreeSet::new();
        held.iter().for_each(|name| follow(self, name, &mut granted));
        granted
    }

    fn writes(&self, name: &str) -> bool {
        self.writes[name].unwrap_or(!name.ends_with(":read"))
    }

    fn json(&self) -> Value {
        let scopes: Vec<Value> = self
            .includes
            .iter()
            .map(|(name, includes)| match self.writes[name] {
                Some(writes) => json!({"name": name, "includes": includes, "writes": writes}),
                None => json!({"name": name, "includes": includes}),
            })
            .collect();
        let routes: Vec<Value> = self
            .includes
            .keys()
            .enumerate()
            .map(|(number, name)| json!({"method": "GET", "path": format!("/{number}"), "scope": name}))
            .collect();
        json!({"scopes": scopes, "routes": routes})
    }
}

/// Names that begin alike, end alike, or differ in case only, and some of the documentation's.
fn names() -> impl Strategy<Value = BTreeSet<String>> {
    const NAMES: [&str; 13] = [
        "a",
        "ab",
        "a:read",
        "a:reads",
        "a:rea",
        "A:read",
        "a:write",
        "b:read",
        "*",
        "a:*",
        ":read",
        "products:read",
        "products:write",
    ];
    proptest::collection::btree_set(prop_oneof![select(&NAMES[..]).prop_map(String::from), "[ab:]{1,4}"], 1..16)
}

fn model() -> impl Strategy<Value = (Model, BTreeSet<String>)> {
    names().prop_flat_map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        let count = names.len();
        let some = proptest::collection::btree_set(select(names.clone()), 0..=count.min(3));
        let includes = proptest::collection::vec(some.clone(), count);
        let writes = proptest::collection::vec(any::<Option<bool>>(), count);
        (includes, writes, some).prop_map(move |(includes, writes, held)| {
            let model = Model {
                includes: names.iter().cloned().zip(includes).collect(),
                writes: names.iter().cloned().zip(writes).collect(),
            };
            (model, held)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A key may do what the names that it holds grant, and nothing else: by a named scope and by a route, in test mode
    /// and out of it.
    #[test]
    fn a_key_may_do_what_a_naive_model_says((model, held) in model(), test_mode in any::<bool>()) {
        let mut options = Options::default();
        options.policy = Policy::from_json(model.json().to_string().as_bytes()).unwrap();
        let members = json!({"scopes": held, "rate_limit": 1_000, "test_mode": test_mode});
        let registry = Registry::from_json_with(&document(1, &[record_with(1, &members)]), options).unwrap();
        let secret = secret(1);
        let granted = model.granted(&held);
        for (number, name) in model.includes.keys().enumerate() {
            let scope = registry.scope(name).unwrap();
            prop_assert_eq!(registry.policy().name(scope), Some(name.as_str()));

            let expected = match (granted.contains(name), test_mode && model.writes(name)) {
                (false, _) => Err(DenyReason::InsufficientScope),
                (true, true) => Err(DenyReason::TestMode),
                (true, false) => Ok(scope),
            };
            let named = registry.authorize_scope_at(&Request::new("", "").api_key(&secret), scope, NOW);
            prop_assert_eq!(named.map(|grant| grant.scope().unwrap()).map_err(|denial| denial.reason()), expected, "{}", name);

            let expected = if granted.contains(name) { Ok(name.clone()) } else { Err(DenyReason::InsufficientScope) };
            prop_assert_eq!(outcome(&registry, "GET", &format!("/{number}"), NOW), expected.clone(), "{}", name);
            prop_assert_eq!(outcome(&registry, "HEAD", &format!("/{number}"), NOW), expected, "{}", name);
        }
        // A name that the policy does not have is no scope, however much of it is one.
        for name in model.includes.keys() {
            for other in [format!("{name}x"), name[1..].to_string(), name[..name.len() - 1].to_string(), name.to_uppercase()] {
                prop_assert_eq!(registry.scope(&other).is_some(), model.includes.contains_key(&other), "{}", other);
            }
        }
    }
}

// ---- Routes ----

#[test]
fn get_serves_head_unless_head_has_a_route_of_its_own() {
    let route = |method: &str, path: &str, scope: &str| json!({"method": method, "path": path, "scope": scope});
    let policy = json!({
        "scopes": [{"name": "get"}, {"name": "head"}, {"name": "post"}],
        "routes": [
            route("GET", "/both", "get"), route("HEAD", "/both", "head"),
            route("GET", "/get", "get"), route("HEAD", "/head", "head"), route("POST", "/post", "post"),
        ],
    });
    let registry = registry_with(&policy, &["get", "head", "post"]);
    let unmapped = Err(DenyReason::UnmappedRoute);
    let cases = [
        ("GET", "/both", Ok("get".to_string())),
        ("HEAD", "/both", Ok("head".to_string())),
        ("GET", "/get", Ok("get".to_string())),
        ("HEAD", "/get", Ok("get".to_string())),
        ("HEAD", "/head", Ok("head".to_string())),
        ("GET", "/head", unmapped.clone()),
        ("POST", "/post", Ok("post".to_string())),
        ("HEAD", "/post", unmapped.clone()),
        ("GET", "/post", unmapped.clone()),
        ("POST", "/get", unmapped.clone()),
        ("get", "/get", unmapped.clone()),
        ("head", "/get", unmapped.clone()),
        ("", "/get", unmapped.clone()),
        ("GET ", "/get", unmapped.clone()),
        ("GET\0", "/get", unmapped),
    ];
    for (method, path, expected) in cases {
        assert_eq!(outcome(&registry, method, path, NOW), expected, "{method:?} {path}");
    }
}

#[test]
fn an_operation_writes_as_its_route_says() {
    let route = |method: &str, path: &str, writes: Option<bool>| match writes {
        Some(writes) => json!({"method": method, "path": path, "scope": "a:read", "writes": writes}),
        None => json!({"method": method, "path": path, "scope": "a:read"}),
    };
    let cases = [
        ("GET", None, false),
        ("HEAD", None, false),
        ("POST", None, true),
        ("OPTIONS", None, true),
        ("GET", Some(true), true),
        ("POST", Some(false), false),
    ];
    for (method, writes, expected) in cases {
        let policy = json!({"scopes": [{"name": "a:read"}], "routes": [route(method, "/x", writes)]});
        let mut options = Options::default();
        options.policy = Policy::from_json(policy.to_string().as_bytes()).unwrap();
        let members = json!({"scopes": ["a:read"], "test_mode": true});
        let registry = Registry::from_json_with(&document(1, &[record_with(1, &members)]), options).unwrap();
        let denied = outcome(&registry, method, "/x", NOW) == Err(DenyReason::TestMode);
        assert_eq!(denied, expected, "{method} {writes:?}");
        if method == "GET" {
            assert_eq!(outcome(&registry, "HEAD", "/x", NOW).is_err(), expected, "HEAD by GET {writes:?}");
        }
    }
}

/// A route as this test understands it: its method, and its segments, `None` for a parameter.
type ModelRoute = (&'static str, Vec<Option<&'static str>>);

fn routes() -> impl Strategy<Value = Vec<ModelRoute>> {
    let segment = prop_oneof![Just(Some("a")), Just(Some("b")), Just(Some("ab")), Just(None)];
    let route = (select(&["GET", "POST", "HEAD"][..]), proptest::collection::vec(segment, 1..=3));
    proptest::collection::vec(route, 1..12)
}

/// How a path meets a route, segment by segment: 0 by its text, 2 by its parameter. 1, with which it ends, is a text that
/// some routers would take the segment for.
fn way(template: &[Option<&str>], path: &[&str]) -> Option<Vec<u8>> {
    let mut steps = Vec::new();
    for (wanted, found) in template.iter().zip(path) {
        match wanted {
            None => steps.push(2),
            Some(text) if text == found => steps.push(0),
            Some(text) if format!("{found}.").to_lowercase().starts_with(&format!("{text}.").to_lowercase()) => {
                steps.push(1);
                return Some(steps);
            }
            Some(_) => return None,
        }
    }
    (template.len() == path.len()).then_some(steps)
}

/// The route that serves a request: text goes before a parameter, segment by segment from the left, and only then
/// does the method count.
fn serving<'r>(routes: &'r [ModelRoute], method: &str, path: &[&str]) -> Option<&'r ModelRoute> {
    let met = routes.iter().filter_map(|route| Some((way(&route.1, path)?, &route.1)));
    let (_, template) = met.min().filter(|(steps, _)| !steps.contains(&1))?;
    let with = |method: &str| routes.iter().find(|route| route.1 == *template && route.0 == method);
    with(method).or_else(|| if method == "HEAD" { with("GET") } else { None })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_request_is_routed_as_a_naive_model_says(
        routes in routes(),
        requests in proptest::collection::vec(
            (select(&["GET", "POST", "HEAD", "PUT"][..]), proptest::collection::vec(select(&["a", "b", "ab", "c", "A", "aB", "a.b", "B.c.d", "ab.", "c.a"][..]), 1..=4), any::<bool>()),
            1..20,
        ),
    ) {
        let scopes: Vec<String> = (0..routes.len()).map(|number| format!("s{number}")).collect();
        let names = ["id", "x", "sku"];
        let listed: Vec<Value> = routes
            .iter()
            .enumerate()
            .map(|(number, (method, segments))| {
                // Parameters' names differ from route to route, and must make no difference.
                let text: String = segments.iter().enumerate().map(|(place, segment)| match segment {
                    Some(text) => format!("/{text}"),
                    None => format!("/{{{}{place}}}", names[number % 3]),
                }).collect();
                json!({"method": method, "path": text, "scope": scopes[number]})
            })
            .collect();
        let named: Vec<Value> = scopes.iter().map(|name| json!({"name": name})).collect();
        let policy = json!({"scopes": named, "routes": listed});
        let read = Policy::from_json(policy.to_string().as_bytes());

        let second = (1..routes.len()).find(|number| routes[..*number].contains(&routes[*number]));
        if let Some(second) = second {
            let text = read.unwrap_err().to_string();
            let expected = format!("the policy: route {}: member `path`: route ", second + 1);
            prop_assert!(text.contains(" already serves "), "{}", text);
            prop_assert!(text.starts_with(&expected), "{}", text);
            return Ok(());
        }
        let held: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let registry = registry_with(&policy, &held);
        for (method, path, slash) in requests {
            let expected = match serving(&routes, method, &path) {
                Some(route) => Ok(scopes[routes.iter().position(|known| known == route).unwrap()].clone()),
                None => Err(DenyReason::UnmappedRoute),
            };
            let target = format!("/{}{}", path.join("/"), if slash { "/" } else { "" });
            prop_assert_eq!(outcome(&registry, method, &target, NOW), expected, "{} {}", method, target);
        }
    }
}

// ---- The schema for editors ----

#[test]
fn the_schema_agrees_with_the_reader() {
    let schema: Value = serde_json::from_str(include_str!("../docs/policy.schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is one");
    let schema = jsonschema::draft202012::new(&schema).unwrap();

    let path =
        |path: &str| json!({"scopes": [{"name": "a"}], "routes": [{"method": "GET", "path": path, "scope": "a"}]});
    let method =
        |method: &str| json!({"scopes": [{"name": "a"}], "routes": [{"method": method, "path": "/a", "scope": "a"}]});
    let name = |name: &str| json!({"scopes": [{"name": name}], "routes": []});
    let scope = |members: Value| json!({"scopes": [members], "routes": []});
    let route = |members: Value| json!({"scopes": [{"name": "a"}], "routes": [members]});

    // Both take these.
    let mut sound = vec![
        json!({"scopes": [], "routes": []}),
        scope(json!({"name": "a", "includes": [], "writes": true})),
        scope(json!({"name": "a", "includes": ["a", "a"]})),
        route(json!({"method": "GET", "path": "/a", "scope": "a", "writes": false})),
    ];
    sound.extend(
        [
            "/",
            "/a",
            "/{id}",
            "/a/{id}/b/{x_1}/{Y}",
            "/a.b",
            "/..a",
            "/...",
            "/.a",
            "/a-_~!$&'()*+,:=@|^`[]\"<>",
            "/%20",
        ]
        .map(path),
    );
    sound.extend([format!("/{}", "x".repeat(511))].map(|text| path(&text)));
    sound.extend(["GET", "M-SEARCH", "A_B"].map(method));
    sound.extend(["a", "products:read", "*", "~!"].map(name));
    sound.push(name(&"x".repeat(63)));

    // Both refuse these.
    let mut wrong = vec![
        json!({}),
        json!([]),
        json!({"scopes": []}),
        json!({"routes": []}),
        json!({"scopes": [], "routes": [], "version": 1}),
        json!({"scopes": {}, "routes": []}),
        json!({"scopes": [], "routes": null}),
        scope(json!({})),
        scope(json!("a")),
        scope(json!({"name": 1})),
        scope(json!({"name": "a", "includes": null})),
        scope(json!({"name": "a", "includes": "a"})),
        scope(json!({"name": "a", "includes": [1]})),
        scope(json!({"name": "a", "writes": null})),
        scope(json!({"name": "a", "writes": 1})),
        scope(json!({"name": "a", "title": "A"})),
        route(json!({"path": "/a", "scope": "a"})),
        route(json!({"method": "GET", "scope": "a"})),
        route(json!({"method": "GET", "path": "/a"})),
        route(json!({"method": "GET", "path": "/a", "scope": null})),
        route(json!({"method": "GET", "path": "/a", "scope": "a", "writes": null})),
        route(json!({"method": "GET", "path": "/a", "scope": "a", "x": 1})),
        route(json!({"method": ["GET"], "path": "/a", "scope": "a"})),
        json!({"scopes": (0..65).map(|number| json!({"name": format!("s{number}")})).collect::<Vec<_>>(), "routes": []}),
    ];
    wrong.extend(
        [
            "", "a", "/a/", "//", "/a//b", "/.", "/..", "/./a", "/a/..", "/a?b", "/a#b", "/a;b", "/a\\b", "/a b", "/é",
            "/\u{7f}",
        ]
        .map(path),
    );
    wrong.extend(
        ["/{}", "/{a", "/a}", "/{a}b", "/b{a}", "/{a}{b}", "/{*a}", "/{a-b}", "/{a}/{b}/{c}/{d}", "/a\n", "/a\0"]
            .map(path),
    );
    wrong.extend([format!("/{}", "x".repeat(512))].map(|text| path(&text)));
    wrong.extend(["", "get", "G T", "G3T", "GET\n", &"X".repeat(33)].map(method));
    wrong.extend(["", "a b", "é", "a\n", "a\0"].map(name));
    wrong.push(name(&"x".repeat(64)));

    // The schema cannot refuse these, each for the reason beside it.
    let beyond = [
        ("it does not decode UTF-8", path("/%80")),
        ("it does not decode UTF-8", path("/a%c0%aeb")),
        ("it cannot compare two scopes", json!({"scopes": [{"name": "a"}, {"name": "a"}], "routes": []})),
        ("it does not know which scopes there are", scope(json!({"name": "a", "includes": ["b"]}))),
        ("it does not know which scopes there are", route(json!({"method": "GET", "path": "/a", "scope": "b"}))),
        (
            "it cannot compare two routes",
            json!({"scopes": [{"name": "a"}], "routes": [
                {"method": "GET", "path": "/{a}", "scope": "a"}, {"method": "GET", "path": "/{b}", "scope": "a"},
            ]}),
        ),
    ];

    // Every percent-encoding of ASCII, in both.
    for byte in 0..0x80_u8 {
        for text in [format!("/%{byte:02X}"), format!("/a%{byte:02x}b")] {
            let read = Policy::from_json(path(&text).to_string().as_bytes()).is_ok();
            assert_eq!(schema.is_valid(&path(&text)), read, "{text}");
        }
    }
    // Every character, too.
    for character in '\0'..='\u{ff}' {
        let text = format!("/a{character}b");
        let read = Policy::from_json(path(&text).to_string().as_bytes()).is_ok();
        assert_eq!(schema.is_valid(&path(&text)), read, "{text:?}");
    }
    let read = |policy: &Value| Policy::from_json(policy.to_string().as_bytes());
    for policy in sound {
        assert!(read(&policy).is_ok(), "the reader: {:?} {policy}", read(&policy).err());
        assert!(schema.is_valid(&policy), "the schema: {policy}");
    }
    for policy in wrong {
        assert!(read(&policy).is_err(), "the reader: {policy}");
        assert!(!schema.is_valid(&policy), "the schema: {policy}");
    }
    for (why, policy) in beyond {
        assert!(read(&policy).is_err(), "the reader: {policy}");
        assert!(schema.is_valid(&policy), "the schema can after all, though {why}: {policy}");
    }
}
