//! The page as a person uses it: by what it says, and not by how it is made.

use std::time::{Duration, Instant};

use apikey_browser::Chromium;
use serde_json::{Value, json};

use crate::server::Server;

/// Far more than anything needs, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Finds an element by what it says, in the dialog that is open or else in the whole page. `[0]` is the kind, `[1]` the text.
const FIND: &str = r"
const [kind, text] = arguments;
const root = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document;
const says = (element) => (element.getAttribute('aria-label') ?? element.textContent).trim() === text;
const shown = (element) => element.checkVisibility();
if (kind === 'field') {
    const label = [...root.querySelectorAll('label')].find((label) =>
        label.textContent.replace(/ required$/, '').trim() === text && shown(label));
    return label ? document.getElementById(label.htmlFor) : null;
}
return [...root.querySelectorAll('button, a, summary, [role=tab]')].find((element) => says(element) && shown(element)) ?? null;
";

/// What a page notes from its beginning.
const WATCH: &str = "
window.violations = [];
addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
window.faults = [];
addEventListener('error', (event) => faults.push(event.message));
addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));
performance.setResourceTimingBufferSize(5000);
";

pub(crate) struct Page {
    pub(crate) browser: Chromium,
}

impl Page {
    pub(crate) async fn start() -> Self {
        let browser = Chromium::start().await;
        browser.before_each_page(WATCH).await;
        browser.allow_clipboard().await;
        Self { browser }
    }

    /// A page on which who runs the service is signed in.
    pub(crate) async fn of_operator(server: &Server) -> Self {
        let page = Self::start().await;
        page.browser.open(&server.link()).await;
        page.sees("Sign out").await;
        page
    }

    /// A page on which the application says who is signed in.
    pub(crate) async fn of_owner(server: &Server, name: &str) -> Self {
        let page = Self::start().await;
        let cookie = json!({ "name": "user", "value": name, "url": server.url, "httpOnly": true });
        page.browser.devtools("Network.setCookie", cookie).await;
        page.browser.open(&server.url).await;
        page.sees("Your keys").await;
        page
    }

    /// Goes to a screen.
    pub(crate) async fn go(&self, hash: &str) {
        self.browser.value(&format!("void (location.hash = {})", json!(hash))).await;
    }

    /// Waits until the page, or the dialog that is open, shows a text.
    pub(crate) async fn sees(&self, text: &str) {
        let shown = "[...document.querySelectorAll('dialog[open]'), ...(document.querySelector('dialog[open]') ? [] : \
                     [document.body])].at(-1).innerText";
        self.until(&format!("the page shows {text:?}"), shown, |shown| {
            shown.as_str().is_some_and(|all| all.contains(text))
        })
        .await;
    }

    /// Waits until an expression has a value that is as it should be, and returns it.
    pub(crate) async fn until(&self, what: &str, expression: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.browser.value(expression).await;
            if holds(&value) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: it is {value}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Clicks what says this.
    pub(crate) async fn click(&self, text: &str) {
        self.found("control", text, "element.click()").await;
    }

    /// Fills in the field with this label.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let text = json!(text);
        let act = format!(
            "element.focus(); element.value = {text}; \
             for (const kind of ['input', 'change']) element.dispatchEvent(new Event(kind, {{ bubbles: true }}))"
        );
        self.found("field", label, &act).await;
    }

    /// The value of the field with this label.
    pub(crate) async fn field(&self, label: &str) -> Value {
        self.found("field", label, "").await
    }

    async fn found(&self, kind: &str, text: &str, act: &str) -> Value {
        let script = format!(
            "(() => {{ const element = (function () {{ {FIND} }})({}, {}); if (!element) return null; {act}; \
             return element.value ?? ''; }})()",
            json!(kind),
            json!(text)
        );
        self.until(&format!("a {kind} {text:?} is there"), &script, |found| !found.is_null()).await
    }

    /// Copies the secret that is shown, closes its card, and returns the secret.
    pub(crate) async fn take_secret(&self) -> String {
        self.sees("This is the only time that the secret is shown").await;
        let secret = self.browser.value("document.querySelector('.secret').textContent").await;
        self.click("Copy").await;
        self.sees("Copied.").await;
        self.click("Done").await;
        secret.as_str().unwrap().to_owned()
    }

    /// Nothing that the page's policy forbids was tried, nothing failed, and no request went to another origin.
    pub(crate) async fn is_clean(&self, server: &Server) {
        assert_eq!(self.browser.value("violations").await, json!([]));
        assert_eq!(self.browser.value("faults").await, json!([]));
        let asked = self.browser.value("performance.getEntriesByType('resource').map((entry) => entry.name)").await;
        let asked = asked.as_array().unwrap();
        assert!(!asked.is_empty());
        for url in asked {
            assert!(url.as_str().unwrap().starts_with(&format!("{}/", server.url)), "{url}");
        }
    }
}
