//! A part of a document, judged by itself.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Finding;

/// A part of the text: where it begins, and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl Part<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// What a part may consist of.
pub(super) enum Kind<'k> {
    /// Judged whole.
    Leaf,
    /// Not judged here.
    Other,
    /// An array whose items are judged each.
    List(&'k Kind<'k>),
    /// An object whose members are judged each.
    Object(&'k [Member<'k>]),
}

/// A member of an object.
pub(super) struct Member<'k> {
    pub(super) name: &'static str,
    /// A value for it, if it must be there.
    pub(super) required: Option<&'k str>,
    pub(super) kind: Kind<'k>,
}

/// Judges parts of a text by putting each into a document that is sound otherwise.
pub(super) struct Probe<'a> {
    pub(super) text: &'a str,
    /// The library's judgement of a document.
    pub(super) judge: &'a dyn Fn(&[u8]) -> Result<(), bpos::Error>,
    /// Takes off what the library says of where in a document that was made up here a mistake is.
    pub(super) trim: fn(&str) -> String,
    /// What is said instead: the item of a list.
    pub(super) label: String,
    /// And the member of an object.
    pub(super) member: String,
    pub(super) findings: Vec<Finding>,
    /// What was judged already, since the same values stand in many records.
    judged: HashMap<String, Option<(String, usize)>>,
}

/// How many judgements are remembered.
const REMEMBERED: usize = 4_096;

impl<'a> Probe<'a> {
    pub(super) fn new(
        text: &'a str,
        judge: &'a dyn Fn(&[u8]) -> Result<(), bpos::Error>,
        trim: fn(&str) -> String,
    ) -> Self {
        Self {
            text,
            judge,
            trim,
            label: String::new(),
            member: String::new(),
            findings: Vec::new(),
            judged: HashMap::new(),
        }
    }

    /// Where a value stands that was read from the text.
    pub(super) fn part(&self, value: &'a RawValue) -> Part<'a> {
        part(self.text, value)
    }

    pub(super) fn report(&mut self, end: usize, message: impl fmt::Display) {
        self.findings.push(Finding { end, message: format!("{}{message}", self.label) });
    }

    /// Judges a part between two texts that make a document of it.
    pub(super) fn value(&mut self, part: Part<'a>, before: &str, after: &str, kind: &Kind<'_>) {
        match kind {
            Kind::Other => {}
            Kind::List(Kind::Other) if part.text.starts_with('[') => {}
            Kind::List(item) if part.text.starts_with('[') => self.list(part, before, after, item),
            Kind::Object(members) if part.text.starts_with('{') => self.object(part, before, after, members),
            _ => self.whole(part, before, after),
        }
    }

    fn whole(&mut self, part: Part<'a>, before: &str, after: &str) {
        let Some((message, end)) = self.judgement([before, part.text, after].concat()) else { return };
        let message = (self.trim)(&message);
        let named = ["member `", "the member `", "there is no member"].iter().any(|start| message.starts_with(start));
        let member = if named { "" } else { &*self.member };
        let message = format!("{member}{message}");
        // A mistake that shows outside of the part is one of what is around it: of its name, or of its being there.
        let end = match end.checked_sub(before.len()) {
            Some(end) => part.start + end.min(part.text.len()),
            None => name_end(self.text, part.start),
        };
        self.report(end, message);
    }

    fn judgement(&mut self, document: String) -> Option<(String, usize)> {
        if let Some(known) = self.judged.get(&document) {
            return known.clone();
        }
        let judgement = (self.judge)(document.as_bytes()).err().map(|error| place(document.as_bytes(), &error));
        if self.judged.len() == REMEMBERED {
            self.judged.clear(); // what is there often comes back at once
        }
        self.judged.insert(document, judgement.clone());
        judgement
    }

    fn list(&mut self, part: Part<'a>, before: &str, after: &str, item: &Kind<'_>) {
        let known = self.findings.len();
        let (before_item, after_item) = (format!("{before}["), format!("]{after}"));
        for value in serde_json::from_str::<Vec<&RawValue>>(part.text).unwrap_or_default() {
            self.value(self.part(value), &before_item, &after_item, item);
        }
        if self.findings.len() == known {
            self.whole(part, before, after); // what is wrong only together: a scope that is there twice
        }
    }

    fn object(&mut self, part: Part<'a>, before: &str, after: &str, members: &[Member<'_>]) {
        let known = self.findings.len();
        let Ok(Object(found)) = serde_json::from_str(part.text) else {
            return self.whole(part, before, after);
        };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &found {
            let value = self.part(value);
            if seen.contains(&name.as_str()) {
                self.report(
                    name_end(self.text, value.start),
                    format_args!("the member `{name}` is there twice; expected once"),
                );
                continue;
            }
            seen.push(name);
            let others = members.iter().filter(|member| member.name != name);
            let required = others.filter_map(|member| Some(format!("\"{}\":{},", member.name, member.required?)));
            let quoted = serde_json::Value::from(name.as_str());
            let before = format!("{before}{{{}{quoted}:", required.collect::<String>());
            let known = members.iter().find(|member| member.name == name);
            let outer = std::mem::take(&mut self.member);
            self.member = known.map_or_else(String::new, |member| format!("member `{}`: ", member.name));
            self.value(value, &before, &format!("}}{after}"), known.map_or(&Kind::Leaf, |member| &member.kind));
            self.member = outer;
        }
        for member in members.iter().filter(|member| member.required.is_some() && !seen.contains(&member.name)) {
            self.report(part.end(), format_args!("the member `{}` is missing", member.name));
        }
        let judged = members.iter().all(|member| !matches!(member.kind, Kind::Other | Kind::List(Kind::Other)));
        if judged && self.findings.len() == known {
            self.whole(part, before, after);
        }
    }
}

/// An object's members in their order, whatever their names.
pub(super) struct Object<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

/// Where a value stands that was read from a text.
pub(super) fn part<'a>(text: &'a str, value: &'a RawValue) -> Part<'a> {
    let start = value.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    Part { start, text: value.get() }
}

/// Takes the line and the column off the end of an error, and gives after how many bytes that is. Without any, it is at
/// the end.
pub(super) fn place(document: &[u8], error: &impl fmt::Display) -> (String, usize) {
    let text = error.to_string();
    let found = text.rsplit_once(" at line ").and_then(|(message, place)| {
        let (line, column) = place.split_once(" column ")?;
        Some((message.to_owned(), offset(document, line.parse().ok()?, column.parse().ok()?)))
    });
    found.unwrap_or((text, document.len()))
}

/// How many bytes come up to a line and a column.
fn offset(document: &[u8], line: usize, column: usize) -> usize {
    let ends = document.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(ends).nth(line.saturating_sub(1)).unwrap_or(document.len());
    (start + column).min(document.len())
}

/// The text up to the first byte that is none.
pub(super) fn sound_text<'a>(json: &'a [u8], findings: &mut Vec<Finding>) -> &'a str {
    match std::str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => {
            let end = error.valid_up_to();
            let message = "this is not UTF-8; what follows was not checked".to_owned();
            findings.push(Finding { end: end + 1, message });
            json.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
        }
    }
}

/// Reports where a text stops being JSON, unless it has been said where it stops being text.
pub(super) fn no_json(json: &[u8], error: &serde_json::Error, findings: &mut Vec<Finding>) {
    if findings.is_empty() {
        let (message, end) = place(json, error);
        findings.push(Finding { end, message: format!("this is no JSON: {message}; what follows was not checked") });
    }
}

/// The document, without what surrounds it.
pub(super) fn document(text: &str) -> Part<'_> {
    Part { start: text.len() - text.trim_ascii_start().len(), text: text.trim_ascii() }
}

/// Where the name of the member ends that a value is of; for what is no member's value, where that begins.
fn name_end(text: &str, value_start: usize) -> usize {
    let before = text.get(..value_start).unwrap_or_default().trim_ascii_end();
    before.strip_suffix(':').map_or(value_start, |name| name.trim_ascii_end().len())
}
