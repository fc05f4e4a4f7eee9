//! A store whose clock stands still, its console, and browsers without a page.

use std::cell::RefCell;
use std::collections::BTreeMap;

use apikey::admin::{Answer as Told, Request, Session};
use apikey::console::{Console, handle};
use apikey::management::Management;
use apikey::{Actor, CreatedKey, KeyStore, KeyStoreBuilder, ManualClock, NewKey, PeerAddr};
use apikey_testkit::{Answer, Call, block_on};
use chrono::{TimeDelta, Utc};
use serde_json::json;

pub(crate) const URL: &str = "https://keys.example";

/// A store and its console.
pub(crate) struct Site {
    pub(crate) store: KeyStore,
    pub(crate) clock: ManualClock,
    pub(crate) console: Console,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::of(KeyStore::builder())
    }

    pub(crate) fn of(builder: KeyStoreBuilder) -> Self {
        let clock = ManualClock::new(Utc::now());
        let store = builder.clock(clock.clone()).temporary().unwrap();
        let api =
            Management::new(store.clone()).offer(["orders:read", "orders:write"]).base_url("https://api.example/v1");
        Self { console: Console::new(api).url(URL), store, clock }
    }

    pub(crate) fn with(self, change: impl FnOnce(Console) -> Console) -> Self {
        Self { console: change(self.console), ..self }
    }

    pub(crate) fn key(&self, owner: &str, grants: &[&str]) -> CreatedKey {
        self.store.create(NewKey::for_owner(owner).permissions(grants)).unwrap()
    }

    /// What a user of the machine is answered at the admin socket.
    pub(crate) fn ask(&self, uid: u32, request: Request) -> Told {
        Session::new(self.store.as_actor(Actor::Uid(uid))).ask(request)
    }

    /// The code of a new link for this user.
    pub(crate) fn code(&self, uid: u32) -> String {
        let Told::ConsoleLink(link) = self.ask(uid, Request::ConsoleLink) else { panic!("no link") };
        let code = link.expose_secret().strip_prefix("https://keys.example/#code=");
        code.unwrap_or_else(|| panic!("another link: {}", link.expose_secret())).to_owned()
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { site: self, cookies: RefCell::default(), address: [192, 0, 2, 7] }
    }

    /// A browser in which who runs the service is signed in.
    pub(crate) fn operator(&self) -> Browser<'_> {
        let browser = self.browser();
        assert_eq!(browser.post("/session", &json!({ "code": self.code(1000) })).status, 201);
        browser
    }

    /// A browser in which somebody is signed in with this key.
    pub(crate) fn signed_in(&self, key: &CreatedKey) -> Browser<'_> {
        let browser = self.browser();
        let answer = browser.sign_in(key);
        assert_eq!(answer.status, 201, "{}", answer.body);
        browser
    }

    pub(crate) fn advance(&self, span: TimeDelta) {
        self.clock.advance(span);
    }
}

/// What a browser keeps, and sends from the console's own page.
pub(crate) struct Browser<'s> {
    site: &'s Site,
    pub(crate) cookies: RefCell<BTreeMap<String, String>>,
    pub(crate) address: [u8; 4],
}

impl Browser<'_> {
    /// Sends a request as it is, with the cookies.
    pub(crate) fn send(&self, call: &Call) -> Answer {
        let mut request = http::Request::builder().method(call.method()).uri(call.path());
        for (name, value) in call.headers() {
            request = request.header(name, value);
        }
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let mut request = request.body(call.body().as_bytes().to_vec()).unwrap();
        request.extensions_mut().insert(PeerAddr(self.address.into()));
        let (head, body) = block_on(handle(&self.site.console, request)).into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let answer = Answer::new(head.status.as_u16(), headers, body);
        let is_unavailable = answer.body.contains("API keys are unavailable");
        assert!(answer.status == 503 || !is_unavailable, "a code without a title: {}", answer.body);
        for field in answer.all("set-cookie") {
            let (pair, attributes) = field.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Sends a request from the page.
    pub(crate) fn page(&self, call: Call) -> Answer {
        self.send(&call.header("sec-fetch-site", "same-origin").header("origin", URL))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&Call::get(path).header("sec-fetch-site", "same-origin"))
    }

    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.page(Call::post(path, body.to_string()))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.page(Call::delete(path))
    }

    pub(crate) fn sign_in(&self, key: &CreatedKey) -> Answer {
        self.post("/session", &json!({ "key": key.key.expose_secret() }))
    }

    /// Whether somebody is signed in.
    pub(crate) fn is_signed_in(&self) -> bool {
        match self.get("/api/keys?limit=1").status {
            200 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }
}
