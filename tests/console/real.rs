//! The page before a real node: what the fake says is what a node says.

use serde_json::json;

use crate::browser::Browser;
use crate::common::node::Server;
use crate::common::{ENDLESS, tiny, tiny_twin};

async fn send(browser: &Browser, prompt: &str) {
    browser.eval("document.getElementById('prompt').focus()").await;
    browser.type_text(prompt).await;
    browser.press("Enter").await;
}

#[tokio::test]
async fn a_node_answers_the_page() {
    let Some(browser) = Browser::start().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_ladder(&[&tiny(), &tiny_twin(folder.path())]);
    let address = format!("http://{}", server.http);
    browser.open(&address).await;
    browser.until("document.querySelectorAll('#model option').length > 5").await;
    browser.until("document.querySelector('#health').innerText.startsWith('version')").await;

    // A cascade of two random models, which has no confidence worth the name: the threshold lets none stay.
    browser.choose("#model", "understudy/cascade").await;
    browser.fill("#parameters", "threshold=1").await;
    browser.choose("#constraint", "choice").await;
    browser.fill("#grammar", "north\nsouth").await;
    send(&browser, "Where to?").await;
    browser.until("document.querySelector('.account')").await;
    // With the signs of its authors and what was withdrawn out of the way.
    let text = "document.querySelectorAll('.prose > .by').values().map((part) => part.textContent).toArray().join('')";
    let text = browser.text(text).await;
    assert!(["north", "south"].contains(&text.as_str()), "{text}");
    assert_eq!(browser.eval("document.querySelectorAll('.legend .chip').length").await, 2);
    // After the first letter there is hardly a choice; where exactly there is none, the vocabulary decides.
    let forced = browser.text("document.querySelector('.prose .forced').textContent").await;
    assert!(!forced.is_empty() && text.contains(&forced) && text != forced, "{forced} in {text}");
    browser.click(".account summary").await;
    let steps = browser.text("document.querySelector('.decisions').innerText").await;
    assert!(steps.starts_with("Escalate"), "{steps}");
    assert_eq!(
        browser.eval("document.querySelectorAll('.account table')[0].tBodies[0].rows.length").await,
        2
    );
    browser.until("document.querySelectorAll('#slots li').length === 2").await;
    browser.screenshot("real").await;

    // Stopped in the middle.
    browser.click("#new-chat").await;
    browser.choose("#constraint", "regex").await;
    browser.fill("#grammar", ENDLESS).await;
    browser.fill("#max-tokens", "4000").await;
    browser.choose("#model", "understudy/auto").await;
    browser.fill("#parameters", "speculate").await;
    send(&browser, "A story.").await;
    browser.until("document.querySelector('.prose').innerText.length > 20").await;
    browser.press("Escape").await;
    browser.until("document.querySelector('.progress').innerText.startsWith('Stopped.')").await;
    browser.until("document.querySelector('#queue dd').innerText === '0'").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // Refused, in the node's words.
    browser.click("#new-chat").await;
    browser.fill("#parameters", "cascde").await;
    send(&browser, "Hello").await;
    browser.until("document.querySelector('.error')").await;
    let code = "[document.querySelector('.error-code').innerText, document.querySelector('.error-help').innerText !== '']";
    assert_eq!(browser.eval(code).await, json!(["POLICY_UNKNOWN", true]));
}
