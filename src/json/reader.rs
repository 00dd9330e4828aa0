//! Reading strictly: a text is walked value by value, and everything that is wrong with it is told with its place.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Place};
use crate::key::{excerpt, redact};

/// The largest text that is read, in bytes: 1 GiB.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// How many findings are told of one text.
const MAX_FINDINGS: usize = 10_000;

/// One text that is being read, and what was found to be wrong with it.
pub(super) struct Reader<'a> {
    /// What it is, for a person.
    what: &'static str,
    text: &'a str,
    /// Where in it the reader is: the list's item and the member, as they are shown.
    within: String,
    member: Option<&'static str>,
    /// Each with where its place ends.
    findings: Vec<(usize, Error)>,
    /// The text breaks off or is no JSON from some place on: what is missing may stand behind it.
    is_broken: bool,
    /// With so many findings in a list, no further item of it is read.
    limit: usize,
}

/// A value where it stands in its text.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a str);

/// The members of an object, by name. Each is taken out by whoever knows what it holds.
pub(super) struct Object<'a> {
    members: Vec<(&'static str, Value<'a>)>,
    end: usize,
}

/// The members of an object as they stand: names and values.
pub(super) struct Entries<'a> {
    members: Vec<(Value<'a>, Value<'a>)>,
    is_whole: bool,
}

/// Reads a text by a function that gives `None` only after it reported a fault: the first one in the text is the error.
pub(super) fn read<'a, T>(
    json: &'a [u8],
    what: &'static str,
    value: impl FnOnce(&mut Reader<'a>, Value<'a>) -> Option<T>,
) -> Result<T, Error> {
    let (read, findings) = read_up_to(1, json, what, value);
    match findings.into_iter().next() {
        Some(first) => Err(first),
        None => read.ok_or_else(|| Error::new(ErrorKind::Format, "unreadable").within(what)),
    }
}

/// Reads a text to its end, whatever is wrong, and tells everything that is, in the order of the text.
pub(super) fn findings<'a, T>(
    json: &'a [u8],
    what: &'static str,
    value: impl FnOnce(&mut Reader<'a>, Value<'a>) -> Option<T>,
) -> Vec<Error> {
    read_up_to(MAX_FINDINGS, json, what, value).1
}

fn read_up_to<'a, T>(
    limit: usize,
    json: &'a [u8],
    what: &'static str,
    value: impl FnOnce(&mut Reader<'a>, Value<'a>) -> Option<T>,
) -> (Option<T>, Vec<Error>) {
    if json.len() > MAX_BYTES {
        let message = format!("{} bytes; expected at most {MAX_BYTES} (1 GiB)", json.len());
        return (None, vec![Error::new(ErrorKind::Limit, message).within(what)]);
    }
    let sound = std::str::from_utf8(json);
    let valid = |up_to| json.get(..up_to).and_then(|json| std::str::from_utf8(json).ok()).unwrap_or_default();
    let text = sound.unwrap_or_else(|error| valid(error.valid_up_to()));
    let within = String::new();
    let mut reader = Reader { what, text, within, member: None, findings: Vec::new(), is_broken: false, limit };
    if sound.is_err() {
        reader.fault_at(text.len() + 1, ErrorKind::Format, "not UTF-8");
    } else if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        reader.not_json(&error);
    }
    reader.is_broken = !reader.findings.is_empty();
    let value_text = Value(text.trim_ascii());
    let is_readable = !reader.is_broken || (limit > 1 && value_text.0.starts_with('{'));
    let read = if is_readable { value(&mut reader, value_text) } else { None };
    (read, reader.placed())
}

impl<'a> Reader<'a> {
    /// Reports a fault of a value.
    pub(super) fn fault(&mut self, value: Value<'a>, message: impl fmt::Display) {
        self.fault_at(self.end_of(value), ErrorKind::Format, message);
    }

    /// Reports that a value is something else than what was expected.
    pub(super) fn unexpected(&mut self, value: Value<'a>, expected: impl fmt::Display) {
        // An array or an object may be long: what is wrong is how it begins.
        let at = if value.is_nested() { self.start_of(value) + 1 } else { self.end_of(value) };
        self.fault_at(at, ErrorKind::Format, format_args!("expected {expected}; found {}", value.shown()));
    }

    /// Reports what is known of a value as an error.
    pub(super) fn refuse(&mut self, value: Value<'a>, error: &Error) {
        self.fault_at(self.end_of(value), error.kind(), error.message());
    }

    fn fault_at(&mut self, end: usize, kind: ErrorKind, message: impl fmt::Display) {
        if self.findings.len() == MAX_FINDINGS {
            return;
        }
        let message = presentable(&format!("{}{message}", self.within));
        self.findings.push((end, Error::new(kind, message).within(self.what).of_member(self.member)));
    }

    fn not_json(&mut self, error: &serde_json::Error) {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = format!("not JSON: {}", presentable(text.strip_suffix(&place).unwrap_or(&text)));
        let lines = memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|end| end + 1);
        let line = [0].into_iter().chain(lines).nth(error.line().saturating_sub(1)).unwrap_or(0);
        self.findings.push((line + error.column(), Error::new(ErrorKind::Format, message).within(self.what)));
    }

    /// The findings in the order of the text, each with its line and column.
    fn placed(mut self) -> Vec<Error> {
        self.findings.sort_by_key(|(end, _)| *end);
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let (mut read, mut line, mut start) = (0, 1, 0);
        let placed = self.findings.into_iter().map(|(end, error)| {
            let part = self.text.as_bytes().get(read..end.min(self.text.len())).unwrap_or_default();
            for newline in memchr::memchr_iter(b'\n', part) {
                (line, start) = (line + 1, read + newline + 1);
            }
            read += part.len();
            error.at(Place { line: number(line), column: number(end - start).max(1) })
        });
        placed.collect()
    }

    /// Where in the text a value begins.
    fn start_of(&self, value: Value<'a>) -> usize {
        value.0.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    fn end_of(&self, value: Value<'a>) -> usize {
        self.start_of(value) + value.0.len()
    }

    /// Reads a part of the text, which the faults in it name: `key 3 (key_1): `.
    pub(super) fn within<T>(&mut self, part: impl fmt::Display, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.within.len();
        self.within.push_str(&part.to_string());
        let read = read(self);
        self.within.truncate(length);
        read
    }

    /// Reads an item of a list that its own label names well enough.
    pub(super) fn item<T>(&mut self, label: impl fmt::Display, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.within, label.to_string());
        let member = self.member.take();
        let read = read(self);
        (self.within, self.member) = (outer, member);
        read
    }

    /// Reads the value of a member, which the faults in it name.
    pub(super) fn in_member<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.member.replace(name);
        let read = self.within(format_args!("member `{name}`: "), read);
        self.member = outer;
        read
    }

    /// The members of an object, none unknown and none there twice. `expected` names the object.
    pub(super) fn object(
        &mut self,
        value: Value<'a>,
        expected: impl fmt::Display,
        names: &'static [&'static str],
    ) -> Option<Object<'a>> {
        let entries = value.entries();
        self.object_of(value, entries, expected, names)
    }

    /// The same, for a value whose members were looked at before.
    pub(super) fn object_of(
        &mut self,
        value: Value<'a>,
        entries: Option<Entries<'a>>,
        expected: impl fmt::Display,
        names: &'static [&'static str],
    ) -> Option<Object<'a>> {
        // Of a sound text no member may be lost: one that is not read could be the one that revokes.
        let Some(Entries { members: entries, .. }) = entries.filter(|entries| entries.is_whole || self.is_broken)
        else {
            self.unexpected(value, expected);
            return None;
        };
        let mut members: Vec<(&'static str, Value<'a>)> = Vec::with_capacity(entries.len());
        for (name, member) in entries {
            let text = self.text_of(name)?;
            let Some(known) = names.iter().find(|known| **known == text) else {
                let (shown, names) = (excerpt(&text), names.join(", "));
                self.fault(name, format_args!("unknown member {shown:?}; expected one of {names}"));
                continue;
            };
            if members.iter().any(|(before, _)| before == known) {
                self.of_member(known, |reader| reader.fault(name, format_args!("duplicate member `{known}`")));
                continue;
            }
            members.push((*known, member));
        }
        Some(Object { members, end: self.end_of(value) })
    }

    fn of_member(&mut self, name: &'static str, report: impl FnOnce(&mut Self)) {
        let outer = self.member.replace(name);
        report(self);
        self.member = outer;
    }

    /// The value of a member, if it is there and sound.
    pub(super) fn optional<T>(
        &mut self,
        object: &Object<'a>,
        name: &'static str,
        read: impl FnOnce(&mut Self, Value<'a>) -> Option<T>,
    ) -> Option<T> {
        let (_, value) = object.members.iter().find(|(known, _)| *known == name)?;
        self.in_member(name, |reader| read(reader, *value))
    }

    /// The value of a member that must be there.
    pub(super) fn required<T>(
        &mut self,
        object: &Object<'a>,
        name: &'static str,
        read: impl FnOnce(&mut Self, Value<'a>) -> Option<T>,
    ) -> Option<T> {
        if !object.members.iter().any(|(known, _)| *known == name) {
            if self.is_broken {
                return None;
            }
            let end = object.end;
            let missing = format!("missing member `{name}`");
            self.of_member(name, |reader| reader.fault_at(end, ErrorKind::Format, missing));
            return None;
        }
        self.optional(object, name, read)
    }

    /// Reads the items of an array, at most so many: gives those that are sound.
    pub(super) fn array<T>(
        &mut self,
        value: Value<'a>,
        expected: impl fmt::Display,
        (most, items): (usize, &str),
        mut read: impl FnMut(&mut Self, usize, Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut sound = Vec::new();
        let mut index = 0;
        let before = self.findings.len();
        let mut each = |item| {
            if index == most {
                let at = self.end_of(item);
                let message = format_args!("expected at most {most} {items}; found one more");
                self.fault_at(at, ErrorKind::Limit, message);
                return false;
            }
            sound.extend(read(self, index, item));
            index += 1;
            self.findings.len() < before + self.limit
        };
        let is_whole = value.each_item(&mut each);
        // What stops at a fault leaves items unread.
        if is_whole.is_some_and(|is_whole| is_whole || self.is_broken || self.findings.len() > before) {
            return Some(sound);
        }
        self.unexpected(value, expected);
        None
    }

    /// A string that a function understands; `what` it is.
    pub(super) fn parsed<T>(
        &mut self,
        value: Value<'a>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Error>,
    ) -> Option<T> {
        if !value.0.starts_with('"') {
            self.unexpected(value, format_args!("{what}, a string"));
            return None;
        }
        let text = self.text_of(value)?;
        parse(&text).map_err(|error| self.refuse(value, &error)).ok()
    }

    /// A string, whatever it says.
    #[cfg(feature = "ffi")]
    pub(super) fn string(&mut self, value: Value<'a>) -> Option<String> {
        self.parsed(value, "a text", |text| Ok(text.to_owned()))
    }

    /// The text of a string, which may have escapes that stand for nothing.
    fn text_of(&mut self, string: Value<'a>) -> Option<Cow<'a, str>> {
        if let Some(plain) = string.0.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
            && !plain.contains('\\')
        {
            return Some(Cow::Borrowed(plain));
        }
        match serde_json::from_str::<String>(string.0) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(error) => {
                self.fault_at(self.start_of(string) + error.column(), ErrorKind::Format, "not a Unicode text");
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, value: Value<'a>) -> Option<bool> {
        match value.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.unexpected(value, "a boolean");
                None
            }
        }
    }

    /// A whole number in a range; `what` it is.
    pub(super) fn number(
        &mut self,
        value: Value<'a>,
        what: impl fmt::Display,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = serde_json::from_str(value.0).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.unexpected(value, what);
        }
        number
    }

    /// A value, or `null` for none.
    pub(super) fn or_null<T>(
        &mut self,
        value: Value<'a>,
        read: impl FnOnce(&mut Self, Value<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        if value.0 == "null" { Some(None) } else { read(self, value).map(Some) }
    }
}

impl<'a> Value<'a> {
    fn is_nested(self) -> bool {
        self.0.starts_with(['{', '['])
    }

    /// What it is, for a fault.
    fn shown(self) -> String {
        match self.0.as_bytes().first() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'"') => {
                let text = serde_json::from_str::<String>(self.0).unwrap_or_default();
                format!("the string {:?}", excerpt(&text))
            }
            _ => excerpt(self.0),
        }
    }

    /// The members of an object, up to where it breaks off; `None` if it is something else.
    pub(super) fn entries(self) -> Option<Entries<'a>> {
        struct Visit<'f, 'a>(&'a str, &'f mut Vec<(Value<'a>, Value<'a>)>);
        impl<'de> Visitor<'de> for Visit<'_, 'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                let Self(text, entries) = self;
                while let Some(name) = map.next_key::<&RawValue>()? {
                    let name = Value(name.get());
                    match map.next_value::<&RawValue>() {
                        Ok(value) => entries.push((name, Value(value.get()))),
                        Err(error) => {
                            // Of an array that breaks off, the first items can be read.
                            let rest = name.rest_of(text).trim_ascii_start().trim_start_matches(':').trim_ascii_start();
                            entries.extend(rest.starts_with('[').then_some((name, Value(rest))));
                            return Err(error);
                        }
                    }
                }
                Ok(())
            }
        }
        let mut entries = Vec::new();
        // Where it breaks off was told when the whole text was read.
        let read = serde_json::Deserializer::from_str(self.0).deserialize_map(Visit(self.0, &mut entries));
        self.0.starts_with('{').then_some(Entries { members: entries, is_whole: read.is_ok() })
    }

    /// What of a text stands behind this value.
    fn rest_of(self, text: &'a str) -> &'a str {
        let end = self.0.as_ptr().addr() + self.0.len() - text.as_ptr().addr();
        text.get(end..).unwrap_or_default()
    }

    /// Visits the items of an array until a visit says that it was the last. Says whether all were read; `None` if this
    /// is no array.
    fn each_item(self, visit: &mut dyn FnMut(Value<'a>) -> bool) -> Option<bool> {
        struct Items<'f, 'a>(&'f mut dyn FnMut(Value<'a>) -> bool);
        impl<'de> Visitor<'de> for Items<'_, 'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
                while let Some(item) = items.next_element::<&RawValue>()? {
                    if !(self.0)(Value(item.get())) {
                        break;
                    }
                }
                Ok(())
            }
        }
        let read = serde_json::Deserializer::from_str(self.0).deserialize_seq(Items(visit));
        self.0.starts_with('[').then_some(read.is_ok())
    }
}

impl<'a> Entries<'a> {
    /// The text of a member, if it is one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.value(name)?.0).ok()
    }

    /// The value of a member.
    pub(super) fn value(&self, name: &str) -> Option<Value<'a>> {
        let quoted = crate::text::quoted(name);
        self.members.iter().find(|(known, _)| known.0 == quoted).map(|(_, value)| *value)
    }
}

impl Object<'_> {
    /// The names of the members that are there.
    #[cfg(feature = "ffi")]
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|(name, _)| *name)
    }
}

/// A message that may quote the text it is about: keys in it masked, and its middle left out if it is long.
fn presentable(message: &str) -> String {
    const HALF: usize = 180;
    let (masked, _) = redact(message);
    if masked.len() <= 2 * HALF + "…".len() {
        return masked;
    }
    let start = masked.floor_char_boundary(HALF);
    let end = masked.ceil_char_boundary(masked.len() - HALF);
    match (masked.get(..start), masked.get(end..)) {
        (Some(start), Some(end)) => format!("{start}…{end}"),
        _ => masked,
    }
}
