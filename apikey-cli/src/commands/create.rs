//! Creates a key.

use std::path::PathBuf;

use apikey_core::NewKey;
use apikey_core::admin::Request;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::key_args::{LimitArgs, RotationArgs, TenantArg, check_entries, entry, part};
use super::new_secret::hand_out;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::delivery::Delivery;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The owner of the key: a user or an application
    pub(crate) owner: String,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
    /// The purpose of the key
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Permissions of the key, such as orders:read or orders:*, separated by commas
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// Roles of the key, separated by commas: it may do what they grant, too
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', value_parser = part)]
    pub(crate) roles: Vec<String>,
    /// The key expires after this time, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = time::span, conflicts_with = "expires_at")]
    pub(crate) expires_in: Option<TimeDelta>,
    /// The key expires at this time, such as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key ends when nobody uses it for this long, such as 90d: 1 hour to 366 days
    #[arg(long, value_name = "SPAN", value_parser = time::span, conflicts_with = "no_idle_after")]
    pub(crate) idle_after: Option<TimeDelta>,
    /// The key stays valid without use, whatever the service's default is
    #[arg(long)]
    pub(crate) no_idle_after: bool,
    /// The key is not valid before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    pub(crate) not_before: Option<DateTime<Utc>>,
    #[command(flatten)]
    pub(crate) rotation: RotationArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// A label, which handlers read, such as plan=pro; repeat it for more, at most 4
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) labels: Vec<(String, String)>,
    /// The prefix of the key's tokens, one of the store's prefixes, such as acme_test; the key keeps it
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// A metadata entry of your own; repeat it for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Write the key to this new file (0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

pub(crate) fn create(context: &Context, create: CreateArgs) -> Result<(), Failure> {
    check_entries("metadata", &create.metadata, &[])?;
    check_entries("label", &create.labels, &[])?;
    let mut key = NewKey::for_owner(create.owner).permissions(create.permissions).roles(create.roles);
    if let Some(name) = create.name {
        key = key.name(name);
    }
    if let Some(start) = create.not_before {
        key = key.not_before(start);
    }
    if let Some(span) = create.expires_in {
        key = key.expires_in(span);
    }
    if let Some(end) = create.expires_at {
        key = key.expires_at(end);
    }
    if let Some(span) = create.idle_after {
        key = key.idle_after(span);
    } else if create.no_idle_after {
        key = key.no_idle_after();
    }
    if let Some(policy) = create.rotation.policy() {
        key = key.rotation(policy);
    }
    if let Some((count, per)) = create.limits.limit {
        key = key.limit(count, per);
    }
    if let Some(quota) = create.limits.quota {
        key = key.quota(quota);
    }
    if let Some(networks) = create.limits.networks() {
        key = key.networks(networks);
    }
    for (name, value) in create.labels {
        key = key.label(name, value);
    }
    if let Some(prefix) = create.prefix {
        key = key.prefix(prefix);
    }
    for (name, value) in create.metadata {
        key = key.metadata(name, value);
    }
    context.with_store(false, |store| {
        let mut delivery = Delivery::prepare_for_secret(create.out.as_deref())?;
        let new = store.new_secret(create.tenant.request(Request::Create(Box::new(key))))?;
        hand_out(context, &mut delivery, &new, "created", "revoke it")
    })
}
