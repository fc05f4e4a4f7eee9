//! A headless Chromium of its own for a test, driven over WebDriver.
//!
//! By the crate `thirtyfour`: it is under active development and knows the browser's log, which this test is about.
//! Its `manager`, which would download a browser, is off: `./test` installs the distribution's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apikey_testkit::Process;
use thirtyfour::prelude::*;
use thirtyfour::{BrowserLogEntry, ChromiumLikeCapabilities, LoggingPrefsLogLevel};

use crate::http;

/// How long the page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Chromium {
    /// Before the driver process: its drop ends the browser through that process.
    driver: WebDriver,
    _process: Process,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
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
        let driver = WebDriver::builder(address, options).client(http::client()).await.unwrap();
        Self { driver, _process: process }
    }

    pub(crate) async fn open(&self, address: &str) {
        self.driver.goto(address).await.unwrap();
    }

    pub(crate) async fn address(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    /// Clicks a button, which has to be visible.
    pub(crate) async fn press(&self, selector: &str) {
        self.visible(selector).await.click().await.unwrap();
    }

    /// Fills in a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.visible(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the visible text of an element contains all the pieces, and returns it.
    pub(crate) async fn text(&self, selector: &str, pieces: &[&str]) -> String {
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
    pub(crate) async fn shows(&self, selector: &str) -> bool {
        self.driver.find(By::Css(selector)).await.unwrap().is_displayed().await.unwrap()
    }

    /// The value of an expression in the page.
    pub(crate) async fn value(&self, expression: &str) -> serde_json::Value {
        let result = self.driver.execute(format!("return {expression};"), Vec::new()).await.unwrap();
        result.json().clone()
    }

    /// The entries of the console since the last call.
    pub(crate) async fn console(&self) -> Vec<BrowserLogEntry> {
        self.driver.browser_log().await.unwrap()
    }

    /// Makes the window as narrow as a phone.
    pub(crate) async fn narrow(&self) {
        self.driver.set_window_rect(0, 0, 390, 900).await.unwrap();
    }

    /// Saves a picture in the directory `TWO_TIER_SCREENSHOTS`, if that is set: to look at while working on the page.
    pub(crate) async fn picture(&self, name: &str) {
        if let Some(dir) = std::env::var_os("TWO_TIER_SCREENSHOTS") {
            self.driver.screenshot(&Path::new(&dir).join(name).with_extension("png")).await.unwrap();
        }
    }

    pub(crate) async fn quit(self) {
        self.driver.quit().await.unwrap();
    }

    async fn visible(&self, selector: &str) -> WebElement {
        let query = self.driver.query(By::Css(selector)).wait(PATIENCE, Duration::from_millis(50));
        query.and_displayed().first().await.unwrap_or_else(|error| panic!("{selector}: {error}"))
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
