//! The options of a store, as the builder has checked them.

use chrono::TimeDelta;

use crate::base::time::TimeSource;
use crate::http::header_config::HeaderConfig;
use crate::index::refused::refused_attempt::RefusalHook;
use crate::key::lifetime::Lifetime;
use crate::key::rotation::policy::RotationPolicy;
use crate::token::digest::{Digester, Pepper};

pub(crate) struct Options {
    /// Of new tokens.
    pub(crate) prefix: String,
    /// Prefixes that are accepted beside that.
    pub(crate) accepted: Vec<String>,
    pub(crate) peppers: Vec<Pepper>,
    pub(crate) time: TimeSource,
    /// Whether the index notes when a secret is used.
    pub(crate) track_use: bool,
    pub(crate) header_config: HeaderConfig,
    /// How many failed attempts of an address, in how long.
    pub(crate) failed_attempts: Option<(u32, TimeDelta)>,
    pub(crate) on_refusal: RefusalHook,
    pub(crate) max_lifetime: Option<TimeDelta>,
    /// The rotation policy of new keys that name none.
    pub(crate) rotation: Option<RotationPolicy>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "ak".into(),
            accepted: Vec::new(),
            peppers: Vec::new(),
            time: TimeSource::System,
            track_use: true,
            header_config: HeaderConfig::default(),
            failed_attempts: None,
            on_refusal: RefusalHook::default(),
            max_lifetime: None,
            rotation: None,
        }
    }
}

impl Options {
    pub(super) fn lifetime(&self) -> Lifetime {
        Lifetime(self.max_lifetime.map(|max| max.num_milliseconds()))
    }

    /// One without a pepper, then one for each in the order of their numbers: the last is for new secrets.
    pub(super) fn digesters(&self) -> Vec<Digester> {
        let mut peppers: Vec<_> = self.peppers.iter().collect();
        peppers.sort_by_key(|pepper| pepper.number);
        [Digester::plain()].into_iter().chain(peppers.into_iter().map(Digester::peppered)).collect()
    }
}
