//! One key of the model: its state, its secrets and their ends, as the design describes them.

use std::collections::BTreeMap;

use apikey::{Conflict, CreatedKey, Overlap, OverlapEnd};
use chrono::{DateTime, Utc};

/// When a secret ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    Never,
    At(DateTime<Utc>),
    FirstUse,
}

#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) token: String,
    pub(crate) version: u32,
    pub(crate) end: End,
    pub(crate) used: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) owner: usize,
    pub(crate) name: Option<String>,
    pub(crate) grants: usize,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) not_before: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) disabled: bool,
    pub(crate) revoked: Option<(DateTime<Utc>, String)>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) version: u32,
    /// Its secrets, the oldest first; the last is the current one.
    pub(crate) secrets: Vec<Secret>,
}

impl Key {
    pub(crate) fn expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    pub(crate) fn state(&self, now: DateTime<Utc>) -> &'static str {
        if self.revoked.is_some() {
            "revoked_api_key"
        } else if self.disabled {
            "disabled_api_key"
        } else if self.expired(now) {
            "expired_api_key"
        } else if self.not_before.is_some_and(|start| now < start) {
            "inactive_api_key"
        } else {
            "ok"
        }
    }

    /// Removes the secrets that have ended by now.
    pub(crate) fn tick(&mut self, now: DateTime<Utc>) {
        self.secrets.retain(|secret| !matches!(secret.end, End::At(end) if end <= now));
    }

    pub(crate) fn rotate(&mut self, overlap: Overlap, now: DateTime<Utc>) -> Result<(), Conflict> {
        match self.state(now) {
            "revoked_api_key" => return Err(Conflict::Revoked),
            "disabled_api_key" if overlap != Overlap::None => return Err(Conflict::Disabled),
            "expired_api_key" => return Err(Conflict::Expired),
            "disabled_api_key" if self.expired(now) => return Err(Conflict::Expired),
            _ => {}
        }
        let end = match overlap {
            Overlap::None => {
                self.secrets.clear();
                return Ok(());
            }
            Overlap::For(span) => End::At(now + span),
            Overlap::UntilFirstUse => End::FirstUse,
        };
        if let [older, newest] = &*self.secrets {
            if newest.used {
                let until = if let End::At(end) = older.end { Some(end) } else { None };
                return Err(Conflict::Overlapping { until });
            }
            self.secrets.pop();
        }
        self.secrets.last_mut().unwrap().end = end;
        Ok(())
    }

    pub(crate) fn issue(&mut self, created: &CreatedKey) {
        self.version += 1;
        let token = created.key.expose_secret().to_owned();
        self.secrets.push(Secret { token, version: self.version, end: End::Never, used: false });
    }

    /// Records a successful verification with one of its secrets.
    pub(crate) fn use_secret(&mut self, token: &str, now: DateTime<Utc>) {
        let at = self.secrets.iter().position(|secret| secret.token == token).unwrap();
        self.secrets[at].used = true;
        self.last_used_at = Some(DateTime::from_timestamp(now.timestamp(), 0).unwrap());
        // A secret that was good until its successor's first use has ended.
        let newest = at + 1 == self.secrets.len();
        self.secrets.retain(|secret| !(newest && secret.end == End::FirstUse));
    }

    pub(crate) fn overlap(&self) -> Option<OverlapEnd> {
        match self.secrets.first().unwrap().end {
            End::Never => None,
            End::At(end) => Some(OverlapEnd::At(end)),
            End::FirstUse => Some(OverlapEnd::FirstUse),
        }
    }
}
