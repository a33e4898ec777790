//! Phone-a-friend over scripted engines. Tokens are bytes; what a model says at a position is its reply's
//! byte there, so a segment of the friend replaces as many bytes of the other's reply.

use std::time::Duration;

use DecisionKind::{FriendCall, FriendReturn};
use understudy_backend::fake::{Call, FakeBackend, Fault, Reply};
use understudy_router::DecisionKind;

use crate::told::{Told, ask_for, question, says, sure, unsure};

const LONG: &str = "SELECT name FROM city WHERE population > 100000 AND state_name = 'texas' AND country = 'usa' \
                    AND mayor IS NOT NULL ORDER BY population DESC, name ASC;";

/// A clause-wise friend of two models that are asked for SQL.
async fn phone(params: &str, small: Reply, large: Reply) -> Told {
    let (small, large) = (says("small", small), says("large", large));
    ask_for(question(&format!("friend:segments=clause{params}")), &[&small, &large]).await
}

fn authors(told: &Told) -> Vec<(&str, &str)> {
    let finished = told.finished();
    let spans = finished.ledger.spans.iter();
    spans.map(|span| (span.author.as_str(), &finished.text[span.start..span.end])).collect()
}

#[tokio::test(start_paused = true)]
async fn the_friend_writes_the_segments_that_begin_in_doubt() {
    let text = "SELECT nome FROM city;";
    struct Case {
        what: &'static str,
        params: &'static str,
        small: Reply,
        large: Reply,
        spans: &'static [(&'static str, &'static str)],
        kinds: &'static [DecisionKind],
    }
    let cases = [
        Case {
            what: "sure of everything: nobody is called",
            params: "",
            small: sure(text),
            large: sure("never asked"),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[],
        },
        Case {
            what: "unsure of the columns: the friend writes them, and the keyword after them",
            params: "",
            small: sure(text).signals_at(7, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT "), ("large", "name FROM"), ("small", " city;")],
            kinds: &[FriendCall, FriendReturn],
        },
        Case {
            what: "unsure within a clause: that is no place to hand over",
            params: "",
            small: sure(text).signals_at(9, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[],
        },
        Case {
            what: "a narrow margin is doubt too",
            params: ",entropy=9,alpha=1",
            small: sure(text).signals_at(17, 0.5, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT nome FROM "), ("large", "town;")],
            kinds: &[FriendCall, FriendReturn],
        },
        Case {
            what: "less doubt than asked for",
            params: ",entropy=2.5,margin=0",
            small: sure(text).signals_at(7, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[],
        },
        Case {
            what: "the friend takes back what it strongly disagrees with",
            params: ",max_teacher_share=0.9",
            small: sure(text).signals_at(17, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT n"), ("large", "ame FROM"), ("small", " "), ("large", "town;")],
            kinds: &[FriendCall, FriendReturn, FriendCall, FriendReturn],
        },
        Case {
            what: "with alpha 1 nothing is taken back",
            params: ",alpha=1",
            small: sure(text).signals_at(17, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT nome FROM "), ("large", "town;")],
            kinds: &[FriendCall, FriendReturn],
        },
        Case {
            what: "a spent share: the rest is the first rung's",
            params: ",max_teacher_share=0.4",
            small: sure(text).signals_at(7, 2.0, 0.1).signals_at(17, 2.0, 0.1),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT "), ("large", "name FROM"), ("small", " city;")],
            kinds: &[FriendCall, FriendReturn],
        },
        Case {
            what: "each complete segment is read; the friend says the first token of the next",
            params: ",when=each",
            small: sure("SELECT name FROM town;"),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT name FROM"), ("large", " "), ("small", "town;")],
            kinds: &[FriendCall, FriendReturn, FriendCall],
        },
        Case {
            what: "and it goes on where it took something back",
            params: ",when=each,max_teacher_share=0.9",
            small: sure(text),
            large: sure("SELECT name FROM town;"),
            spans: &[("small", "SELECT n"), ("large", "ame FROM"), ("small", " "), ("large", "town;")],
            kinds: &[FriendCall, FriendReturn, FriendCall, FriendReturn],
        },
        Case {
            what: "an answer that stays is nobody else's",
            params: ",when=doubted",
            small: sure(text).signals_at(7, 2.0, 0.1),
            large: sure("never asked"),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[DecisionKind::Stay],
        },
        Case {
            what: "one that does not is read to its end, and mended where the friend disagrees; from then on each segment",
            params: ",when=doubted,max_teacher_share=0.9",
            small: unsure(text),
            large: sure("SELECT name FROM city;"),
            spans: &[("small", "SELECT n"), ("large", "ame FROM"), ("small", " "), ("large", "city;")],
            kinds: &[FriendCall, FriendReturn, FriendCall, FriendReturn],
        },
        Case {
            what: "read to its end, and found good",
            params: ",when=doubted",
            small: unsure(text),
            large: sure(text),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[FriendCall],
        },
        Case {
            what: "longer than one pass reads",
            params: ",when=doubted",
            small: unsure(LONG),
            large: sure(LONG),
            spans: &[("small", LONG)],
            kinds: &[FriendCall],
        },
        Case {
            what: "a friend out of reach is done without",
            params: "",
            small: sure(text).signals_at(7, 2.0, 0.1),
            large: sure("SELECT name").fail_at(7, Fault::Error(understudy_engine::EngineError::DeadEnd)),
            spans: &[("small", "SELECT nome FROM city;")],
            kinds: &[FriendCall, FriendReturn],
        },
    ];
    for case in cases {
        let told = phone(case.params, case.small, case.large).await;
        assert_eq!(authors(&told), case.spans, "{}", case.what);
        assert_eq!(told.kinds(), case.kinds, "{}", case.what);
    }
}

#[tokio::test(start_paused = true)]
async fn each_span_says_why_and_the_books_name_both() {
    let small = sure("SELECT nome FROM city;").signals_at(7, 2.0, 0.1);
    let told = phone("", small, sure("SELECT name FROM town;")).await;
    let ledger = &told.finished().ledger;
    assert!(ledger.spans[1].why.contains("entropy 2.00"), "{:?}", ledger.spans);
    let [small, large] = ledger.rungs.as_slice() else { panic!("{:?}", ledger.rungs) };
    assert_eq!((small.tokens_kept, large.tokens_kept), (13, 9));
    assert_eq!(small.tokens_wasted, 1, "the doubtful token was computed");
}

/// Runs of no token: prompts read ahead.
fn read_ahead(backend: &FakeBackend) -> usize {
    let calls = backend.calls().into_iter();
    calls.filter(|call| matches!(call, Call::Run(spec) if spec.max_tokens == 0)).count()
}

#[tokio::test(start_paused = true)]
async fn the_friend_reads_the_prompt_when_confidence_sinks() {
    let text = "SELECT nome FROM city;";
    for (what, small, ahead, called) in [
        ("sure of everything", sure(text), 0, 0),
        ("a doubt within a clause", sure(text).signals_at(9, 0.7, 0.9), 1, 0),
        ("a doubt, then a greater one", sure(text).signals_at(3, 0.7, 0.9).signals_at(7, 2.0, 0.1), 1, 1),
        ("at once a great one", sure(text).signals_at(7, 2.0, 0.1), 0, 1),
    ] {
        // Time for the other one to read.
        let small = small.token_delay(Duration::from_millis(10));
        let (small, large) = (says("small", small), says("large", sure("SELECT name FROM town;")));
        let told = ask_for(question("friend:segments=clause"), &[&small, &large]).await;
        assert_eq!(read_ahead(&large), ahead, "{what}");
        assert_eq!(told.kinds().iter().filter(|kind| **kind == FriendCall).count(), called, "{what}");
        let cost = told.finished().ledger.rungs.iter().find(|rung| rung.model == "large");
        assert_eq!(
            cost.is_some_and(|rung| rung.cost.prefill_rows > 0),
            ahead + called > 0,
            "{what}: it is booked"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_rung_alone_has_no_friend() {
    let only = says("only", sure("SELECT 1;").signals_at(7, 2.0, 0.1));
    let told = ask_for(question("friend:segments=clause"), &[&only]).await;
    assert_eq!(authors(&told), [("only", "SELECT 1;")]);
}

#[tokio::test(start_paused = true)]
async fn reading_that_was_in_vain_is_booked() {
    // A doubt within a clause, and the answer is over long before the other one has read the prompt.
    let small = sure("SELECT nome FROM city;").signals_at(9, 0.7, 0.9).token_delay(Duration::from_millis(10));
    let large = sure("SELECT name FROM town;").first_token_delay(Duration::from_secs(5));
    let (small, large) = (says("small", small), says("large", large));
    let told = ask_for(question("friend:segments=clause"), &[&small, &large]).await;
    assert_eq!(told.finished().text, "SELECT nome FROM city;");
    let cost = told.finished().ledger.rungs.iter().find(|rung| rung.model == "large");
    assert!(cost.is_some_and(|rung| rung.cost.prefill_rows > 0), "{cost:?}");
}
