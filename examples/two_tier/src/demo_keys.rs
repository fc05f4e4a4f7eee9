//! The two keys of the demo; an example of how to create, list and revoke keys.

use apikey::{CreatedKey, KeyFilter, KeyInfo, KeyState, KeyStore, NewKey};
use chrono::TimeDelta;
use two_tier::Failure;

/// Marks the keys of the demo, so that it leaves other keys in the store alone.
const MARK: (&str, &str) = ("made_by", "two_tier");

/// The keys at the start of the program.
pub(crate) enum DemoKeys {
    /// Reader and writer, just created: only now can the program show their secrets.
    Created(Box<[CreatedKey; 2]>),
    /// Created by an earlier start.
    Kept(Vec<KeyInfo>),
}

/// Finds the demo keys that are still active. Creates them if there are none, or if `new` is set.
pub(crate) fn ready(store: &KeyStore, new: bool) -> Result<DemoKeys, Failure> {
    let kept = find(store)?;
    if !new && !kept.is_empty() {
        return Ok(DemoKeys::Kept(kept));
    }
    let reader = demo_key("alice", "reader", &["orders:read"]);
    let writer = demo_key("bob", "writer", &["orders:read", "orders:write", "customers:read"]);
    // Both or none: one commit.
    let made = store.create_many([reader, writer])?;
    let made = made.try_into().map_err(|_| "the store did not create two keys")?;
    // It revokes the old keys last: after a failure before this there are too many keys, but never none.
    for key in kept {
        store.revoke(key.id(), "replaced by --new-demo-keys")?;
    }
    Ok(DemoKeys::Created(made))
}

fn demo_key(owner: &str, name: &str, permissions: &[&str]) -> NewKey {
    let (mark, value) = MARK;
    NewKey::for_owner(owner).name(name).permissions(permissions).expires_in(TimeDelta::days(90)).metadata(mark, value)
}

/// The active demo keys. A list has pages: this reads until there is no next one.
fn find(store: &KeyStore) -> Result<Vec<KeyInfo>, Failure> {
    let (mark, value) = MARK;
    let mut found = Vec::new();
    let mut filter = KeyFilter::default().state(KeyState::Active);
    loop {
        let page = store.list(&filter)?;
        found.extend(page.keys.into_iter().filter(|key| key.metadata().get(mark).is_some_and(|held| held == value)));
        let Some(next) = page.next else { return Ok(found) };
        filter = filter.after(next);
    }
}
