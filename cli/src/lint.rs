//! `bpos lint`: all that is wrong with a registry or policy file, as the library's readers find it.

use std::fmt;
use std::path::{Path, PathBuf};

use bpos::{Policy, Registry};
use serde::Serialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::{escaped, tell};
use crate::progress::Progress;
use crate::source;

/// What is wrong with one file.
#[derive(Serialize)]
struct Report {
    file: String,
    kind: &'static str,
    sound: bool,
    mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct Mistake {
    line: u32,
    column: u32,
    message: String,
}

pub(crate) fn run(context: &Context, file: Option<PathBuf>) -> Outcome<Option<Exit>> {
    let path = context.registry_path(file)?;
    let json = source::read(&path)?;
    let reports = if is_policy(&json) {
        vec![Report::new(&path, "policy", &Policy::findings(&json))]
    } else {
        check_registry(context, &path, &json)?
    };
    show(context, &reports)?;
    Ok(reports.iter().any(|report| !report.sound).then_some(Exit::No))
}

/// Checks a registry by its policy, after that policy if it has a file.
fn check_registry(context: &Context, path: &Path, json: &[u8]) -> Outcome<Vec<Report>> {
    let mut reports = Vec::new();
    let mut policy = Some(Policy::default());
    if let Some(path) = context.policy_file() {
        let json = source::read(path)?;
        reports.push(Report::new(path, "policy", &Policy::findings(&json)));
        policy = Policy::from_json(&json).ok();
    }
    match policy {
        Some(policy) => {
            let _progress = Progress::spinner("checking the registry");
            reports.push(Report::new(path, "registry", &Registry::findings(json, &policy)));
        }
        None => tell(&format!("{path:?} was not checked: its policy has mistakes")),
    }
    Ok(reports)
}

/// Writes mistakes the way compilers do, which editors understand: `FILE:LINE:COLUMN: MESSAGE`.
fn show(context: &Context, reports: &[Report]) -> Outcome {
    context.print(&reports, || escaped(&reports.iter().map(Report::text).collect::<String>()))?;
    if context.json() {
        return Ok(());
    }
    match reports.iter().map(|report| report.mistakes.len()).sum::<usize>() {
        0 => {}
        1 => tell("1 mistake"),
        count => tell(&format!("{count} mistakes")),
    }
    let of_the_registry = reports.iter().filter(|report| report.kind == "registry").flat_map(|report| &report.mistakes);
    context.suggest_policy(&of_the_registry.map(|mistake| mistake.message.as_str()).collect::<String>());
    Ok(())
}

impl Report {
    fn new(path: &Path, kind: &'static str, findings: &[bpos::Error]) -> Self {
        let mistake = |error: &bpos::Error| Mistake {
            line: error.line().unwrap_or(1),
            column: error.column().unwrap_or(0),
            message: error.message().to_owned(),
        };
        let mistakes = findings.iter().map(mistake).collect();
        Self { file: path.to_string_lossy().into_owned(), kind, sound: findings.is_empty(), mistakes }
    }

    fn text(&self) -> String {
        let Self { file, kind, sound, mistakes } = self;
        if *sound {
            return format!("{file}: a sound {kind}\n");
        }
        let line = |Mistake { line, column, message }: &Mistake| format!("{file}:{line}:{column}: {message}\n");
        mistakes.iter().map(line).collect()
    }
}

/// Whether a document is a policy and not a registry, by the names of its members as far as they can be read.
fn is_policy(json: &[u8]) -> bool {
    let mut policy = false;
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(MemberNames { policy: &mut policy });
    policy
}

struct MemberNames<'a> {
    policy: &'a mut bool,
}

impl<'de> Visitor<'de> for MemberNames<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "version" | "keys" => {
                    *self.policy = false;
                    break;
                }
                "scopes" | "routes" => *self.policy = true,
                _ => {}
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
