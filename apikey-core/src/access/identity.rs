//! The owner of a key, and what handlers read besides, as one text.
//!
//! A verified key names this text by a number, as it does its grants, so that a handler reads all of it without a look-up.
//! It is the owner, and then the fields that the key has, each after a control character that says which it is. No field
//! has control characters. Most keys have none of these fields, and share the text of their owner.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::access::owner::OwnerRef;
use crate::base::interner::{Full, IDENTITIES};

/// All codes are below this.
const END_OF_CODES: u8 = 8;
const TENANT: u8 = 1;
const PREFIX: u8 = 2;
const NAME: u8 = 3;
/// The name of a label. Its value follows.
const LABEL: u8 = 4;
const VALUE: u8 = 5;

/// The fields of an identity.
pub(crate) struct Identity<'a> {
    pub(crate) owner: OwnerRef<'a>,
    /// The prefix of the secret: `None` for the store's default, and empty for a secret without a prefix.
    pub(crate) prefix: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

impl<'a> Identity<'a> {
    pub(crate) fn text(&self) -> Cow<'a, str> {
        let Self { owner, prefix, name, labels } = self;
        if owner.tenant.is_none() && prefix.is_none() && name.is_none() && labels.is_empty() {
            return Cow::Borrowed(owner.name);
        }
        let mut text = owner.name.to_owned();
        for (code, field) in [(TENANT, &owner.tenant), (PREFIX, prefix), (NAME, name)] {
            if let Some(field) = field {
                put(&mut text, code, field);
            }
        }
        for (name, value) in *labels {
            put(&mut text, LABEL, name);
            put(&mut text, VALUE, value);
        }
        Cow::Owned(text)
    }
}

fn put(text: &mut String, code: u8, field: &str) {
    text.push(char::from(code));
    text.push_str(field);
}

/// The owner in the identity of this number, with the tenant: the only parts of it that logs may have.
pub(crate) fn owner_of(number: u32) -> OwnerRef<'static> {
    owner(IDENTITIES.text(number))
}

/// An owner as the identities of its keys begin: the text names one of all owners.
pub(crate) fn owner_text(owner: OwnerRef<'_>) -> Cow<'_, str> {
    static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();
    Identity { owner, prefix: None, name: None, labels: &NO_LABELS }.text()
}

/// The [text](owner_text) of the owner in an identity.
pub(crate) fn text_of_owner(identity: &str) -> &str {
    let (name, rest) = split(identity);
    let end = match rest.strip_prefix(char::from(TENANT)) {
        Some(tenant) => name.len() + 1 + split(tenant).0.len(),
        None => name.len(),
    };
    identity.get(..end).unwrap_or(identity)
}

/// The owner in an identity.
pub(crate) fn owner(identity: &str) -> OwnerRef<'_> {
    OwnerRef { tenant: tenant(identity), name: name_of_owner(identity) }
}

/// The name of the owner in an identity.
pub(crate) fn name_of_owner(identity: &str) -> &str {
    split(identity).0
}

/// The tenant in an identity.
pub(crate) fn tenant(identity: &str) -> Option<&str> {
    field(identity, TENANT)
}

/// The prefix in an identity: see [`Identity::prefix`].
pub(crate) fn prefix(identity: &str) -> Option<&str> {
    field(identity, PREFIX)
}

/// The name in an identity.
pub(crate) fn name(identity: &str) -> Option<&str> {
    field(identity, NAME)
}

/// The labels in an identity, by name.
pub(crate) fn labels(identity: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut fields = fields(identity);
    std::iter::from_fn(move || {
        let (_, name) = fields.find(|(code, _)| *code == LABEL)?;
        let (_, value) = fields.next()?;
        Some((name, value))
    })
}

/// The value of the label of this name.
pub(crate) fn label<'a>(identity: &'a str, name: &str) -> Option<&'a str> {
    labels(identity).find(|(held, _)| *held == name).map(|(_, value)| value)
}

/// Returns the identity of this number without the labels that `keeps` does not keep.
pub(crate) fn retain(number: u32, keeps: impl Fn(&str, &str) -> bool) -> Result<u32, Full> {
    let identity = IDENTITIES.text(number);
    if labels(identity).all(|(name, value)| keeps(name, value)) {
        return Ok(number);
    }
    // Labels are the last fields.
    let rest = identity.split(char::from(LABEL)).next().unwrap_or_default();
    let mut text = rest.to_owned();
    for (name, value) in labels(identity).filter(|(name, value)| keeps(name, value)) {
        put(&mut text, LABEL, name);
        put(&mut text, VALUE, value);
    }
    IDENTITIES.number(&text)
}

/// Returns the identity of the first number with the labels that both have.
pub(crate) fn meet(one: u32, other: u32) -> Result<u32, Full> {
    if one == other {
        return Ok(one);
    }
    let other = IDENTITIES.text(other);
    retain(one, |name, value| label(other, name) == Some(value))
}

/// Whether the first identity has a label that the other lacks.
pub(crate) fn loses(one: u32, after: u32) -> bool {
    let after = IDENTITIES.text(after);
    labels(IDENTITIES.text(one)).any(|(name, value)| label(after, name) != Some(value))
}

fn field(identity: &str, code: u8) -> Option<&str> {
    fields(identity).find(|(held, _)| *held == code).map(|(_, field)| field)
}

/// The fields after the owner, each with its code.
fn fields(identity: &str) -> impl Iterator<Item = (u8, &str)> {
    let mut rest = split(identity).1;
    std::iter::from_fn(move || {
        let (code, after) = rest.split_at_checked(1)?;
        let field;
        (field, rest) = split(after);
        Some((code.bytes().next()?, field))
    })
}

/// The text before the first code, and that from it on.
fn split(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| byte < END_OF_CODES).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: OwnerRef<'static> = OwnerRef { tenant: None, name: "alice" };

    fn labels_of(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_identity_has_the_fields_that_were_written() {
        for (tenant, prefix) in
            [(None, None), (None, Some("")), (Some("acme"), None), (Some("acme"), Some("acme_test"))]
        {
            for name in [None, Some("ci é")] {
                for labels in [&[][..], &[("plan", "pro")], &[("a", "b=c"), ("plan", "pro"), ("region", "eu")]] {
                    let labels = labels_of(labels);
                    let text =
                        Identity { owner: OwnerRef { tenant, name: "alice é" }, prefix, name, labels: &labels }.text();
                    let owner = OwnerRef { tenant, name: "alice é" };
                    assert_eq!((super::owner(&text), super::prefix(&text), super::name(&text)), (owner, prefix, name));
                    assert_eq!(
                        (text_of_owner(&text), super::owner(text_of_owner(&text))),
                        (&*owner_text(owner), owner)
                    );
                    let read: Vec<(&str, &str)> = super::labels(&text).collect();
                    assert_eq!(read, labels.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>());
                    assert_eq!(label(&text, "plan"), labels.get("plan").map(String::as_str));
                    assert_eq!(label(&text, "pro"), None);
                }
            }
        }
    }

    #[test]
    fn an_owner_without_fields_is_the_whole_text() {
        let labels = BTreeMap::new();
        let text = Identity { owner: ALICE, prefix: None, name: None, labels: &labels }.text();
        assert!(matches!(text, Cow::Borrowed("alice")));
    }

    #[test]
    fn a_meet_has_the_labels_of_both_and_the_name_of_the_first() {
        let number = |name, list: &[(&str, &str)]| {
            let identity = Identity { owner: ALICE, prefix: Some("acme"), name, labels: &labels_of(list) };
            IDENTITIES.number(&identity.text()).unwrap()
        };
        let one = number(Some("ci"), &[("plan", "pro"), ("region", "eu"), ("tier", "1")]);
        let other = number(None, &[("plan", "free"), ("region", "eu")]);
        assert_eq!(meet(one, other).unwrap(), number(Some("ci"), &[("region", "eu")]));
        assert_eq!(meet(other, one).unwrap(), number(None, &[("region", "eu")]));
        assert_eq!(meet(one, one).unwrap(), one);
        assert!(loses(one, other) && loses(other, one));
        assert!(!loses(number(None, &[("plan", "pro")]), one) && loses(one, number(Some("ci"), &[("plan", "pro")])));
        assert_eq!(retain(one, |name, _| name == "tier").unwrap(), number(Some("ci"), &[("tier", "1")]));
        assert_eq!(retain(one, |_, _| false).unwrap(), number(Some("ci"), &[]));
    }
}
