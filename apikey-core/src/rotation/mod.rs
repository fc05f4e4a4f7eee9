//! Automatic rotation: new secrets for keys with a policy, delivered to a sink.

mod create;
mod leak;
mod plan;
pub(crate) mod report;
mod rotate;
pub(crate) mod rotator;
mod run;
mod secrets;
pub mod sink;
mod step;
mod warn;
mod worker;
