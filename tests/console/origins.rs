//! Where text comes from, and what validators found.

use serde_json::json;

use crate::fake::{SPECIALIST, TEACHER, finished, rung};
use crate::{LADDER, ask, assert_quiet, at_console};

/// Marked text on the page, as `class: text`.
const MARKED: &str =
    "[...document.querySelectorAll('.prose .origin')].map((run) => `${run.className}: ${run.textContent}`)";

#[tokio::test]
async fn forced_text_accepted_drafts_and_verdicts_are_seen_as_they_come_and_stay() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let answering =
        ask(&browser, &mut fake, "Cities by size.").await.stream("friend+speculate", LADDER).await;
    answering.event(json!({"type": "segment", "author": SPECIALIST, "start": 0, "why": ""})).await;
    let pieces = [
        (SPECIALIST, "SELECT ", "forced"),
        (SPECIALIST, "name ", "written"),
        (SPECIALIST, "FROM city ", "forced"),
        (TEACHER, "ORDER ", "written"),
        (TEACHER, "BY area", "accepted"),
    ];
    for (model, text, origin) in pieces {
        answering.piece(model, text, origin).await;
    }
    let drafted = |drafted: u32, accepted: u32| json!({"type": "drafted", "drafter": SPECIALIST, "target": TEACHER, "drafted": drafted, "accepted": accepted});
    answering.event(drafted(4, 3)).await;
    let marks = "document.querySelector('.marks').innerText";
    browser.until(&format!("{marks}.includes('3 of 4 tokens')")).await;
    browser.until("document.querySelectorAll('.prose .origin').length === 3").await;
    let live = json!(["origin forced: SELECT ", "origin forced: FROM city ", "origin accepted: BY area"]);
    assert_eq!(browser.eval(MARKED).await, live);
    // More than colour tells them apart from each other and from authors.
    let lines = "['.forced', '.accepted', '.by'].map((one) => { const style = getComputedStyle(document.querySelector(`.prose ${one}`));
        return `${style.textDecorationLine} ${style.textDecorationStyle}`; })";
    assert_eq!(browser.eval(lines).await, json!(["overline dotted", "overline solid", "underline solid"]));
    browser.screenshot("origins-writing").await;

    // What is withdrawn takes its mark along.
    answering
        .event(json!({"type": "retracted", "bytes": 4, "model": TEACHER, "reason": "no such column"}))
        .await;
    answering.piece(TEACHER, "population", "accepted").await;
    answering.event(drafted(5, 5)).await;
    answering
        .event(json!({"type": "validated", "model": TEACHER, "name": "sql", "verdict": "pass", "detail": "5 rows", "ms": 12.4}))
        .await;
    browser.until("document.querySelector('.progress').innerText === 'sql: pass, 5 rows'").await;
    let spans = [(SPECIALIST, "SELECT name FROM city ", ""), (TEACHER, "ORDER BY population", "entropy 2.1")];
    let rungs = [rung(SPECIALIST, 4, 0, 420.0), rung(TEACHER, 3, 1, 540.0)];
    let counts = json!({"forced": 3, "drafted": 9, "accepted": 8});
    answering.finish(finished("friend+speculate", &spans, &rungs, counts)).await;
    browser.until("document.querySelector('.account')").await;
    assert_eq!(
        browser.eval(MARKED).await,
        json!([
            "origin forced: SELECT ",
            "origin forced: FROM city ",
            "origin accepted: BY ",
            "origin accepted: population"
        ]),
        "the account leaves them in place"
    );
    assert_eq!(browser.text(marks).await, "forced by the constraint\naccepted from a draft (8 of 9 tokens)");
    browser.click(".account summary").await;
    let steps = browser.text("document.querySelector('.decisions').innerText").await;
    assert!(steps.contains("sql: pass, 5 rows (12 ms)"), "{steps}");
    browser.click("#theme").await;
    browser.screenshot("origins").await;
    browser.click("#show-authors").await;
    browser
        .until("getComputedStyle(document.querySelector('.prose .origin')).textDecorationLine === 'none'")
        .await;
    assert_eq!(browser.eval("document.querySelector('.marks').checkVisibility()").await, false);
    assert_quiet(&browser, &fake);
}
