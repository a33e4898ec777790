//! Who begins, over scripted engines.

use std::sync::Arc;
use std::time::Duration;

use understudy_backend::RequestCtx;
use understudy_calibration::profile::{FittedOn, Goal, Profile, Rung, VERSION};
use understudy_router::rules::{Rule, Rules};
use understudy_router::{DecisionKind, LadderProfile, RouterConfig};

use crate::told::{Told, listen, question, router_with, says, slots, sure, unsure};

/// A profile that finds each rung right with this probability, whatever is asked.
fn learned(small: f64, large: f64) -> Arc<LadderProfile> {
    let rung = |model: &str, right: f64| Rung {
        profile: Profile {
            model: model.into(),
            features: Vec::new(),
            trees: Vec::new(),
            bias: (right / (1.0 - right)).ln(),
            knots: vec![(-20.0, right), (20.0, right)],
            fitted_on: FittedOn::default(),
            auroc: None,
            ece: 0.0,
        },
        next: None,
        threshold: None,
    };
    let rungs = vec![rung("small", small), rung("large", large)];
    Arc::new(LadderProfile { version: VERSION, task: String::new(), rungs, goal: Goal::Quality })
}

async fn ask(policy: &str, config: RouterConfig, limit: Option<Duration>) -> Told {
    let (small, large) = (says("small", unsure("draft")), says("large", sure("better")));
    let router = router_with(slots(&[&small, &large]), config).await;
    let ctx = RequestCtx::new("r");
    let ctx = limit.map_or(ctx.clone(), |limit| ctx.with_timeout(limit));
    listen(router.answer(ctx, question(policy)).expect("admitted")).await
}

fn ladder() -> RouterConfig {
    RouterConfig::with_ladder(["small", "large"])
}

#[tokio::test(start_paused = true)]
async fn rules_come_first_then_what_was_learned_then_the_first_rung() {
    let start = |model: &str| Rules::new(vec![Rule { start: model.into(), ..Rule::default() }]).unwrap();
    struct Case {
        what: &'static str,
        policy: &'static str,
        config: RouterConfig,
        model: &'static str,
        reason: &'static str,
    }
    let cases = [
        Case {
            what: "nothing is known",
            policy: "route",
            config: ladder(),
            model: "small",
            reason: "nothing was learned",
        },
        Case {
            what: "a rule",
            policy: "route",
            config: RouterConfig { rules: start("large"), routes: vec![learned(0.9, 0.9)], ..ladder() },
            model: "large",
            reason: "rule 0",
        },
        Case {
            what: "a rule that names a stranger",
            policy: "route",
            config: RouterConfig { rules: start("stranger"), ..ladder() },
            model: "small",
            reason: "not in the ladder",
        },
        Case {
            what: "the small one is good enough",
            policy: "route",
            config: RouterConfig { routes: vec![learned(0.8, 0.9)], ..ladder() },
            model: "small",
            reason: "80 % likely to be right",
        },
        Case {
            what: "the small one is not",
            policy: "route",
            config: RouterConfig { routes: vec![learned(0.3, 0.9)], ..ladder() },
            model: "large",
            reason: "90 % likely to be right",
        },
        Case {
            what: "cost is everything",
            policy: "route:lambda=2",
            config: RouterConfig { routes: vec![learned(0.3, 0.9)], ..ladder() },
            model: "small",
            reason: "30 % likely to be right",
        },
        Case {
            what: "a cascade climbs from the rung that begins",
            policy: "route+cascade",
            config: RouterConfig { routes: vec![learned(0.8, 0.9)], ..ladder() },
            model: "large",
            reason: "80 % likely to be right",
        },
    ];
    for Case { what, policy, config, model, reason } in cases {
        let told = ask(policy, config, None).await;
        assert_eq!(told.finished().model, model, "{what}");
        let first = told.decisions()[0];
        assert_eq!(first.kind, DecisionKind::Route, "{what}");
        assert!(first.reason.contains(reason), "{what}: {}", first.reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rung_that_takes_too_long_for_the_deadline_does_not_begin() {
    let slow = sure("better").token_delay(Duration::from_secs(1));
    let (small, large) = (says("small", sure("draft")), says("large", slow));
    let config = RouterConfig { routes: vec![learned(0.3, 0.9)], ..ladder() };
    let router = router_with(slots(&[&small, &large]), config).await;
    let ask = async |limit| {
        let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(limit));
        listen(router.answer(ctx, question("route")).expect("admitted")).await.finished().model.clone()
    };
    assert_eq!(ask(60).await, "large", "nothing is known of its speed");
    assert_eq!(ask(2).await, "small", "it took six seconds");
    assert_eq!(ask(60).await, "large");
}
