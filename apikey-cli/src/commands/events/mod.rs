//! Events: the newest, or each as it happens.

mod follow;
mod pages;
pub(crate) mod show;
mod text;
