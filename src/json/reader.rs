//! Reading strictly: a text is walked value by value, and everything that is wrong with it is told with its place.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Place};
use crate::key::{excerpt, parse_id, redact};
use crate::text::KeyId;

/// The largest text that is read, in bytes: 1 GiB.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// How many findings are told of one text.
const MAX_FINDINGS: usize = 10_000;

/// One text that is being read, and what was found to be wrong with it.
pub(super) struct Reader<'a> {
    /// What it is, for a person.
    what: &'static str,
    text: &'a str,
    /// Where in it the reader is.
    path: Vec<Step<'a>>,
    /// Each with where its place ends.
    findings: Vec<(usize, Error)>,
    /// The text breaks off or is no JSON from some place on: what is missing may stand behind it.
    is_broken: bool,
    /// With so many findings in a list, no further item of it is read.
    limit: usize,
}

/// What a fault is in: `key 3 (key_1): ` or ``member `name`: ``.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// Of a list: what it is, its number from 1, and its value.
    Item(&'static str, usize, Value<'a>),
    Member(&'static str),
}

/// A value where it stands in its text.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a str);

/// The members of an object, by name. Each is taken out by whoever knows what it holds.
pub(super) struct Object<'a> {
    members: Vec<(&'static str, Value<'a>)>,
    end: usize,
}

/// Reads a text by a function that gives `None` only after it reported a fault. The error is the first fault in the text,
/// or that it is no JSON.
pub(super) fn read<'a, T>(
    json: &'a [u8],
    what: &'static str,
    value: impl FnOnce(&mut Reader<'a>, Value<'a>) -> Option<T>,
) -> Result<T, Error> {
    let mut reader = Reader::of(json, what, 1)?;
    // A sound text is not scanned for its syntax alone: whoever reads it finds where it breaks off.
    let whole = reader.whole();
    let read = if reader.is_broken { None } else { value(&mut reader, whole) };
    match read {
        Some(read) if reader.findings.is_empty() => return Ok(read),
        _ => reader.check_syntax(),
    }
    Err(reader.placed().into_iter().next().unwrap_or_else(|| Error::new(ErrorKind::Format, "unreadable").within(what)))
}

/// Reads a text to its end, whatever is wrong, and tells everything that is, in the order of the text.
pub(super) fn findings<'a, T>(
    json: &'a [u8],
    what: &'static str,
    value: impl FnOnce(&mut Reader<'a>, Value<'a>) -> Option<T>,
) -> Vec<Error> {
    let mut reader = match Reader::of(json, what, MAX_FINDINGS) {
        Ok(reader) => reader,
        Err(error) => return vec![error],
    };
    reader.check_syntax();
    let whole = reader.whole();
    if !reader.is_broken || whole.0.starts_with('{') {
        value(&mut reader, whole);
    }
    reader.placed()
}

impl<'a> Reader<'a> {
    /// A reader of a text, which is broken already if it is not UTF-8.
    fn of(json: &'a [u8], what: &'static str, limit: usize) -> Result<Self, Error> {
        if json.len() > MAX_BYTES {
            let message = format!("{} bytes; expected at most {MAX_BYTES} (1 GiB)", json.len());
            return Err(Error::new(ErrorKind::Limit, message).within(what));
        }
        let utf8 = std::str::from_utf8(json);
        let valid = |up_to| json.get(..up_to).and_then(|json| std::str::from_utf8(json).ok()).unwrap_or_default();
        let text = utf8.unwrap_or_else(|error| valid(error.valid_up_to()));
        let mut reader = Reader { what, text, path: Vec::new(), findings: Vec::new(), is_broken: utf8.is_err(), limit };
        if reader.is_broken {
            reader.fault_at(text.len() + 1, ErrorKind::Format, "not UTF-8");
        }
        Ok(reader)
    }

    /// The text without the white space around it.
    fn whole(&self) -> Value<'a> {
        Value(self.text.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// Reports a text that is no JSON to its end, and forgets what was reported before.
    fn check_syntax(&mut self) {
        if !self.is_broken
            && let Err(error) = serde_json::from_str::<&RawValue>(self.text)
        {
            self.is_broken = true;
            self.findings.clear();
            self.not_json(&error);
        }
    }

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
        let member = match self.path.last() {
            Some(Step::Member(name)) => Some(*name),
            _ => None,
        };
        self.fault_of(member, end, kind, message);
    }

    fn fault_of(&mut self, member: Option<&'static str>, end: usize, kind: ErrorKind, message: impl fmt::Display) {
        if self.findings.len() == MAX_FINDINGS {
            return;
        }
        let item = self.path.iter().rposition(|step| matches!(step, Step::Item(..)));
        let path: String = self.path.iter().skip(item.unwrap_or(0)).map(Step::to_string).collect();
        let message = presentable(&format!("{path}{message}"));
        self.findings.push((end, Error::new(kind, message).within(self.what).of_member(member)));
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

    /// Reads a part of the text, which the faults in it name. Those in an item name nothing around that.
    pub(super) fn inside<T>(&mut self, step: Step<'a>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let read = read(self);
        self.path.pop();
        read
    }

    /// The members of an object, none unknown and none there twice. `expected` names the object.
    pub(super) fn object(
        &mut self,
        value: Value<'a>,
        expected: impl fmt::Display,
        names: &'static [&'static str],
    ) -> Option<Object<'a>> {
        let mut members: Vec<(&'static str, Value<'a>)> = Vec::with_capacity(names.len());
        let is_whole = value.parts('{', &mut |name, member| {
            members.extend(self.name_of(name, names, &members).map(|known| (known, member)));
            true
        });
        // Of a sound text no member may be lost: one that is not read could be the one that revokes.
        if is_whole.is_some_and(|is_whole| is_whole || self.is_broken) {
            return Some(Object { members, end: self.end_of(value) });
        }
        self.unexpected(value, expected);
        None
    }

    /// A member's name, if it is one of these and not there before.
    fn name_of(
        &mut self,
        name: Value<'a>,
        names: &'static [&'static str],
        before: &[(&'static str, Value<'a>)],
    ) -> Option<&'static str> {
        let text = self.text_of(name)?;
        // Most objects have their members in the order of the names.
        let mut likely = names.iter().cycle().skip(before.len()).take(names.len());
        let Some(known) = likely.find(|known| **known == text) else {
            let (shown, names) = (excerpt(&text), names.join(", "));
            self.fault(name, format_args!("unknown member {shown:?}; expected one of {names}"));
            return None;
        };
        if before.iter().any(|(before, _)| before == known) {
            let message = format_args!("duplicate member `{known}`");
            self.fault_of(Some(known), self.end_of(name), ErrorKind::Format, message);
            return None;
        }
        Some(known)
    }

    /// The value of a member, if it is there and sound.
    pub(super) fn optional<T>(
        &mut self,
        object: &Object<'a>,
        name: &'static str,
        read: impl FnOnce(&mut Self, Value<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = object.get(name)?;
        self.inside(Step::Member(name), |reader| read(reader, value))
    }

    /// The value of a member that must be there.
    pub(super) fn required<T>(
        &mut self,
        object: &Object<'a>,
        name: &'static str,
        read: impl FnOnce(&mut Self, Value<'a>) -> Option<T>,
    ) -> Option<T> {
        if object.get(name).is_none() && !self.is_broken {
            let message = format_args!("missing member `{name}`");
            self.fault_of(Some(name), object.end, ErrorKind::Format, message);
        }
        self.optional(object, name, read)
    }

    /// Reads the items of an array, at most so many, with their numbers from 1: gives those that are sound.
    pub(super) fn list<T>(
        &mut self,
        value: Value<'a>,
        expected: &str,
        (what, most): (&'static str, usize),
        mut read: impl FnMut(&mut Self, usize, Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (mut sound, mut number) = (Vec::new(), 0);
        self.array(value, expected, &mut |reader, item| {
            number += 1;
            if number > most {
                let message = format_args!("expected at most {most} {what}s; found one more");
                reader.fault_at(reader.end_of(item), ErrorKind::Limit, message);
                return false;
            }
            sound.extend(reader.inside(Step::Item(what, number, item), |reader| read(reader, number, item)));
            true
        })?;
        Some(sound)
    }

    /// Reads an array of scopes' names.
    pub(super) fn scopes<T>(
        &mut self,
        value: Value<'a>,
        mut parse: impl FnMut(&str) -> Result<T, Error>,
    ) -> Option<Vec<T>> {
        let mut sound = Vec::new();
        self.array(value, "an array of scopes", &mut |reader, item| {
            sound.extend(reader.parsed(item, "a scope", &mut parse));
            true
        })?;
        Some(sound)
    }

    /// Visits the items of an array until a visit says that it was the last, or until there are faults enough.
    fn array(
        &mut self,
        value: Value<'a>,
        expected: &str,
        visit: &mut dyn FnMut(&mut Self, Value<'a>) -> bool,
    ) -> Option<()> {
        let before = self.findings.len();
        let is_whole = value.parts('[', &mut |_, item| visit(self, item) && self.findings.len() < before + self.limit);
        // What stops at a fault leaves items unread.
        if is_whole.is_some_and(|is_whole| is_whole || self.is_broken || self.findings.len() > before) {
            return Some(());
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
        self.scalar(value, "a boolean", |_| true)
    }

    /// A boolean where something else could be too.
    pub(super) fn boolean_or(&mut self, value: Value<'a>, other: &str) -> Option<bool> {
        self.scalar(value, format_args!("a boolean or {other}"), |_| true)
    }

    /// A whole number in a range; `what` it is.
    pub(super) fn number(
        &mut self,
        value: Value<'a>,
        what: impl fmt::Display,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        self.scalar(value, what, |number| range.contains(number))
    }

    fn scalar<T: serde::Deserialize<'a>>(
        &mut self,
        value: Value<'a>,
        what: impl fmt::Display,
        fits: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let found = serde_json::from_str(value.0).ok().filter(fits);
        if found.is_none() {
            self.unexpected(value, what);
        }
        found
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
    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

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

    /// Visits the members of an object with their names, or the items of an array, up to where it breaks off or a visit
    /// says that it was the last. Says whether all were read; `None` if it does not open like this.
    fn parts(self, open: char, visit: &mut dyn FnMut(Value<'a>, Value<'a>) -> bool) -> Option<bool> {
        let mut json = serde_json::Deserializer::from_str(self.0);
        let parts = Parts { text: self.0, visit };
        self.0.starts_with(open).then(|| json.deserialize_any(parts).and_then(|()| json.end()).is_ok())
    }

    /// What of a text stands behind this value.
    fn rest_of(self, text: &'a str) -> &'a str {
        let end = self.0.as_ptr().addr() + self.0.len() - text.as_ptr().addr();
        text.get(end..).unwrap_or_default()
    }

    /// The id that an item has among its members.
    fn id(self) -> Option<KeyId> {
        let mut id = None;
        self.parts('{', &mut |name, value| {
            if name.0 == r#""id""# {
                id = serde_json::from_str::<String>(value.0).ok().and_then(|text| parse_id(&text).ok());
            }
            id.is_none()
        });
        id
    }
}

/// Visits what an object or an array has: names and values, or each item as both.
struct Parts<'f, 'a> {
    text: &'a str,
    visit: &'f mut dyn FnMut(Value<'a>, Value<'a>) -> bool,
}

impl<'de> Visitor<'de> for Parts<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&RawValue>()? {
            let name = Value(name.get());
            let value = map.next_value::<&RawValue>();
            let rest = || name.rest_of(self.text).trim_ascii_start().trim_start_matches(':').trim_ascii_start();
            match &value {
                Ok(value) if (self.visit)(name, Value(value.get())) => {}
                Ok(_) => break,
                // Of an array that breaks off, the first items can be read.
                Err(_) if rest().starts_with('[') => drop((self.visit)(name, Value(rest()))),
                Err(_) => {}
            }
            value?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            let item = Value(item.get());
            if !(self.visit)(item, item) {
                break;
            }
        }
        Ok(())
    }
}

impl<'a> Object<'a> {
    /// The names of the members that are there.
    #[cfg(feature = "ffi")]
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|(name, _)| *name)
    }

    /// The value of a member, whatever it is.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => write!(f, "member `{name}`: "),
            Self::Item(what, number, item) => match item.id() {
                Some(id) => write!(f, "{what} {number} ({}): ", id.as_str()),
                None => write!(f, "{what} {number}: "),
            },
        }
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
