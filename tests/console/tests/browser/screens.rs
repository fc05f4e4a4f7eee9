//! Every screen: what it shows, that everybody gets in, that it fits, and its picture.

use std::path::Path;

use apikey::{KeyId, NewKey, Overlap, Requirement, Role, Tenant, Usage};
use chrono::TimeDelta;
use serde_json::json;

use crate::axe;
use crate::page::Page;
use crate::server::Server;

/// If this is set, the pictures that the book shows go to `docs/images`; else all go below the target directory, to look at.
const FOR_DOCS: &str = "APIKEY_CONSOLE_PICTURES";
/// What the book shows.
const OF_THE_BOOK: [(&str, &str); 3] = [("overview", "light"), ("keys", "dark"), ("key", "narrow")];

/// A store as one is after a month: keys of some owners, in use, and some that are not.
fn month() -> (Server, KeyId) {
    let server = Server::start_before(TimeDelta::days(30));
    let store = &server.store;
    let needed = Requirement::all(["stock:read"]).unwrap();
    store.put_role(Role::new("reader").permissions(["orders:read"]).describe("Reads orders")).unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*"])).unwrap();
    let mut keys = Vec::new();
    for (at, name) in
        ["web shop", "nightly export", "mobile app", "billing", "grafana", "ci", "backup"].iter().enumerate()
    {
        let owner = ["alice", "bob", "carol"][at % 3];
        let key = NewKey::for_owner(owner).name(*name).permissions(["orders:read"]).metadata("team", "blue");
        let key = if at % 2 == 0 { key.expires_in(TimeDelta::days(120)) } else { key.permissions(["orders:write"]) };
        keys.push(store.create(key).unwrap());
    }
    let shop =
        store.tenant("acme").unwrap().create(NewKey::for_owner("dave").name("partner").roles(["reader"])).unwrap();
    keys.push(shop);
    for day in 0..30 {
        for (at, key) in keys.iter().enumerate().filter(|(at, _)| at % 4 != 3) {
            for _ in 0..(7 + (day * (at + 3)) % 11) * (at + 1) {
                drop(store.verify(key.key.expose_secret()));
            }
            for _ in 0..(day * (at + 1)) % 5 {
                drop(store.authorize(key.key.expose_secret(), &needed));
            }
        }
        // What was counted is of this day.
        store.usage(&Usage::of_store()).unwrap();
        server.clock.advance(TimeDelta::days(1));
    }
    store.revoke(keys[5].info.id(), "in a public repository").unwrap();
    store.rotate(keys[1].info.id(), Overlap::For(TimeDelta::days(2))).unwrap();
    store.update(keys[6].info.id(), apikey::KeyUpdate::new().disabled(true)).unwrap();
    (server, keys[0].info.id())
}

/// Waits until nothing is on its way.
async fn loaded(page: &Page) {
    // The small charts that are in view.
    let busy = "[...document.querySelectorAll('[aria-busy], span.spark:empty')].filter((one) => \
                one.hasAttribute('aria-busy') || one.getBoundingClientRect().bottom < innerHeight).map((one) => one.outerHTML)";
    page.until("nothing is on its way", busy, |busy| *busy == json!([])).await;
}

/// Saves a picture of a screen, `look` is `light`, `dark` or `narrow`.
async fn picture(page: &Page, name: &str, look: &str) {
    let dir = match (std::env::var_os(FOR_DOCS), OF_THE_BOOK.contains(&(name, look))) {
        (None, _) => Path::new(env!("CARGO_TARGET_TMPDIR")).join("console"),
        (Some(_), true) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images"),
        (Some(_), false) => return,
    };
    std::fs::create_dir_all(&dir).unwrap();
    page.browser.screenshot(&dir.join(format!("console-{name}-{look}.png"))).await;
}

/// Looks at a screen as wide and as narrow as it may be, light and dark.
async fn look(page: &Page, server: &Server, name: &str) {
    for (theme, width) in [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 320)] {
        page.browser.prefer(theme).await;
        page.browser.resize(width, 900).await;
        loaded(page).await;
        let fits = page.browser.value("document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, true, "{name} scrolls sideways at {width}");
        axe::lets_everybody_in(page, &format!("{name}, {theme}, {width} wide")).await;
        if width != 320 {
            picture(page, name, if width == 360 { "narrow" } else { theme }).await;
        }
    }
    page.is_clean(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_the_service_sees_every_screen() {
    let (server, key) = month();
    let page = Page::start().await;
    page.browser.open(&server.url).await;
    page.sees("apikey console").await;
    look(&page, &server, "sign-in").await;

    page.browser.open(&server.link()).await;
    page.sees("Sign out").await;
    assert_eq!(
        page.browser.value("location.href").await,
        format!("{}/", server.url),
        "the code has left the address bar"
    );
    for (name, hash, shows) in [
        ("overview", "#/overview", "Busiest keys"),
        ("keys", "#/keys", "nightly export"),
        ("filters", "#/keys?owner=alice&state=active", "Only keys with owner alice, state active"),
        ("nothing", "#/keys?text=no+such+key", "No such key"),
        ("key", &format!("#/keys/{key}"), "What it may do"),
        ("change", &format!("#/keys/{key}/edit"), "Change web shop"),
        ("create", "#/create", "The user or application that the key belongs to."),
        ("events", "#/events", "in a public repository"),
        ("roles", "#/roles", "Reads orders"),
        ("tenants", "#/tenants", "acme"),
        ("try", "#/try", "Nothing is counted"),
        ("sessions", "#/sessions", "uid:1000 console"),
        ("nowhere", "#/nowhere", "There is nothing at this address"),
    ] {
        page.go(hash).await;
        page.sees(shows).await;
        look(&page, &server, name).await;
    }
    // Names that every object has are no screens.
    for name in ["constructor", "__proto__", "toString"] {
        page.go("#/roles").await;
        page.sees("Reads orders").await;
        page.go(&format!("#/{name}")).await;
        page.sees("There is nothing at this address").await;
    }
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_their_own_keys() {
    let (server, foreign) = month();
    let page = Page::of_owner(&server, "bob").await;
    page.sees("nightly export").await;
    page.sees("grafana").await;
    look(&page, &server, "owner").await;
    for other in ["Overview", "Events", "Roles", "Tenants", "Sessions", "web shop", "alice"] {
        let text = page.browser.value("document.body.innerText").await;
        assert!(!text.as_str().unwrap().contains(other), "{other} is shown: {text}");
    }
    page.go(&format!("#/keys/{foreign}")).await;
    page.sees("there is no key").await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_says_what_to_do_next() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    for (name, hash, shows) in [
        ("no-keys", "#/keys", "No keys yet"),
        ("no-roles", "#/roles", "No roles yet"),
        ("no-tenants", "#/tenants", "No tenants yet"),
    ] {
        page.go(hash).await;
        page.sees(shows).await;
        look(&page, &server, name).await;
    }
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_keys_is_a_page_of_it() {
    let server = Server::start();
    let long = |n: usize| format!("{n:04}{}", "M".repeat(124));
    server.store.create_many((0..3000).map(|n| NewKey::for_owner(long(n)).name(long(n)))).unwrap();
    let page = Page::of_operator(&server).await;
    server.seen();
    page.go("#/keys").await;
    page.sees(&long(24)).await;
    look(&page, &server, "many").await;
    let lists = server.seen().into_iter().filter(|seen| seen.path == "/api/keys").count();
    assert_eq!(lists, 1, "the first rows take one request");
    assert_eq!(page.browser.value("document.querySelectorAll('tbody tr').length").await, 25);
    page.click("Next page").await;
    page.sees(&long(25)).await;
    page.browser.quit().await;
}
