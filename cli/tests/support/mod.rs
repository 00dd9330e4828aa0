//! Runs the command as a person or a script would.

#![allow(dead_code, unreachable_pub, clippy::indexing_slicing, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a registry in it.
pub struct Place {
    folder: TempDir,
}

/// The outcome of a run of the command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command without the environment of whoever runs the tests.
pub fn bpos() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpos"));
    command.env_remove("BPOS_REGISTRY").env_remove("BPOS_POLICY").env_remove("BPOS_SHARED");
    command
}

impl Place {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    /// A folder with a registry without keys.
    pub fn new() -> Self {
        let place = Self::empty();
        place.run(["init"]).done();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn registry(&self) -> PathBuf {
        self.path("keys.json")
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        set_mode(&path, 0o600);
        path
    }

    pub fn read(&self) -> String {
        fs::read_to_string(self.registry()).expect("the registry")
    }

    /// The registry document.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.read()).expect("JSON")
    }

    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.run_with(arguments, b"")
    }

    pub fn run_with<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Ran {
        let mut command = bpos();
        command.env("BPOS_REGISTRY", self.registry()).current_dir(self.folder.path()).args(arguments);
        run(&mut command, input)
    }

    /// Creates a key; returns the key and its id.
    pub fn create(&self, more: &[&str]) -> (String, String) {
        let words = ["key", "create", "--name", "Website Sync", "--store", "yourstore", "--json"];
        let made = self.run(words.iter().chain(more)).done().json();
        (text(&made["key"]), text(&made["record"]["id"]))
    }

    pub fn show(&self, id: &str) -> Value {
        self.run(["key", "show", id, "--json"]).done().json()
    }
}

pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the command");
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().expect("its input").write_all(input);
    let output = child.wait_with_output().expect("its output");
    Ran {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Ran {
    /// The run must have succeeded.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// The run must have ended with this code, with this on standard error and nothing on standard output.
    #[track_caller]
    pub fn failed(self, code: i32, said: &str) -> Self {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert!(self.err.contains(said), "expected {said:?} in {self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).expect("JSON")
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}
