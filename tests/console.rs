//! The console in a real browser, against an API that a test plays event by event.
//!
//! Screenshots of each state are kept in `target/console/`.

#[path = "console/access.rs"]
mod access;
#[path = "console/browser.rs"]
mod browser;
mod common;
#[path = "console/fake.rs"]
mod fake;
#[path = "console/origins.rs"]
mod origins;
#[path = "console/real.rs"]
mod real;
#[path = "console/settings.rs"]
mod settings;

use std::process::Command;

use browser::Browser;
use fake::{Answering, Asked, Fake, SPECIALIST, TEACHER, finished, rung};
use serde_json::{Value, json};

const LADDER: &[&str] = &[SPECIALIST, TEACHER];

/// A browser at the console of a fake node; none where there is no browser.
async fn at_console() -> Option<(Browser, Fake)> {
    let browser = Browser::start().await?;
    let fake = Fake::start().await;
    browser.open(&fake.address).await;
    browser.until("document.querySelectorAll('#model option').length > 1").await;
    browser.until("document.querySelectorAll('#slots li').length === 2").await;
    Some((browser, fake))
}

/// Types a prompt and sends it; the request as the node sees it.
async fn ask(browser: &Browser, fake: &mut Fake, prompt: &str) -> Asked {
    browser.eval("document.getElementById('prompt').focus()").await;
    browser.type_text(prompt).await;
    browser.press("Enter").await;
    fake.asked().await
}

/// Nothing was said on the page's console, and nothing was asked of another origin.
fn assert_quiet(browser: &Browser, fake: &Fake) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let elsewhere: Vec<_> =
        browser.requests().into_iter().filter(|address| !address.starts_with(&fake.address)).collect();
    assert_eq!(elsewhere, Vec::<String>::new());
}

/// Text of the last answer as it is seen, less signs and what is folded away.
async fn prose(browser: &Browser) -> String {
    browser.text("[...document.querySelectorAll('.prose')].at(-1).innerText").await
}

const DRAFT: &str = "Lisbon is the capital of Portugal, on the Douro.";
const FINAL: &str =
    "Lisbon is the capital of Portugal. It lies on the Tagus, where the river meets the Atlantic.";

/// A cascade up to the moment at which the specialist's answer is withdrawn.
async fn until_withdrawn(answering: &Answering) {
    answering.delta(SPECIALIST, "Lisbon is the capital of Portugal").await;
    answering.delta(SPECIALIST, ", on the Douro.").await;
    answering
        .decided("escalate", SPECIALIST, TEACHER, "confidence 0.41 is below the threshold 0.60", 0.41)
        .await;
    let retracted = json!({
        "type": "retracted", "bytes": DRAFT.len(), "model": SPECIALIST, "reason": "the next rung writes anew",
    });
    answering.event(retracted).await;
}

async fn to_the_end(answering: Answering) {
    let (first, rest) = FINAL.split_at(35);
    answering.delta(TEACHER, first).await;
    answering.content(first).await;
    answering.delta(TEACHER, rest).await;
    answering.content(rest).await;
    let spans = [(TEACHER, FINAL, "the last rung's answer stands")];
    let rungs = [rung(SPECIALIST, 0, 9, 310.0), rung(TEACHER, 17, 0, 1850.0)];
    answering.finish(finished("cascade", &spans, &rungs, json!({}))).await;
}

#[tokio::test]
async fn a_cascade_shows_what_was_withdrawn_and_who_answered() {
    let Some((browser, mut fake)) = at_console().await else { return };
    browser.screenshot("welcome").await;

    let asked =
        ask(&browser, &mut fake, "What is the capital of Portugal, and which river does it lie on?").await;
    assert_eq!(asked.body["understudy"], json!({"explain": true}));
    assert_eq!(asked.body["model"], "understudy/auto");
    let answering = asked.stream("cascade", LADDER).await;
    answering
        .event(json!({"type": "loading", "model": TEACHER, "source": "hub", "done_bytes": 300, "total_bytes": 1000}))
        .await;
    browser
        .until(
            "document.querySelector('.progress').innerText === 'Fetching qwen2.5-coder-1.5b 30 % of 1.0 kB'",
        )
        .await;
    browser.screenshot("loading").await;
    until_withdrawn(&answering).await;
    browser.until("document.querySelector('del')?.innerText.includes('Douro')").await;
    browser.screenshot("withdrawn").await;
    browser.until("document.querySelector('.withdrawn .fold').ariaExpanded === 'false'").await;
    assert_eq!(browser.eval("document.querySelector('del').checkVisibility()").await, false);

    to_the_end(answering).await;
    browser.until("document.querySelector('.account')").await;
    assert_eq!(prose(&browser).await, format!("9 words by {SPECIALIST} withdrawn{FINAL}"));
    let line = browser.text("document.querySelector('.saved').innerText").await;
    // 10 passes of 400 MB and 18 of 1 GB, against 18 of 1 GB.
    assert_eq!(line, "22 % more: read 22 GB; qwen2.5-coder-1.5b alone about 18 GB (estimate)");

    // What was folded can be read again.
    browser.click(".fold").await;
    browser.until("document.querySelector('del').checkVisibility()").await;
    browser.click(".account summary").await;
    let steps = browser.text("document.querySelector('.decisions').innerText").await;
    let steps: Vec<_> = steps.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert!(steps[0].starts_with("Escalate qwen2.5-coder-0.5b → qwen2.5-coder-1.5b"), "{steps:?}");
    assert_eq!(
        browser.eval("document.querySelectorAll('.timeline .bar').length").await,
        3,
        "loading and two writers"
    );
    browser.screenshot("cascade").await;

    // The conversation goes on with what stayed.
    let asked = ask(&browser, &mut fake, "And its population?").await;
    let told = asked.body["messages"].as_array().expect("messages");
    assert_eq!(told.len(), 3);
    assert_eq!(told[1], json!({"role": "assistant", "content": FINAL}));
    drop(asked.stream("cascade", LADDER).await);
    browser.until("document.querySelector('.error')").await;
    browser.click("#new-chat").await;
    browser.until("document.querySelectorAll('.turn').length === 0").await;
    let asked = ask(&browser, &mut fake, "Hello").await;
    assert_eq!(asked.body["messages"], json!([{"role": "user", "content": "Hello"}]));
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn a_friends_answer_has_two_authors_forced_runs_and_drafts() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let asked = ask(&browser, &mut fake, "Names of the five customers who spent the most.").await;
    let answering = asked.stream("friend+speculate", LADDER).await;
    let parts = [
        (SPECIALIST, "SELECT name, SUM(total) AS spent FROM customers ", "the first rung writes"),
        (TEACHER, "JOIN orders ON orders.customer_id = customers.id ", "entropy 2.1 at a clause"),
        (SPECIALIST, "GROUP BY customers.id ORDER BY spent DESC LIMIT 5", "handed back"),
    ];
    answering.delta(parts[0].0, parts[0].1).await;
    answering.decided("friend_call", SPECIALIST, TEACHER, "entropy 2.1 at a clause", 0.35).await;
    answering.delta(parts[1].0, parts[1].1).await;
    answering.decided("friend_return", TEACHER, SPECIALIST, "the clause is whole", 0.9).await;
    answering.delta(parts[2].0, parts[2].1).await;
    browser.until("document.querySelectorAll('.prose .by').length === 3").await;
    let signs = "[...document.querySelectorAll('.prose .by')].map((part) => part.dataset.sign)";
    assert_eq!(browser.eval(signs).await, json!(["Q\u{a0}0.5b", "Q\u{a0}1.5b", "Q\u{a0}0.5b"]));
    browser.screenshot("friend-writing").await;

    let rungs = [rung(SPECIALIST, 15, 1, 620.0), rung(TEACHER, 6, 0, 540.0)];
    let counts = json!({"forced": 7, "drafted": 20, "accepted": 14});
    answering.finish(finished("friend+speculate", &parts, &rungs, counts)).await;
    browser.until("document.querySelector('.account')").await;
    let head = browser.text("document.querySelector('.account summary').innerText").await;
    assert_eq!(head, "How it came about · 2 steps · 7 forced · 14 of 20 drafts accepted");
    browser.click(".account summary").await;
    let meters =
        browser.eval("[...document.querySelectorAll('meter')].map((one) => [one.value, one.max])").await;
    assert_eq!(
        meters,
        json!([[7, 22], [14, 20]]),
        "forced of what was written, accepted of what was drafted"
    );
    let whys = "[...document.querySelectorAll('.account table')].at(-1).querySelectorAll('tbody tr').length";
    assert_eq!(browser.eval(whys).await, 3);
    // Authors differ in more than colour.
    let style = "(n) => getComputedStyle(document.querySelectorAll('.prose .by')[n]).textDecorationStyle";
    assert_ne!(browser.eval(&format!("({style})(0)")).await, browser.eval(&format!("({style})(1)")).await);
    browser.screenshot("friend").await;
    browser.click("#show-authors").await;
    let ground = "getComputedStyle(document.querySelector('.prose .by')).textDecorationLine";
    browser.until(&format!("{ground} === 'none'")).await;
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn errors_say_their_code_and_what_helps() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let overloaded = json!({
        "message": "64 requests wait already", "type": "rate_limit_error", "code": "rate_limited",
        "understudy": {"code": "OVERLOADED", "help": "Try again after the time that the answer names."},
    });
    ask(&browser, &mut fake, "First").await.refuse(429, Some(3), overloaded);
    browser.until("document.querySelector('.error')").await;
    let said = browser.text("document.querySelector('.error').innerText").await;
    for part in
        ["OVERLOADED", "64 requests wait already", "Try again after", "Try again in 3 s.", "About OVERLOADED"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    browser.screenshot("error").await;

    // Again, and this time it breaks in the middle.
    browser.click(".error button").await;
    let answering = fake.asked().await.stream("direct", &[SPECIALIST]).await;
    answering.delta(SPECIALIST, "Half of ").await;
    answering
        .fail(json!({"message": "the engine was lost", "type": "server_error", "code": "ENGINE_LOST"}))
        .await;
    browser.until("document.querySelector('.error')?.innerText.includes('ENGINE_LOST')").await;
    assert_eq!(browser.eval("document.querySelectorAll('.turn').length").await, 1);
    assert_eq!(prose(&browser).await, "Half of ");

    // A stream that just ends is no whole answer, and what failed is not told to the model.
    let asked = ask(&browser, &mut fake, "Second").await;
    assert_eq!(asked.body["messages"], json!([{"role": "user", "content": "Second"}]));
    drop(asked.stream("direct", &[SPECIALIST]).await);
    browser
        .until("document.querySelectorAll('.error')[1]?.innerText.includes('ended before the answer')")
        .await;
    // The browser itself reports the refusal; the page adds nothing.
    let complaints: Vec<_> =
        browser.complaints().into_iter().filter(|text| !text.starts_with("network: ")).collect();
    assert_eq!(complaints, Vec::<String>::new());
}

#[tokio::test]
async fn stop_ends_the_request_and_keeps_what_was_written() {
    let Some((browser, mut fake)) = at_console().await else { return };
    for by_key in [false, true] {
        let answering =
            ask(&browser, &mut fake, "Tell me a story.").await.stream("direct", &[SPECIALIST]).await;
        answering.delta(SPECIALIST, "Once upon a time").await;
        browser
            .until("[...document.querySelectorAll('.prose')].at(-1).innerText === 'Once upon a time'")
            .await;
        if by_key {
            browser.press("Escape").await;
        } else {
            browser.screenshot("answering").await;
            browser.click("#stop").await;
        }
        answering.left().await;
        browser
            .until("[...document.querySelectorAll('.progress')].at(-1).innerText.startsWith('Stopped.')")
            .await;
        assert_eq!(browser.text("document.activeElement.id").await, "prompt");
        assert_eq!(browser.eval("document.getElementById('send').hidden").await, false);
    }
    let asked = ask(&browser, &mut fake, "Go on").await;
    assert_eq!(asked.body["messages"][1]["content"], "Once upon a time");

    // A new chat while an answer is written ends it, and the old one says nothing more.
    let answering = asked.stream("direct", &[SPECIALIST]).await;
    browser.click("#new-chat").await;
    answering.left().await;
    let asked = ask(&browser, &mut fake, "Hello").await;
    assert_eq!(asked.body["messages"], json!([{"role": "user", "content": "Hello"}]));
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let hostile = "<img src=x onerror=\"window.owned=1\"><script>window.owned=2</script>\
                   <a href=\"javascript:window.owned=3\">x</a></span></article>\u{202e}<svg onload=window.owned=4>";
    let ladder = [hostile, TEACHER];
    let answering = ask(&browser, &mut fake, hostile).await.stream(hostile, &ladder).await;
    answering.delta(hostile, hostile).await;
    answering.decided("escalate", hostile, TEACHER, hostile, 0.2).await;
    answering.event(json!({"type": "retracted", "bytes": 20, "model": hostile, "reason": hostile})).await;
    answering.delta(TEACHER, hostile).await;
    answering.content(hostile).await;
    let spans = [(hostile, hostile, hostile), (TEACHER, hostile, hostile)];
    let decision = json!({"kind": hostile, "from": hostile, "to": hostile, "reason": hostile});
    let ledger = json!({"decisions": [decision]});
    answering
        .finish(finished(hostile, &spans, &[rung(hostile, 3, 1, 9.0), rung(TEACHER, 3, 0, 9.0)], ledger))
        .await;
    browser.until("document.querySelector('.account')").await;
    browser.click(".account summary").await;
    assert!(prose(&browser).await.contains("<script>window.owned=2</script>"));

    let own = json!({"code": hostile, "help": hostile});
    let error = json!({"message": hostile, "type": hostile, "code": hostile, "understudy": own});
    ask(&browser, &mut fake, "More").await.refuse(400, None, error);
    browser.until("document.querySelector('.error')").await;
    let mut status = fake::status();
    status["models"][0]["model"] = hostile.into();
    status["models"][0]["detail"] = hostile.into();
    status["nodes"] = json!([{"name": hostile, "state": hostile, "addr": hostile}]);
    status["adapters"] = json!([{"name": hostile, "model": hostile}]);
    fake.set_status(status);
    browser.until("document.querySelector('#slots').innerText.includes('onload')").await;

    assert_eq!(browser.eval("window.owned ?? null").await, Value::Null);
    let made = "document.querySelectorAll('main img, aside img, main script, aside script, [onload], [href^=javascript]')";
    assert_eq!(browser.eval(&format!("{made}.length")).await, 0);
    assert!(!browser.requests().iter().any(|address| address.ends_with("/x")), "{:?}", browser.requests());

    // Even a page that would take HTML may not: the headers forbid it.
    let forbidden =
        "(() => { try { document.body.innerHTML = '<i>x</i>'; return false; } catch { return true; } })()";
    assert_eq!(browser.eval(forbidden).await, true);
    let inline =
        "(() => { try { const it = document.createElement('a'); it.setAttribute('onclick', 'window.owned=5');
        it.click(); } catch {} return window.owned ?? null; })()";
    assert_eq!(browser.eval(inline).await, Value::Null);
}

#[tokio::test]
async fn the_node_is_shown_as_it_is_now() {
    let Some((browser, fake)) = at_console().await else { return };
    let node = "document.querySelector('#node').innerText";
    let shown = browser.text(node).await;
    for part in ["1.5b", "48 tokens/s", "1 active, 0 waiting", "400 MB, cpu-int16", "37 % saved", "Estimate"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("gemma"), "only what is loaded: {shown}");
    assert!(!shown.contains("Cluster") && !shown.contains("Adapters"), "{shown}");
    assert_eq!(browser.text("document.querySelector('#health').innerText").await, "version 0.1.0, up 2 h");

    let mut status = fake::status();
    status["totals"]["tokens"] = 60_000.into();
    status["models"][2] = json!({
        "model": "gemma-3-270m", "state": "fetching", "active": 0, "waiting": 3, "bytes": 200, "done_bytes": 50,
    });
    status["nodes"] = json!([{"name": "attic", "state": "ready", "addr": "10.0.0.7:7863"}]);
    status["adapters"] = json!([{"name": "sql-lora", "model": SPECIALIST}]);
    status["node"]["draining"] = true.into();
    fake.set_status(status);
    browser.until("Number(document.querySelector('#speed').innerText) > 0").await;
    browser.until("document.querySelector('#slots progress').value === 50").await;
    let shown = browser.text(node).await;
    for part in ["attic", "sql-lora", "fetching", "0 active, 3 waiting"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(browser.text("document.querySelector('#health').innerText").await, "stopping");
    browser.screenshot("node").await;
    assert_quiet(&browser, &fake);

    fake.set_status(Value::Null);
    browser.until("document.querySelector('#health').innerText === 'not reachable'").await;
}

#[test]
fn the_parts_without_a_page_are_right() {
    let test = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/pure.test.mjs");
    let Ok(output) = Command::new("node").args(["--test", test]).output() else {
        browser::skipped("there is no Node.js");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
