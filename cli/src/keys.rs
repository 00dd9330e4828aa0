//! `bpos key`: the life of a key, one command for each step.

use std::io::{IsTerminal, stdout};

use bpos::{Edit, Error, KeyPatch, KeyRecord, KeySpec, NewKey, Registry};

use crate::Context;
use crate::arguments::{Create, KeyCommand, Switch, Update};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{KeyView, key_text, print, print_json, state, table, tell, write_out};
use crate::progress::Progress;
use crate::time::{now_ms, parse_span_s, parse_when, time_text};

pub(crate) fn run(context: &Context, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Create(asked) => create(context, asked),
        KeyCommand::List { store } => list(context, store.as_deref()),
        KeyCommand::Show { id } => show(context, &id),
        KeyCommand::Update(asked) => update(context, asked),
        KeyCommand::Enable(asked) => change_all(context, &asked.ids, "enabled", |edit, id| edit.enable(id)),
        KeyCommand::Disable(asked) => change_all(context, &asked.ids, "disabled", |edit, id| edit.disable(id)),
        KeyCommand::Rotate { id, grace } => rotate(context, &id, &grace),
        KeyCommand::Revoke(asked) => change_all(context, &asked.ids, "revoked", |edit, id| edit.revoke(id)),
        KeyCommand::Remove(asked) => remove(context, &asked.ids),
    }
}

fn create(context: &Context, asked: Create) -> Outcome {
    let expires_at = asked.expires.map(|when| parse_when(&when, now_ms())).transpose();
    let expires_at = expires_at.map_err(|error| Failure::usage(format!("--expires: {error}")))?;
    let spec = KeySpec::new(asked.name, asked.store, asked.scopes)
        .rate_limit(asked.rate_limit)
        .expires_at(expires_at)
        .test_mode(asked.test_mode);
    let registry = context.open(false)?;
    let new = changing(|| registry.create(&spec))?;
    hand_out(context, &new, "created", "revoke it, and create another")?;
    tell_servers();
    Ok(())
}

fn rotate(context: &Context, id: &str, grace: &str) -> Outcome {
    let grace_s = parse_span_s(grace, now_ms()).map_err(|error| Failure::usage(format!("--grace: {error}")))?;
    let registry = context.open(false)?;
    let new = changing(|| registry.rotate(id, grace_s))?;
    hand_out(context, &new, "rotated", "rotate it again")?;
    tell(&match new.record.retiring_until {
        Some(until) => format!("The secret before works until {}, and no longer.", time_text(until)),
        None => "The secret before no longer works.".to_owned(),
    });
    tell_servers();
    Ok(())
}

/// Shows a new secret, the only time that it is seen, where a person or a program can take it.
fn hand_out(context: &Context, new: &NewKey, what: &str, lost: &str) -> Outcome {
    let (key, record, now) = (new.key.expose(), &new.record, now_ms());
    let text = if context.json() {
        let record = serde_json::to_string(&KeyView::new(record, now))
            .map_err(|error| Failure::new(Exit::Io, format!("the record cannot be written as JSON: {error}")))?;
        format!("{{\"key\":\"{key}\",\"record\":{record}}}\n")
    } else if stdout().is_terminal() {
        format!("{key}\n\n{}\n", key_text(record, now))
    } else {
        format!("{key}\n")
    };
    write_out(text.as_bytes()).map_err(|error| {
        let message = format!(
            "the key {} was {what}, but its secret could not be written to standard output ({error}), and nobody has it: \
             {lost}",
            record.id
        );
        Failure::new(Exit::Io, message)
    })?;
    tell(&format!(
        "{what} {} ({}, store {}). The key is shown only once and cannot be had again: store it safely, like a password.",
        record.id, record.name, record.store
    ));
    Ok(())
}

fn list(context: &Context, store: Option<&str>) -> Outcome {
    let (records, now) = (context.open(true)?.list(store), now_ms());
    if context.json() {
        return print_json(&records.iter().map(|record| KeyView::new(record, now)).collect::<Vec<_>>());
    }
    if records.is_empty() {
        tell("there are no keys");
        return Ok(());
    }
    let header = ["ID", "NAME", "STORE", "STATE", "LIMIT", "EXPIRES", "SCOPES"].map(str::to_owned).to_vec();
    let row = |record: &KeyRecord| {
        let test = if record.test_mode { ", test" } else { "" };
        vec![
            record.id.clone(),
            record.name.clone(),
            record.store.clone(),
            format!("{}{test}", state(record, now)),
            record.rate_limit.to_string(),
            record.expires_at.map_or_else(|| "never".to_owned(), time_text),
            record.scopes.join(" "),
        ]
    };
    print(&table(&std::iter::once(header).chain(records.iter().map(row)).collect::<Vec<_>>()))
}

fn show(context: &Context, id: &str) -> Outcome {
    let registry = context.open(true)?;
    let record = known(&registry, id)?;
    print_record(context, &record)
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
        patch = patch.expires_at(match when.as_str() {
            "never" => None,
            when => {
                let error = |error| Failure::usage(format!("--expires: {error}, or 'never'"));
                Some(parse_when(when, now_ms()).map_err(error)?)
            }
        });
    }
    if let Some(switch) = asked.test_mode {
        patch = patch.test_mode(switch == Switch::On);
    }
    let registry = context.open(false)?;
    let record = changing(|| registry.update(&asked.id, &patch))?;
    print_record(context, &record)?;
    tell_servers();
    Ok(())
}

/// Changes several keys in one write: all of them or none.
fn change_all(
    context: &Context,
    ids: &[String],
    what: &str,
    change: impl Fn(&mut Edit<'_>, &str) -> Result<(), Error>,
) -> Outcome {
    let registry = context.open(false)?;
    changing(|| registry.edit(|edit| ids.iter().try_for_each(|id| change(edit, id))))?;
    let records: Vec<_> = ids.iter().filter_map(|id| registry.get(id)).collect();
    if context.json() {
        let now = now_ms();
        print_json(&records.iter().map(|record| KeyView::new(record, now)).collect::<Vec<_>>())?;
    } else {
        let line = |record: &KeyRecord| vec![what.to_owned(), record.id.clone(), record.name.clone()];
        print(&table(&records.iter().map(line).collect::<Vec<_>>()))?;
    }
    tell_servers();
    Ok(())
}

fn remove(context: &Context, ids: &[String]) -> Outcome {
    let registry = context.open(false)?;
    changing(|| registry.edit(|edit| ids.iter().try_for_each(|id| edit.remove(id))))?;
    if context.json() {
        print_json(&serde_json::json!({ "removed": ids }))?;
    } else {
        print(&table(&ids.iter().map(|id| vec!["removed".to_owned(), id.clone()]).collect::<Vec<_>>()))?;
    }
    tell_servers();
    Ok(())
}

fn print_record(context: &Context, record: &KeyRecord) -> Outcome {
    let now = now_ms();
    if context.json() { print_json(&KeyView::new(record, now)) } else { print(&key_text(record, now)) }
}

fn known(registry: &Registry, id: &str) -> Outcome<KeyRecord> {
    let unknown = || Failure::new(Exit::NotFound, format!("there is no key with the id {id:?}"));
    registry.get(id).ok_or_else(unknown)
}

/// Makes a change, with a sign of life if it takes long.
fn changing<T>(change: impl FnOnce() -> Result<T, Error>) -> Outcome<T> {
    let _progress = Progress::spinner("writing the registry");
    change().map_err(|error| Failure::changing(&error))
}

fn tell_servers() {
    tell("Servers decide by it once they have reloaded the registry.");
}
