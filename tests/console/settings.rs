//! What the settings ask of the API.

use serde_json::{Value, json};

use crate::fake::{SPECIALIST, TEACHER, finished, rung};
use crate::{ask, assert_quiet, at_console};

#[tokio::test]
async fn each_setting_reaches_the_request() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let groups = "[...document.querySelectorAll('#model option')].map((option) => option.innerText)";
    let names =
        ["automatic", "cascade", "friend", "speculate", SPECIALIST, TEACHER, "gemma-3-270m (to be fetched)"];
    assert_eq!(browser.eval(groups).await, json!(names));
    // What is done to the form, and what of the request then differs from the one before any setting.
    let cases: &[(&[(&str, &str)], Value)] = &[
        (&[], json!({"model": "understudy/auto", "temperature": 0})),
        (&[("#model", SPECIALIST)], json!({"model": SPECIALIST, "understudy": {"explain": true}})),
        (&[("#model", "understudy/friend")], json!({"model": "understudy/friend"})),
        (
            &[("#parameters", "threshold=0.7+friend")],
            json!({"model": "understudy/auto", "understudy": {"explain": true, "policy": "friend:threshold=0.7+friend"}}),
        ),
        (
            &[("#model", "understudy/auto"), ("#parameters", "cascade:threshold=0.8")],
            json!({
                "understudy": {"explain": true, "policy": "cascade:threshold=0.8"},
            }),
        ),
        (
            &[("#parameters", ""), ("#temperature", "0.7"), ("#max-tokens", "64")],
            json!({
                "temperature": 0.7, "max_completion_tokens": 64, "understudy": {"explain": true},
            }),
        ),
        (
            &[("#system", "Be brief.")],
            json!({"messages": [
                {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            ]}),
        ),
        (
            &[("#constraint", "choice"), ("#grammar", "yes\nno")],
            json!({
                "understudy": {"explain": true, "constraint": {"choice": ["yes", "no"]}},
            }),
        ),
        (
            &[("#constraint", "regex"), ("#grammar", "[0-9]+")],
            json!({
                "understudy": {"explain": true, "constraint": {"regex": "[0-9]+"}},
            }),
        ),
        (
            &[("#constraint", "json_schema"), ("#grammar", "{\"type\": \"object\"}")],
            json!({
                "understudy": {"explain": true, "constraint": {"json_schema": {"type": "object"}}},
            }),
        ),
        (
            &[("#constraint", "sql_schema"), ("#grammar", "CREATE TABLE t (a);")],
            json!({
                "understudy": {"explain": true, "constraint": {"sql_schema": "CREATE TABLE t (a);"}},
            }),
        ),
        (
            &[("#constraint", "graphql_schema"), ("#grammar", "type Query { a: Int }")],
            json!({
                "understudy": {"explain": true, "constraint": {"graphql_schema": "type Query { a: Int }"}},
            }),
        ),
        (
            &[("#constraint", "lark"), ("#grammar", "start: \"a\"")],
            json!({
                "understudy": {"explain": true, "constraint": {"lark": "start: \"a\""}},
            }),
        ),
        (&[("#constraint", "")], json!({"understudy": {"explain": true}})),
    ];
    for (settings, expected) in cases {
        for (field, value) in *settings {
            if ["#model", "#constraint"].contains(field) {
                browser.choose(field, value).await;
            } else {
                browser.fill(field, value).await;
            }
        }
        let asked = ask(&browser, &mut fake, "Hi").await;
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(&asked.body[name], value, "{settings:?}: {name}");
        }
        let answering = asked.stream("direct", &[SPECIALIST]).await;
        answering
            .finish(finished(
                "direct",
                &[(SPECIALIST, "Yes.", "")],
                &[rung(SPECIALIST, 1, 0, 9.0)],
                json!({}),
            ))
            .await;
        browser.until("document.querySelector('.account')").await;
        browser.click("#new-chat").await;
    }
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn a_wrong_setting_is_said_and_nothing_is_sent() {
    let Some((browser, mut fake)) = at_console().await else { return };
    browser.choose("#constraint", "json_schema").await;
    browser.fill("#grammar", "{\"type\": ").await;
    browser.eval("document.getElementById('prompt').focus()").await;
    browser.type_text("Hi").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('#grammar').validationMessage.startsWith('JSON Schema: ')").await;
    browser.until("document.querySelector('#announcer').innerText.includes('JSON Schema: ')").await;
    assert_eq!(browser.eval("document.querySelectorAll('.turn').length").await, 0);
    assert_eq!(browser.text("document.activeElement.id").await, "grammar");
    assert_eq!(browser.text("document.querySelector('#prompt').value").await, "Hi", "nothing typed is lost");

    browser.fill("#grammar", "true").await;
    browser.fill("#temperature", "9").await;
    browser.click("#send").await;
    browser.until("document.activeElement.id === 'temperature'").await;
    browser.fill("#temperature", "1").await;
    browser.click("#send").await;
    assert_eq!(fake.asked().await.body["understudy"]["constraint"], json!({"json_schema": true}));
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn a_key_is_sent_and_forgotten_with_the_tab() {
    let Some((browser, mut fake)) = at_console().await else { return };
    fake.set_key("sk-1");
    browser.until("document.querySelector('#health').innerText === 'needs an API key'").await;
    browser.fill("#key", "sk-1").await;
    browser.until("document.querySelector('#health').innerText.startsWith('version')").await;
    let asked = ask(&browser, &mut fake, "Hi").await;
    assert_eq!(asked.authorization.as_deref(), Some("Bearer sk-1"));
    assert_eq!(browser.eval("[sessionStorage.length, localStorage.length]").await, json!([1, 0]));
    assert_eq!(browser.text("document.querySelector('#key').type").await, "password");
}
