//! The service stops, and starts again.

use serde_json::json;

use crate::page::Page;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_the_service_is_away_and_comes_back() {
    let mut server = Server::start();
    server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    server.stop();
    page.go("#/keys").await;
    page.sees("The service does not answer").await;
    server.resume();
    page.sees("alice").await;
    page.until("the notice is gone", "document.querySelector('#service').hidden", |hidden| hidden == true).await;

    // What changes something is not sent twice: whoever typed it says when.
    page.go("#/create").await;
    page.fill("Owner", "bob").await;
    page.fill("Name", "deploy").await;
    server.stop();
    page.click("Create the key").await;
    page.sees("The service did not answer").await;
    server.resume();
    page.until("the notice is gone", "document.querySelector('#service').hidden", |hidden| hidden == true).await;
    assert_eq!(page.field("Name").await, "deploy");
    assert_eq!(server.keys(), 1);
    page.click("Create the key").await;
    page.take_secret().await;
    page.sees("deploy").await;
    assert_eq!(server.keys(), 2);
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_knows_no_session_and_nothing_typed_is_lost() {
    let mut server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.fill("Owner", "bob").await;
    server.stop();
    server.restart();
    page.click("Create the key").await;
    page.sees("Sign in to go on").await;
    page.fill("Link or key", &server.link()).await;
    page.click("Sign in").await;
    page.take_secret().await;
    page.sees("bob").await;
    // With nothing typed there is nothing to keep.
    server.stop();
    server.restart();
    page.click("Events").await;
    page.sees("sign in").await;
    assert_eq!(page.browser.value("document.querySelector('table')").await, json!(null));
    page.browser.quit().await;
}
