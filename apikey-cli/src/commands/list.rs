//! Lists keys.

use apikey_core::admin::{IdPrefix, has_token};
use apikey_core::{KeyFilter, KeyInfo, KeyState, check_grant};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::json;

use super::key_args::{entry, from_now};
use crate::commands::owner::keys::keys_of;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::key_columns::{self, KeyColumn};
use crate::store::key_name::KeyName;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Keys of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Keys of this tenant
    #[arg(long, value_name = "NAME", conflicts_with_all = ["any_tenant", "no_tenant"])]
    pub(crate) tenant: Option<String>,
    /// Keys of every tenant, and of none; with --owner by default those of no tenant, and without it these
    #[arg(long, conflicts_with = "no_tenant")]
    pub(crate) any_tenant: bool,
    /// Keys of no tenant
    #[arg(long)]
    pub(crate) no_tenant: bool,
    /// Keys in this state; a key in state `no_secret` cannot be used until it is rotated
    #[arg(long, value_parser = PossibleValuesParser::new(KeyState::ALL.map(KeyState::name)).map(state))]
    pub(crate) state: Option<KeyState>,
    /// Keys whose grants give this permission, or whose roles do; with a `*`, keys that have exactly this grant, or a role
    /// with it: '*' finds the keys that may do everything
    #[arg(long)]
    pub(crate) permission: Option<String>,
    /// Keys that have this role
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Keys with this text in their owner, name, hint or metadata
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Keys whose tokens have this prefix
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Keys with this metadata entry, exactly; repeat it for keys that have all of several
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Keys that were not used since this time, such as 2027-01-31, or for a span, such as 90d; a key that was never
    /// used counts from its creation
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) idle_since: Option<DateTime<Utc>>,
    /// Keys that were never used
    #[arg(long)]
    pub(crate) never_used: bool,
    /// Keys that expire within this time, such as 14d, or have expired; also those that end within it if nobody uses them
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    pub(crate) expiring_within: Option<TimeDelta>,
    /// Keys whose rotation policy makes them due within this time, such as 1d, or that are due (0s)
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    pub(crate) rotation_due_within: Option<TimeDelta>,
    /// Keys created after this one
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// At most this many keys; by default all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// The columns to show, separated by commas; by default as many as the terminal has room for
    #[arg(long, value_enum, value_delimiter = ',', hide_default_value = true)]
    pub(crate) columns: Vec<KeyColumn>,
}

/// The state with this name. clap has rejected every other name.
fn state(name: String) -> KeyState {
    KeyState::ALL.into_iter().find(|state| state.name() == name).unwrap_or(KeyState::Active)
}

impl ListArgs {
    /// The grant of `--permission`: no permission has a wildcard.
    fn grant(&self) -> Option<&str> {
        self.permission.as_deref().filter(|permission| permission.contains('*'))
    }

    fn filter(&self) -> Result<KeyFilter, Failure> {
        if self.text.as_deref().is_some_and(has_token) {
            return Err(Failure::usage(
                "invalid --text: it has a whole token, which is exposed now that you typed it: rotate its key. `apikey show` finds \
                 a key by the beginning of its token, up to the end of the id",
            ));
        }
        let mut filter = self.owner.as_ref().map_or_else(KeyFilter::default, KeyFilter::owner);
        if let Some(tenant) = &self.tenant {
            filter = filter.tenant(tenant);
        } else if self.any_tenant {
            filter = filter.any_tenant();
        } else if self.no_tenant {
            filter = filter.no_tenant();
        }
        if let Some(state) = self.state {
            filter = filter.state(state);
        }
        if let Some(permission) = self.permission.as_ref().filter(|_| self.grant().is_none()) {
            filter = filter.permission(permission);
        }
        if let Some(role) = &self.role {
            filter = filter.role(role);
        }
        if let Some(text) = &self.text {
            filter = filter.text(text);
        }
        if let Some(prefix) = &self.prefix {
            filter = filter.prefix(prefix);
        }
        for (name, value) in &self.metadata {
            filter = filter.metadata(name, value);
        }
        if let Some(time) = self.idle_since {
            filter = filter.idle_since(time);
        }
        if self.never_used {
            filter = filter.never_used();
        }
        if let Some(span) = self.expiring_within {
            filter = filter.expiring_before(from_now("--expiring-within", span)?);
        }
        if let Some(span) = self.rotation_due_within {
            filter = filter.rotation_due_before(from_now("--rotation-due-within", span)?);
        }
        Ok(filter)
    }
}

pub(crate) fn list(context: &Context, list: ListArgs) -> Result<(), Failure> {
    let mut filter = list.filter()?;
    let grant = list.grant();
    if let Some(grant) = grant {
        check_grant(grant).map_err(|fault| Failure::usage(format!("invalid --permission {grant:?}: {fault}")))?;
    }
    let after = list.after.as_deref().map(KeyName::parse).transpose()?;
    context.with_store(false, |store| {
        if let Some(after) = &after {
            filter = filter.after(store.resolve(after)?);
        }
        let limit = list.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let (keys, next) = match grant {
            None => store.pages(filter, limit, |_| true)?,
            Some(grant) => {
                let mut roles = store.roles()?;
                let is_in = |grants: &[String]| grants.iter().any(|has| has == grant);
                roles.retain(|role| is_in(role.permissions()));
                let is_of = |key: &KeyInfo| roles.iter().any(|role| key.roles().iter().any(|of| of == role.name()));
                store.pages(filter, limit, |key| is_in(key.permissions()) || is_of(key))?
            }
        };
        let now = store.time();
        if context.json {
            return output::json(&json!({ "keys": keys, "next": next }));
        }
        if keys.is_empty() {
            let is_id = list.text.as_ref().is_some_and(|text| text.parse::<IdPrefix>().is_ok());
            // The owner's name may have been mistyped.
            let tenant = list.tenant.as_deref();
            let no_owner = list.owner.as_deref().filter(|_| !list.any_tenant);
            let no_owner = no_owner.and_then(|owner| keys_of(store, owner, tenant).err());
            output::note(match (&no_owner, is_id) {
                (Some(none), _) if none.code == Code::NotFound => none.text.as_str(),
                (_, true) => "no keys; `apikey show` finds a key by the beginning of its id",
                _ => "no keys",
            });
            return Ok(());
        }
        key_columns::print(&keys, &list.columns, now)?;
        if let Some(next) = next {
            output::note(&format!("there may be more: --after {next}"));
        }
        Ok(())
    })
}
