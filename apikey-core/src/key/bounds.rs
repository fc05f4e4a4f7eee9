//! The bounds of a key's fields. A call checks them before anything else, and an error names the field.

use std::collections::BTreeMap;

use crate::access::network;
use crate::access::permission::{PermissionError, PermissionFault, check_grant, check_permission};
use crate::base::invalid_field::InvalidField;
use crate::key::error::StoreError;
use crate::token::api_key::has_token;

/// The most bytes of an owner or a name.
pub(crate) const MAX_NAME: usize = 128;
/// The most bytes of the name of a tenant.
pub(crate) const MAX_TENANT: usize = 64;
/// The most bytes of a reason.
pub(crate) const MAX_REASON: usize = 256;
/// The most bytes of an idempotency key.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 255;
/// The most bytes of a role's description.
pub(crate) const MAX_DESCRIPTION: usize = 256;
/// The most grants of a key, or of a role.
pub(crate) const MAX_GRANTS: usize = 64;
/// The most entries of metadata, and the most bytes of their names and values.
pub(crate) const MAX_METADATA: usize = 32;
pub(crate) const MAX_METADATA_KEY: usize = 64;
pub(crate) const MAX_METADATA_VALUE: usize = 512;
/// The most labels of a key, and the most bytes of their names and values.
pub(crate) const MAX_LABELS: usize = 4;
pub(crate) const MAX_LABEL_NAME: usize = 32;
pub(crate) const MAX_LABEL_VALUE: usize = 64;
/// The most roles of a key, and of a store.
pub(crate) const MAX_KEY_ROLES: usize = 16;
pub(crate) const MAX_ROLES: usize = 256;
/// The most networks of a key.
pub(crate) const MAX_NETWORKS: usize = 32;
/// The most bytes of an encoded record.
pub(crate) const MAX_RECORD: usize = 32 * 1024;
/// The most keys that one call creates.
pub(crate) const MAX_BATCH: usize = 10_000;

/// The owner of a new key: one that people tell apart from every other when they read it.
pub(crate) fn owner(text: &str) -> Result<(), InvalidField> {
    let allowed = "1 to 128 bytes without control or invisible characters, and without white space at either end";
    if text.trim() != text || text.contains(is_invisible) {
        return Err(hidden_if_token("owner", text).unwrap_or_else(|| InvalidField::new("owner", text, allowed)));
    }
    line("owner", text, 1, MAX_NAME, allowed)
}

/// The name of a tenant.
pub(crate) fn tenant(name: &str) -> Result<(), InvalidField> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    if (1..=MAX_TENANT).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let allowed = "1 to 64 bytes of a-z 0-9 _ -";
    Err(hidden_if_token("tenant", name).unwrap_or_else(|| InvalidField::new("tenant", name, allowed)))
}

/// The owner of a key that an earlier version may have created.
pub(crate) fn stored_owner(text: &str) -> Result<(), InvalidField> {
    bounded("owner", text, 1, MAX_NAME, "1 to 128 bytes without control characters")
}

/// An owner of keys that are there, which an earlier version may have created.
pub(crate) fn owner_of_keys(text: &str) -> Result<(), InvalidField> {
    line("owner", text, 1, MAX_NAME, "1 to 128 bytes without control characters")
}

/// Characters without width, and those that turn the direction of writing.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

/// Checks grants, and removes repeats. The order stays.
pub(crate) fn grants(given: &[String]) -> Result<Vec<String>, StoreError> {
    let mut kept: Vec<String> = Vec::new();
    for (at, grant) in given.iter().enumerate() {
        let refused =
            |fault| StoreError::Permission(PermissionError::new("permission", grant, fault).at("permissions", at));
        check_grant(grant).map_err(refused)?;
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

/// Checks the names of a key's roles, each of which is there once. The order stays.
pub(crate) fn roles(given: &[String]) -> Result<Vec<String>, InvalidField> {
    let mut kept: Vec<String> = Vec::new();
    for (at, name) in given.iter().enumerate() {
        role_name(name).map_err(|fault| InvalidField { field: "roles", ..fault }.at(at))?;
        if kept.contains(name) {
            return Err(InvalidField::new("roles", name, "roles that are named once").at(at));
        }
        kept.push(name.clone());
    }
    if kept.len() > MAX_KEY_ROLES {
        return Err(InvalidField::new("roles", &format!("{} roles", kept.len()), "at most 16 roles"));
    }
    Ok(kept)
}

/// Checks the name of a role.
pub(crate) fn role_name(name: &str) -> Result<(), InvalidField> {
    let fault = check_permission(name).err().or_else(|| name.contains(':').then_some(PermissionFault::TooManySegments));
    let allowed = "one segment of a permission: 1 to 64 bytes of a-z 0-9 _ - . which begin with a letter or a digit and \
                   do not end with a dot";
    fault.map_or(Ok(()), |_| Err(InvalidField::new("role", name, allowed)))
}

pub(crate) fn description(text: &str) -> Result<(), InvalidField> {
    line("description", text, 0, MAX_DESCRIPTION, "at most 256 bytes without control characters")
}

/// Checks networks, writes them in CIDR notation as the store keeps them, and removes repeats. The order stays.
pub(crate) fn networks(given: &[String]) -> Result<Vec<String>, InvalidField> {
    let mut kept = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let net = network::parse(text).ok_or_else(|| {
            let allowed = "networks such as 10.0.0.0/8 or 2001:db8::/32, with no bits behind the prefix, and addresses";
            InvalidField::new("networks", text, allowed).at(at)
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
        return Err(InvalidField::new("networks", "", "1 to 32 networks; for a key that is valid anywhere, name none"));
    }
    Ok(kept)
}

pub(crate) fn metadata(given: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    if given.len() > MAX_METADATA {
        return Err(InvalidField::new("metadata", &format!("{} entries", given.len()), "at most 32 entries"));
    }
    for (key, value) in given {
        line("metadata key", key, 1, MAX_METADATA_KEY, "1 to 64 bytes without control characters")?;
        let value =
            line("metadata value", value, 0, MAX_METADATA_VALUE, "at most 512 bytes without control characters");
        value.map_err(|invalid| invalid.at(key))?;
    }
    Ok(())
}

/// Checks the labels that a key has.
pub(crate) fn labels(given: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    if given.len() > MAX_LABELS {
        return Err(InvalidField::new("labels", &format!("{} labels", given.len()), "at most 4 labels"));
    }
    label_entries(given)
}

/// Checks labels of which a key may have fewer or more.
pub(crate) fn label_entries(given: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    for (name, value) in given {
        if !(1..=MAX_LABEL_NAME).contains(&name.len()) || !name.bytes().all(is_letter) {
            let allowed = "1 to 32 lower-case letters, digits, `_`, `.` and `-`";
            return Err(InvalidField::new("label name", name, allowed));
        }
        let value = line("label value", value, 1, MAX_LABEL_VALUE, "1 to 64 bytes without control characters");
        value.map_err(|invalid| invalid.at(name))?;
    }
    Ok(())
}

/// A text that is stored and shown, and so must hold no secret.
fn line(field: &'static str, text: &str, min: usize, max: usize, allowed: &'static str) -> Result<(), InvalidField> {
    hidden_if_token(field, text).map_or(Ok(()), Err)?;
    bounded(field, text, min, max, allowed)
}

/// The error for a text with a token in it, which the error does not repeat.
fn hidden_if_token(field: &'static str, text: &str) -> Option<InvalidField> {
    let allowed =
        "texts without a token, which is a secret and would be stored and shown: replace the key if others can see it";
    has_token(text).then(|| InvalidField::new(field, "[a token]", allowed))
}

fn bounded(field: &'static str, text: &str, min: usize, max: usize, allowed: &'static str) -> Result<(), InvalidField> {
    let fits = (min..=max).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(InvalidField::new(field, text, allowed)) }
}
