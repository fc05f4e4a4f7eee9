//! Shows how often keys were used and refused.

pub(crate) mod args;
mod counting;
mod most_used;
mod report;

use self::args::UsageArgs;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) fn usage(context: &Context, usage: &UsageArgs) -> Result<(), Failure> {
    match usage.most_used {
        Some(limit) => most_used::most_used(context, usage, usize::try_from(limit).unwrap_or(usize::MAX)),
        None => report::report(context, usage),
    }
}
