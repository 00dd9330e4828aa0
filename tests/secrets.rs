//! A key's plaintext is in the answer that made it, and nowhere else: not in a file, an error, a debug output, nor in
//! the memory of the process once that answer is dropped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets something unexpected has failed"
)]

mod again;
mod sample;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bpos::{Error, KeyPatch, KeyRecord, KeySpec, NewKey, Options, Policy, Registry, Request, has_checksum};
use serde_json::{Value, json};

/// Hides a key that one process tells another of.
const MASK: u8 = 0xA5;
/// How many characters of a key its hint shows, with `bpos_`.
const SHOWN: usize = 9;
/// A piece of a key that is long enough to be no chance.
const PIECE: usize = 12;

fn spec() -> KeySpec {
    KeySpec::new("Website Sync", "yourstore", ["products:read"])
}

fn empty() -> Registry {
    Registry::from_json(br#"{"version": 1, "keys": []}"#).unwrap()
}

// ---- The form ----

#[test]
fn keys_are_found_by_the_published_expression_and_their_checksum() {
    let registry = empty();
    let mut text = String::new();
    let mut keys = Vec::new();
    for number in 0..2_000 {
        let new = registry.create(&spec()).unwrap();
        let key = new.key.expose().to_owned();
        assert_eq!(key.len(), 41);
        assert_eq!(new.record.hint.as_deref(), Some(&key[..SHOWN]));
        let (before, after) =
            [("X-API-Key: ", "\r"), ("\"", "\","), ("key=", "&page=2"), ("", ""), ("~", "-")][number % 5];
        text += &format!("line {number} {before}{key}{after}\n");
        // What only looks like one: too short, or interrupted.
        text += &format!("{} {}-{} BPOS_{}\n", &key[..40], &key[..20], &key[20..], &key[5..]);
        keys.push(key);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    fs::write(&file, text).unwrap();
    let found = Command::new("grep").args(["-oE", "bpos_[0-9A-Za-z]{36}"]).arg(&file).output();
    let found = String::from_utf8(found.expect("grep is missing: install it").stdout).unwrap();
    assert!(found.lines().eq(&keys), "each once, and nothing else");
    assert!(found.lines().all(has_checksum));

    // Each mistyped character is noticed, and each pair that was exchanged.
    for key in &keys[..50] {
        for place in 5..key.len() {
            for character in ['0', '9', 'A', 'Z', 'a', 'z'] {
                let mut typed = key.clone();
                typed.replace_range(place..=place, &character.to_string());
                assert_eq!(has_checksum(&typed), typed == *key, "{place}");
            }
            if place > 5 {
                let mut typed = key.clone().into_bytes();
                typed.swap(place - 1, place);
                let typed = String::from_utf8(typed).unwrap();
                assert_eq!(has_checksum(&typed), typed == *key, "{place}");
            }
        }
        for wrong in [&key[..40], &format!("{key}0"), &key.to_uppercase(), &key[5..], &format!(" {key}"), ""] {
            assert!(!has_checksum(wrong));
        }
    }
}

#[test]
fn an_id_says_nothing_of_the_secret() {
    let registry = empty();
    let mut seen = HashSet::new();
    for _ in 0..1_000 {
        let new = registry.create(&spec()).unwrap();
        let random = new.record.id.strip_prefix("key_").unwrap();
        assert!(random.len() == 20 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!new.key.expose().contains(&random[..PIECE]));
        // A rotation changes the secret, and not the id.
        let rotated = registry.rotate(&new.record.id, 0).unwrap();
        assert_eq!(rotated.record.id, new.record.id);
        assert_ne!(rotated.key.expose(), new.key.expose());
        assert!(seen.insert(new.record.id) && seen.insert(new.key.expose().to_owned()));
    }
}

// ---- Files, answers, errors ----

#[test]
fn a_key_is_in_its_answer_once_and_in_nothing_else_that_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::init(folder.path().join("keys.json"), Options::default()).unwrap();
    let created = registry.create(&spec()).unwrap();
    let rotated = registry.rotate(&created.record.id, 60).unwrap();
    for new in [&created, &rotated] {
        let answer = new.to_json().unwrap();
        let answer = std::str::from_utf8(&answer).unwrap();
        let key = new.key.expose();
        assert_eq!(answer.matches(key).count(), 1);
        let value: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(value["key"], key);
        assert_eq!(value["record"], serde_json::from_slice::<Value>(&new.record.to_json().unwrap()).unwrap());
        assert_eq!(value.as_object().unwrap().len(), 2);
    }

    let request = |key| Request::new("GET", "/api/v1/customers?page=1").api_key(key).store("yourstore");
    for new in [&created, &rotated] {
        let key = new.key.expose();
        let denial = registry.authorize(&request(key)).unwrap_err();
        let id = &new.record.id;
        let known = registry.get(id).unwrap();
        let mut out = vec![
            format!("{:?}", request(key)),
            format!("{denial:?} {} {}", denial.body(), denial.reason()),
            format!("{known:?} {:?} {:?}", new.record, registry.list(None)),
            format!("{:?}", registry.stats()),
            format!("{:?}", registry.update(id, &KeyPatch::new().name("Other")).unwrap()),
        ];
        out.extend([
            String::from_utf8(registry.export().unwrap()).unwrap(),
            String::from_utf8(KeyRecord::list_to_json(&registry.list(None)).unwrap()).unwrap(),
            String::from_utf8(registry.stats_json().unwrap()).unwrap(),
        ]);
        out.extend(errors(&registry, key).into_iter().map(|error| format!("{error} {error:?}")));
        for entry in fs::read_dir(folder.path()).unwrap() {
            out.push(fs::read_to_string(entry.unwrap().path()).unwrap());
        }
        for text in out {
            assert_eq!(pieces(text.as_bytes(), key.as_bytes()), 0, "{text}");
        }
    }
}

/// Errors of everything that may be handed a key by mistake.
fn errors(registry: &Registry, key: &str) -> Vec<Error> {
    let wrong = |text: &str| format!("{text}\u{7}");
    let scopes = |name: &str| KeySpec::new("Name", "yourstore", [name]);
    let policy =
        json!({"scopes": [{"name": "a"}], "routes": [{"method": "GET", "path": "/a", "scope": key}]}).to_string();
    let results: Vec<Result<(), Error>> = vec![
        registry.revoke(key),
        registry.rotate(key, 0).map(drop),
        registry.remove(key),
        registry.enable(&wrong(key)),
        registry.update(&format!("key_{key}"), &KeyPatch::new()).map(drop),
        registry.create(&KeySpec::new(wrong(key), "yourstore", ["products:read"])).map(drop),
        registry.create(&KeySpec::new("Name", wrong(key), ["products:read"])).map(drop),
        registry.create(&KeySpec::new("Name", format!("{key}{key}"), ["products:read"])).map(drop),
        registry.create(&scopes(key)).map(drop),
        registry.create(&scopes(&format!("products:{key}"))).map(drop),
        KeySpec::from_json(format!("{{\"{key}\": 1}}").as_bytes()).map(drop),
        KeySpec::from_json(format!("{{\"name\": \"{key}\"}}").as_bytes()).map(drop),
        KeySpec::from_json(format!("{{\"rate_limit\": \"{key}\"}}").as_bytes()).map(drop),
        KeySpec::from_json(format!("{{\"expires_at\": \"{key}\"}}").as_bytes()).map(drop),
        KeyPatch::from_json(format!("\"{key}\"").as_bytes()).map(drop),
        KeyPatch::from_json(format!("{{\"enabled\": \"{key}\"}}").as_bytes()).map(drop),
        KeyPatch::from_json(key.as_bytes()).map(drop),
        Registry::from_json(format!("{{\"version\": \"{key}\"}}").as_bytes()).map(drop),
        Registry::from_json(&sample::document(1, &[sample::record_with(1, &json!({"sha256": key}))])).map(drop),
        Registry::from_json(&sample::document(1, &[sample::record_with(1, &json!({"id": key}))])).map(drop),
        Registry::from_json(&sample::document(1, &[sample::record_with(1, &json!({"scopes": [key]}))])).map(drop),
        Options::from_json(format!("{{\"{key}\": true}}").as_bytes()).map(drop),
        Policy::from_json(policy.as_bytes()).map(drop),
    ];
    results
        .into_iter()
        .enumerate()
        .map(|(index, result)| result.err().unwrap_or_else(|| panic!("{index} is no error")))
        .collect()
}

/// How many pieces of a key, past its hint, are in a text: as they stand, or in words that a hash has turned round.
fn pieces(text: &[u8], key: &[u8]) -> usize {
    let words = |range: std::ops::Range<usize>| -> Vec<u8> {
        range.step_by(4).flat_map(|start| key[start..start + 4].iter().rev().copied().collect::<Vec<_>>()).collect()
    };
    let straight = key[SHOWN..].windows(PIECE).map(<[u8]>::to_vec);
    // Those words begin where the block of a hash does, which is where the key does.
    let turned = (12..=24).step_by(4).map(|start| words(start..start + PIECE));
    straight.chain(turned).filter(|piece| memchr::memmem::find(text, piece).is_some()).count()
}

// ---- Memory ----

/// Makes keys and drops them, in a thread that then stands still, so that its stack stays as it is; says what they were,
/// masked, and waits while its memory is searched.
#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn holder() {
    let Some((role, folder)) = again::role() else { return };
    let (kind, stage) = role.split_once(' ').unwrap();
    let registry = match kind {
        "memory" => empty(),
        _ => Registry::init(folder.join("keys.json"), Options::default()).unwrap(),
    };
    let masked = Mutex::new(Vec::with_capacity(1_000));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            make_and_drop(&registry, stage, &mut masked.lock().unwrap());
            done.store(true, Ordering::Release);
            loop {
                std::thread::park();
            }
        });
        while !done.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        fs::write(folder.join("masked"), &*masked.lock().unwrap()).unwrap();
        println!("ready");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
}

const STAGES: [&str; 4] = ["created", "answered", "rotated", "given up"];

fn make_and_drop(registry: &Registry, stage: &str, masked: &mut Vec<u8>) {
    let mut note = |new: &NewKey| masked.extend(new.key.expose().bytes().map(|byte| byte ^ MASK));
    let created = registry.create(&spec()).unwrap();
    note(&created);
    match stage {
        "created" => {}
        "answered" => {
            // Free memory in pieces: whatever grows must move, and leaves behind what it does not wipe.
            let blocks = (0..70_usize).map(|number| vec![1_u8; [24, 40, 56, 72, 104, 200, 400][number % 7]]);
            let kept: Vec<_> =
                blocks.collect::<Vec<_>>().into_iter().enumerate().filter(|(at, _)| at % 2 == 0).collect();
            drop(created.to_json().unwrap());
            drop(std::hint::black_box(kept));
        }
        "rotated" => note(&registry.rotate(&created.record.id, 60).unwrap()),
        // An edit that is given up drops what it has made.
        "given up" => {
            let given_up: Result<(), Error> = registry.edit(|edit| {
                note(&edit.create(&spec())?);
                edit.revoke("key_that_is_not_there")
            });
            assert!(given_up.is_err());
        }
        // A copy that nobody wipes.
        "leaked" => drop(std::hint::black_box(created.key.expose().to_owned())),
        other => panic!("there is no stage {other}"),
    }
}

/// How many pieces of its keys a process still has in its memory, and how many bytes were searched.
fn search_memory(role: &str) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = again::again("holder", role, folder.path());
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    while !said.ends_with("ready\n") {
        let read = stdout.read_line(&mut said).unwrap();
        assert!(read > 0, "the process ended: {said}");
    }
    let keys: Vec<u8> = fs::read(folder.path().join("masked")).unwrap().iter().map(|byte| byte ^ MASK).collect();
    let keys: Vec<&[u8]> = keys.chunks(41).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with(b"bpos_")));

    let (mut found, mut searched) = (0, 0);
    for region in writable_memory(holder.id()) {
        searched += region.len();
        found += keys.iter().map(|key| pieces(&region, key)).sum::<usize>();
    }
    drop(holder.stdin.take());
    let output = holder.wait_with_output().unwrap();
    assert!(output.status.success());
    // What it wrote, to its streams and to files.
    for key in &keys {
        assert_eq!(pieces(said.as_bytes(), key) + pieces(&output.stderr, key), 0);
        for name in ["keys.json", "keys.json.lock"] {
            let text = fs::read(folder.path().join(name)).unwrap_or_default();
            assert_eq!(pieces(&text, key), 0, "{name}");
        }
    }
    (found, searched)
}

/// All that a process could have written a key to: its heap, its stacks, and everything else that is writable.
fn writable_memory(process: u32) -> Vec<Vec<u8>> {
    let folder = Path::new("/proc").join(process.to_string());
    let memory = File::open(folder.join("mem")).expect("a process may read the memory of its child");
    let maps = fs::read_to_string(folder.join("maps")).unwrap();
    assert!(maps.contains("[heap]") && maps.contains("[stack]"));
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let regions = writable.map(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (address(start), address(end));
        let mut region = vec![0; usize::try_from(end - start).unwrap()];
        memory.read_exact_at(&mut region, start).map(|()| region).unwrap_or_else(|error| panic!("{line}: {error}"))
    });
    regions.collect()
}

#[test]
fn a_key_is_not_in_memory_once_its_answer_is_dropped() {
    for stage in STAGES {
        for kind in ["file", "memory"] {
            let (found, searched) = search_memory(&format!("{kind} {stage}"));
            assert!(searched > 100_000);
            assert_eq!(found, 0, "{kind}, {stage}: pieces of keys in {searched} bytes of memory");
        }
    }
    // The search can fail: it finds what was freed without being wiped.
    let (found, _) = search_memory("memory leaked");
    assert!(found > 0, "a copy that was not wiped was not found");
}
