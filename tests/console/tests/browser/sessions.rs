//! Sessions, as who has one sees them.

use apikey::KeyUpdate;
use chrono::TimeDelta;

use crate::page::Page;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_their_key_revoked_is_signed_out_at_the_next_click() {
    let server = Server::start();
    let admin = server.key("root", "admin", &["*"]);
    let page = Page::start().await;
    // A screen that asks for nothing by itself.
    page.browser.open(&format!("{}/#/try", server.url)).await;
    page.fill("Link or key", admin.key.expose_secret()).await;
    page.click("Sign in").await;
    page.sees("Try it").await;
    server.store.revoke(admin.info.id(), "left").unwrap();
    page.click("Events").await;
    page.sees("Link or key").await;
    let text = page.browser.value("document.body.innerText").await;
    assert!(!text.as_str().unwrap().contains("Events"), "nothing of before is shown: {text}");
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_in_a_form_keeps_what_was_typed() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.fill("Owner", "zoe").await;
    page.fill("Name", "typed with care").await;
    server.clock.advance(TimeDelta::minutes(16));
    page.click("Create the key").await;
    page.sees("What you typed is still there.").await;
    page.fill("Link or key", "no such key").await;
    page.click("Sign in").await;
    page.sees("Cancel").await;
    page.fill("Link or key", &server.link()).await;
    page.click("Sign in").await;
    page.take_secret().await;
    page.sees("typed with care").await;
    assert_eq!(server.keys(), 1);
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_who_signs_in_does_not_send_what_another_has_typed() {
    let server = Server::start();
    let other = server.key("root", "other admin", &["*"]);
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.fill("Owner", "zoe").await;
    server.clock.advance(TimeDelta::minutes(16));
    page.click("Create the key").await;
    page.fill("Link or key", other.key.expose_secret()).await;
    page.click("Sign in").await;
    page.sees("Nothing was done yet").await;
    assert_eq!(server.keys(), 1);
    assert_eq!(page.field("Owner").await, "zoe");
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_takes_a_sign_in_of_late_and_then_comes() {
    let server = Server::start();
    let key = server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    // Each click keeps the session alive.
    for _ in 0..2 {
        server.clock.advance(TimeDelta::minutes(10));
        page.go("#/roles").await;
        page.sees("No roles yet").await;
        page.go("#/keys").await;
        page.sees("alice").await;
    }
    page.go(&format!("#/keys/{}", key.info.id())).await;
    page.click("Rotate").await;
    page.click("Rotate the key").await;
    page.sees("Sign in again").await;
    page.fill("Link", &server.link()).await;
    page.click("Sign in").await;
    let secret = page.take_secret().await;
    assert!(server.store.verify(&secret).is_ok());
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_in_one_tab_hides_the_others() {
    let server = Server::start();
    server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    page.go("#/keys").await;
    page.sees("alice").await;
    let first = page.browser.new_tab().await;
    page.browser.open(&format!("{}/#/events", server.url)).await;
    page.sees("Created").await;
    page.click("Sign out").await;
    page.sees("You are signed out").await;
    page.browser.to_tab(first).await;
    page.sees("You have signed out in another tab.").await;
    let text = page.browser.value("document.body.innerText").await;
    assert!(!text.as_str().unwrap().contains("alice"), "{text}");
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_change_a_key_the_second_hears_of_the_first() {
    let server = Server::start();
    let key = server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    page.go(&format!("#/keys/{}/edit", key.info.id())).await;
    page.fill("Name", "mine").await;
    server.store.update(key.info.id(), KeyUpdate::new().name("theirs")).unwrap();
    page.click("Save").await;
    page.sees("Somebody has changed this key").await;
    assert_eq!(page.field("Name").await, "mine");
    page.click("Save").await;
    page.until("the name is saved", "document.querySelector('h1')?.textContent", |name| name == "mine").await;
    assert_eq!(server.store.get(key.info.id()).unwrap().unwrap().name(), Some("mine"));
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_form_asks_first() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.fill("Owner", "zoe").await;
    page.go("#/keys").await;
    page.sees("What you typed is not saved.").await;
    page.click("Cancel").await;
    assert_eq!(page.field("Owner").await, "zoe");
    assert_eq!(page.browser.value("location.hash").await, "#/create");
    page.go("#/keys").await;
    page.click("Leave").await;
    page.sees("No keys yet").await;
    page.browser.quit().await;
}
