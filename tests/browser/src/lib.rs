//! A headless Chromium of its own for a test, driven over WebDriver.
//!
//! By the crate `thirtyfour`: it is under active development and knows the browser's log, which this test is about.
//! Its `manager`, which would download a browser, is off: `./test` installs the distribution's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::prelude::*;
pub use thirtyfour::{BrowserLogEntry, Key};
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, WindowHandle};

use apikey_testkit::Process;

/// How long the page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with a fresh profile, which ends with this.
pub struct Chromium {
    /// Before the driver process: its drop ends the browser through that process.
    driver: WebDriver,
    _process: Process,
}

impl Chromium {
    /// Starts it.
    pub async fn start() -> Self {
        let (process, port) = start_driver();
        let mut options = DesiredCapabilities::chrome();
        // The driver makes a fresh profile for each session by itself, and removes it.
        let arguments = [
            "--headless",
            // Chromium's sandbox does not start as root, nor in most containers. The pages opened are our own.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,900",
        ];
        for argument in arguments {
            options.add_arg(argument).unwrap();
        }
        options.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let address = format!("http://127.0.0.1:{port}");
        // The driver is on this machine, whatever proxy the environment names.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let driver = WebDriver::builder(address, options).client(client).await.unwrap();
        Self { driver, _process: process }
    }

    /// Opens an address, and waits until the page has loaded.
    pub async fn open(&self, address: &str) {
        self.driver.goto(address).await.unwrap();
    }

    /// What the address bar has.
    pub async fn address(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    /// Clicks a button, which has to be visible.
    pub async fn press(&self, selector: &str) {
        self.visible(selector).await.click().await.unwrap();
    }

    /// Fills in a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.visible(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the visible text of an element contains all the pieces, and returns it.
    pub async fn text(&self, selector: &str, pieces: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let text = match self.driver.find(By::Css(selector)).await {
                // The element is gone: the page has just redrawn it.
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if pieces.iter().all(|piece| text.contains(piece)) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "{selector} shows {text:?}, and not all of {pieces:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether an element is there to be seen.
    pub async fn shows(&self, selector: &str) -> bool {
        self.driver.find(By::Css(selector)).await.unwrap().is_displayed().await.unwrap()
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let result = self.driver.execute(format!("return {expression};"), Vec::new()).await.unwrap();
        result.json().clone()
    }

    /// The entries of the console since the last call.
    pub async fn console(&self) -> Vec<BrowserLogEntry> {
        self.driver.browser_log().await.unwrap()
    }

    /// Makes the window as narrow as a phone.
    pub async fn narrow(&self) {
        self.resize(390, 900).await;
    }

    /// Makes the page this large, in CSS pixels: also smaller than a window may be.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Says which theme the user prefers: `light` or `dark`.
    pub async fn prefer(&self, theme: &str) {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", feature).await;
    }

    /// Lets pages write to the clipboard, as they may in a window that a person has in front.
    pub async fn allow_clipboard(&self) {
        let granted = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", granted).await;
    }

    /// Runs a script in each page before those of the page.
    pub async fn before_each_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Sends a command of the DevTools protocol, and returns its result.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// Runs a script that calls its last argument, and returns what it calls it with.
    pub async fn wait_for(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.driver.execute_async(script, arguments).await.unwrap().json().clone()
    }

    /// Types keys, whatever has the focus.
    pub async fn type_keys(&self, keys: impl AsRef<str>) {
        self.driver.action_chain().send_keys(keys.as_ref()).perform().await.unwrap();
    }

    /// Opens another tab, and goes on in it. Returns that of before.
    pub async fn new_tab(&self) -> WindowHandle {
        let before = self.driver.window().await.unwrap();
        let tab = self.driver.new_tab().await.unwrap();
        self.driver.switch_to_window(tab).await.unwrap();
        before
    }

    /// Goes on in another tab.
    pub async fn to_tab(&self, tab: WindowHandle) {
        self.driver.switch_to_window(tab).await.unwrap();
    }

    /// Saves a picture of what is to be seen.
    pub async fn screenshot(&self, path: &Path) {
        self.driver.screenshot(path).await.unwrap();
    }

    /// Ends it.
    pub async fn quit(self) {
        self.driver.quit().await.unwrap();
    }

    async fn visible(&self, selector: &str) -> WebElement {
        let query = self.driver.query(By::Css(selector)).wait(PATIENCE, Duration::from_millis(50));
        query.and_displayed().first().await.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }
}

impl fmt::Debug for Chromium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chromium")
    }
}

/// Starts ChromeDriver on a port it chooses, and reads the port from what it prints.
fn start_driver() -> (Process, u16) {
    let missing = "the browser tests need Chromium and ChromeDriver; run ./test, which installs them";
    // First, since a start of a missing program would panic without advice.
    let version = Command::new("chromedriver").arg("--version").stdin(Stdio::null()).output();
    version.unwrap_or_else(|error| panic!("{missing} (chromedriver: {error})"));
    let process = Process::start(Command::new("chromedriver").arg("--port=0").stdin(Stdio::null()));
    let mut printed = String::new();
    while let Some(line) = process.line(PATIENCE) {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim_end().trim_end_matches('.').parse().unwrap();
            return (process, port);
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    panic!("{missing} (chromedriver printed: {printed})");
}
