//! `bpos lint`: all that is wrong with a registry or policy file.
//!
//! The library is the judge of every part. It stops at the first mistake, so a document that it refuses is taken apart,
//! and each part is put into a document that is sound otherwise (`Probe`); where the library finds the mistake there
//! is translated to where the part stands in the file.

mod policy;
mod probe;
mod registry;

use std::path::{Path, PathBuf};

use bpos::Policy;
use serde::Serialize;

use crate::Context;
use crate::failure::{Exit, Outcome};
use crate::output::{escaped, print, print_json, tell};
use crate::source;

/// A mistake, and after how many bytes of the file it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    end: usize,
    message: String,
}

#[derive(Serialize)]
struct Report {
    file: String,
    kind: &'static str,
    sound: bool,
    mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct Mistake {
    line: usize,
    column: usize,
    message: String,
}

pub(crate) fn run(context: &Context, file: Option<PathBuf>) -> Outcome<Option<Exit>> {
    let path = match file {
        Some(file) => file,
        None => context.registry()?,
    };
    let json = source::read(&path)?;
    let mut reports = Vec::new();
    if registry::is_registry(&json) {
        let mut policy = Some(Policy::default());
        if let Some(path) = context.policy_file() {
            let json = source::read(path)?;
            let report = Report::new(path, "policy", &json, policy::findings(&json));
            // Which scopes there are is not known, if the policy is not.
            policy = Policy::from_json(&json).ok();
            reports.push(report);
        }
        match policy {
            Some(policy) => reports.push(Report::new(&path, "registry", &json, registry::findings(&json, &policy))),
            None => tell(&format!("{path:?} was not looked at: its policy has mistakes")),
        }
    } else {
        reports.push(Report::new(&path, "policy", &json, policy::findings(&json)));
    }
    show(context, &reports)?;
    Ok(reports.iter().any(|report| !report.sound).then_some(Exit::No))
}

/// Mistakes as compilers write them, which editors understand: `FILE:LINE:COLUMN: what`.
fn show(context: &Context, reports: &[Report]) -> Outcome {
    if context.json() {
        return print_json(&reports);
    }
    let mut text = String::new();
    for Report { file, kind, sound, mistakes } in reports {
        for Mistake { line, column, message } in mistakes {
            text.push_str(&format!("{file}:{line}:{column}: {message}\n"));
        }
        if *sound {
            text.push_str(&format!("{file}: a sound {kind}\n"));
        }
    }
    print(&escaped(&text))?;
    match reports.iter().map(|report| report.mistakes.len()).sum::<usize>() {
        0 => {}
        1 => tell("1 mistake"),
        count => tell(&format!("{count} mistakes")),
    }
    let of_the_registry = reports.iter().filter(|report| report.kind == "registry").flat_map(|report| &report.mistakes);
    context.tell_of_policies(&of_the_registry.map(|mistake| mistake.message.as_str()).collect::<String>());
    Ok(())
}

impl Report {
    fn new(path: &Path, kind: &'static str, json: &[u8], mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.end);
        let mut places = Places { json, line: 1, line_start: 0, at: 0 };
        let mistake = |finding: Finding| {
            let (line, column) = places.place(finding.end);
            // What the library says holds no key; what is added here may.
            let (message, _) = bpos::redact(&finding.message);
            Mistake { line, column, message }
        };
        let mistakes: Vec<_> = findings.into_iter().map(mistake).collect();
        Self { file: path.to_string_lossy().into_owned(), kind, sound: mistakes.is_empty(), mistakes }
    }
}

/// Lines and columns as the library counts them: the column is how many bytes of the line were read. Asked in order.
struct Places<'a> {
    json: &'a [u8],
    line: usize,
    line_start: usize,
    at: usize,
}

impl Places<'_> {
    fn place(&mut self, end: usize) -> (usize, usize) {
        for (offset, byte) in self.json.get(self.at..end).unwrap_or_default().iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.at + offset + 1;
            }
        }
        self.at = self.at.max(end);
        (self.line, end.saturating_sub(self.line_start))
    }
}
