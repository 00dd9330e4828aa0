//! `bpos key`: the life of a key, one command for each step.

use std::io::{IsTerminal, stdout};

use bpos::{Edit, Error, KeyPatch, KeyRecord, KeySpec, NewKey, Registry};
use serde_json::json;

use crate::arguments::{Create, KeyCommand, List, Switch, Update};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{KeyView, json_text, key_text, state, table, tell, titled_table, write_out};
use crate::progress::Progress;
use crate::time::{now_ms, parse_duration_s, parse_when, time_text};

pub(crate) fn run(context: &Context, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::List(asked) => return list(context, &asked),
        KeyCommand::Show { id } => return show(context, &id),
        KeyCommand::Create(asked) => create(context, asked),
        KeyCommand::Update(asked) => update(context, asked),
        KeyCommand::Enable(asked) => change_all(context, &asked.ids, "enabled", |edit, id| edit.enable(id)),
        KeyCommand::Disable(asked) => change_all(context, &asked.ids, "disabled", |edit, id| edit.disable(id)),
        KeyCommand::Rotate { id, grace } => rotate(context, &id, &grace),
        KeyCommand::Revoke(asked) => change_all(context, &asked.ids, "revoked", |edit, id| edit.revoke(id)),
        KeyCommand::Remove(asked) => remove(context, &asked.ids),
    }?;
    if !context.is_shared() {
        tell("Servers go by the change once they have reloaded the registry.");
    }
    Ok(())
}

fn list(context: &Context, asked: &List) -> Outcome {
    let limit = asked.limit.map_or(usize::MAX, |limit| limit as usize);
    let one_more = limit.saturating_add(1); // which tells whether others follow
    let page = context.open(true)?.list_page(asked.store.as_deref(), asked.after.as_deref(), one_more);
    let (mut records, now) = (page.map_err(|error| Failure::new(Exit::NotFound, error.to_string()))?, now_ms());
    let more = records.len() > limit;
    records.truncate(limit);
    if records.is_empty() && !context.json() {
        tell(if asked.after.is_some() { "no keys follow" } else { "there are no keys" });
        return Ok(());
    }
    let row = |record: &KeyRecord| {
        let test = if record.test_mode { ", test" } else { "" };
        [
            record.id.clone(),
            record.name.clone(),
            record.store.clone(),
            format!("{}{test}", state(record, now)),
            record.rate_limit.to_string(),
            record.expires_at.map_or_else(|| "never".to_owned(), time_text),
            record.scopes.join(" "),
        ]
    };
    let titles = ["ID", "NAME", "STORE", "STATE", "LIMIT", "EXPIRES", "SCOPES"];
    context.print(&KeyView::list(&records, now), || titled_table(titles, records.iter().map(row)))?;
    if let (true, Some(last)) = (more, records.last()) {
        tell(&format!("More keys follow: list them with --after {}.", last.id));
    }
    Ok(())
}

fn show(context: &Context, id: &str) -> Outcome {
    let unknown = || Failure::new(Exit::NotFound, format!("no key has the id {id:?}"));
    let record = context.open(true)?.get(id).ok_or_else(unknown)?;
    print_record(context, &record)
}

fn create(context: &Context, asked: Create) -> Outcome {
    let expires_at = asked.expires.map(|when| parse_when(&when, now_ms())).transpose();
    let spec = KeySpec::new(asked.name, asked.store, asked.scopes)
        .rate_limit(asked.rate_limit)
        .expires_at(expires_at.map_err(Failure::option("--expires"))?)
        .test_mode(asked.test_mode);
    let new = change(context, |registry| registry.create(&spec))?;
    hand_out(context, &new, "created", "revoke it and create another")
}

fn rotate(context: &Context, id: &str, grace: &str) -> Outcome {
    let grace_s = parse_duration_s(grace, now_ms()).map_err(Failure::option("--grace"))?;
    let new = change(context, |registry| registry.rotate(id, grace_s))?;
    hand_out(context, &new, "rotated", "rotate it again")?;
    tell(&match new.record.retiring_until {
        Some(until) => format!("The previous secret works until {}.", time_text(until)),
        None => "The previous secret no longer works.".to_owned(),
    });
    Ok(())
}

/// Shows a new secret, which is seen only this once, where a person or a program can take it.
fn hand_out(context: &Context, new: &NewKey, what: &str, remedy: &str) -> Outcome {
    let (key, record, now) = (new.key.expose(), &new.record, now_ms());
    let text = if context.json() {
        format!("{{\"key\":\"{key}\",\"record\":{}}}\n", json_text(&KeyView::new(record, now))?)
    } else if stdout().is_terminal() {
        format!("{key}\n\n{}\n", key_text(record, now))
    } else {
        format!("{key}\n")
    };
    let id = &record.id;
    write_out(text.as_bytes()).map_err(|error| {
        let lost = format!("its secret could not be written to standard output ({error}) and is lost");
        Failure::new(Exit::Io, format!("the key {id} was {what}, but {lost}: {remedy}"))
    })?;
    tell(&format!(
        "{what} {id} ({}, store {}). The key is shown only once and cannot be recovered: store it safely, like a password.",
        record.name, record.store
    ));
    Ok(())
}

fn update(context: &Context, asked: Update) -> Outcome {
    let mut patch = KeyPatch::new();
    if let Some(name) = asked.name {
        patch = patch.name(name);
    }
    if !asked.scopes.is_empty() {
        patch = patch.scopes(asked.scopes);
    }
    if let Some(limit) = asked.rate_limit {
        patch = patch.rate_limit(limit);
    }
    if let Some(when) = asked.expires {
        patch = patch.expires_at(parse_expiry(&when).map_err(Failure::option("--expires"))?);
    }
    if let Some(switch) = asked.test_mode {
        patch = patch.test_mode(switch == Switch::On);
    }
    let record = change(context, |registry| registry.update(&asked.id, &patch))?;
    print_record(context, &record)
}

/// A new expiry; none for `never`.
fn parse_expiry(text: &str) -> Result<Option<i64>, String> {
    match text {
        "never" => Ok(None),
        when => parse_when(when, now_ms()).map(Some).map_err(|error| format!("{error}, or 'never'")),
    }
}

/// Changes several keys in one write: all of them or none.
fn change_all(
    context: &Context,
    ids: &[String],
    what: &str,
    edit_key: impl Fn(&mut Edit<'_>, &str) -> Result<(), Error>,
) -> Outcome {
    let records: Vec<KeyRecord> = change(context, |registry| {
        registry.edit(|edit| ids.iter().try_for_each(|id| edit_key(edit, id)))?;
        Ok(ids.iter().filter_map(|id| registry.get(id)).collect())
    })?;
    let line = |record: &KeyRecord| [what.to_owned(), record.id.clone(), record.name.clone()];
    context.print(&KeyView::list(&records, now_ms()), || table(records.iter().map(line)))
}

fn remove(context: &Context, ids: &[String]) -> Outcome {
    change(context, |registry| registry.edit(|edit| ids.iter().try_for_each(|id| edit.remove(id))))?;
    let line = |id: &String| ["removed".to_owned(), id.clone()];
    context.print(&json!({ "removed": ids }), || table(ids.iter().map(line)))
}

/// Opens the registry and changes it.
fn change<T>(context: &Context, change: impl FnOnce(&Registry) -> Result<T, Error>) -> Outcome<T> {
    let registry = context.open(false)?;
    let _progress = Progress::spinner("writing the registry");
    change(&registry).map_err(|error| Failure::changing(&error))
}

fn print_record(context: &Context, record: &KeyRecord) -> Outcome {
    let now = now_ms();
    context.print(&KeyView::new(record, now), || key_text(record, now))
}
