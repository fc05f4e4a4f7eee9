//! What the commands that take keys over are told.

use apikey_core::ImportScheme;
use chrono::TimeDelta;
use clap::{Args, ValueEnum};

use crate::findings::ReportOption;
use crate::moment;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The lines hold what this issuer stored; says the form and the scheme at once
    #[arg(long, value_enum, conflicts_with_all = ["form", "scheme"])]
    pub(crate) from: Option<Issuer>,
    /// What the lines hold: keys, or the digests that their issuer stored, in hexadecimal
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    pub(crate) form: Form,
    /// Which part of a key its issuer hashed
    #[arg(long, value_enum, default_value_t = Scheme::Whole)]
    pub(crate) scheme: Scheme,
    /// Whose keys they are, where a line does not say
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// What they may do; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// They end after this time, as 90d
    #[arg(long, value_name = "SPAN", value_parser = moment::span)]
    pub(crate) expires_in: Option<TimeDelta>,
    /// Take keys whose secret has fewer than 20 bytes, too
    #[arg(long)]
    pub(crate) allow_weak: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) report: ReportOption,
}

/// Who issued keys, and hashed them in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Issuer {
    /// SHA-256 of what follows the last `_`: its longTokenHash
    PrefixedApiKey,
    /// SHA-256 of what follows the first `|`: the column token of Laravel Sanctum's table
    Sanctum,
    /// `sha512$$` and SHA-512 of the whole key: the column hashed_key, since version 3
    #[value(name = "djangorestframework-api-key")]
    DjangoRestFramework,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Form {
    /// The keys themselves
    Raw,
    /// SHA-256, 64 digits
    Sha256,
    /// SHA-512, 128 digits
    Sha512,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Scheme {
    /// All of it
    Whole,
    /// What follows the first `|` (Laravel Sanctum)
    AfterPipe,
    /// What follows the last `_` (prefixed-api-key)
    AfterLastUnderscore,
}

impl From<Scheme> for ImportScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Whole => Self::Whole,
            Scheme::AfterPipe => Self::AfterPipe,
            Scheme::AfterLastUnderscore => Self::AfterLastUnderscore,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImportLines {
    /// Make the store if there is none
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) make: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) report: ReportOption,
}
