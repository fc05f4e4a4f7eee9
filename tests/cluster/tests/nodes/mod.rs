//! Stores that are nodes of one cluster: everything that one store does, on several.

mod clock;
mod fixture;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(unix)]
mod history;
mod newer;
mod points;
mod quotas;
mod upgrade;
mod usage;

#[cfg(target_os = "linux")]
pub(crate) use newer::Newer;
