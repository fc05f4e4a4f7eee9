//! The failure of a command: an exit code for programs, and a text for people. No text contains a secret.

use std::io;
use std::path::Path;

use apikey_core::admin::{Fault, FaultKind};
use apikey_core::{BackupError, OpenError, RestoreError, StoreError};

/// The exit codes, as `--help` and docs/operations/command.md list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    No = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    InUse = 5,
    Unusable = 6,
    Refused = 7,
    /// With `--url`: the API has no such operation.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only --url has it"))]
    NotOverHttp = 8,
}

impl Code {
    /// The stable name, for `--json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InUse => "in_use",
            Self::Unusable => "unusable",
            Self::Refused => "refused",
            Self::NotOverHttp => "not_over_http",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// The text for people; empty if the output contains it already.
    pub(crate) text: String,
    /// Whether the service ended the connection.
    pub(crate) disconnected: bool,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), disconnected: false }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// The failure of a check whose answer is no, which standard output has.
    pub(crate) fn no() -> Self {
        Self::new(Code::No, "")
    }

    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::new(Code::Refused, format!("{}: {error}", path.display()))
    }

    /// Standard output failed.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::new(Code::Refused, format!("standard output: {error}"))
    }

    pub(crate) fn input(error: &io::Error) -> Self {
        Self::new(Code::Refused, format!("standard input: {error}"))
    }
}

/// Makes an error's text one for people: without the number of the operating system's error, and with the characters that
/// Rust escapes as shells write them.
pub(crate) fn readable(text: &str) -> String {
    let mut readable = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find([' ', '\\', '.']) {
        let (before, from) = rest.split_at(at);
        readable.push_str(before);
        let length = match (number(from, " (os error ", ")", 10), number(from, "\\u{", "}", 16)) {
            (Some((_, length)), _) => length,
            (_, Some((letter, length))) if letter < 0x80 => {
                readable.push_str(&format!("\\x{letter:02x}"));
                length
            }
            // clap's text for a range without an end.
            _ => match from.strip_prefix("..18446744073709551615") {
                Some(_) => {
                    readable.push_str(" or more");
                    "..18446744073709551615".len()
                }
                None => {
                    readable.extend(from.chars().next());
                    1
                }
            },
        };
        rest = from.get(length..).unwrap_or_default();
    }
    readable + rest
}

/// The most characters of a name from outside that an error quotes.
const QUOTED: usize = 80;

/// A name as an error quotes it.
pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// A number between two texts at the beginning of a text, and the length of all three.
fn number(text: &str, begin: &str, end: &str, radix: u32) -> Option<(u32, usize)> {
    let (digits, _) = text.strip_prefix(begin)?.split_once(end)?;
    Some((u32::from_str_radix(digits, radix).ok()?, begin.len() + digits.len() + end.len()))
}

/// Replaces the library's calls in a text by the command's options.
pub(crate) fn in_options(text: &str) -> String {
    let either =
        |prefix: &str| format!("give --prefixes {prefix}, or name both in --prefixes, the one of new tokens first");
    let text = with_option(text, "open it with .prefix(\"", "\"), or name both in .prefixes(..)", either);
    let text = with_option(&text, ".pepper(Pepper::new(", ", ..))", |number| format!("--pepper {number}=FILE"));
    text.replace("the overlap none", "--overlap none")
        .replace("allow_weak()", "--allow-weak")
        .replace("is given twice in one call", "is given twice")
        .replace("add it to prefixes", "add it to --prefixes")
        .replace("invalid remove_permissions", "invalid --remove-permission")
        .replace("invalid remove_roles", "invalid --remove-role")
        .replace("invalid limit.count", "invalid --limit")
        .replace("invalid limit.per", "invalid --limit")
        .replace("invalid quota.count", "invalid --quota")
        .replace("invalid quota.offset", "invalid --quota")
        .replace("invalid rotation.every", "invalid --rotate-every")
        .replace("invalid rotation.overlap", "invalid --rotate-overlap")
        .replace("with `apikey clock accept` or KeyStore::accept_clock", "with `apikey clock accept`")
        .replace("close that first, or let `open` wait for it (KeyStoreBuilder::wait_for_lock)", "stop that first")
}

/// The same for the error of a request whose fields options gave: it names the options of its times.
fn named_by_options(text: &str) -> String {
    in_options(text)
        .replace("invalid expires_at", "invalid --expires-at")
        .replace("invalid expires_in", "invalid --expires-in")
        .replace("invalid idle_after", "invalid --idle-after")
        .replace("set its idle_after again", "set `apikey update --idle-after` again")
        .replace("invalid not_before", "invalid --not-before")
        .replace("invalid networks", "invalid --network")
        .replace("invalid labels", "invalid --label")
        .replace("invalid roles", "invalid --role")
        .replace("invalid role ", "invalid role name ")
        .replace("allowed are roles of this store", "allowed are roles of this store, which `apikey role list` shows")
        .replace("invalid label ", "invalid --label ")
        .replace("invalid uses", "invalid --add-uses")
        .replace(
            "allowed are keys that have a quota in all",
            "--add-uses is for quotas in all, as of --quota 500/total",
        )
        .replace(
            "allowed are tenants and owners that have a quota in all",
            "--add-uses is for quotas in all, as of --quota 500/total",
        )
        .replace("invalid since", "invalid --since")
        .replace("invalid prefix", "invalid --prefix")
        .replace("allowed are times before expires_at", "allowed are times before the key expires")
        .replace("allowed are times after not_before", "allowed are times after the key becomes valid (--not-before)")
}

/// Replaces a call with one argument by an option.
fn with_option(text: &str, begin: &str, end: &str, option: impl Fn(&str) -> String) -> String {
    let call = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?)));
    call.map_or_else(|| text.to_owned(), |(before, (argument, after))| format!("{before}{}{after}", option(argument)))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(_) => Code::NotFound,
            StoreError::Conflict(_) | StoreError::Exceeds(_) => Code::Conflict,
            StoreError::Invalid { .. } | StoreError::Permission(_) | StoreError::UnknownGrant(_) => Code::Usage,
            _ => Code::Refused,
        };
        Self::new(code, named_by_options(&error.to_string()))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::NotFound => Code::NotFound,
            FaultKind::Conflict => Code::Conflict,
            FaultKind::Invalid => Code::Usage,
            FaultKind::Unusable => Code::Unusable,
            _ => Code::Refused,
        };
        Self { disconnected: fault.kind == FaultKind::Closed, ..Self::new(code, named_by_options(&fault.text)) }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Missing { path } => Self::new(
                Code::Unusable,
                format!(
                    "there is no key store at {}: name another with --store, or create one with `apikey init`",
                    path.display()
                ),
            ),
            OpenError::Damaged { path, backup, .. } => {
                let backup = backup.as_ref().map_or_else(|| "BACKUP".to_owned(), |backup| backup.display().to_string());
                let store = path.display();
                Self::new(
                    Code::Unusable,
                    format!(
                        "{error}\nTwo commands help; each creates a new store: `apikey restore {backup} --into NEW --over \
                         {store}`, or without a backup `apikey salvage --store {store} --into NEW`"
                    ),
                )
            }
            OpenError::Replica { path } => Self::new(
                Code::Unusable,
                format!(
                    "{} is a replica of a cluster, which only its service opens, and no service has it open: start the service, \
                     with admin_socket(true), and the command works through its socket; or name the store of a node that runs",
                    path.display()
                ),
            ),
            OpenError::Config(_) => Self::usage(in_options(&error.to_string())),
            OpenError::InUse { .. } => Self::new(Code::InUse, in_options(&error.to_string())),
            OpenError::DiskFull { .. }
            | OpenError::ReadOnly { .. }
            | OpenError::Io { .. }
            | OpenError::NotOwner { .. }
            | OpenError::ForeignFile { .. }
            | OpenError::Cluster(_) => Self::new(Code::Refused, error.to_string()),
            _ => Self::new(Code::Unusable, error.to_string()),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Damaged { .. } | BackupError::NewerFormat { .. } | BackupError::OldFormat { .. } => {
                Code::Unusable
            }
            BackupError::Destination { .. } => Code::Conflict,
            _ => Code::Refused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Backup(error) => error.into(),
            RestoreError::Directory(error) => error.into(),
            // The text says which of the two stores failed.
            RestoreError::Store(_) => Self::new(Code::Refused, error.to_string()),
            RestoreError::NotEmpty { .. } => Self::new(Code::Conflict, error.to_string()),
            _ => Self::new(Code::Refused, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_for_people() {
        for (given, expected) in [
            ("a: No such file or directory (os error 2)", "a: No such file or directory"),
            ("x (os error 2); y (os error 30)", "x; y"),
            ("invalid name \"\\u{1b}[31mé\\u{200b}\"", "invalid name \"\\x1b[31mé\\u{200b}\""),
            ("0 is not in 1..18446744073709551615.", "0 is not in 1 or more."),
            ("a\\b. (c) \\u{zz} ", "a\\b. (c) \\u{zz} "),
        ] {
            assert_eq!(readable(given), expected);
        }
    }

    #[test]
    fn calls_become_options() {
        assert_eq!(
            in_options("so; open it with .prefix(\"ak\"), or name both in .prefixes(..)"),
            "so; give --prefixes ak, or name both in --prefixes, the one of new tokens first"
        );
        assert_eq!(in_options("give it with .pepper(Pepper::new(2, ..))"), "give it with --pepper 2=FILE");
        assert_eq!(in_options("the overlap none ends it at once"), "--overlap none ends it at once");
        assert_eq!(in_options("open it with .prefix(\"ak"), "open it with .prefix(\"ak");
    }
}
