//! The bounds of what a key may carry, checked at the call, each with its field's name.

use std::collections::BTreeMap;

use crate::access::network;
use crate::access::permission::{PermissionError, check_grant};
use crate::base::invalid_field::InvalidField;
use crate::key::error::StoreError;

/// Most bytes of an owner or a name.
pub(crate) const MAX_NAME: usize = 128;
/// Most bytes of a reason.
pub(crate) const MAX_REASON: usize = 256;
/// Most bytes of an idempotency key.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Most grants of a key.
pub(crate) const MAX_GRANTS: usize = 64;
/// Most entries of metadata, and most bytes of their keys and values.
pub(crate) const MAX_METADATA: usize = 32;
pub(crate) const MAX_METADATA_KEY: usize = 64;
pub(crate) const MAX_METADATA_VALUE: usize = 512;
/// Most networks of a key.
pub(crate) const MAX_NETWORKS: usize = 32;
/// Most bytes of an encoded record.
pub(crate) const MAX_RECORD: usize = 32 * 1024;
/// Most keys created by one call.
pub(crate) const MAX_BATCH: usize = 10_000;

pub(crate) fn owner(text: &str) -> Result<(), InvalidField> {
    line("owner", text, 1, MAX_NAME, "1 to 128 bytes without control characters")
}

pub(crate) fn name(text: &str) -> Result<(), InvalidField> {
    line("name", text, 1, MAX_NAME, "1 to 128 bytes without control characters; leave it out for none")
}

pub(crate) fn idempotency_key(text: &str) -> Result<(), InvalidField> {
    line("idempotency_key", text, 1, MAX_IDEMPOTENCY_KEY, "1 to 255 bytes without control characters")
}

pub(crate) fn actor(text: &str) -> Result<(), InvalidField> {
    line("actor", text, 1, MAX_NAME, "1 to 128 bytes without control characters")
}

pub(crate) fn reason(text: &str) -> Result<(), InvalidField> {
    line("reason", text, 0, MAX_REASON, "at most 256 bytes without control characters")
}

/// Grants in the order given, repeats left out.
pub(crate) fn grants(given: &[String]) -> Result<Vec<String>, StoreError> {
    let mut kept: Vec<String> = Vec::new();
    for grant in given {
        check_grant(grant).map_err(|fault| StoreError::Permission(PermissionError::new("permission", grant, fault)))?;
        if !kept.contains(grant) {
            kept.push(grant.clone());
        }
        if kept.len() > MAX_GRANTS {
            let allowed = "at most 64 permissions";
            return Err(InvalidField::new("permissions", &format!("{} permissions", given.len()), allowed).into());
        }
    }
    Ok(kept)
}

/// Networks in the order given, as they are stored: in CIDR notation, repeats left out.
pub(crate) fn networks(given: &[String]) -> Result<Vec<String>, InvalidField> {
    let mut kept = Vec::new();
    for text in given {
        let net = network::parse(text).ok_or_else(|| {
            let allowed = "networks such as 10.0.0.0/8 or 2001:db8::/32, with no bits behind the prefix, and addresses";
            InvalidField::new("networks", text, allowed)
        })?;
        let net = net.to_string();
        if !kept.contains(&net) {
            kept.push(net);
        }
        if kept.len() > MAX_NETWORKS {
            return Err(InvalidField::new("networks", &format!("{} networks", given.len()), "1 to 32 networks"));
        }
    }
    if kept.is_empty() {
        return Err(InvalidField::new("networks", "", "1 to 32 networks; for a key that is good anywhere, name none"));
    }
    Ok(kept)
}

pub(crate) fn metadata(given: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    if given.len() > MAX_METADATA {
        return Err(InvalidField::new("metadata", &format!("{} entries", given.len()), "at most 32 entries"));
    }
    for (key, value) in given {
        line("metadata key", key, 1, MAX_METADATA_KEY, "1 to 64 bytes without control characters")?;
        line("metadata value", value, 0, MAX_METADATA_VALUE, "at most 512 bytes without control characters")?;
    }
    Ok(())
}

fn line(field: &'static str, text: &str, min: usize, max: usize, allowed: &'static str) -> Result<(), InvalidField> {
    let fits = (min..=max).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(InvalidField::new(field, text, allowed)) }
}
