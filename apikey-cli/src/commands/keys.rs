//! Commands on keys that give out no secret.

use apikey_core::admin::{Request, UpdateForm};
use apikey_core::{KeyFilter, KeyInfo, MAX_PAGE};
use chrono::Utc;
use serde_json::json;

use super::listed::{self, Change};
use super::{Context, id};
use crate::args::{Chosen, List, Revoke, Update};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::key_view::{self, ChangedView, KeyView};
use crate::moment::both;
use crate::out;

pub(super) fn list(context: &Context, list: List) -> Result<(), Failure> {
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
        filter = filter.expiring_before(end.ok_or_else(|| Failure::usage("--expiring-within: it is too long"))?);
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
            return out::json(&json!({ "keys": keys, "next": next }));
        }
        if keys.is_empty() {
            out::note("no keys");
            return Ok(());
        }
        out::text(&key_view::table(&keys, now))?;
        if let Some(next) = next {
            out::note(&format!("there may be more: --after {next}"));
        }
        Ok(())
    })
}

/// Page after page, up to so many keys.
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

pub(super) fn show(context: &Context, of: &str) -> Result<(), Failure> {
    let id = id(of)?;
    context.with_store(false, |store| {
        let key = store.key(Request::Get { id })?;
        let now = store.time();
        if context.json { out::json(&KeyView::new(&key, now)) } else { out::text(&key_view::block(&key, now)) }
    })
}

pub(super) fn revoke(context: &Context, revoke: Revoke) -> Result<(), Failure> {
    if let Some(from) = &revoke.list.from {
        return listed::change(context, &revoke.list, from, Change::Revoke { reason: &revoke.reason });
    }
    revoke.list.check_unused()?;
    let of = revoke.id.as_deref().map(id).transpose()?;
    context.with_store(false, |store| match (of, revoke.owner) {
        (Some(id), _) => change_one(context, store, Request::Revoke { id, reason: revoke.reason }, "revoked"),
        (None, owner) => {
            let owner = owner.unwrap_or_default();
            let revoked = store.count(Request::RevokeOwner { owner: owner.clone(), reason: revoke.reason })?;
            if context.json {
                return out::json(&json!({ "owner": owner, "revoked": revoked }));
            }
            out::text(&format!("revoked {revoked} keys of {owner} that were not revoked before"))
        }
    })
}

pub(super) fn update(context: &Context, update: Update) -> Result<(), Failure> {
    let of = id(&update.id)?;
    let mut change = UpdateForm {
        name: update.name,
        no_name: update.no_name,
        permissions: (update.no_permissions || !update.permissions.is_empty()).then_some(update.permissions),
        expires_at: update.expires_at,
        never_expires: update.never_expires,
        rotation: update.rotation.form(),
        no_rotation: update.no_rotation,
        limit: update.limits.limit,
        no_limit: update.no_limit,
        networks: update.limits.networks(),
        any_network: update.any_network,
        ..UpdateForm::default()
    };
    if let Some(span) = update.expires_in {
        let end = Utc::now().checked_add_signed(span);
        change.expires_at = Some(end.ok_or_else(|| Failure::usage("--expires-in: it is too long"))?);
    }
    change.metadata.extend(update.metadata.into_iter().map(|(name, value)| (name, Some(value))));
    change.metadata.extend(update.without_metadata.into_iter().map(|name| (name, None)));
    let request = Request::Update { id: of, change };
    context.with_store(false, |store| change_one(context, store, request, "updated"))
}

pub(super) fn disable(context: &Context, of: &Chosen, disabled: bool) -> Result<(), Failure> {
    if let Some(from) = &of.list.from {
        let change = if disabled { Change::Disable } else { Change::Enable };
        return listed::change(context, &of.list, from, change);
    }
    of.list.check_unused()?;
    let of = id(of.id.as_deref().unwrap_or_default())?;
    let done = if disabled { "disabled" } else { "enabled" };
    let change = UpdateForm { disabled: Some(disabled), ..UpdateForm::default() };
    let request = Request::Update { id: of, change };
    context.with_store(false, |store| change_one(context, store, request, done))
}

/// Asks for a change of one key, and says what became of it.
fn change_one(context: &Context, store: &mut Backend, request: Request, done: &str) -> Result<(), Failure> {
    let of = store.changed(request)?;
    let now = store.time();
    if context.json {
        return out::json(&ChangedView::new(&of, now));
    }
    let line = key_view::line(&of.key);
    if of.changed {
        return out::text(&format!("{done} {line}"));
    }
    match of.key.revoked() {
        Some(revoked) => {
            let (at, reason) = (both(revoked.at(), now), revoked.reason());
            let reason = if reason.is_empty() {
                "without a reason".to_owned()
            } else {
                format!("for this reason, which stays: {reason}")
            };
            out::text(&format!("nothing changed: {line} was revoked at {at}, {reason}"))
        }
        None => out::text(&format!("nothing changed: {line} is so already")),
    }
}
