//! Secrets are on the screen while they are shown, and nowhere else.

use crate::page::Page;
use crate::server::Server;

/// Checks that nothing is stored, and that no secret is left in the page.
async fn nothing_is_kept(page: &Page, secrets: &[String]) {
    assert_eq!(page.browser.value("localStorage.length + sessionStorage.length").await, 0);
    assert_eq!(page.browser.value("document.cookie").await, "");
    let databases = "const done = arguments[0]; indexedDB.databases().then((all) => done(all.length))";
    assert_eq!(page.browser.wait_for(databases, Vec::new()).await, 0);
    let caches = "const done = arguments[0]; caches.keys().then((all) => done(all.length))";
    assert_eq!(page.browser.wait_for(caches, Vec::new()).await, 0);
    let left = "document.documentElement.outerHTML + [...document.querySelectorAll('input, textarea')].map((field) => field.value).join() \
                + location.href + history.state + name + document.title";
    let left = page.browser.value(left).await;
    for secret in secrets {
        assert!(!left.as_str().unwrap().contains(&secret[25..]), "a secret is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flow_leaves_a_secret_behind() {
    let server = Server::start();
    let admin = server.key("root", "admin", &["*"]).key.expose_secret().to_owned();
    let page = Page::start().await;
    page.browser.open(&server.url).await;
    let mut secrets = vec![admin.clone()];

    // Sign in by key.
    page.fill("Link or key", &admin).await;
    page.click("Sign in").await;
    page.sees("Sign out").await;
    nothing_is_kept(&page, &secrets).await;

    // Create.
    page.go("#/create").await;
    page.fill("Owner", "alice").await;
    page.fill("Name", "ci").await;
    page.click("Create the key").await;
    secrets.push(page.take_secret().await);
    page.sees("What it may do").await;
    nothing_is_kept(&page, &secrets).await;

    // Rotate, and replace.
    page.click("Rotate").await;
    page.click("Rotate the key").await;
    secrets.push(page.take_secret().await);
    page.sees("It was rotated").await;
    nothing_is_kept(&page, &secrets).await;
    page.click("Leaked").await;
    page.click("Replace every secret").await;
    secrets.push(page.take_secret().await);
    page.sees("What it may do").await;
    nothing_is_kept(&page, &secrets).await;

    // Try.
    page.go("#/try").await;
    page.fill("Key", secrets.last().unwrap()).await;
    page.click("Try it").await;
    page.sees("The service takes this key.").await;
    nothing_is_kept(&page, &secrets).await;

    // Sign out, and in by a link.
    page.click("Sign out").await;
    page.sees("You are signed out").await;
    nothing_is_kept(&page, &secrets).await;
    let link = server.link();
    secrets.push(format!("{}{}", " ".repeat(25), link.split_once("#code=").unwrap().1));
    page.browser.open(&link).await;
    page.sees("Sign out").await;
    nothing_is_kept(&page, &secrets).await;
    assert_eq!(page.browser.value("history.length > 0 && location.hash").await, "");
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_of_a_secret_closes_only_once_it_is_copied() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.go("#/create").await;
    page.fill("Owner", "alice").await;
    page.click("Create the key").await;
    page.sees("This is the only time").await;
    for _ in 0..3 {
        page.browser.type_keys(apikey_browser::Key::Escape.value().to_string()).await;
    }
    page.click("Done").await;
    assert_eq!(page.browser.value("document.querySelectorAll('dialog[open]').length").await, 1);
    for (language, part) in [
        ("curl", "curl -H"),
        ("fetch", "await fetch"),
        ("Python", "requests.get"),
        ("Go", "http.NewRequest"),
        ("Rust", "reqwest::Client"),
    ] {
        page.fill("How to use it", language).await;
        page.sees(part).await;
    }
    let secret = page.take_secret().await;
    page.sees("What it may do").await;
    assert_eq!(page.browser.value("document.querySelectorAll('dialog').length").await, 0);
    assert!(server.store.verify(&secret).is_ok());
    assert_eq!(
        page.browser.value("document.documentElement.outerHTML").await.as_str().unwrap().find(&secret[25..]),
        None
    );
    assert_eq!(server.keys(), 1);
    page.browser.quit().await;
}
