//! The options of a store, as the builder has checked them.

use chrono::TimeDelta;

use crate::access::catalog::Catalog;
use crate::base::time::TimeSource;
#[cfg(feature = "cluster")]
use crate::cluster::config::Cluster;
use crate::http::header_config::HeaderConfig;
use crate::index::refused::refused_attempt::RefusalHook;
use crate::key::lifetime::Lifetime;
use crate::key::rotation::policy::RotationPolicy;
use crate::token::api_key::{PREFIXES, is_prefix};
use crate::token::digest::{Digester, Pepper};

#[derive(Clone)]
pub(crate) struct Options {
    /// The prefix of new tokens.
    pub(crate) prefix: String,
    /// The other prefixes that the store accepts.
    pub(crate) accepted: Vec<String>,
    pub(crate) peppers: Vec<Pepper>,
    pub(crate) time: TimeSource,
    /// Whether the index records the times of use.
    pub(crate) track_use: bool,
    /// Whether the store counts uses, and the bytes of disk that it may keep counts in.
    pub(crate) count_use: bool,
    pub(crate) usage_disk: u64,
    pub(crate) header_config: HeaderConfig,
    /// The limit of failed attempts of one address, and its period.
    pub(crate) failed_attempts: Option<(u32, TimeDelta)>,
    pub(crate) on_refusal: RefusalHook,
    pub(crate) max_lifetime: Option<TimeDelta>,
    /// The rotation policy of new keys that name none.
    pub(crate) rotation: Option<RotationPolicy>,
    /// The idle time of new keys that name none.
    pub(crate) idle_after: Option<TimeDelta>,
    pub(crate) keep_ended: TimeDelta,
    pub(crate) catalog: CatalogOption,
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<Cluster>,
}

/// The catalogue for checks of grants.
#[derive(Clone)]
pub(crate) enum CatalogOption {
    /// No catalogue: the store accepts every well-formed grant, and forgets the catalogue that it has.
    Without,
    /// The catalogue that the store has, if it has one.
    Stored,
    Given(Catalog),
}

impl CatalogOption {
    /// The permissions of the catalogue, where the store has these; empty for none.
    pub(super) fn permissions(&self, stored: &[String]) -> Vec<String> {
        match self {
            Self::Without => Vec::new(),
            Self::Stored => stored.to_vec(),
            Self::Given(catalog) => catalog.permissions().to_vec(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "ak".into(),
            accepted: Vec::new(),
            peppers: Vec::new(),
            time: TimeSource::System,
            track_use: true,
            count_use: false,
            usage_disk: 1 << 30,
            header_config: HeaderConfig::default(),
            failed_attempts: None,
            on_refusal: RefusalHook::default(),
            max_lifetime: None,
            rotation: None,
            idle_after: None,
            keep_ended: TimeDelta::days(30),
            catalog: CatalogOption::Without,
            #[cfg(feature = "cluster")]
            cluster: None,
        }
    }
}

impl Options {
    /// Every prefix, that of new tokens first.
    #[cfg(feature = "cluster")]
    pub(crate) fn prefixes(&self) -> Vec<String> {
        [&self.prefix].into_iter().chain(&self.accepted).cloned().collect()
    }

    /// What is wrong with the prefixes.
    pub(crate) fn prefix_fault(&self) -> Option<String> {
        let all = || [&self.prefix].into_iter().chain(&self.accepted);
        all().enumerate().find_map(|(at, prefix)| match () {
            () if !is_prefix(prefix) => Some(format!("prefix {prefix:?}: allowed are {PREFIXES}")),
            () if all().take(at).any(|earlier| earlier == prefix) => {
                Some(format!("prefix {prefix:?}: it is given twice"))
            }
            () => None,
        })
    }

    pub(super) fn lifetime(&self) -> Lifetime {
        Lifetime {
            max: self.max_lifetime.map(|max| max.num_milliseconds()),
            #[cfg(feature = "cluster")]
            is_shared: self.cluster.is_some(),
            #[cfg(not(feature = "cluster"))]
            is_shared: false,
            keep_ended: self.keep_ended.num_milliseconds(),
        }
    }

    /// Returns a digester without a pepper, then one for each pepper in the order of the numbers. The last is for new
    /// secrets.
    pub(super) fn digesters(&self) -> Vec<Digester> {
        let mut peppers: Vec<_> = self.peppers.iter().collect();
        peppers.sort_by_key(|pepper| pepper.number);
        [Digester::plain()].into_iter().chain(peppers.into_iter().map(Digester::peppered)).collect()
    }
}
