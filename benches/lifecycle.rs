//! What loading and changing keys costs, beside what a program would do anyway, in one process and one run:
//! `make bench`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "a program that prints a table"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use bpos::{KeySpec, Registry};

#[path = "shared/table.rs"]
mod table;

use table::Bar;

fn main() {
    table::head("loading and changing keys");
    loading();
    changes();
    durable_change();
}

/// What a program that only wants the data would read a document into.
mod plain {
    #[derive(serde::Deserialize)]
    pub(crate) struct Document {
        version: u32,
        revision: u64,
        keys: Vec<Key>,
    }

    #[derive(serde::Deserialize)]
    struct Key {
        id: String,
        name: String,
        store: String,
        sha256: String,
        hint: Option<String>,
        scopes: Vec<String>,
        rate_limit: u32,
        expires_at: Option<String>,
        test_mode: bool,
        enabled: bool,
        created_at: Option<String>,
        revoked_at: Option<String>,
        retiring: Option<Retiring>,
    }

    #[derive(serde::Deserialize)]
    struct Retiring {
        sha256: String,
        until: String,
    }
}

fn loading() {
    let json = filled(1_000_000).export().unwrap();
    let fastest = |run: &dyn Fn()| (0..3).map(|_| seconds(run)).fold(f64::INFINITY, f64::min);
    let serde = fastest(&|| drop(black_box(serde_json::from_slice::<plain::Document>(&json).unwrap())));
    let ours = fastest(&|| drop(black_box(Registry::from_json(&json).unwrap())));
    table::ratio("parse 1,000,000 keys with serde_json into plain structs", &format!("{serde:.2} s"), 1.0, Bar::None);
    table::ratio("load 1,000,000 keys, checked and ready", &format!("{ours:.2} s"), ours / serde, Bar::AtMost(2.0));
}

fn changes() {
    let mut costs = Vec::new();
    for keys in [10_000, 1_000_000] {
        let registry = filled(keys);
        let ids: Vec<String> = registry.list(None).into_iter().step_by(keys / 1_000).map(|key| key.id).collect();
        let create = per_call(1_000, |_| drop(registry.create(&spec(0)).unwrap()));
        let revoke = per_call(ids.len(), |n| registry.revoke(&ids[n]).unwrap());
        costs.push((create, revoke));
    }
    let ((create, revoke), (create_1m, revoke_1m)) = (costs[0], costs[1]);
    table::ratio("create in memory, 10,000 keys", &format!("{create:.2} µs"), 1.0, Bar::None);
    table::ratio(
        "create in memory, 1,000,000 keys",
        &format!("{create_1m:.2} µs"),
        create_1m / create,
        Bar::AtMost(2.0),
    );
    table::ratio("revoke in memory, 10,000 keys", &format!("{revoke:.2} µs"), 1.0, Bar::None);
    table::ratio(
        "revoke in memory, 1,000,000 keys",
        &format!("{revoke_1m:.2} µs"),
        revoke_1m / revoke,
        Bar::AtMost(2.0),
    );
}

fn durable_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let json = filled(10_000).export().unwrap();
    std::fs::write(&path, &json).unwrap();
    let registry = Registry::open(&path).unwrap();
    let ids: Vec<String> = registry.list(None).into_iter().map(|key| key.id).collect();
    let other = folder.path().join("other.json");

    let (mut ours, mut bare) = (f64::INFINITY, f64::INFINITY);
    for id in ids.iter().take(20) {
        bare = bare.min(seconds(&|| write_synced(&other, &json)));
        ours = ours.min(seconds(&|| registry.revoke(id).unwrap()));
    }
    table::ratio(
        "write, sync and rename the document of 10,000 keys",
        &format!("{:.1} ms", bare * 1e3),
        1.0,
        Bar::None,
    );
    table::ratio("a durable change of 10,000 keys", &format!("{:.1} ms", ours * 1e3), ours / bare, Bar::AtMost(3.0));
}

fn write_synced(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    let mut file = File::create(&new).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    std::fs::rename(&new, path).unwrap();
    File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
}

/// A memory registry with so many made-up keys, a tenth as many stores, and room for the first changes.
fn filled(keys: usize) -> Registry {
    let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap();
    registry.edit(|edit| (0..keys).try_for_each(|n| edit.create(&spec(n)).map(drop))).unwrap();
    Registry::from_json(&registry.export().unwrap()).unwrap()
}

fn spec(n: usize) -> KeySpec {
    KeySpec::new(format!("Website Sync {n}"), format!("store{}", n / 10), ["products:read", "inventory:write"])
}

fn seconds(run: &dyn Fn()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// Microseconds a call, in the fastest of ten rounds.
fn per_call(calls: usize, call: impl Fn(usize)) -> f64 {
    let round = calls / 10;
    let rounds = (0..10).map(|n| seconds(&|| (n * round..(n + 1) * round).for_each(&call)));
    rounds.fold(f64::INFINITY, f64::min) * 1e6 / round as f64
}
