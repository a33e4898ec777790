//! Models that do not all fit: idle ones make room, the others stay, and who gets none hears why.

use std::sync::Arc;

use super::node::*;
use understudy_actors::scripted::Script;
use understudy_actors::{MemoryBudget, SlotState};
use understudy_backend::BackendError;

/// A node of models that take ten bytes each.
async fn node_of(names: &[&str], limit: u64, pinned: &[&str]) -> (Node, Arc<MemoryBudget>) {
    let scripts: Vec<Script> = names.iter().map(|name| Script::new(*name)).collect();
    scripts.iter().for_each(|script| script.memory(10));
    let budget = Arc::new(MemoryBudget::new(limit, pinned.iter().map(|name| (*name).to_owned())));
    let memory = budget.clone();
    let scripts: Vec<&Script> = scripts.iter().collect();
    (node(&scripts, |config| config.memory = memory).await, budget)
}

fn ready(node: &Node) -> Vec<String> {
    let slots = node.slots.list().into_iter();
    slots.filter(|slot| slot.state == SlotState::Ready).map(|slot| slot.model).collect()
}

async fn idle(node: &Node) {
    eventually("every sequence's end", || node.slots.list().iter().all(|slot| slot.active == 0)).await;
}

fn refusal(result: Result<usize, BackendError>) -> (String, String) {
    match result {
        Err(BackendError::Load { code, why, .. }) => (code, why),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_used_model_makes_room() {
    let (node, budget) = node_of(&["a", "b", "c", "d"], 30, &[]).await;
    for model in ["a", "b", "c", "a"] {
        answers(&node, model).await.unwrap();
    }
    idle(&node).await;
    answers(&node, "d").await.unwrap();
    assert_eq!(ready(&node), ["a", "c", "d"], "b was used before the others");
    assert_eq!(budget.held(), 30);
    idle(&node).await;
    answers(&node, "b").await.unwrap();
    assert_eq!(ready(&node), ["a", "b", "d"], "it comes back on demand, in place of c");
    node.slots.unload("a", BOUND).await;
    assert_eq!(budget.held(), 20, "an unloaded model holds nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_in_use_stays_and_the_other_is_refused_at_once() {
    let (node, budget) = node_of(&["a", "b", "c"], 20, &[]).await;
    let (a, b) = (node.backend("a").await.unwrap(), node.backend("b").await.unwrap());
    let ctx = ctx();
    let held = [open(a.as_ref(), &ctx).await.unwrap(), open(b.as_ref(), &ctx).await.unwrap()];
    let (code, why) = refusal(answers(&node, "c").await);
    assert_eq!(code, "MEMORY_IN_USE");
    assert!(why.contains("a, b"), "{why}");
    assert_eq!(ready(&node), ["a", "b"]);
    assert_eq!(a.truncate(&ctx, held[0], 1).await, Ok(1), "its sequence lives");
    b.close(held[1]);
    eventually("the close", || node.slots.list()[1].active == 0).await;
    answers(&node, "c").await.unwrap();
    assert_eq!(ready(&node), ["a", "c"], "a is older, but in use");
    assert_eq!(budget.held(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_model_stays() {
    let (node, _) = node_of(&["a", "b", "c"], 20, &["a"]).await;
    for model in ["a", "b"] {
        answers(&node, model).await.unwrap();
    }
    idle(&node).await;
    answers(&node, "c").await.unwrap();
    assert_eq!(ready(&node), ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_fit_unloads_nobody() {
    let (pinned, idler, large) = (Script::new("pinned"), Script::new("idle"), Script::new("large"));
    [&pinned, &idler].iter().for_each(|script| script.memory(10));
    large.memory(15);
    let budget = Arc::new(MemoryBudget::new(20, ["pinned".to_owned()]));
    let node = node(&[&pinned, &idler, &large], |config| config.memory = budget).await;
    for model in ["pinned", "idle"] {
        answers(&node, model).await.unwrap();
    }
    idle(&node).await;
    let (code, why) = refusal(answers(&node, "large").await);
    assert_eq!(code, "MODEL_TOO_LARGE");
    assert!(why.contains("pinned"), "{why}");
    assert_eq!(ready(&node), ["idle", "pinned"]);
}
