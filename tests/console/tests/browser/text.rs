//! What comes from outside is text, whatever it says.

use apikey::NewKey;
use serde_json::json;

use crate::page::Page;
use crate::server::Server;

/// What runs in a page that takes text for markup, an address, a style or a script.
const PAYLOADS: [&str; 40] = [
    "<script>pwned()</script>",
    "<img src=x onerror=pwned()>",
    "<svg onload=pwned()>",
    "<svg><script>pwned()</script></svg>",
    "\"><script>pwned()</script>",
    "'><img src=x onerror=pwned()>",
    "</td><script>pwned()</script>",
    "</title><script>pwned()</script>",
    "</textarea><script>pwned()</script>",
    "</style><script>pwned()</script>",
    "<iframe srcdoc='<script>parent.pwned()</script>'>",
    "<iframe src=javascript:parent.pwned()>",
    "javascript:pwned()",
    "JaVaScRiPt:pwned()",
    "java\u{2028}script:pwned()",
    "data:text/html,<script>pwned()</script>",
    "<a href=javascript:pwned()>click</a>",
    "<body onload=pwned()>",
    "<details open ontoggle=pwned()>",
    "<input autofocus onfocus=pwned()>",
    "<video src=x onerror=pwned()>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=pwned()>",
    "<template><script>pwned()</script></template>",
    "<object data=javascript:pwned()>",
    "<embed src=javascript:pwned()>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<form action=//evil.example><button>click</button></form>",
    "<style>@import '//evil.example/x.css'</style>",
    "{{constructor.constructor('pwned()')()}}",
    "${pwned()}",
    "`${pwned()}`",
    "';pwned();//",
    "\\\";pwned();//",
    "&lt;script&gt;pwned()&lt;/script&gt;",
    "&#60;script&#62;pwned()&#60;/script&#62;",
    "%3Cscript%3Epwned()%3C/script%3E",
    "__proto__",
    "constructor",
];

#[tokio::test(flavor = "multi_thread")]
async fn forty_payloads_in_every_field_show_as_text() {
    let server = Server::start();
    let mut ids = Vec::new();
    for payload in PAYLOADS {
        // An owner has no invisible characters.
        let owner = payload.replace('\u{2028}', " ");
        let key = NewKey::for_owner(owner)
            .name(payload)
            .metadata("note", payload)
            .label("plan", payload.chars().take(21).collect::<String>());
        let created = server.store.create(key).unwrap_or_else(|error| panic!("{payload}: {error}"));
        server.store.revoke(created.info.id(), payload).unwrap();
        ids.push(created.info.id());
    }
    let page = Page::of_operator(&server).await;
    page.browser.before_each_page("window.pwned = () => { window.was = true };").await;
    page.browser.value("void (window.pwned = () => { window.was = true })").await;
    for (payload, id) in PAYLOADS.iter().zip(&ids) {
        page.go(&format!("#/keys/{id}")).await;
        let shown = format!(
            "document.querySelector('h1')?.textContent === {payload} && document.querySelector('.notice')?.textContent.endsWith({payload}) \
             && document.title.startsWith({payload}) && [...document.querySelectorAll('.facts dd')].some((one) => one.textContent.endsWith({payload})) \
             && document.querySelector('table')?.textContent.includes({payload})",
            payload = json!(payload)
        );
        page.until(payload, &shown, |shown| shown == true).await;
        page.go(&format!("#/keys/{id}/edit")).await;
        page.sees("A revoked key cannot be changed.").await;
    }
    for cursor in 0..2 {
        page.go("#/keys").await;
        page.sees("Search").await;
        if cursor == 1 {
            page.click("Next page").await;
        }
        let rows = "[...document.querySelectorAll('tbody tr')].map((row) => [...row.querySelectorAll('.name')].slice(0, 1).map((name) => name.textContent)[0])";
        let expected: Vec<&str> = PAYLOADS.iter().skip(cursor * 25).take(25).copied().collect();
        page.until("the names are in the list", rows, |rows| *rows == json!(expected)).await;
    }
    page.go(&format!("#/events?kind={}", "%3Cimg%20src%3Dx%20onerror%3Dpwned()%3E")).await;
    page.sees("invalid kind \"<img src=x onerror=pwned()>\"").await;
    page.go("#/keys?text=%3Cimg%20src%3Dx%20onerror%3Dpwned()%3E").await;
    page.sees("Only keys with text <img src=x onerror=pwned()>").await;
    assert_eq!(page.browser.value("window.was ?? null").await, json!(null));
    assert_eq!(
        page.browser
            .value("document.querySelectorAll('main img, main iframe, main script, main object, base').length")
            .await,
        0
    );
    page.is_clean(&server).await;
    page.browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_may_not_do_what_it_never_does() {
    let server = Server::start();
    let page = Page::of_operator(&server).await;
    let markup = "(() => { try { document.body.innerHTML = '<b>text</b>'; return 'taken'; } catch (error) { return error.name; } })()";
    assert_eq!(page.browser.value(markup).await, "TypeError");
    page.browser.value("void document.body.setAttribute('style', 'color: red')").await;
    let elsewhere =
        "const done = arguments[0]; fetch('https://other.example/').then(() => done('sent'), () => done('refused'));";
    assert_eq!(page.browser.wait_for(elsewhere, Vec::new()).await, "refused");
    let noted = "['require-trusted-types-for', 'style-src-attr', 'connect-src'].filter((one) => violations.some((violation) => violation.startsWith(one)))";
    page.until("each is noted", noted, |noted| {
        *noted == json!(["require-trusted-types-for", "style-src-attr", "connect-src"])
    })
    .await;
    page.browser.quit().await;
}
