//! The catalogue of a store: every permission that its service requires. A grant that matches none of them is a typo.

use crate::access::permission::{MAX_PERMISSION_BYTES, PermissionError, check_permission, matches};
use crate::base::redact::redact;

/// Lets an acting key create and change keys of other owners.
pub(crate) const ANY_OWNER: &str = "keys:any_owner";
/// Lets an acting key of no tenant create and change keys of tenants.
pub(crate) const ANY_TENANT: &str = "keys:any_tenant";
/// Lets an acting key give other keys a later end than its own.
pub(crate) const OUTLIVE: &str = "keys:outlive";
/// Lets an acting key give other keys networks from which it is not valid itself.
pub(crate) const ANYWHERE: &str = "keys:anywhere";
/// Lets an acting key hand on grants by which keys are managed.
pub(crate) const DELEGATE: &str = "keys:delegate";
/// The permissions that the store itself requires, and those by which keys are managed over HTTP: every catalogue has them.
pub const OF_THE_STORE: [&str; 15] = [
    ANY_OWNER,
    ANY_TENANT,
    OUTLIVE,
    ANYWHERE,
    DELEGATE,
    "keys:read",
    "keys:create",
    "keys:update",
    "keys:rotate",
    "keys:revoke",
    "keys:verify",
    "tenants:manage",
    "roles:manage",
    "events:read",
    "usage:read",
];

/// The most permissions in a catalogue: as many as a list in a frame can hold.
pub(crate) const MAX_CATALOG: usize = 512;
/// The most permissions that an error lists if none is similar to the grant.
const LISTED: usize = 5;

/// The error for a well-formed grant that matches no permission of the catalogue, and so gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid permission {grant:?}: it matches no permission of this store's catalogue; {}", self.hint())]
pub struct UnknownGrant {
    grant: String,
    nearest: Option<String>,
    /// Some permissions of the catalogue, and how many it has.
    listed: (Vec<String>, usize),
    /// The list that contains the grant, and its index there.
    place: (&'static str, usize),
}

impl UnknownGrant {
    pub(crate) fn place(&self) -> (&'static str, usize) {
        self.place
    }

    /// Names the list that contains the grant.
    pub(crate) fn in_list(self, list: &'static str) -> Self {
        Self { place: (list, self.place.1), ..self }
    }

    /// Returns the grant, without [tokens](crate::redact).
    #[must_use]
    pub fn grant(&self) -> &str {
        &self.grant
    }

    /// Returns the most similar grant of the same form that matches a permission: `orders:read` for `orders:raed`,
    /// `orders:*` for `order:*`. Returns `None` if no permission of the catalogue is similar.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }

    fn hint(&self) -> String {
        if let Some(nearest) = &self.nearest {
            return format!("did you mean {nearest:?}?");
        }
        let (listed, count) = &self.listed;
        let more = match count.saturating_sub(listed.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("allowed are {}{more}, and wildcards that match one", listed.join(", "))
    }
}

/// Every permission that a service requires.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    /// Sorted, each once.
    permissions: Vec<String>,
}

impl Catalog {
    /// Creates the catalogue of these permissions, or says what is wrong with them.
    pub(crate) fn new(given: Vec<String>) -> Result<Self, String> {
        for text in &given {
            check_permission(text).map_err(|fault| PermissionError::new("permission", text, fault).to_string())?;
        }
        let catalog = Self::stored(given);
        match catalog.permissions.len() {
            1..=MAX_CATALOG => Ok(catalog),
            0 => Err("it names no permission; leave it out for a store that accepts every grant".to_owned()),
            more => Err(format!("it has {more} permissions, at most {MAX_CATALOG} are allowed")),
        }
    }

    /// Reads the catalogue that a store has saved.
    pub(crate) fn stored(mut permissions: Vec<String>) -> Self {
        permissions.sort_unstable();
        permissions.dedup();
        Self { permissions }
    }

    pub(crate) fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Whether a permission of the catalogue, or one of the store's own, matches the grant.
    pub(crate) fn has(&self, grant: &str) -> bool {
        // Most grants are permissions.
        self.permissions.binary_search_by(|permission| permission.as_str().cmp(grant)).is_ok()
            || self.all().any(|permission| matches(grant, permission))
    }

    /// Checks the grants of a key, except for those that it has already.
    pub(crate) fn check(&self, grants: &[String], held: &[String]) -> Result<(), UnknownGrant> {
        let unknown = grants.iter().enumerate().find(|(_, grant)| !self.has(grant) && !held.contains(grant));
        unknown.map_or(Ok(()), |(index, grant)| Err(self.unknown(grant, index)))
    }

    fn unknown(&self, grant: &str, index: usize) -> UnknownGrant {
        let candidates = self.all().filter_map(|permission| in_the_form_of(grant, permission));
        let by_distance = candidates.map(|candidate| (strsim::osa_distance(grant, &candidate), candidate));
        // A third of the letters may differ: two of `orders`, none of a name of two letters.
        let nearest = by_distance.filter(|(distance, _)| *distance <= grant.len() / 3).min();
        UnknownGrant {
            grant: redact(grant).into_owned(),
            nearest: nearest.map(|(_, candidate)| candidate),
            place: ("permissions", index),
            listed: (self.permissions.iter().take(LISTED).cloned().collect(), self.permissions.len()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.permissions.iter().map(String::as_str).chain(OF_THE_STORE)
    }
}

/// The permission with the wildcards of the grant, where it has as many segments: a grant that matches the permission.
fn in_the_form_of(grant: &str, permission: &str) -> Option<String> {
    let grant: Vec<&str> = grant.split(':').collect();
    let permission: Vec<&str> = permission.split(':').collect();
    if !grant.contains(&"*") {
        return Some(permission.join(":"));
    }
    let fits = permission.len() == grant.len() || (permission.len() > grant.len() && grant.last() == Some(&"*"));
    let segments = || grant.iter().zip(&permission).map(|(granted, wanted)| if *granted == "*" { "*" } else { wanted });
    let candidate = fits.then(|| segments().collect::<Vec<_>>().join(":"));
    candidate.filter(|candidate| candidate.len() <= MAX_PERMISSION_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::permission::check_grant;
    use proptest::prelude::*;

    fn catalog(permissions: &[&str]) -> Catalog {
        Catalog::new(permissions.iter().map(|&permission| permission.to_owned()).collect()).unwrap()
    }

    fn shop() -> Catalog {
        catalog(&["orders:read", "orders:write", "orders:items:read", "stats"])
    }

    #[test]
    fn a_grant_fits_if_a_permission_matches_it() {
        for grant in [
            "orders:read",
            "orders:*",
            "*:read",
            "*:items:*",
            "orders:items:*",
            "*",
            "stats",
            // The store's own permissions.
            "keys:any_owner",
            "keys:create",
            "roles:manage",
            "keys:outlive",
            "keys:anywhere",
            "keys:*",
        ] {
            assert!(shop().has(grant), "{grant}");
        }
        for grant in ["orders", "orders:raed", "order:*", "*:delete", "stats:*", "orders:read:*", "keys:read-all"] {
            assert!(!shop().has(grant), "{grant}");
        }
    }

    #[test]
    fn an_unknown_grant_is_named_with_the_nearest_one() {
        let error = |grant: &str| shop().check(&["*".into(), grant.into()], &[]).unwrap_err();
        for (grant, nearest) in [
            ("orders:raed", Some("orders:read")),
            ("order:read", Some("orders:read")),
            ("orders.read", Some("orders:read")),
            ("order:*", Some("orders:*")),
            ("*:raed", Some("*:read")),
            ("order:item:*", Some("orders:items:*")),
            ("keys:anyowner", Some("keys:any_owner")),
            ("stat", Some("stats")),
            ("billing:refund", None),
            ("billing:*", None),
            ("*:*:*:*", None),
        ] {
            assert_eq!(error(grant).nearest(), nearest, "{grant}");
            assert_eq!(error(grant).grant(), grant);
        }
        assert_eq!(
            error("orders:raed").to_string(),
            "invalid permission \"orders:raed\": it matches no permission of this store's catalogue; did you mean \
             \"orders:read\"?"
        );
        assert_eq!(
            error("billing").to_string(),
            "invalid permission \"billing\": it matches no permission of this store's catalogue; allowed are \
             orders:items:read, orders:read, orders:write, stats, and wildcards that match one"
        );
        let many: Vec<String> = (0..9).map(|number| format!("p{number}")).collect();
        let error = Catalog::new(many).unwrap().check(&["billing".into()], &[]).unwrap_err();
        assert!(error.to_string().ends_with("p0, p1, p2, p3, p4 and 4 more, and wildcards that match one"), "{error}");
    }

    #[test]
    fn a_grant_that_the_key_has_is_not_checked() {
        let held = ["old:read".to_owned()];
        let given = |grants: &[&str]| grants.iter().map(|&grant| grant.to_owned()).collect::<Vec<_>>();
        assert!(shop().check(&given(&["orders:read", "old:read"]), &held).is_ok());
        assert_eq!(shop().check(&given(&["old:read", "old:write"]), &held).unwrap_err().place(), ("permissions", 1));
    }

    #[test]
    fn a_catalogue_has_permissions_only_and_not_too_many() {
        let fault = |permissions: Vec<String>| Catalog::new(permissions).unwrap_err();
        assert_eq!(fault(vec![]), "it names no permission; leave it out for a store that accepts every grant");
        assert!(fault(vec!["orders:*".into()]).starts_with("invalid permission \"orders:*\": `*` belongs"));
        let many = |count: usize| (0..count).map(|number| format!("p{number}")).collect::<Vec<_>>();
        assert_eq!(fault(many(513)), "it has 513 permissions, at most 512 are allowed");
        assert!(Catalog::new(many(512)).is_ok());
        assert_eq!(catalog(&["b", "a", "b"]).permissions(), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn the_nearest_grant_is_one_that_the_catalogue_has(grant in "[a-z*]{1,3}(:([a-z]{1,4}|\\*)){0,3}") {
            if check_grant(&grant).is_ok() && let Err(error) = shop().check(&[grant], &[]) {
                prop_assert!(error.nearest().is_none_or(|nearest| shop().has(nearest)), "{error}");
            }
        }
    }
}
