//! The command line: every command, option and help text.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

/// Creates, lists, rotates and revokes API keys in a registry file.
///
/// The registry is a single JSON file. It records what each key may do and the SHA-256 of each key, never a key itself.
/// Servers on this machine that use bpos have this file open, and go by each change as soon as it is made.
#[derive(Parser)]
#[command(name = "bpos", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Run 'bpos COMMAND --help' for details and examples.")]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Args)]
pub(crate) struct Common {
    /// The registry file
    #[arg(long, global = true, value_name = "FILE", env = "BPOS_REGISTRY", hide_env_values = true, help_heading = COMMON)]
    pub(crate) registry: Option<PathBuf>,
    /// The policy file, if the server has its own scopes and routes instead of the built-in ones
    #[arg(long, global = true, value_name = "FILE", env = "BPOS_POLICY", hide_env_values = true, help_heading = COMMON)]
    pub(crate) policy: Option<PathBuf>,
    /// The folder of the memory that servers share, if they name one; 'off' if they share nothing
    #[arg(long, global = true, value_name = "FOLDER", env = "BPOS_SHARED", hide_env_values = true, help_heading = COMMON)]
    pub(crate) shared: Option<PathBuf>,
    /// Write JSON for programs instead of text for people
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a registry file without keys
    ///
    /// The file must not exist yet. Only its owner may read and write it (mode 0600).
    #[command(after_long_help = "Example:\n  bpos init keys.json")]
    Init {
        /// The file to create; if omitted, that of --registry
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
    /// Reads the key from standard input, or prompts for it without echo. The key is never an argument: 'ps' shows
    /// arguments, and the shell keeps them in its history. The registry is only read: this uses no server's quota, and
    /// only the server knows how much of it is left.
    #[command(after_long_help = CHECK_HELP)]
    Check(Check),
    /// Find all mistakes in a registry or policy file
    ///
    /// Reports every mistake, not just the first, with its line and column (in bytes, as in the messages of servers). If
    /// the text stops being valid JSON somewhere, the keys before that place are still checked.
    #[command(after_long_help = LINT_HELP)]
    Lint {
        /// The registry or policy file, or '-' for standard input; if omitted, that of --registry
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the scopes that a key can have
    Scopes,
    /// Mask the keys in a text: a filter for logs
    ///
    /// Copies standard input to standard output as it arrives. Each key keeps its first characters (bpos_ and four
    /// more); the rest becomes asterisks. The text may be in any encoding that contains ASCII.
    #[command(
        after_long_help = "Examples:\n  server 2>&1 | bpos redact >>server.log\n  bpos redact <old.log >clean.log\n\n\
        With --json, a line of JSON on standard error gives the number of masked keys at the end."
    )]
    Redact,
    /// Write a shell completion script
    #[command(after_long_help = "Example:\n  bpos completions bash >~/.local/share/bash-completion/completions/bpos")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual page
    #[command(after_long_help = "Examples:\n  bpos man | man -l -\n  bpos man /usr/local/share/man/man1")]
    Man {
        /// A folder for all pages, one for each command; if omitted, bpos(1) is written to standard output
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key and show it once
    ///
    /// The key is shown only once and cannot be recovered: it is not stored anywhere. If standard output is not a
    /// terminal, only the key and a newline are written to it; messages go to standard error.
    #[command(after_long_help = CREATE_HELP)]
    Create(Create),
    /// List the keys, in the order of the file
    #[command(after_long_help = LIST_HELP)]
    List(List),
    /// Show one key, without its secret
    Show {
        /// The key's id (key_…)
        id: String,
    },
    /// Change a key; what is not given stays as it is
    #[command(after_long_help = UPDATE_HELP)]
    Update(Update),
    /// Enable disabled keys
    Enable(Ids),
    /// Disable keys until they are enabled again
    Disable(Ids),
    /// Give a key a new secret and show it once
    ///
    /// The id, the scopes, the limit and the expiry stay. The previous secret works until the end of the grace period
    /// and shares the limit; one left from an earlier rotation ends now. The output is like that of 'bpos key create'.
    #[command(after_long_help = ROTATE_HELP)]
    Rotate {
        /// The key's id (key_…)
        id: String,
        /// How long the previous secret still works: 7d, 12h, 90m; 0 to end it now
        #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
        grace: String,
    },
    /// Revoke keys permanently
    ///
    /// Requests with them are denied (401) from now on. This cannot be undone; 'bpos key disable' can.
    Revoke(Ids),
    /// Remove revoked or expired keys from the file
    ///
    /// Keep their records for as long as logs may refer to their ids.
    Remove(Ids),
}

#[derive(Args)]
pub(crate) struct Create {
    /// What the key is for, in words: "Website Sync"
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// The store that it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) store: String,
    /// What it may do; repeat for several scopes ('bpos scopes' lists them)
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<String>,
    /// How many requests it may make in any 60 seconds, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    pub(crate) rate_limit: u32,
    /// When it expires: after a duration (90d, 12h, 1y) or at a time (2027-01-01, 2027-01-01T09:00:00-05:00); never, if
    /// omitted
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) expires: Option<String>,
    /// Make it read-only: every operation that writes is denied
    #[arg(long)]
    pub(crate) test_mode: bool,
}

#[derive(Args)]
pub(crate) struct List {
    /// Only the keys of this store
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// At most this many keys
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Only the keys behind the key with this id (key_…)
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

#[derive(Args)]
#[command(override_usage = "bpos key update [OPTIONS] <ID>")]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "scopes", "rate_limit", "expires", "test_mode"]))]
pub(crate) struct Update {
    /// The key's id (key_…)
    pub(crate) id: String,
    /// Its new name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// What it may do, replacing all of its scopes; repeat for several scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// How many requests it may make in any 60 seconds, 1 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate_limit: Option<u32>,
    /// When it expires: after a duration, at a time, or 'never'
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) expires: Option<String>,
    /// Whether it is read-only
    #[arg(long, value_name = "ON/OFF")]
    pub(crate) test_mode: Option<Switch>,
}

#[derive(Args)]
pub(crate) struct Ids {
    /// The ids of the keys (key_…): either all are changed or none
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Check {
    /// The store that the request is for; if omitted, the store is not checked
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// The request's method, as sent
    #[arg(long, value_name = "METHOD", required_unless_present = "scope")]
    pub(crate) method: Option<String>,
    /// The request's path and query, as sent
    #[arg(long, value_name = "PATH", required_unless_present = "scope")]
    pub(crate) target: Option<String>,
    /// The scope that the operation needs, if the server names a scope instead of a method and a path
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

/// The heading of the options of every command.
const COMMON: &str = "Common options";

const AFTER_HELP: &str = "\
To get started:
  bpos init keys.json
  export BPOS_REGISTRY=$PWD/keys.json
  bpos key create --name \"Website Sync\" --store yourstore --scope products:read
  bpos key list

Exit codes:
  0  success; for 'check': the request is allowed
  1  'check': the request is denied; 'lint': there are mistakes
  2  the command line, or a value in it, is invalid
  3  a file cannot be read or written, or others may write to it
  4  no key has that id
  5  the change conflicts with what is there (a revoked key, an existing file)
  6  the change could not be written, or may be lost if the machine stops now: run the command again
  7  the registry file or the policy file has mistakes: 'bpos lint' lists them all

Results go to standard output, everything else to standard error. Keys are read from standard input, never from \
arguments.";

const CREATE_HELP: &str = "\
Examples:
  bpos key create --name \"Website Sync\" --store yourstore --scope products:read
  bpos key create --name \"BI Dashboard\" --store yourstore --scope products:read --scope sales:read \\
    --rate-limit 120 --expires 90d
  KEY=$(bpos key create --name Trial --store yourstore --scope customers:write --test-mode)

A duration counts from now: 30s, 15m, 12h, 90d, 2w, 6mo, 1y, or a combination (1y 6mo). A date without a time \
means the start of that day in UTC; a time needs its zone: Z, or an offset such as -05:00.

A write scope includes its read scope. With --json: {\"key\": \"bpos_…\", \"record\": {…}}.";

const LIST_HELP: &str = "\
Examples:
  bpos key list --limit 100
  bpos key list --limit 100 --after key_4f9hQ2mZk81LxTpWv0Ye    # the next 100

If more keys follow, a message on standard error names the id for --after: that of the last key listed.";

const UPDATE_HELP: &str = "\
Examples:
  bpos key update key_4f9hQ2mZk81LxTpWv0Ye --rate-limit 300 --expires never
  bpos key update key_4f9hQ2mZk81LxTpWv0Ye --scope products:read --scope sales:read --test-mode off

A time in the past expires the key at once. 'bpos key create --help' describes durations and times.";

const ROTATE_HELP: &str = "\
Examples:
  bpos key rotate key_4f9hQ2mZk81LxTpWv0Ye --grace 7d     # both secrets work for a week
  bpos key rotate key_4f9hQ2mZk81LxTpWv0Ye --grace 0      # the old one has leaked: end it now";

const CHECK_HELP: &str = "\
Examples:
  bpos check --store yourstore --method GET --target /api/v1/products        # prompts for the key
  bpos check --store yourstore --scope products:read <key.txt
  printf %s \"$KEY\" | bpos check --store yourstore --method GET --target '/api/v1/products?page=2'

The key is the first line without its line break; nothing else is trimmed. The exit code is 0 if the request is \
allowed, 1 if it is denied. A target may hold a made-up key, to see what happens to keys in URLs.";

const LINT_HELP: &str = "\
Examples:
  bpos lint keys.json
  bpos lint keys.json --policy policy.json    # checks both files
  bpos lint policy.json

The exit code is 0 if there are no mistakes, 1 if there are some. A server also checks the owner and the mode of the \
registry file; this command does not.";
