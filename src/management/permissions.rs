//! What may be put on keys, for a page where people choose.

use apikey_core::Need;
use serde_json::{Value, json};

use super::caller::Caller;
use super::offer::asks_for;
use super::operations::OPERATIONS;
use super::parts::Parts;
use crate::guard::Guarded;

/// What the permissions that are always offered are for.
const DOCS: [(&str, &str); 15] = [
    ("keys:any_owner", "Manage keys of other owners"),
    ("keys:any_tenant", "Manage keys of tenants, for a key of none"),
    ("keys:outlive", "Give keys a later end than its own"),
    ("keys:anywhere", "Give keys networks that it does not have"),
    ("keys:delegate", "Give keys permissions that manage keys"),
    ("keys:read", "Read keys, without their secrets"),
    ("keys:create", "Create keys"),
    ("keys:update", "Change, disable and enable keys"),
    ("keys:rotate", "Give keys new secrets"),
    ("keys:revoke", "Revoke keys"),
    ("keys:verify", "Learn whether a key is valid, and what it may do"),
    ("tenants:manage", "Read, put and end tenants"),
    ("roles:manage", "Read, put and delete roles"),
    ("events:read", "Read the history of keys"),
    ("usage:read", "Read how often keys are used"),
];

/// What may be put on keys: each with what it is for, the handlers that it opens, and the operations.
pub(super) fn list(parts: &Parts, caller: Option<&Caller>) -> Value {
    let guarded = Guarded::all();
    let mut offered = parts.offer.permissions();
    let owner = caller.and_then(Caller::owner);
    if let Some(owner) = owner {
        // What the application offers to this owner, with what the service says of it.
        let doc = |name: &str| {
            let known = offered.iter().flatten().find(|(known, _)| known == name).map(|(_, doc)| doc.clone());
            known.or_else(|| DOCS.iter().find(|(known, _)| *known == name).map(|(_, doc)| (*doc).to_owned()))
        };
        let names = owner.bounds.offered();
        offered = Some(names.iter().map(|name| (name.clone(), doc(name).unwrap_or_default())).collect());
    }
    let is_any = offered.is_none();
    let of_store = || {
        let catalog = parts.store.catalog().unwrap_or_default();
        catalog.iter().map(|name| (name.clone(), String::new())).collect()
    };
    let mut all: Vec<(String, String)> = offered.unwrap_or_else(of_store);
    for (name, doc) in DOCS.into_iter().filter(|_| owner.is_none()) {
        if !all.iter().any(|(held, _)| held == name) {
            all.push((name.to_owned(), doc.to_owned()));
        }
    }
    let entry = |(name, doc): &(String, String)| {
        let asks = |need: Option<&'static Need>| need.is_some_and(|need| asks_for(need).contains(&name.as_str()));
        let handlers: Vec<String> = guarded
            .iter()
            .filter(|guarded| asks(guarded.need()))
            .map(|guarded| format!("{}::{}", guarded.module(), guarded.function()))
            .collect();
        let operations = OPERATIONS.iter().filter(|operation| operation.needs.permission() == Some(name));
        let operations: Vec<&str> = operations.map(|operation| operation.id).collect();
        json!({ "name": name, "doc": doc, "handlers": handlers, "operations": operations })
    };
    json!({ "permissions": all.iter().map(entry).collect::<Vec<_>>(), "any": is_any })
}

#[cfg(test)]
mod tests {
    use apikey_core::OF_THE_STORE;

    use super::*;

    #[test]
    fn every_permission_of_the_library_has_a_doc_and_no_other() {
        let names = DOCS.map(|(name, _)| name);
        assert_eq!(names, OF_THE_STORE);
        for operation in OPERATIONS {
            assert!(
                operation.needs.permission().is_none_or(|permission| names.contains(&permission)),
                "{}",
                operation.id
            );
        }
    }
}
