//! Lists, shows, updates, enables, disables and revokes keys.

use apikey_core::admin::Request;
use apikey_core::{KeyFilter, KeyInfo, KeyState, KeyUpdate, MAX_PAGE};
use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args};
use serde_json::json;

use super::key_args::{LimitArgs, RotationArgs, entry};
use super::key_list::{self, Change, KeyListArgs, KeyOrListArgs};
use crate::context::{Context, id};
use crate::failure::Failure;
use crate::output;
use crate::output::key_view::{self, ChangedView, KeyView};
use crate::store::backend::Backend;
use crate::time::{self, both};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Keys of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Keys in this state; a key in state `no_secret` cannot be used until it is rotated
    #[arg(long, value_parser = PossibleValuesParser::new(KeyState::ALL.map(KeyState::name)).map(state))]
    pub(crate) state: Option<KeyState>,
    /// Keys with this permission
    #[arg(long)]
    pub(crate) permission: Option<String>,
    /// Keys with this text in their owner, name, hint or metadata
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Keys that expire within this time, such as 14d, or have expired
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    pub(crate) expiring_within: Option<TimeDelta>,
    /// Keys created after this one
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// At most this many keys; by default all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "owner", "from"]).required(true))]
pub(crate) struct RevokeArgs {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: Option<String>,
    /// Every key of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The reason; it is stored with the key
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) list: KeyListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: String,
    /// The purpose of the key
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Remove the name
    #[arg(long, conflicts_with = "name")]
    pub(crate) no_name: bool,
    /// A permission of the key; those given replace all that it has; repeat it for more
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// Remove all permissions
    #[arg(long, conflicts_with = "permissions")]
    pub(crate) no_permissions: bool,
    /// The key expires this long from now, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = time::span, conflicts_with_all = ["expires_at", "never_expires"])]
    pub(crate) expires_in: Option<TimeDelta>,
    /// The key expires at this time, such as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time::time, conflicts_with = "never_expires")]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key never expires
    #[arg(long)]
    pub(crate) never_expires: bool,
    #[command(flatten)]
    pub(crate) rotation: RotationArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Remove the rate limit
    #[arg(long, conflicts_with = "limit")]
    pub(crate) no_limit: bool,
    /// Allow the key from every network
    #[arg(long, conflicts_with = "networks")]
    pub(crate) any_network: bool,
    /// Remove the rotation policy
    #[arg(long, conflicts_with = "rotate_every")]
    pub(crate) no_rotation: bool,
    /// Set a metadata entry of your own; repeat it for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Remove a metadata entry; repeat it for more
    #[arg(long, value_name = "NAME")]
    pub(crate) without_metadata: Vec<String>,
}

/// The state with this name. clap has rejected every other name.
fn state(name: String) -> KeyState {
    KeyState::ALL.into_iter().find(|state| state.name() == name).unwrap_or(KeyState::Active)
}

pub(crate) fn list(context: &Context, list: ListArgs) -> Result<(), Failure> {
    let mut filter = list.owner.map_or_else(KeyFilter::default, KeyFilter::owner);
    if let Some(state) = list.state {
        filter = filter.state(state);
    }
    if let Some(permission) = list.permission {
        filter = filter.permission(permission);
    }
    if let Some(text) = list.text {
        filter = filter.text(text);
    }
    if let Some(span) = list.expiring_within {
        let end = Utc::now().checked_add_signed(span);
        filter = filter.expiring_before(end.ok_or_else(|| Failure::usage("--expiring-within: the span is too long"))?);
    }
    if let Some(after) = &list.after {
        filter = filter.after(id(after)?);
    }
    context.with_store(false, |store| {
        let limit = list.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let (keys, next) = pages(store, filter, limit)?;
        let now = store.time();
        if context.json {
            let keys: Vec<KeyView<'_>> = keys.iter().map(|key| KeyView::new(key, now)).collect();
            return output::json(&json!({ "keys": keys, "next": next }));
        }
        if keys.is_empty() {
            output::note("no keys");
            return Ok(());
        }
        output::text(&key_view::table(&keys, now))?;
        if let Some(next) = next {
            output::note(&format!("there may be more: --after {next}"));
        }
        Ok(())
    })
}

/// Reads page after page, up to `limit` keys.
fn pages(
    store: &mut Backend,
    mut filter: KeyFilter,
    limit: usize,
) -> Result<(Vec<KeyInfo>, Option<apikey_core::KeyId>), Failure> {
    let mut keys = Vec::new();
    loop {
        filter = filter.limit((limit - keys.len()).min(MAX_PAGE));
        let page = store.keys(Request::List(filter.clone()))?;
        keys.extend(page.keys);
        let Some(next) = page.next else { return Ok((keys, None)) };
        if keys.len() >= limit {
            return Ok((keys, Some(next)));
        }
        filter = filter.after(next);
    }
}

pub(crate) fn show(context: &Context, of: &str) -> Result<(), Failure> {
    let id = id(of)?;
    context.with_store(false, |store| {
        let key = store.key(Request::Get { id })?;
        let now = store.time();
        if context.json { output::json(&KeyView::new(&key, now)) } else { output::text(&key_view::block(&key, now)) }
    })
}

pub(crate) fn revoke(context: &Context, revoke: RevokeArgs) -> Result<(), Failure> {
    if let Some(from) = &revoke.list.from {
        return key_list::change(context, &revoke.list, from, Change::Revoke { reason: &revoke.reason });
    }
    revoke.list.check_unused()?;
    let of = revoke.id.as_deref().map(id).transpose()?;
    context.with_store(false, |store| match (of, revoke.owner) {
        (Some(id), _) => change_one(context, store, Request::Revoke { id, reason: revoke.reason }, "revoked"),
        (None, owner) => {
            let owner = owner.unwrap_or_default();
            let revoked = store.count(Request::RevokeOwner { owner: owner.clone(), reason: revoke.reason })?;
            if context.json {
                return output::json(&json!({ "owner": owner, "revoked": revoked }));
            }
            output::text(&format!("revoked {revoked} keys of {owner}; those revoked before stay as they were"))
        }
    })
}

pub(crate) fn update(context: &Context, update: UpdateArgs) -> Result<(), Failure> {
    let of = id(&update.id)?;
    let request = Request::Update { id: of, change: Box::new(key_update(update)?) };
    context.with_store(false, |store| change_one(context, store, request, "updated"))
}

fn key_update(update: UpdateArgs) -> Result<KeyUpdate, Failure> {
    let mut change = KeyUpdate::new();
    if let Some(name) = update.name {
        change = change.name(name);
    } else if update.no_name {
        change = change.without_name();
    }
    if update.no_permissions || !update.permissions.is_empty() {
        change = change.permissions(update.permissions);
    }
    if let Some(span) = update.expires_in {
        let end = Utc::now().checked_add_signed(span);
        change = change.expires_at(end.ok_or_else(|| Failure::usage("--expires-in: the span is too long"))?);
    } else if update.expires_at.is_some() || update.never_expires {
        change = change.expires_at(update.expires_at);
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
    if let Some(networks) = update.limits.networks() {
        change = change.networks(networks);
    } else if update.any_network {
        change = change.any_network();
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
    if let Some(from) = &of.list.from {
        let change = if disabled { Change::Disable } else { Change::Enable };
        return key_list::change(context, &of.list, from, change);
    }
    of.list.check_unused()?;
    let of = id(of.id.as_deref().unwrap_or_default())?;
    let done = if disabled { "disabled" } else { "enabled" };
    let change = Box::new(KeyUpdate::new().disabled(disabled));
    let request = Request::Update { id: of, change };
    context.with_store(false, |store| change_one(context, store, request, done))
}

/// Changes one key, and prints the outcome.
fn change_one(context: &Context, store: &mut Backend, request: Request, done: &str) -> Result<(), Failure> {
    let of = store.changed(request)?;
    let now = store.time();
    if context.json {
        return output::json(&ChangedView::new(&of, now));
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
