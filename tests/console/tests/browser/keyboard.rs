//! The keyboard alone does all that a mouse does.

use apikey_browser::Key;

use crate::page::Page;
use crate::server::Server;

/// Tabs on until what has the focus says this, and checks on the way that the focus is to be seen.
async fn tab_to(page: &Page, text: &str) {
    let focus = "(() => { const at = document.activeElement; const label = at.labels?.[0]?.textContent ?? at.getAttribute('aria-label') ?? at.textContent; \
                 const style = getComputedStyle(at); \
                 return [label.replace(/ required$/, '').trim(), at.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; })()";
    for _ in 0..80 {
        let now = page.browser.value(focus).await;
        if now[0] == text {
            assert_eq!(now[1], true, "{text} shows that it has the focus");
            return;
        }
        press(page, Key::Tab).await;
    }
    panic!("80 tabs do not lead to {text}");
}

async fn press(page: &Page, key: Key) {
    page.browser.type_keys(key.value().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_created_and_revoked_by_keyboard_alone() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    page.sees("Overview").await;

    // The first tab of a page skips what is on every page.
    page.browser.open(&format!("{}/#/keys", server.url)).await;
    page.sees("No keys yet").await;
    page.browser.value("void document.activeElement.blur()").await;
    tab_to(&page, "Skip to the content").await;
    press(&page, Key::Enter).await;
    page.until("the content has the focus", "document.activeElement.id", |id| id == "main").await;
    tab_to(&page, "Create a key").await;
    press(&page, Key::Enter).await;
    page.sees("The user or application").await;
    page.until("the heading has the focus", "document.activeElement.textContent", |text| text == "Create a key").await;

    tab_to(&page, "Owner").await;
    page.browser.type_keys("alice").await;
    tab_to(&page, "Name").await;
    page.browser.type_keys("by keyboard").await;
    tab_to(&page, "orders:read").await;
    page.browser.type_keys(" ").await;
    tab_to(&page, "Create the key").await;
    press(&page, Key::Enter).await;

    // The focus is in the dialog, and stays there.
    page.sees("This is the only time").await;
    tab_to(&page, "Done").await;
    press(&page, Key::Enter).await;
    page.sees("This is the only time").await;
    tab_to(&page, "Copy").await;
    press(&page, Key::Enter).await;
    page.sees("Copied.").await;
    tab_to(&page, "Done").await;
    press(&page, Key::Enter).await;
    page.sees("What it may do").await;
    page.until("the name is shown", "document.querySelector('h1')?.textContent", |name| name == "by keyboard").await;

    tab_to(&page, "Revoke").await;
    press(&page, Key::Enter).await;
    page.sees("by keyboard of alice").await;
    // Escape leaves it, and gives the focus back.
    press(&page, Key::Escape).await;
    page.until("the focus is back", "document.activeElement.textContent", |text| text == "Revoke").await;
    press(&page, Key::Enter).await;
    tab_to(&page, "Reason").await;
    page.browser.type_keys("by keyboard, too").await;
    press(&page, Key::Enter).await;
    page.sees("by keyboard, too").await;
    let keys = server.store.list(&apikey::KeyFilter::owner("alice")).unwrap().keys;
    assert_eq!(keys[0].revoked().unwrap().reason(), "by keyboard, too");
    assert_eq!(keys[0].permissions(), ["orders:read"]);
    page.is_clean(&server).await;
    page.browser.quit().await;
}
