//! A question about usage.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::owner::OwnerRef;
use crate::base::time::from_ms;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::token::key_id::KeyId;
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// Asks how often keys were used, for [`KeyStore::usage`](crate::KeyStore::usage).
///
/// ```
/// use apikey::{KeyStore, NewKey, Step, Usage};
/// use chrono::{TimeDelta, Utc};
///
/// let store = KeyStore::builder().count_use(true).temporary()?;
/// let created = store.create(NewKey::for_owner("alice"))?;
/// store.verify(created.key.expose_secret())?;
/// let week = Usage::of_owner("alice").since(Utc::now() - TimeDelta::days(7)).step(Step::Day);
/// let report = store.usage(&week)?;
/// assert_eq!((report.uses(), report.points().len()), (1, 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "it asks nothing until a store has it"]
pub struct Usage {
    of: Of,
    #[serde(default)]
    since: Option<DateTime<Utc>>,
    #[serde(default)]
    until: Option<DateTime<Utc>>,
    #[serde(default = "hours")]
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of {
    Key(KeyId),
    Owner {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        name: String,
    },
    Tenant(String),
    Store,
}

fn hours() -> Step {
    Step::Hour
}

impl Usage {
    /// Asks about one key.
    pub fn of_key(key: KeyId) -> Self {
        Self::of(Of::Key(key))
    }

    /// Asks about all keys of an owner of no tenant, also of keys that are deleted by now.
    pub fn of_owner(owner: impl Into<String>) -> Self {
        Self::of(Of::Owner { tenant: None, name: owner.into() })
    }

    /// Asks about all keys of an owner of a tenant.
    pub fn of_owner_in_tenant(tenant: impl Into<String>, owner: impl Into<String>) -> Self {
        Self::of(Of::Owner { tenant: Some(tenant.into()), name: owner.into() })
    }

    /// Asks about all keys of a tenant.
    pub fn of_tenant(tenant: impl Into<String>) -> Self {
        Self::of(Of::Tenant(tenant.into()))
    }

    /// Asks about all keys of the store. Only here are the refusals of requests without the secret of a key.
    pub fn of_store() -> Self {
        Self::of(Of::Store)
    }

    fn of(of: Of) -> Self {
        Self { of, since: None, until: None, step: Step::Hour }
    }

    /// Sets the first time, of whose step all is counted. Without it the report begins a day ago.
    pub fn since(mut self, since: DateTime<Utc>) -> Self {
        self.since = Some(since);
        self
    }

    /// Sets the time at which the report ends: the step that this time is in is the last. Without it the report ends now.
    pub fn until(mut self, until: DateTime<Utc>) -> Self {
        self.until = Some(until);
        self
    }

    /// Sets the step; without it the report has hours.
    pub fn step(mut self, step: Step) -> Self {
        self.step = step;
        self
    }

    /// What it asks about.
    pub(crate) fn of_what(&self) -> &Of {
        &self.of
    }

    pub(crate) fn key(&self) -> Option<KeyId> {
        if let Of::Key(key) = &self.of { Some(*key) } else { None }
    }

    /// Returns the subject, of which the report is.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that no owner or no tenant has.
    pub(crate) fn subject(&self) -> Result<UsageSubject, StoreError> {
        Ok(match &self.of {
            Of::Key(key) => UsageSubject::key(key.as_u128()),
            Of::Owner { tenant, name } => {
                tenant.as_deref().map_or(Ok(()), bounds::tenant)?;
                bounds::stored_owner(name)?;
                UsageSubject::owner(OwnerRef { tenant: tenant.as_deref(), name })
            }
            Of::Tenant(tenant) => {
                bounds::tenant(tenant)?;
                UsageSubject::tenant(tenant)
            }
            Of::Store => UsageSubject::STORE,
        })
    }

    /// The first and the last minute of the report at this time, in milliseconds, and its step.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if it ends before it begins, or begins before all that a store keeps in this step.
    pub(crate) fn minutes(&self, now: i64) -> Result<(u32, u32, Step), StoreError> {
        const MINUTE_MS: i64 = 60_000;
        let step = self.step;
        let minute = |at: i64| u32::try_from(at.div_euclid(MINUTE_MS)).unwrap_or(0);
        let until = self.until.map_or(now, |until| until.timestamp_millis().min(now));
        let since = self
            .since
            .map_or(until.saturating_sub(Step::Day.span().num_milliseconds()), |since| since.timestamp_millis());
        if since > until {
            let since = from_ms(since).to_string();
            return Err(StoreError::invalid("since", &since, "times before the end of the report, and before now"));
        }
        // One step more than is kept: the first may be cut short.
        if now.saturating_sub(since) > (step.kept() + step.span()).num_milliseconds() {
            let since = from_ms(since).to_string();
            let allowed = match step {
                Step::Minute => "times within the last day, by the minute",
                Step::Hour => "times within the last 14 days, by the hour",
                Step::Day => "times within the last 400 days, by the day",
            };
            return Err(StoreError::invalid("since", &since, allowed));
        }
        Ok((minute(since), minute(until), step))
    }
}
