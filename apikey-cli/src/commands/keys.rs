//! Shows, updates, enables, disables and revokes keys.

use apikey_core::KeyUpdate;
use apikey_core::admin::Request;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Args};
use serde_json::json;

use super::confirm::{self, confirm};
use super::key_args::{LimitArgs, RotationArgs, TenantArg, check_entries, entry, from_now, part};
use super::key_list::{self, Change, KeyListArgs, KeyOrListArgs, Source};
use crate::commands::owner::keys::keys_of;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::key_view::{self, ChangedView};
use crate::output::table;
use crate::store::backend::Backend;
use crate::store::key_name::KeyName;
use crate::time::{self, both};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "owner", "from"]).required(true))]
pub(crate) struct RevokeArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    pub(crate) id: Option<String>,
    /// Every key of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) tenant: TenantArg,
    /// The reason; it is stored with the key
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) list: KeyListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    pub(crate) id: String,
    /// The purpose of the key
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Remove the name
    #[arg(long, conflicts_with = "name")]
    pub(crate) no_name: bool,
    /// Permissions of the key, separated by commas; those given replace all that it has
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// Add these permissions to those that the key has, separated by commas
    #[arg(long = "add-permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part, conflicts_with = "permissions")]
    pub(crate) add_permissions: Vec<String>,
    /// Remove these permissions of the key, separated by commas, each as `apikey show` has it; one that the key does
    /// not have is an error
    #[arg(
        long = "remove-permission",
        value_name = "PERMISSION",
        value_delimiter = ',',
        value_parser = part,
        conflicts_with = "permissions"
    )]
    pub(crate) remove_permissions: Vec<String>,
    /// Remove all permissions
    #[arg(long, conflicts_with_all = ["permissions", "add_permissions", "remove_permissions"])]
    pub(crate) no_permissions: bool,
    /// Roles of the key, separated by commas; those given replace all that it has
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', value_parser = part)]
    pub(crate) roles: Vec<String>,
    /// Add these roles to those that the key has, separated by commas
    #[arg(long = "add-role", value_name = "ROLE", value_delimiter = ',', value_parser = part, conflicts_with = "roles")]
    pub(crate) add_roles: Vec<String>,
    /// Remove these roles of the key, separated by commas; one that the key does not have is an error
    #[arg(long = "remove-role", value_name = "ROLE", value_delimiter = ',', value_parser = part, conflicts_with = "roles")]
    pub(crate) remove_roles: Vec<String>,
    /// Remove all roles
    #[arg(long, conflicts_with_all = ["roles", "add_roles", "remove_roles"])]
    pub(crate) no_roles: bool,
    /// The key is not valid before this time, such as 2027-01-31
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// The key is valid from now on: remove the time before which it is not
    #[arg(long, conflicts_with = "not_before")]
    pub(crate) valid_now: bool,
    /// The key expires this long from now, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = time::span, conflicts_with_all = ["expires_at", "never_expires"])]
    pub(crate) expires_in: Option<TimeDelta>,
    /// The key expires at this time, such as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time::time, conflicts_with = "never_expires")]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key never expires
    #[arg(long)]
    pub(crate) never_expires: bool,
    /// The key ends when nobody uses it for this long from now on, such as 90d: 1 hour to 366 days. A key that is idle is
    /// valid again
    #[arg(long, value_name = "SPAN", value_parser = time::span, conflicts_with = "no_idle_after")]
    pub(crate) idle_after: Option<TimeDelta>,
    /// The key stays valid without use
    #[arg(long)]
    pub(crate) no_idle_after: bool,
    #[command(flatten)]
    pub(crate) rotation: RotationArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Remove the rate limit
    #[arg(long, conflicts_with = "limit")]
    pub(crate) no_limit: bool,
    /// Remove the quota
    #[arg(long, conflicts_with = "quota")]
    pub(crate) no_quota: bool,
    /// Add so many uses to a quota in all, as when a customer buys more; it is a change of its own
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["quota", "no_quota"])]
    pub(crate) add_uses: Option<u64>,
    /// Allow the key from every network
    #[arg(long, conflicts_with = "networks")]
    pub(crate) any_network: bool,
    /// Remove the rotation policy
    #[arg(long, conflicts_with = "rotate_every")]
    pub(crate) no_rotation: bool,
    /// Set a label, which handlers read, such as plan=pro; repeat it for more
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) labels: Vec<(String, String)>,
    /// Remove a label; repeat it for more
    #[arg(long, value_name = "NAME")]
    pub(crate) without_label: Vec<String>,
    /// Set a metadata entry of your own; repeat it for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Remove a metadata entry; repeat it for more
    #[arg(long, value_name = "NAME")]
    pub(crate) without_metadata: Vec<String>,
}

pub(crate) fn show(context: &Context, of: &str) -> Result<(), Failure> {
    let name = KeyName::parse(of)?;
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        let key = store.key(Request::Get { id })?;
        if context.json {
            return output::json(&key);
        }
        let quota = match key.quota().map(|_| store.quota(Request::Quota { id })) {
            // The quota itself is in the key.
            Some(Err(failure)) if failure.code == Code::NotOverHttp => None,
            status => status.transpose()?.flatten(),
        };
        output::text(&key_view::block(&key, quota.as_ref(), store.time()))
    })
}

pub(crate) fn revoke(context: &Context, revoke: RevokeArgs) -> Result<(), Failure> {
    revoke.tenant.check_used(revoke.owner.is_some())?;
    if let Some(from) = &revoke.list.from {
        let change = Change::Revoke { reason: &revoke.reason };
        return key_list::change(context, &revoke.list, Source::File(from), change);
    }
    if let Some(owner) = revoke.owner {
        return revoke_owner(context, owner, &revoke.tenant, revoke.reason, &revoke.list);
    }
    revoke.list.check_unused()?;
    let name = KeyName::parse(revoke.id.as_deref().unwrap_or_default())?;
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        change_one(context, store, Request::Revoke { id, reason: revoke.reason }, "revoked")
    })
}

/// Revokes in one request, so that a key that somebody creates meanwhile is revoked, too.
fn revoke_owner(
    context: &Context,
    owner: String,
    tenant: &TenantArg,
    reason: String,
    list: &KeyListArgs,
) -> Result<(), Failure> {
    if list.report.is_given() {
        return Err(Failure::usage("--report is for the keys of a list, which --from names"));
    }
    let in_tenant = tenant.tenant.as_deref();
    // With `--yes` nothing is read first: the keys are revoked even if the disk fails.
    if !list.yes {
        let keys = context.with_store(false, |store| keys_of(store, &owner, in_tenant))?;
        let count = keys.iter().filter(|key| key.revoked().is_none()).count();
        let change = confirm::Change { verb: "revoke", done: "revoked", what: "keys", count, even_none: false };
        confirm(context, false, list.count, &change)?;
    }
    context.with_store(false, |store| {
        let revoked = store.count(tenant.request(Request::RevokeOwner { owner: owner.clone(), reason }))?;
        if list.yes && revoked == 0 {
            keys_of(store, &owner, in_tenant)?;
        }
        if context.json {
            return output::json(&json!({ "tenant": tenant.tenant, "owner": owner, "revoked": revoked }));
        }
        let (revoked, owner) = (table::counted(revoked, "key"), table::one_line(&owner));
        let of = in_tenant.map(|tenant| format!(" of {tenant}")).unwrap_or_default();
        output::text(&format!("revoked {revoked} of {owner}{of}; those revoked before stay as they were"))
    })
}

pub(crate) fn update(context: &Context, update: UpdateArgs) -> Result<(), Failure> {
    let name = KeyName::parse(&update.id)?;
    let add_uses = update.add_uses;
    let change = Box::new(key_update(update)?);
    // A field that is not given is not among those of the request.
    let no_field =
        serde_json::to_value(&change).is_ok_and(|fields| fields.as_object().is_some_and(serde_json::Map::is_empty));
    match add_uses {
        None if no_field => {
            return Err(Failure::usage(
                "name at least one change, such as --name or --add-permission: `apikey update --help` lists them",
            ));
        }
        Some(_) if !no_field => {
            return Err(Failure::usage("--add-uses is a change of its own: make the others in another call"));
        }
        _ => {}
    }
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        let request = match add_uses {
            Some(uses) => Request::AddUses { id, uses },
            None => Request::Update { id, change },
        };
        change_one(context, store, request, "updated")
    })
}

fn key_update(update: UpdateArgs) -> Result<KeyUpdate, Failure> {
    check_entries("metadata", &update.metadata, &update.without_metadata)?;
    check_entries("label", &update.labels, &update.without_label)?;
    let mut change = KeyUpdate::new();
    if let Some(name) = update.name {
        change = change.name(name);
    } else if update.no_name {
        change = change.without_name();
    }
    if update.no_permissions || !update.permissions.is_empty() {
        change = change.permissions(update.permissions);
    }
    change = change.add_permissions(update.add_permissions).remove_permissions(update.remove_permissions);
    if update.no_roles || !update.roles.is_empty() {
        change = change.roles(update.roles);
    }
    change = change.add_roles(update.add_roles).remove_roles(update.remove_roles);
    if update.not_before.is_some() || update.valid_now {
        change = change.not_before(update.not_before);
    }
    if let Some(span) = update.expires_in {
        if span.is_zero() {
            return Err(Failure::usage(
                "invalid --expires-in 0s: a longer span is expected; to end a key at once, revoke or disable it",
            ));
        }
        change = change.expires_at(from_now("--expires-in", span)?);
    } else if update.expires_at.is_some() || update.never_expires {
        change = change.expires_at(update.expires_at);
    }
    if let Some(span) = update.idle_after {
        change = change.idle_after(span);
    } else if update.no_idle_after {
        change = change.no_idle_after();
    }
    if let Some(policy) = update.rotation.policy() {
        change = change.rotation(policy);
    } else if update.no_rotation {
        change = change.no_rotation();
    }
    if let Some((count, per)) = update.limits.limit {
        change = change.limit(count, per);
    } else if update.no_limit {
        change = change.no_limit();
    }
    if let Some(quota) = update.limits.quota {
        change = change.quota(quota);
    } else if update.no_quota {
        change = change.no_quota();
    }
    if let Some(networks) = update.limits.networks() {
        change = change.networks(networks);
    } else if update.any_network {
        change = change.any_network();
    }
    for (name, value) in update.labels {
        change = change.label(name, value);
    }
    for name in update.without_label {
        change = change.remove_label(name);
    }
    for (name, value) in update.metadata {
        change = change.metadata(name, value);
    }
    for name in update.without_metadata {
        change = change.without_metadata(name);
    }
    Ok(change)
}

pub(crate) fn disable(context: &Context, of: &KeyOrListArgs, disabled: bool) -> Result<(), Failure> {
    of.tenant.check_used(of.owner.is_some())?;
    let from = of.list.from.as_deref().map(Source::File);
    let of_owner = of.owner.as_deref().map(|owner| Source::Owner(owner, of.tenant.tenant.as_deref()));
    if let Some(source) = from.or(of_owner) {
        let change = if disabled { Change::Disable } else { Change::Enable };
        return key_list::change(context, &of.list, source, change);
    }
    of.list.check_unused()?;
    let name = KeyName::parse(of.id.as_deref().unwrap_or_default())?;
    let done = if disabled { "disabled" } else { "enabled" };
    let change = Box::new(KeyUpdate::new().disabled(disabled));
    context.with_store(false, |store| {
        let id = store.resolve(&name)?;
        change_one(context, store, Request::Update { id, change }, done)
    })
}

/// Changes one key, and prints the outcome.
fn change_one(context: &Context, store: &mut Backend, request: Request, done: &str) -> Result<(), Failure> {
    let of = store.changed(request)?;
    let now = store.time();
    if context.json {
        return output::json(&ChangedView::new(&of));
    }
    let line = key_view::line(&of.key);
    if of.changed {
        return output::text(&format!("{done} {line}"));
    }
    match of.key.revoked() {
        Some(revoked) => {
            let (at, reason) = (both(revoked.at(), now), revoked.reason());
            let reason = if reason.is_empty() {
                "without a reason".to_owned()
            } else {
                format!("for this reason, which stays: {reason}")
            };
            output::text(&format!("nothing changed: {line} was revoked at {at}, {reason}"))
        }
        None => output::text(&format!("nothing changed: {line} is already in this state")),
    }
}
