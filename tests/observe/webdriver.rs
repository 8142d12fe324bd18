//! A real browser, without a window, told what to do over chromedriver's HTTP.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::raw_http::exchange_kept;

/// Set by who wants a test without a browser to fail rather than to be skipped.
const DEMANDED: &str = "BROWSER_TESTS";

/// The longest that the page may take to show something: far beyond what it takes, for machines are shared.
const LONGEST: Duration = Duration::from_secs(60);

/// Ended when it is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// A browser is large: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

impl Browser {
    /// `None` where there is none, which is told.
    pub fn start(test: &str) -> Option<Self> {
        let is_there = |program: &str| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if !["chromium", "chromedriver"].into_iter().all(is_there) {
            assert!(
                std::env::var_os(DEMANDED).is_none(),
                "{DEMANDED} demands a browser, and chromium or chromedriver is not installed"
            );
            println!("skipped: {test} (chromium or chromedriver is not installed)");
            return None;
        }
        Some(Self::begin())
    }

    fn begin() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = said.next().expect("chromedriver tells its port").unwrap();
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        // Who writes into a pipe that nobody reads stops one day.
        std::thread::spawn(move || said.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _profile: profile,
            _alone: alone,
        };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            &folder,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let begun = browser.call("POST", "/session", &wanted);
        browser.session = begun["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let sent = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = exchange_kept(self.address, &sent);
        let mut told: Value = serde_json::from_str(&answer).unwrap();
        assert!(told["value"]["error"].is_null(), "{method} {path}: {answer}");
        told["value"].take()
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{what}", self.session), body)
    }

    pub fn open(&self, address: SocketAddr) {
        self.post("url", &json!({"url": format!("http://{address}/")}));
    }

    /// Pages opened from now on have no scripts.
    pub fn without_scripts(&self) {
        let off = json!({"cmd": "Emulation.setScriptExecutionDisabled", "params": {"value": true}});
        self.post("goog/cdp/execute", &off);
    }

    /// The page as the browser has understood it.
    pub fn source(&self) -> String {
        let told = self.call("GET", &format!("/session/{}/source", self.session), &json!({}));
        told.as_str().unwrap().to_owned()
    }

    /// What a piece of JavaScript returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// What somebody reads on the page.
    pub fn text(&self) -> String {
        let text = self.run("return document.title + '\\n' + document.body.innerText");
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows something.
    pub fn shows(&self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if text.contains(what) {
                return text;
            }
            assert!(
                begun.elapsed() < LONGEST,
                "the page never shows `{what}`:\n{text}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the page's policy or its script complained of.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let lines = log.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Keeps a picture of the page where `PAGE_PICTURES` says, for people.
    pub fn picture(&self, name: &str, width: u32, scheme: &str) {
        let Some(folder) = std::env::var_os("PAGE_PICTURES") else {
            return;
        };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.post(
            "goog/cdp/execute",
            &json!({"cmd": "Emulation.setEmulatedMedia", "params": media}),
        );
        let metrics = json!({"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 600});
        let metrics = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.post("goog/cdp/execute", &metrics);
        let shot = json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": true}});
        let told = self.post("goog/cdp/execute", &shot);
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            told["data"].as_str().unwrap(),
        );
        let path = std::path::Path::new(&folder).join(format!("{name}-{width}-{scheme}.png"));
        std::fs::write(path, bytes.unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Else the browser outlives its driver. What goes wrong here is no reason to end a test that has failed.
            let path = format!("/session/{}", self.session);
            let quit = || self.call("DELETE", &path, &json!({}));
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(quit));
        }
        // It may have ended by itself.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
