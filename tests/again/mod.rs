//! This test program, run again as another process: one that writes while it is killed, or beside others.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Tells a process what it is to do.
const ROLE: &str = "BPOS_TEST_ROLE";
const FOLDER: &str = "BPOS_TEST_FOLDER";

/// The command that runs one ignored test of this program, alone, in a role. A program without a test harness takes no
/// notice of the test's name.
pub(crate) fn again(test: &str, role: &str, folder: &Path) -> Command {
    again_under(&[], test, role, folder)
}

/// The same, started by another program.
pub(crate) fn again_under(starter: &[&OsStr], test: &str, role: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().expect("a test program knows its path");
    let mut words = starter.iter().copied().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().expect("at least this program"));
    command.args(words);
    command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FOLDER, folder).env_remove("RUST_BACKTRACE");
    command
}

/// The role of this process and the folder that it works in; none if it was not started by [`again`].
pub(crate) fn role() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(FOLDER)?.into()))
}
