//! What people do on the page, and what the store has afterwards.

use apikey::{KeyFilter, KeyState, NewKey};
use serde_json::json;

use crate::page::Page;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_revoked_by_filter_if_they_are_as_many_as_counted() {
    let server = Server::start();
    for n in 0..7 {
        server.key("bulk", &format!("of bulk {n}"), &["orders:read"]);
    }
    server.key("alice", "another", &[]);
    let page = Page::of_operator(&server).await;
    page.go("#/keys?owner=bulk").await;
    page.sees("of bulk 6").await;
    page.click("Revoke all of these …").await;
    page.sees("Every key with owner bulk.").await;
    page.sees("and 2 more").await;
    page.fill("Reason", "the contract has ended").await;
    page.fill("Type 7 to confirm", "8").await;
    page.click("Revoke 7 keys").await;
    page.sees("Type 7, the number of keys.").await;

    // There is one more by now: nothing is revoked.
    server.key("bulk", "of bulk 7", &[]);
    page.fill("Type 7 to confirm", "7").await;
    page.click("Revoke 7 keys").await;
    page.sees("at least 8 keys").await;
    let revoked = || server.store.list(&KeyFilter::default().state(KeyState::Revoked)).unwrap().keys;
    assert!(revoked().is_empty());
    page.click("Cancel").await;
    page.click("Revoke all of these …").await;
    page.fill("Reason", "the contract has ended").await;
    page.fill("Type 8 to confirm", "8").await;
    page.click("Revoke 8 keys").await;
    page.sees("8 keys revoked.").await;
    let revoked = revoked();
    assert_eq!(revoked.len(), 8);
    assert!(
        revoked.iter().all(|key| key.owner() == "bulk" && key.revoked().unwrap().reason() == "the contract has ended")
    );
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_what_was_typed_and_keeps_what_was_not_changed() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.click("Create the key").await;
    page.sees("invalid owner").await;
    page.until("the field has the focus", "document.activeElement.name", |name| name == "owner").await;
    page.fill("Owner", "alice").await;
    page.fill("Name", "ci").await;
    page.click("Networks, limits, rotation, metadata").await;
    page.fill("Networks", "ten").await;
    page.click("Create the key").await;
    page.sees("invalid networks").await;
    page.fill("Networks", "10.0.0.0/8\n192.168.1.0/24").await;
    page.fill("Rate limit: requests", "100").await;
    page.fill("Quota: uses", "5000").await;
    page.fill("New secret each", "30").await;
    page.fill("Metadata", "team=blue\nnote=a=b").await;
    page.fill("Labels", "plan=pro").await;
    page.click("Create the key").await;
    page.take_secret().await;
    page.sees("What it may do").await;
    let key = || server.store.list(&KeyFilter::owner("alice")).unwrap().keys.remove(0);
    let made = serde_json::to_value(key()).unwrap();
    let expected = [
        ("networks", json!(["10.0.0.0/8", "192.168.1.0/24"])),
        ("limit", json!({ "count": 100, "per_ms": 60_000 })),
        ("metadata", json!({ "note": "a=b", "team": "blue" })),
        ("labels", json!({ "plan": "pro" })),
    ];
    for (field, value) in &expected {
        assert_eq!(made[field], *value, "{field}");
    }
    assert_eq!((&made["quota"]["count"], &made["quota"]["per"]), (&json!(5000), &json!("day")));
    assert_eq!(
        (&made["rotation"]["every_ms"], &made["rotation"]["overlap_ms"]),
        (&json!(2_592_000_000_u64), &json!(null))
    );
    assert!(made["expires_at"].is_string(), "a new key has an end, unless somebody wants none");

    page.click("Change").await;
    page.fill("Metadata", "team=red").await;
    page.fill("Networks", "").await;
    page.fill("Ends", "").await;
    page.click("Save").await;
    page.sees("From anywhere").await;
    let changed = serde_json::to_value(key()).unwrap();
    assert_eq!(changed["metadata"], json!({ "team": "red" }));
    assert_eq!((&changed["networks"], &changed["expires_at"]), (&json!([]), &json!(null)));
    for field in ["name", "limit", "labels", "quota", "rotation", "permissions"] {
        assert_eq!(changed[field], made[field], "{field} was not changed");
    }
    page.click("Disable").await;
    page.sees("It is refused until somebody enables it.").await;
    assert!(key().disabled());
    page.click("Enable").await;
    page.sees("It works.").await;
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_tenants_are_made_changed_and_ended() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/roles").await;
    page.click("Add a role").await;
    page.fill("Name", "Not A Name").await;
    page.click("Save").await;
    page.sees("invalid").await;
    page.fill("Name", "reader").await;
    page.fill("What it is for", "Reads orders").await;
    page.click("Wildcards").await;
    page.fill("Grants, separated by spaces", "orders:*").await;
    page.click("Save").await;
    page.sees("Reads orders").await;
    let role = server.store.role("reader").unwrap().unwrap();
    assert_eq!(role.permissions(), ["orders:*"]);
    let key = server.store.create(NewKey::for_owner("alice").roles(["reader"])).unwrap();
    page.click("Delete reader").await;
    page.click("Delete the role").await;
    page.sees("1 key").await;
    page.click("Cancel").await;
    server.store.update(key.info.id(), apikey::KeyUpdate::new().roles([""; 0])).unwrap();
    page.click("Delete reader").await;
    page.click("Delete the role").await;
    page.sees("No roles yet").await;

    page.go("#/tenants").await;
    page.click("Add a tenant").await;
    page.fill("Name", "acme").await;
    page.fill("The most that its keys may do", "orders:read").await;
    page.fill("Quota: uses", "1000").await;
    page.click("Save").await;
    page.sees("1,000 a day").await;
    page.click("Change acme").await;
    page.fill("Quota: uses", "").await;
    page.click("Save").await;
    page.until("the quota is gone", "document.querySelector('main').innerText.includes('1,000')", |has| has == false)
        .await;
    page.click("End acme").await;
    page.fill("Type acme to confirm", "acm").await;
    page.click("End the tenant").await;
    page.sees("Type acme, the name of the tenant.").await;
    page.fill("Type acme to confirm", "acme").await;
    page.click("End the tenant").await;
    page.sees("Ended").await;
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_creates_renames_rotates_and_revokes() {
    let server = Server::start();
    let page = Page::of_owner(&server, "alice").await;
    page.sees("No keys yet").await;
    page.go("#/create").await;
    page.sees("up to 20 keys").await;
    page.sees("orders:read").await;
    let text = page.browser.value("document.querySelector('main').innerText").await;
    assert!(!text.as_str().unwrap().contains("keys:"), "what manages keys is not offered: {text}");
    page.fill("Name", "mine").await;
    page.browser.press("input[value='orders:read']").await;
    page.click("Create the key").await;
    let secret = page.take_secret().await;
    page.sees("What it may do").await;
    let key = server.store.verify(&secret).unwrap();
    assert_eq!((key.owner(), key.allows("orders:read"), key.allows("orders:write")), ("alice", true, false));
    page.click("Rename").await;
    page.fill("Name", "renamed").await;
    page.click("Save").await;
    page.until("the name is saved", "document.querySelector('h1')?.textContent", |name| name == "renamed").await;
    page.click("Rotate").await;
    page.click("Rotate the key").await;
    assert!(server.store.verify(&page.take_secret().await).is_ok());
    page.sees("What it may do").await;
    page.click("Revoke").await;
    page.sees("renamed of alice").await;
    page.click("Revoke the key").await;
    page.sees("It is refused for good.").await;
    assert!(server.store.verify(&secret).is_err());
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_and_a_key_is_tried_without_a_use() {
    let server = Server::start();
    let key = server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    page.go("#/events").await;
    page.sees("Created").await;
    page.click("Follow").await;
    server.store.revoke(key.info.id(), "seen by who follows").unwrap();
    page.sees("seen by who follows").await;
    page.sees("Following: 1 new").await;

    let other = server.key("bob", "other", &["orders:read"]);
    page.go("#/try").await;
    for (secret, needed, shown) in [
        (key.key.expose_secret(), "", "Revoked key."),
        (other.key.expose_secret(), "orders:read", "The service takes this key."),
        (other.key.expose_secret(), "orders:write", "Missing"),
        ("no key", "", "Unknown key."),
    ] {
        page.fill("Key", secret).await;
        page.fill("For", needed).await;
        page.click("Try it").await;
        page.sees(shown).await;
    }
    assert_eq!(server.store.get(other.info.id()).unwrap().unwrap().uses_total(), 0);
    page.is_clean(&server).await;
    page.browser.quit().await;
}
