//! A headless Chromium, spoken to in the DevTools protocol over two pipes: JSON messages, each ended by a zero byte.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

/// For anything that a page does, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one page. It ends when this is dropped.
pub struct Browser {
    wire: Arc<Wire>,
    session: String,
    _process: Child,
    _profile: tempfile::TempDir,
}

struct Wire {
    input: tokio::sync::Mutex<ChildStdin>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    /// Addresses that the page asked for.
    requests: Vec<String>,
    /// What the console of the page says: `source: text`.
    complaints: Vec<String>,
}

impl Browser {
    /// None, having said so, where a browser may be missing: offline, or on a machine that cannot install one.
    pub async fn start() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().expect("a folder for the browser");
        // The protocol is spoken on descriptors 3 and 4, which only a shell can set from here.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a started browser");
        let input = process.stdin.take().expect("a pipe");
        let output = process.stdout.take().expect("a pipe");
        let wire = Arc::new(Wire { input: input.into(), state: Mutex::default() });
        tokio::spawn(wire.clone().read(output));

        let target = wire.call("", "Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = wire.call("", "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let browser = Self { wire, session, _process: process, _profile: profile };
        for domain in ["Page", "Runtime", "Network", "Log", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.screen(1440, 900).await;
        Some(browser)
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.wire.call(&self.session, method, params).await
    }

    /// The size of the window.
    pub async fn screen(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What the system prefers, such as `("prefers-color-scheme", "dark")`.
    pub async fn prefers(&self, features: &[(&str, &str)]) {
        let features: Vec<_> =
            features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Goes to a page and waits until its modules ran.
    pub async fn open(&self, address: &str) {
        self.call("Page.navigate", json!({ "url": address })).await;
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'").await;
    }

    /// The value of an expression in the page, awaited.
    pub async fn eval(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// As `eval`, for a text.
    pub async fn text(&self, expression: &str) -> String {
        self.eval(expression).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true; fails with what the page then says.
    pub async fn until(&self, condition: &str) {
        let limit = PATIENCE.as_millis() / 2;
        let wait = format!(
            "new Promise((done) => {{ const end = performance.now() + {limit}; const look = () => {{
                let found = false;
                try {{ found = ({condition}); }} catch {{}}
                if (found || performance.now() > end) done(Boolean(found)); else setTimeout(look, 10);
            }}; look(); }})"
        );
        if self.eval(&wait).await != true {
            let page = self.text("document.body.innerText").await;
            panic!("never came: {condition}\n{page}\n{:#?}", self.complaints());
        }
    }

    /// Presses a key: `Tab`, `Shift+Tab`, `Enter`, `Escape`, `Space` and so on.
    pub async fn press(&self, key: &str) {
        let (modifiers, key) = key.strip_prefix("Shift+").map_or((0, key), |key| (8, key));
        let (key, code, number, text) = match key {
            "Tab" => ("Tab", "Tab", 9, ""),
            "Enter" => ("Enter", "Enter", 13, "\r"),
            "Escape" => ("Escape", "Escape", 27, ""),
            "Space" => (" ", "Space", 32, " "),
            "Down" => ("ArrowDown", "ArrowDown", 40, ""),
            other => panic!("no such key: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers,
            });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types into what has the focus.
    pub async fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Clicks the middle of the first element that matches, with a mouse.
    pub async fn click(&self, selector: &str) {
        let selector = json!(selector);
        let place = self
            .eval(&format!(
                "(() => {{ const it = document.querySelector({selector}); it.scrollIntoView({{block: 'nearest'}});
                    const {{x, y, width, height}} = it.getBoundingClientRect(); return [x + width / 2, y + height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Chooses an option of a select, as a person's choice arrives.
    pub async fn choose(&self, selector: &str, value: &str) {
        let (selector, value) = (json!(selector), json!(value));
        self.eval(&format!(
            "(() => {{ const it = document.querySelector({selector}); it.value = {value};
                it.dispatchEvent(new Event('input', {{bubbles: true}}));
                it.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
        .await;
    }

    /// Writes into a field in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let selector = json!(selector);
        self.eval(&format!(
            "(() => {{ const it = document.querySelector({selector}); it.focus(); it.select(); }})()"
        ))
        .await;
        self.type_text(text).await;
        self.eval("document.activeElement.blur()").await;
    }

    /// `(role, name)` of every node that assistive technology sees.
    pub async fn accessible(&self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().expect("nodes");
        let word = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .iter()
            .filter(|node| node["ignored"] != true)
            .map(|node| (word(&node["role"]), word(&node["name"])))
            .collect()
    }

    /// Keeps what is in sight as `target/console/NAME.png`.
    pub async fn screenshot(&self, name: &str) {
        use base64::Engine as _;
        // Two frames: what was asked for is drawn.
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))").await;
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        let data = shot["data"].as_str().expect("a picture");
        let picture = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        std::fs::write(shots().join(format!("{name}.png")), picture).expect("a written picture");
    }

    /// Addresses that the page asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.wire.state.lock().expect("state").requests.clone()
    }

    /// Errors and warnings of the page's console so far.
    pub fn complaints(&self) -> Vec<String> {
        self.wire.state.lock().expect("state").complaints.clone()
    }
}

/// Where screenshots go.
fn shots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("console");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    folder
}

/// The browser's program, installed if that is possible.
fn program() -> Option<&'static str> {
    use std::process::Command;
    let found = || {
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        })
    };
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock();
    if let Some(program) = found() {
        return Some(program);
    }
    if std::env::var_os("UNDERSTUDY_OFFLINE").is_some_and(|value| value == "1") {
        skipped("there is no Chromium, and UNDERSTUDY_OFFLINE=1");
        return None;
    }
    let _ = Command::new("apt-get").args(["install", "-y", "--no-install-recommends", "chromium"]).output();
    let program = found();
    if program.is_none() {
        skipped("there is no Chromium, and `apt-get install chromium` did not give one");
    }
    program
}

#[expect(clippy::print_stderr, reason = "who runs the tests should know")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

impl Wire {
    /// Sends a command and waits for its result. An empty session is the browser's own.
    async fn call(&self, session: &str, method: &str, params: Value) -> Value {
        let (sender, result) = oneshot::channel();
        let id = {
            let mut state = self.state.lock().expect("state");
            state.last_id += 1;
            let id = state.last_id;
            state.waiting.insert(id, sender);
            id
        };
        let mut message = json!({"id": id, "method": method, "params": params});
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.lock().await.write_all(&bytes).await.expect("a browser that listens");
        let answer = tokio::time::timeout(PATIENCE, result).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method}: no answer")).expect("a browser that lives");
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    async fn read(self: Arc<Self>, output: ChildStdout) {
        let mut output = BufReader::new(output);
        loop {
            let mut bytes = Vec::new();
            match output.read_until(0, &mut bytes).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
            bytes.pop();
            let Ok(message) = serde_json::from_slice::<Value>(&bytes) else { continue };
            self.state.lock().expect("state").take(message);
        }
        // Whoever waits learns that nothing comes any more.
        self.state.lock().expect("state").waiting.clear();
    }
}

impl State {
    fn take(&mut self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = self.waiting.remove(&id) {
                let _ = waiting.send(message);
            }
            return;
        }
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" => {
                self.complaints.push(format!("exception: {}", params["exceptionDetails"]));
            }
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "warning" => {
                self.complaints.push(format!("console: {}", params["args"]));
            }
            "Log.entryAdded" => {
                let entry = &params["entry"];
                if entry["level"] == "error" || entry["level"] == "warning" {
                    let word = |name: &str| entry[name].as_str().unwrap_or_default();
                    self.complaints.push(format!("{}: {}", word("source"), word("text")));
                }
            }
            _ => {}
        }
    }
}
