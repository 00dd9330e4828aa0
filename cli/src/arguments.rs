//! The command line: every command, option and help text.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Creates, lists, rotates and revokes API keys in a registry file.
///
/// The registry is one JSON file. It holds what each key may do and the SHA-256 of each key, never a key itself.
/// Servers that use bpos decide by it; after a change they have to reload it (many do on SIGHUP).
#[derive(Parser)]
#[command(name = "bpos", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "'bpos help COMMAND' or 'bpos COMMAND --help' tells more, with examples.")]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Common {
    /// The registry file
    #[arg(long, global = true, value_name = "FILE", env = "BPOS_REGISTRY", hide_env_values = true, help_heading = COMMON)]
    pub(crate) registry: Option<PathBuf>,
    /// The policy file, where the server has one of its own instead of the built-in scopes and routes
    #[arg(long, global = true, value_name = "FILE", env = "BPOS_POLICY", hide_env_values = true, help_heading = COMMON)]
    pub(crate) policy: Option<PathBuf>,
    /// Write JSON, for programs, instead of text for people
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a registry file without keys
    ///
    /// The file must not be there yet. Only this user may read it (mode 0600).
    #[command(after_long_help = "Example:\n  bpos init keys.json")]
    Init {
        /// The file to make; --registry, if left out
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Create, list and change keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Explain how a request would be decided, check by check
    ///
    /// Reads the key from standard input, or asks for it without showing it; it is never an argument, since arguments
    /// are seen by 'ps' and kept by the shell. The registry is only read: no quota of any server is used up, and how
    /// much is left of it is known to the server alone.
    #[command(after_long_help = CHECK_HELP)]
    Check(Check),
    /// Find all mistakes in a registry or policy file
    ///
    /// Tells every mistake, not just the first, with its line and column (counted in bytes, as servers do). If the text
    /// is no JSON from some place on, the keys before that place are checked.
    #[command(after_long_help = LINT_HELP)]
    Lint {
        /// The registry or policy file, '-' for standard input; --registry, if left out
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the scopes that a key can have
    Scopes,
    /// Mask the keys in a text: a filter for logs
    ///
    /// Copies standard input to standard output as it comes. Of each key its first characters stay
    /// (bpos_ and four more), and the rest becomes asterisks. The text may be in any encoding that has ASCII in it.
    #[command(
        after_long_help = "Examples:\n  server 2>&1 | bpos redact >>server.log\n  bpos redact <old.log >clean.log\n\n\
        With --json, one line on standard error tells at the end how many keys were masked."
    )]
    Redact,
    /// Write a script that completes this command's words in a shell
    #[command(after_long_help = "Example:\n  bpos completions bash >~/.local/share/bash-completion/completions/bpos")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual page
    #[command(after_long_help = "Examples:\n  bpos man | man -l -\n  bpos man /usr/local/share/man/man1")]
    Man {
        /// A folder for all pages, one for each command; if left out, bpos(1) goes to standard output
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key and show it, once
    ///
    /// The key is shown only once and cannot be had again: it is stored nowhere. If standard output is not a terminal,
    /// the key and a line break are all that is written to it; what is said to people goes to standard error.
    #[command(after_long_help = CREATE_HELP)]
    Create(Create),
    /// List the keys, in the order of the file
    List {
        /// Only the keys of this store
        #[arg(long, value_name = "NAME")]
        store: Option<String>,
    },
    /// Show one key, but for its secret
    Show {
        /// The key's id (key_…)
        id: String,
    },
    /// Change a key: only what is named changes
    #[command(after_long_help = UPDATE_HELP)]
    Update(Update),
    /// Enable keys that were disabled
    Enable(Ids),
    /// Disable keys until they are enabled again
    Disable(Ids),
    /// Give a key another secret and show it, once
    ///
    /// The id, the scopes, the limit and the expiry stay. The secret before works until the end of the grace, and
    /// shares the limit; one from an earlier rotation ends now. The output is that of 'bpos key create'.
    #[command(after_long_help = ROTATE_HELP)]
    Rotate {
        /// The key's id (key_…)
        id: String,
        /// How long the secret before still works: 7d, 12h, 90m; 0 for not at all
        #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
        grace: String,
    },
    /// Revoke keys, for good
    ///
    /// Requests with them are denied (401) once each server has reloaded the file. There is no way back: 'bpos key
    /// disable' has one.
    Revoke(Ids),
    /// Forget keys that are revoked or expired
    ///
    /// Their records are taken out of the file. Keep them for as long as logs may name their ids.
    Remove(Ids),
}

#[derive(Args)]
pub(crate) struct Create {
    /// What the key is for, for people: "Website Sync"
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// The one store that it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) store: String,
    /// What it may do; several times for several scopes ('bpos scopes' lists them)
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<String>,
    /// How many requests it has in any 60 seconds, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    pub(crate) rate_limit: u32,
    /// When it expires: after a span (90d, 12h, 1y) or at a time (2027-01-01, 2027-01-01T09:00:00-05:00); never, if
    /// left out
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) expires: Option<String>,
    /// Let it only read: every operation that writes is denied
    #[arg(long)]
    pub(crate) test_mode: bool,
}

#[derive(Args)]
#[command(override_usage = "bpos key update [OPTIONS] <ID>")]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "scopes", "rate_limit", "expires", "test_mode"]))]
pub(crate) struct Update {
    /// The key's id (key_…)
    pub(crate) id: String,
    /// Another name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// What it may do, in the place of all that it could; several times for several scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// How many requests it has in any 60 seconds, 1 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate_limit: Option<u32>,
    /// When it expires: after a span from now, at a time, or 'never'
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) expires: Option<String>,
    /// Whether it can only read
    #[arg(long, value_name = "ON/OFF")]
    pub(crate) test_mode: Option<Switch>,
}

#[derive(Args)]
pub(crate) struct Ids {
    /// The ids of the keys (key_…): all are changed, or none
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Check {
    /// The store that the request is for; if left out, the check of the store is too
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// The request's method, as it was sent
    #[arg(long, value_name = "METHOD", required_unless_present = "scope")]
    pub(crate) method: Option<String>,
    /// The request's path and query, as they were sent
    #[arg(long, value_name = "PATH", required_unless_present = "scope")]
    pub(crate) target: Option<String>,
    /// The scope that the operation needs, where the server names one instead of a method and a path
    #[arg(long, value_name = "SCOPE", conflicts_with_all = ["method", "target"])]
    pub(crate) scope: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[value(alias = "true")]
    On,
    #[value(alias = "false")]
    Off,
}

/// The heading of what every command takes.
const COMMON: &str = "Common options";

const AFTER_HELP: &str = "\
Begin with:
  bpos init keys.json
  export BPOS_REGISTRY=$PWD/keys.json
  bpos key create --name \"Website Sync\" --store yourstore --scope products:read
  bpos key list

Exit codes:
  0  done; for 'check': the request is allowed
  1  'check': the request is denied; 'lint': there are mistakes
  2  the command line, or a value in it, is not as it must be
  3  a file cannot be read or written, or others may write it
  4  there is no key with that id
  5  the change contradicts what is there (a revoked key, a file that exists)
  6  the change could not be written, or may be lost if the machine stops now: run it again
  7  the registry file or the policy file has mistakes: 'bpos lint' tells all

Results go to standard output, everything else to standard error. Keys are read from standard input, never from \
arguments.";

const CREATE_HELP: &str = "\
Examples:
  bpos key create --name \"Website Sync\" --store yourstore --scope products:read
  bpos key create --name \"BI Dashboard\" --store yourstore --scope products:read --scope sales:read \\
    --rate-limit 120 --expires 90d
  KEY=$(bpos key create --name Trial --store yourstore --scope customers:write --test-mode)

A span is counted from now: 30s, 15m, 12h, 90d, 2w, 6mo, 1y, or several (1y 6mo). A day without a time means the \
moment \
it begins in UTC; a time needs its zone: Z, or an offset such as -05:00.

A write scope includes its read scope. With --json: {\"key\": \"bpos_…\", \"record\": {…}}.";

const UPDATE_HELP: &str = "\
Examples:
  bpos key update key_4f9hQ2mZk81LxTpWv0Ye --rate-limit 300 --expires never
  bpos key update key_4f9hQ2mZk81LxTpWv0Ye --scope products:read --scope sales:read --test-mode off

A time that is past expires the key at once. 'bpos key create --help' tells how spans and times are written.";

const ROTATE_HELP: &str = "\
Examples:
  bpos key rotate key_4f9hQ2mZk81LxTpWv0Ye --grace 7d     # both secrets work for a week
  bpos key rotate key_4f9hQ2mZk81LxTpWv0Ye --grace 0      # the old one leaked: it ends now";

const CHECK_HELP: &str = "\
Examples:
  bpos check --store yourstore --method GET --target /api/v1/products        # asks for the key
  bpos check --store yourstore --scope products:read <key.txt
  printf %s \"$KEY\" | bpos check --store yourstore --method GET --target '/api/v1/products?page=2'

The key is the first line; only its line break is taken off. It exits with 0 if the request is allowed, with 1 if it \
is \
denied. A target may hold a made-up key, to see what is said of keys in URLs.";

const LINT_HELP: &str = "\
Examples:
  bpos lint keys.json
  bpos lint keys.json --policy policy.json    # the scopes are the policy's; both files are checked
  bpos lint policy.json

It exits with 0 if the file is sound, with 1 if there are mistakes. Whether a server may read the file, by its owner \
and \
mode, is not looked at.";
