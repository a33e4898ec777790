//! What a tenant may use per minute, as its clients notice it.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::Duration;

use common::{Api, Said, api};
use serde_json::{Value, json};
use understudy_backend::fake::{Fault, Reply};
use understudy_gateway::admission::tenant::TenantLimits;

const CHAT: &str = "/v1/chat/completions";

fn ask(prompt: &str) -> Value {
    json!({"model": "small", "messages": [{"role": "user", "content": prompt}]})
}

/// A new tenant with this limit; without one, nobody in particular.
fn call_as(api: &mut Api, tenant: &str, tokens_per_minute: Option<u32>) {
    api.limited(tenant, TenantLimits { tokens_per_minute, ..TenantLimits::default() });
}

/// The tokens of a prompt, and of the whole request.
async fn cost(api: &mut Api, body: Value) -> (u64, u64) {
    call_as(api, "", None);
    let usage = api.post(CHAT, body).await.ok()["usage"].take();
    (usage["prompt_tokens"].as_u64().unwrap(), usage["total_tokens"].as_u64().unwrap())
}

/// Seconds until the tenant may come again.
#[track_caller]
fn refused(said: &Said) -> u64 {
    assert_eq!(said.refused(429).1, "TENANT_LIMIT");
    assert_eq!(said.json()["error"]["understudy"]["facts"]["limit"], "tokens_per_minute");
    said.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_what_answers_have_cost_and_is_paid_off_in_time() {
    let mut api = api(&[]).await;
    let (_, each) = cost(&mut api, ask("2+2?")).await;
    call_as(&mut api, "a", Some(60));
    let mut spent = 0;
    while spent <= 60 {
        api.post(CHAT, ask("2+2?")).await.ok();
        spent += each;
    }
    // One token comes in each second.
    let wait = refused(&api.post(CHAT, ask("2+2?")).await);
    assert_eq!(wait, spent - 60);
    tokio::time::advance(Duration::from_secs(wait - 1)).await;
    assert_eq!(refused(&api.post(CHAT, ask("2+2?")).await), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    api.post(CHAT, ask("2+2?")).await.ok();
    call_as(&mut api, "b", Some(60));
    api.post(CHAT, ask("2+2?")).await.ok();
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_pays_for_what_was_done() {
    let mut api = api(&[]).await;
    let long = format!("slow {}", "y".repeat(200));
    let (prompt, _) =
        cost(&mut api, json!({"max_tokens": 1, "model": "small", "messages": ask(&long)["messages"]})).await;
    for (tenant, stream) in [("waits", false), ("streams", true)] {
        call_as(&mut api, tenant, Some(60));
        let mut body = ask(&long);
        body["stream"] = stream.into();
        // A token each 100 ms.
        let left = tokio::time::timeout(Duration::from_secs(1), api.post(CHAT, body)).await;
        assert!(left.is_err(), "{tenant}: it was answered");
        api.becomes_idle().await;
        let debt = refused(&api.post(CHAT, ask("2+2?")).await) + 60;
        assert!((prompt + 8..=prompt + 12).contains(&debt), "{tenant}: {debt} for a prompt of {prompt}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_costs_the_text_that_it_told_and_a_vector_its_text() {
    let reply =
        Reply::text("abcdef").fail_at(3, Fault::Error(understudy_engine::EngineError::NonFiniteLogits));
    let mut api = api(&[("broken", reply)]).await;
    call_as(&mut api, "fails", Some(2));
    assert_eq!(api.post(CHAT, ask("broken")).await.status, 500);
    assert_eq!(refused(&api.post(CHAT, ask("2+2?")).await), 30, "one token too many, at two a minute");

    call_as(&mut api, "embeds", Some(60));
    let text = json!({"model": "small", "input": ["x".repeat(60), "y".repeat(5)]});
    api.post("/v1/embeddings", text).await.ok();
    assert_eq!(refused(&api.post(CHAT, ask("2+2?")).await), 5);
}
