//! `bpos redact`, completions, the manual and the help texts.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that finds something else may panic")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use support::{Place, bpos, run};

const KEY: &str = "bpos_abcdEFGH0123456789";
const MASKED: &str = "bpos_abcd**************";

#[test]
fn redact_passes_on_each_line_as_it_comes() {
    let mut child = bpos().arg("redact").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 0..3 {
        writeln!(input, "{number} GET /?key={KEY} 200").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap(); // while the input is open
        assert_eq!(line, format!("{number} GET /?key={MASKED} 200\n"));
    }
    write!(input, "no end {KEY}").unwrap();
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("no end {MASKED}"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn redact_leaves_other_bytes_as_they_are() {
    let mut command = bpos();
    command.args(["redact", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut text: Vec<u8> = (0..=255).collect();
    text.extend_from_slice(KEY.as_bytes());
    text.extend([0xff, 0x00, b'\r', b'\n']);
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut expected: Vec<u8> = (0..=255).collect();
    expected.extend_from_slice(MASKED.as_bytes());
    expected.extend([0xff, 0x00, b'\r', b'\n']);
    assert!(output.stdout == expected && output.status.success());
    assert_eq!(output.stderr, b"{\"redacted\":1}\n");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = bpos().arg("redact").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    while writeln!(input, "a line").is_ok() {}
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(bpos().args(["completions", shell]), b"").done();
        assert!(script.out.contains("rotate") && script.out.contains("rate-limit"), "{shell}");
    }
    run(bpos().args(["completions", "csh"]), b"").failed(2, "possible values");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let page = run(bpos().arg("man"), b"").done();
    assert!(page.out.contains(".TH bpos 1") && page.out.contains("Exit codes") && page.out.contains("BPOS_REGISTRY"));
    let place = Place::empty();
    place.run(["man", "."]).done();
    for page in ["bpos.1", "bpos-init.1", "bpos-key.1", "bpos-key-create.1", "bpos-key-rotate.1", "bpos-check.1"] {
        assert!(place.path(page).is_file(), "{page}");
    }
    place.run(["man", "nowhere"]).failed(3, "nowhere");
}

#[test]
fn the_help_names_every_command_and_option() {
    let common = ["--registry", "--policy", "--json", "--help"];
    for (command, options) in [
        ("init", &["FILE"][..]),
        ("key create", &["--name", "--store", "--scope", "--rate-limit", "--expires", "--test-mode", "[default: 60]"]),
        ("key list", &["--store", "--limit", "--after"]),
        ("key show", &["<ID>"]),
        ("key update", &["<ID>", "--name", "--scope", "--rate-limit", "--expires", "--test-mode", "never"]),
        ("key enable", &["<ID>..."]),
        ("key disable", &["<ID>..."]),
        ("key rotate", &["<ID>", "--grace"]),
        ("key revoke", &["<ID>...", "permanently"]),
        ("key remove", &["<ID>..."]),
        ("check", &["--store", "--method", "--target", "--scope"]),
        ("lint", &["FILE"]),
        ("scopes", &[]),
        ("redact", &[]),
        ("completions", &["bash", "zsh", "fish"]),
        ("man", &["FOLDER"]),
    ] {
        let help = run(bpos().args(command.split(' ')).arg("--help"), b"").done();
        for part in options.iter().chain(&common) {
            assert!(help.out.contains(part), "expected {part} in the help of {command}: {}", help.out);
        }
        assert!(help.out.lines().all(|line| line.chars().count() <= 100), "{command}: {}", help.out);
        let (group, name) = command.split_once(' ').unwrap_or(("", command));
        let above = run(bpos().args(Some(group).filter(|group| !group.is_empty())).arg("--help"), b"").done();
        assert!(above.out.contains(&format!("\n  {name} ")), "{command} in {}", above.out);
    }
}

/// The same codes in the help and in the guide, with the same words.
#[test]
fn exit_codes_are_told_alike_everywhere() {
    let help = run(bpos().arg("--help"), b"").done();
    let (_, codes) = help.out.split_once("Exit codes:\n").unwrap();
    let (codes, _) = codes.split_once("\n\n").unwrap();
    let guide = include_str!("../../docs/operating.md");
    let rows: BTreeSet<&str> = guide.lines().filter(|line| line.starts_with("| `")).collect();
    let mut numbers = Vec::new();
    for (number, meaning) in codes.lines().filter_map(|line| line.trim().split_once("  ")) {
        assert!(rows.contains(&*format!("| `{number}` | {} |", meaning.replace('\'', "`"))), "{number} {meaning}");
        numbers.push(number.parse::<u8>().unwrap());
    }
    assert_eq!(numbers, (0..=7).collect::<Vec<_>>());
}

#[test]
fn without_a_command_it_says_what_there_is() {
    let ran = run(&mut bpos(), b"");
    assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains("rotate") | ran.err.contains("Create, list"));
    run(bpos().arg("keys"), b"").failed(2, "a similar subcommand exists: 'key'");
    let version = run(bpos().arg("--version"), b"").done();
    assert_eq!(version.out, format!("bpos {}\n", env!("CARGO_PKG_VERSION")));
}
