//! The mistakes of a policy.

use std::collections::HashMap;

use bpos::Policy;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Finding;
use super::probe::{Kind, Member, Object, Probe, document, no_json, place, sound_text};

/// What a policy consists of. Names and routes are judged apart: they hang together.
const TOP: &[Member<'_>] = &[
    Member { name: "scopes", required: Some("[]"), kind: Kind::List(&Kind::Other) },
    Member { name: "routes", required: Some("[]"), kind: Kind::List(&Kind::Other) },
];

/// A scope by itself: what it includes are others.
const SCOPE: &[Member<'_>] = &[
    Member { name: "name", required: Some("\"lint\""), kind: Kind::Leaf },
    Member { name: "includes", required: None, kind: Kind::Other },
    Member { name: "writes", required: None, kind: Kind::Leaf },
];

/// How many scopes stand around a route that is judged: as many as a policy can have.
const MOST_SCOPES: usize = 64;

pub(super) fn findings(json: &[u8]) -> Vec<Finding> {
    let Err(first) = judge(json) else { return Vec::new() };
    let mut findings = Vec::new();
    let text = sound_text(json, &mut findings);
    let members = match serde_json::from_str::<Object<'_>>(text) {
        Ok(members) => members.0,
        Err(error) if error.is_data() => Vec::new(), // JSON, but no object
        Err(error) => {
            no_json(json, &error, &mut findings);
            return findings;
        }
    };
    let mut probe = Probe::new(text, &judge, trimmed);
    probe.value(document(text), "", "", &Kind::Object(TOP));
    let list = |wanted: &str| items(members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value));
    let (scopes, routes) = (list("scopes"), list("routes"));
    let names = judge_scopes(&mut probe, &scopes);
    if !names.is_empty() {
        judge_includes(&mut probe, &scopes, &names);
        judge_routes(&mut probe, &routes, &names);
    }
    findings.append(&mut probe.findings);
    if findings.is_empty() {
        // What only the whole can have, such as too many routes.
        let (message, end) = place(json, &first);
        findings.push(Finding { end, message: trimmed(&message) });
    }
    findings
}

/// Judges each scope but for what it includes; gives the sound names, as JSON.
fn judge_scopes<'a>(probe: &mut Probe<'a>, scopes: &[&'a RawValue]) -> Vec<&'a RawValue> {
    const BEFORE: &str = "{\"routes\":[],\"scopes\":[";
    let mut names: Vec<&RawValue> = Vec::new();
    let mut seen = HashMap::new();
    for (index, scope) in scopes.iter().enumerate() {
        probe.label = format!("scope {}: ", index + 1);
        probe.value(probe.part(scope), BEFORE, "]}", &Kind::Object(SCOPE));
        let Some(value) = member(scope, "name") else { continue };
        let Some(name) = text_of(value) else { continue };
        if judge(format!("{BEFORE}{{\"name\":{value}}}]}}").as_bytes()).is_err() {
            continue;
        }
        match seen.get(&name) {
            Some(first) => {
                let end = probe.part(value).end();
                probe.report(end, format_args!("member `name`: scope {first} has the same name, {name:?}"));
            }
            None => {
                seen.insert(name, index + 1);
                names.push(value);
            }
        }
    }
    names
}

/// Judges what each scope includes, as if the first scope did.
fn judge_includes<'a>(probe: &mut Probe<'a>, scopes: &[&'a RawValue], names: &[&RawValue]) {
    let Some((first, others)) = names.split_first() else { return };
    let before = format!("{{\"routes\":[],\"scopes\":[{{\"name\":{first},\"includes\":");
    let after = format!("}}{}]}}", stubs(others));
    for (index, scope) in scopes.iter().enumerate() {
        if let Some(includes) = member(scope, "includes") {
            probe.label = format!("scope {}: ", index + 1);
            probe.member = "member `includes`: ".to_owned();
            probe.value(probe.part(includes), &before, &after, &Kind::List(&Kind::Leaf));
            probe.member.clear();
        }
    }
}

/// Judges each route among the scopes, and whether there are two for the same.
fn judge_routes<'a>(probe: &mut Probe<'a>, routes: &[&'a RawValue], names: &[&RawValue]) {
    let Some((first, others)) = names.split_first() else { return };
    let before = format!("{{\"scopes\":[{{\"name\":{first}}}{}],\"routes\":[", stubs(others));
    let route = [
        Member { name: "method", required: Some("\"GET\""), kind: Kind::Leaf },
        Member { name: "path", required: Some("\"/\""), kind: Kind::Leaf },
        Member { name: "scope", required: Some(first.get()), kind: Kind::Leaf },
        Member { name: "writes", required: None, kind: Kind::Leaf },
    ];
    let mut seen = HashMap::new();
    for (index, value) in routes.iter().enumerate() {
        let known = probe.findings.len();
        probe.label = format!("route {}: ", index + 1);
        probe.value(probe.part(value), &before, "]}", &Kind::Object(&route));
        let (Some(method), Some(path)) = (member(value, "method"), member(value, "path")) else { continue };
        let (Some(method), Some(text)) = (text_of(method), text_of(path)) else { continue };
        if probe.findings.len() > known {
            continue;
        }
        // What parameters are called does not tell routes apart.
        let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
        let template: Vec<String> = text.split('/').map(segment).collect();
        match seen.get(&(method.clone(), template.clone())) {
            Some(first) => {
                let message = format!("member `path`: route {first} is for {method} {text} too");
                probe.report(probe.part(path).end(), message);
            }
            None => drop(seen.insert((method, template), index + 1)),
        }
    }
}

/// More scopes for a list that has one.
fn stubs(names: &[&RawValue]) -> String {
    names.iter().take(MOST_SCOPES - 1).map(|name| format!(",{{\"name\":{name}}}")).collect()
}

fn items(list: Option<&RawValue>) -> Vec<&RawValue> {
    list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default()
}

fn member<'a>(object: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let Object(members) = serde_json::from_str(object.get()).ok()?;
    members.into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

fn text_of(value: &RawValue) -> Option<String> {
    String::deserialize(value).ok()
}

fn judge(json: &[u8]) -> Result<(), bpos::Error> {
    Policy::from_json(json).map(drop)
}

/// The library's message without the place that it found in a policy that was made up to be judged.
fn trimmed(message: &str) -> String {
    let message = message.strip_prefix("the policy: ").unwrap_or(message);
    let item = ["scopes, number ", "routes, number "].iter().find_map(|list| message.strip_prefix(list));
    item.and_then(|item| item.split_once(", ")).map_or(message, |(_, rest)| rest).to_owned()
}
