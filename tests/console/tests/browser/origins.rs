//! What pages of other origins get: nothing.

use serde_json::json;

use crate::page::Page;
use crate::server::{Server, Stranger};

/// Sends requests as any page may, with the cookies that the browser has, and says which were answered readably.
const SEND: &str = r"
const [url, done] = arguments;
const text = { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'text/plain' }, body: '{}' };
const tries = [
    fetch(`${url}/session`, text),
    fetch(`${url}/api/keys`, text),
    fetch(`${url}/api/keys/revoke`, text),
    fetch(`${url}/sessions`, { mode: 'no-cors', credentials: 'include' }),
    fetch(`${url}/api/keys`, { credentials: 'include' }),
    fetch(`${url}/api/keys`, { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' }, body: '{}' }),
];
Promise.allSettled(tries).then((all) => done(all.map(({ value }) => value?.type ?? 'failed')));
";

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_drives_the_console() {
    let server = Server::start();
    server.key("alice", "ci", &["orders:read"]);
    let page = Page::of_operator(&server).await;
    let stranger = Stranger::start();
    // Another port of this host is the same site, another name of it another one.
    for (host, site) in [("127.0.0.1", "same-site"), ("localhost", "cross-site")] {
        page.browser.open(&format!("http://{host}:{}/", stranger.port)).await;
        server.seen();
        let answers = page.browser.wait_for(SEND, vec![json!(server.url)]).await;
        assert!(answers.as_array().unwrap().iter().all(|answer| answer == "opaque" || answer == "failed"), "{answers}");
        let seen = server.seen();
        let changes: Vec<_> = seen.iter().filter(|seen| seen.method == "POST").collect();
        assert_eq!(changes.len(), 3, "{seen:?}");
        for request in &seen {
            assert_eq!(request.site, site, "{request:?}");
            assert!(matches!(request.status, 401 | 403 | 405), "{request:?}");
            assert!(request.method != "POST" || request.status == 403, "{request:?}");
        }
        // Nor can it be put into a frame, or be reached through a window that it opens.
        let framed = "const [url, done] = arguments; const frame = document.createElement('iframe');
            frame.onload = () => { try { done(frame.contentDocument === null ? 'blocked' : frame.contentDocument.title) } catch { done('blocked') } };
            frame.src = url; document.body.append(frame);";
        assert_eq!(page.browser.wait_for(framed, vec![json!(server.url)]).await, "blocked");
        let opened = "const [url, done] = arguments; const other = window.open(url);
            setTimeout(() => { let read; try { read = other.document.title } catch { read = 'blocked' } done(other.closed ? 'blocked' : read) }, 1000);";
        assert_eq!(page.browser.wait_for(opened, vec![json!(server.url)]).await, "blocked");
    }
    assert_eq!(server.keys(), 1);
    page.browser.quit().await;
}
