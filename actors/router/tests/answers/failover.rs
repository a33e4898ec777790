use std::time::Duration;

use understudy_backend::fake::{Call, FakeBackend, Fault};
use understudy_backend::{BackendError, NodeId, RequestCtx};
use understudy_router::{AnswerRequest, DecisionKind, FinishReason, Pattern};

use crate::told::{ask, ask_for, listen, nothing_left, question, router, says, slots, sure, unsure};

fn lost() -> Fault {
    Fault::Lost("killed".into())
}

fn opens(backend: &FakeBackend) -> Vec<String> {
    let prompt = |call| if let Call::Open(prompt) = call { Some(prompt) } else { None };
    backend.calls().into_iter().filter_map(prompt).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_engine_goes_on_without_repeating_a_word() {
    let text = "naïve 🚀 answer";
    for at in 0..text.len() {
        let model = says("m", sure(text).fail_once_at(at, lost()));
        let told = ask("direct", &[&model]).await;
        assert_eq!((told.shown.as_str(), told.finished().reason), (text, FinishReason::Stop), "lost at {at}");
        let opens = opens(&model);
        assert_eq!(opens.len(), 2);
        assert!(opens[1].len() >= opens[0].len() + at, "the second prompt has what was emitted");
        assert_eq!(told.finished().completion_tokens as usize, text.len());
        assert_eq!(told.finished().prompt_tokens as usize, opens[0].len(), "emitted tokens are no prompt");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_twice_is_interrupted_with_the_partial_text() {
    let model = says("m", sure("abcdef").fail_at(3, lost()));
    let told = ask("direct", &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abc", FinishReason::Interrupted));
    assert_eq!(opens(&model).len(), 2, "two attempts");
}

/// A node that froze and came back may be killed before it has read the request again.
#[tokio::test(start_paused = true)]
async fn two_losses_at_another_node_are_not_yet_the_requests_doing() {
    let twice = sure("abcdef").fail_once_at(3, lost()).fail_once_at(3, lost());
    let model = says("m", twice).on(NodeId(7));
    let told = ask("direct", &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abcdef", FinishReason::Stop));
    let model = says("m", sure("abcdef").fail_at(3, lost())).on(NodeId(7));
    let told = ask("direct", &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abc", FinishReason::Interrupted));
    assert_eq!(opens(&model).len(), 3, "nor is it tried for ever");
}

#[tokio::test(start_paused = true)]
async fn losses_between_which_an_answer_grew_are_not_its_own_doing() {
    let model = says("m", sure("abcdef").fail_once_at(2, lost()).fail_once_at(4, lost()));
    let told = ask("direct", &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abcdef", FinishReason::Stop));
    assert_eq!(opens(&model).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_restarts_is_waited_for_but_not_for_ever() {
    for (back_after, expected, reason) in
        [(Some(5), "abcdef", FinishReason::Stop), (None, "ab", FinishReason::Interrupted)]
    {
        let model = says("m", sure("abcdef").token_delay(Duration::from_secs(1)).fail_once_at(2, lost()));
        let fakes = slots(&[&model]);
        let router = router(fakes.clone(), &["m"]).await;
        let stream = router.answer(RequestCtx::new("r"), question("direct")).unwrap();
        let story = tokio::spawn({
            let model = model.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(2500)).await;
                fakes.fail("m", BackendError::Unavailable { model: "m".into(), why: "restarting".into() });
                if let Some(seconds) = back_after {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    fakes.with(model);
                }
            }
        });
        let begun = tokio::time::Instant::now();
        let told = listen(stream).await;
        assert_eq!((told.shown.as_str(), told.finished().reason), (expected, reason));
        assert!(begun.elapsed() < Duration::from_secs(26), "{:?}", begun.elapsed());
        story.await.unwrap();
        nothing_left(&router, &[&model]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_engine_is_left_at_the_deadline() {
    let model = says("m", sure("abcdef").fail_at(2, Fault::Hang));
    let router = router(slots(&[&model]), &["m"]).await;
    let begun = tokio::time::Instant::now();
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(3));
    let told = listen(router.answer(ctx, question("direct")).unwrap()).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("ab", FinishReason::Deadline));
    assert!(begun.elapsed() < Duration::from_millis(3500), "{:?}", begun.elapsed());
    nothing_left(&router, &[&model]).await;
}

#[tokio::test(start_paused = true)]
async fn stop_texts_and_constraints_survive_a_loss() {
    let stop = AnswerRequest { stop: vec!["END".into()], ..question("direct") };
    let told = ask_for(stop, &[&says("m", sure("one END two").fail_once_at(5, lost()))]).await;
    assert_eq!(told.shown, "one ", "half of the stop text came before the loss");

    let constraint = Some(Pattern::Regex("[0-9]{3}-[0-9]{3}".into()));
    let constrained = AnswerRequest { constraint, ..question("direct") };
    let told = ask_for(constrained, &[&says("m", sure("123-456789").fail_once_at(5, lost()))]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("123-456", FinishReason::Constraint));
}

#[tokio::test(start_paused = true)]
async fn the_budget_counts_both_attempts() {
    let model = says("m", sure("abcdef").fail_once_at(3, lost()));
    let told = ask_for(AnswerRequest { max_tokens: 5, ..question("direct") }, &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abcde", FinishReason::Length));
}

#[tokio::test(start_paused = true)]
async fn a_draft_lost_for_good_escalates() {
    let (small, large) = (says("small", sure("abcdef").fail_at(3, lost())), says("large", sure("final")));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!((told.shown.as_str(), told.retractions()), ("final", vec![3]));
    let decision = told.decisions()[0];
    assert_eq!(decision.kind, DecisionKind::Escalate);
    assert!(decision.reason.contains("small was lost: killed"), "{}", decision.reason);
    assert_eq!(told.finished().ledger.rungs[0].tokens_wasted, 3);
}

#[tokio::test(start_paused = true)]
async fn a_last_rung_lost_before_its_first_word_leaves_the_draft() {
    let (small, large) = (says("small", unsure("draft")), says("large", sure("final").fail_at(0, lost())));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("draft", FinishReason::Stop));
    let (small, large) = (says("small", unsure("draft")), says("large", sure("final").fail_at(2, lost())));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("fi", FinishReason::Interrupted));
}
