//! The page in a real browser: what a person sees, and what the browser's console says.

use std::path::Path;

use apikey::{KeyFilter, KeyStore, Overlap};
use apikey_browser::Chromium;
use chrono::TimeDelta;
use tempfile::{TempDir, tempdir};

use crate::demo::Demo;

/// Saves a picture in the directory `TWO_TIER_SCREENSHOTS`, if that is set: to look at while working on the page.
async fn picture(page: &Chromium, name: &str) {
    if let Some(dir) = std::env::var_os("TWO_TIER_SCREENSHOTS") {
        page.screenshot(&Path::new(&dir).join(name).with_extension("png")).await;
    }
}

/// A demo with its page open.
struct Visit {
    demo: Demo,
    browser: Chromium,
    _dir: TempDir,
}

impl Visit {
    async fn start() -> Self {
        let dir = tempdir().unwrap();
        let demo = Demo::start(&dir.path().join("keys.db"));
        let browser = Chromium::start().await;
        browser.open(&demo.page).await;
        Self { demo, browser, _dir: dir }
    }

    async fn use_key(&self, key: &str) {
        self.browser.fill("#key", key).await;
        self.browser.press("#use-key").await;
    }

    /// The console must hold one entry for each refused request, in order, and nothing else. Chromium itself writes
    /// these: no page can keep a 401 or a 403 out of the console.
    async fn console_holds(&self, refused: &[(&str, u16)]) {
        let entries = self.browser.console().await;
        let held: Vec<_> = entries.iter().map(|entry| (entry.source.as_deref(), entry.message.as_str())).collect();
        assert_eq!(held.len(), refused.len(), "{held:#?}");
        for ((source, message), (path, status)) in held.iter().zip(refused) {
            assert_eq!(*source, Some("network"), "{message}");
            assert!(message.starts_with(&format!("{}{path} - ", self.demo.api)), "{message}");
            assert!(message.contains(&format!("status of {status}")), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_orders_and_the_page_names_the_permission_to_write() {
    let visit = Visit::start().await;
    let page = &visit.browser;
    page.text("#api-origin", &[&visit.demo.api]).await;
    assert!(!page.shows("#work").await);
    picture(page, "1-start").await;

    visit.use_key(&visit.demo.key("reader")).await;
    page.text("#orders", &["Green tea, 100 g", "Teapot", "carol"]).await;
    page.text("#caller", &["alice", "reader", "orders:read"]).await;
    picture(page, "2-reader").await;
    visit.console_holds(&[]).await;

    page.press("#place-order").await;
    page.text("#order-notice", &["403", "reader (alice)", "orders:write", "orders:read", "writer key"]).await;
    page.press("#load-report").await;
    page.text("#report-notice", &["403", "any(reports:read, all(orders:read, customers:read))"]).await;
    picture(page, "3-reader-refused").await;
    visit.console_holds(&[("/orders", 403), ("/reports", 403)]).await;

    page.narrow().await;
    picture(page, "4-narrow").await;
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth").await, true, "no sideways scrolling");

    // Nothing was written.
    page.press("#reload-orders").await;
    let orders = page.text("#orders", &["Cups"]).await;
    assert!(!orders.contains("Black tea"), "{orders}");
    visit.console_holds(&[]).await;
    visit.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_writes() {
    let visit = Visit::start().await;
    let page = &visit.browser;
    visit.use_key(&visit.demo.key("writer")).await;
    page.text("#caller", &["bob", "writer", "orders:write", "customers:read"]).await;
    page.text("#orders", &["Teapot"]).await;

    // Text from outside stays text.
    page.fill("#item", "<b>Oolong</b>").await;
    page.fill("#quantity", "7").await;
    page.press("#place-order").await;
    page.text("#order-done", &["Order 4", "7 × <b>Oolong</b>"]).await;
    page.text("#orders", &["<b>Oolong</b>", "bob"]).await;
    page.press("#load-report").await;
    page.text("#report", &["Orders", "4", "bob", "7"]).await;
    picture(page, "5-writer").await;
    visit.console_holds(&[]).await;

    page.press("#forget-key").await;
    assert!(!page.shows("#work").await);
    assert!(!page.shows("#caller").await);
    visit.console_holds(&[]).await;
    visit.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_good_are_explained() {
    let visit = Visit::start().await;
    let page = &visit.browser;

    page.press("#no-key").await;
    page.text("#key-notice", &["401", "wants a key", "Paste"]).await;
    picture(page, "6-no-key").await;
    visit.console_holds(&[("/whoami", 401)]).await;

    // A good key with another secret.
    let mut wrong = visit.demo.key("reader");
    wrong.replace_range(30..34, "0000");
    visit.use_key(&wrong).await;
    let shown = page.text("#key-notice", &["401", "does not know this key", &wrong[21..25]]).await;
    assert!(!shown.contains(&wrong[25..]), "no part of the secret is shown: {shown}");
    picture(page, "7-wrong-key").await;
    visit.console_holds(&[("/whoami", 401)]).await;

    visit.use_key("hello").await;
    page.text("#key-notice", &["401", "does not have the form of a key"]).await;
    visit.console_holds(&[("/whoami", 401)]).await;

    // The page does not send what a header cannot carry.
    visit.use_key("ключ").await;
    page.text("#key-notice", &["cannot be a key"]).await;
    assert!(!page.shows("#work").await);
    visit.console_holds(&[]).await;
    visit.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_a_stopped_api_are_explained() {
    let Visit { demo, browser: page, _dir: dir } = Visit::start().await;
    let old = demo.key("reader");
    page.fill("#key", &old).await;
    page.press("#use-key").await;
    page.text("#orders", &["Teapot"]).await;
    demo.interrupt();

    page.press("#reload-orders").await;
    page.text("#orders-notice", &["No answer from the API", "cargo run -p two_tier"]).await;
    picture(&page, "8-api-stopped").await;

    let demo = Demo::start_with(&dir.path().join("keys.db"), &["--new-demo-keys"]);
    page.open(&demo.page).await;
    page.console().await;
    page.fill("#key", &old).await;
    page.press("#use-key").await;
    page.text("#key-notice", &["401", "API key revoked", "It will not work again"]).await;
    let visit = Visit { demo, browser: page, _dir: dir };
    visit.console_holds(&[("/whoami", 401)]).await;
    visit.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_works_on_and_says_so() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("keys.db");
    let demo = Demo::start(&path);
    let old = demo.key("reader");
    demo.interrupt();

    // An operator rotates while the demo is down.
    let store = KeyStore::open(&path).unwrap();
    let reader = store.list(&KeyFilter::owner("alice")).unwrap().keys[0].id();
    store.rotate(reader, Overlap::For(TimeDelta::hours(1))).unwrap();
    store.close().unwrap();

    let demo = Demo::start(&path);
    let browser = Chromium::start().await;
    browser.open(&demo.page).await;
    let visit = Visit { demo, browser, _dir: dir };
    visit.use_key(&old).await;
    visit.browser.text("#orders", &["Teapot"]).await;
    let told = visit.browser.text("#caller-superseded", &["replaced by a new one", "stops working at"]).await;
    assert!(!told.contains("Invalid Date"), "{told}");
    picture(&visit.browser, "9-rotated").await;
    visit.console_holds(&[]).await;
    visit.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_memory_only() {
    let visit = Visit::start().await;
    let page = &visit.browser;
    let key = visit.demo.key("reader");
    visit.use_key(&key).await;
    page.text("#orders", &["Teapot"]).await;

    assert_eq!(page.value("localStorage.length + sessionStorage.length").await, 0);
    assert_eq!(page.value("document.cookie").await, "");
    assert_eq!(page.value("indexedDB.databases ? indexedDB.databases().then((all) => all.length) : 0").await, 0);
    assert_eq!(page.value("document.querySelector('#key').value").await, "");
    assert_eq!(page.address().await, format!("{}/", visit.demo.page));
    let document = page.value("document.documentElement.outerHTML").await;
    assert!(!document.as_str().unwrap().contains(&key[25..]), "the secret is in the document");
    // No global of the page is the key: it is inside the module.
    assert_eq!(
        page.value("Object.values(window).filter((v) => typeof v === 'string' && v.startsWith('ak_'))").await,
        serde_json::json!([])
    );

    // A reload forgets it. The other name of the page leads to the one origin that the API allows.
    page.open(&visit.demo.page.replace("127.0.0.1", "localhost")).await;
    assert_eq!(page.address().await, format!("{}/", visit.demo.page));
    assert!(!page.shows("#work").await);
    visit.console_holds(&[]).await;
    visit.browser.quit().await;
}
