//! Decisions as tables and properties; then real actors under a paused clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus};
use tokio::sync::oneshot;

use super::Strategy;
use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn options(strategy: Strategy, restarts: u32, exhausted: Exhausted) -> PlanOptions {
    let intensity = Intensity { restarts, within: s(60) };
    PlanOptions { strategy, intensity, exhausted, backoff: Backoff::default(), seed: 7 }
}

fn running(options: PlanOptions, children: &[(&str, ChildKind)]) -> Plan {
    let mut plan = Plan::new(options);
    for (name, kind) in children {
        assert!(plan.add(name, *kind));
        plan.started(name, s(0));
    }
    plan
}

fn panicked() -> Exit {
    Exit::Panicked("boom".into())
}

/// Who is stopped, who is started afterwards.
fn effect(plan: &Plan, actions: &[Action]) -> (Vec<String>, Vec<String>) {
    let stopped =
        actions.iter().filter_map(|a| if let Action::Stop(name) = a { Some(name.clone()) } else { None });
    let due = actions
        .iter()
        .find_map(|a| if let Action::StartLater { ticket, .. } = a { Some(*ticket) } else { None });
    (stopped.collect(), due.map(|ticket| plan.due(ticket)).unwrap_or_default())
}

#[test]
fn strategies_restart_whom_they_should() {
    use ChildKind::Permanent;
    let table = [
        (Strategy::OneForOne, vec![], vec!["b"]),
        (Strategy::OneForAll, vec!["c", "a"], vec!["a", "b", "c"]),
        (Strategy::RestForOne, vec!["c"], vec!["b", "c"]),
    ];
    for (strategy, stopped, started) in table {
        let children = [("a", Permanent), ("b", Permanent), ("c", Permanent)];
        let mut plan = running(options(strategy, 3, Exhausted::Escalate), &children);
        let actions = plan.exited("b", &panicked(), s(1));
        let expected = (
            stopped.iter().map(|s| s.to_string()).collect(),
            started.iter().map(|s| s.to_string()).collect(),
        );
        assert_eq!(effect(&plan, &actions), expected, "{strategy:?}");
    }
}

#[test]
fn kinds_decide_which_ends_count() {
    use ChildKind::*;
    let table = [
        (Permanent, Exit::Normal, true),
        (Permanent, Exit::Killed, true),
        (Transient, Exit::Normal, false),
        (Transient, Exit::Killed, true),
        (Transient, Exit::Failed("x".into()), true),
        (Transient, Exit::StartFailed("x".into()), true),
        (Temporary, panicked(), false),
        (Temporary, Exit::Normal, false),
    ];
    for (kind, exit, restarts) in table {
        let mut plan = running(options(Strategy::OneForOne, 3, Exhausted::Escalate), &[("a", kind)]);
        let actions = plan.exited("a", &exit, s(1));
        let (_, started) = effect(&plan, &actions);
        assert_eq!(!started.is_empty(), restarts, "{kind:?} {exit:?}");
        assert_eq!(plan.order().is_empty(), kind == Temporary, "only temporary children are forgotten");
    }
}

#[test]
fn a_failed_start_takes_the_rest_of_its_batch_along() {
    use ChildKind::Permanent;
    let children = [("a", Permanent), ("b", Permanent), ("c", Permanent)];
    let mut plan = running(options(Strategy::RestForOne, 9, Exhausted::Escalate), &children);
    let first = plan.exited("a", &panicked(), s(1));
    let Some(Action::StartLater { ticket: old, .. }) = first.last().cloned() else { panic!("{first:?}") };
    plan.started("a", s(2));
    let second = plan.exited("b", &Exit::StartFailed("port taken".into()), s(2));
    assert_eq!(effect(&plan, &second), (vec![], vec!["b".into(), "c".into()]));
    assert!(plan.due(old).is_empty(), "the old batch is replaced");
}

#[test]
fn too_many_restarts_escalate_or_give_the_child_up_until_retried() {
    for (exhausted, last) in [
        (Exhausted::Escalate, Action::Escalate("a".into())),
        (Exhausted::GiveUpChild, Action::GiveUp("a".into())),
    ] {
        let children = [("a", ChildKind::Permanent), ("b", ChildKind::Permanent)];
        let mut plan = running(options(Strategy::OneForOne, 2, exhausted), &children);
        for second in [1, 2] {
            assert!(matches!(plan.exited("a", &panicked(), s(second))[..], [Action::StartLater { .. }]));
            plan.started("a", s(second));
        }
        assert_eq!(plan.exited("a", &panicked(), s(3)), [last]);
        if exhausted == Exhausted::GiveUpChild {
            assert!(
                matches!(plan.exited("b", &panicked(), s(4))[..], [Action::StartLater { .. }]),
                "b lives on"
            );
            let again = plan.retry("a");
            assert_eq!(effect(&plan, &again).1, ["a"]);
        }
    }
}

#[test]
fn a_window_that_passed_forgives() {
    let mut plan =
        running(options(Strategy::OneForOne, 2, Exhausted::Escalate), &[("a", ChildKind::Permanent)]);
    for round in 0..20 {
        let actions = plan.exited("a", &panicked(), s(61 * round));
        assert!(
            matches!(actions[..], [Action::StartLater { after, .. }] if after <= Duration::from_millis(200))
        );
        plan.started("a", s(61 * round));
    }
}

proptest! {
    #[test]
    fn backoff_grows_within_bounds_and_repeats(strike in 1_u32..100, seed: u64) {
        let backoff = Backoff::default();
        let delay = backoff.delay(strike, seed);
        prop_assert_eq!(delay, backoff.delay(strike, seed));
        let full = backoff.first.saturating_mul(1 << (strike - 1).min(31)).min(backoff.most);
        prop_assert!(delay <= full && delay >= full.mul_f64(1.0 - backoff.jitter));
    }

    /// Whatever happens, no child is both running and due, and a restart within the window
    /// is granted at most `restarts` times.
    #[test]
    fn histories_keep_the_rules(
        strategy in prop_oneof![Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)],
        history in prop::collection::vec((0_usize..3, 0_u64..5), 1..60),
    ) {
        let names = ["a", "b", "c"];
        let children = names.map(|name| (name, ChildKind::Permanent));
        let mut plan = running(options(strategy, 3, Exhausted::Escalate), &children);
        let (mut now, mut granted) = (s(0), Vec::new());
        for (index, pause) in history {
            now += s(pause);
            let actions = plan.exited(names[index], &panicked(), now);
            match actions.last() {
                Some(Action::StartLater { ticket, .. }) => {
                    granted.push(now);
                    let due = plan.due(*ticket);
                    prop_assert!(due.contains(&names[index].to_string()));
                    for action in &actions {
                        if let Action::Stop(name) = action {
                            prop_assert!(due.contains(name), "whoever is stopped comes back");
                        }
                    }
                    due.iter().for_each(|name| plan.started(name, now));
                    prop_assert!(plan.due(*ticket).is_empty());
                }
                Some(Action::Escalate(_)) => {
                    let recent = granted.iter().filter(|at| now - **at <= s(60)).count();
                    prop_assert!(recent >= 3);
                    break;
                }
                other => prop_assert!(false, "{other:?}"),
            }
            let recent = granted.iter().filter(|at| now - **at <= s(60)).count();
            prop_assert!(recent <= 3);
        }
    }
}

/// An actor that ends as told, and notes its life in a diary.
struct Mortal {
    name: &'static str,
    diary: Arc<Mutex<Vec<String>>>,
}

enum End {
    Panic,
    Fail,
    Stop,
    /// Never finishes handling this.
    Block,
}

#[async_trait]
impl Actor for Mortal {
    type Msg = End;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<End>, (): ()) -> Result<(), ActorProcessingErr> {
        self.diary.lock().unwrap().push(format!("+{}", self.name));
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<End>, end: End, _: &mut ()) -> Result<(), ActorProcessingErr> {
        match end {
            End::Panic => panic!("told to"),
            End::Fail => return Err(Failure("told to".into()).into()),
            End::Stop => myself.stop(None),
            End::Block => std::future::pending().await,
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<End>, _: &mut ()) -> Result<(), ActorProcessingErr> {
        self.diary.lock().unwrap().push(format!("-{}", self.name));
        Ok(())
    }
}

struct Family {
    supervisor: ActorRef<SupervisorMsg>,
    ended: ractor::concurrency::JoinHandle<()>,
    diary: Arc<Mutex<Vec<String>>>,
    events: Arc<Mutex<Vec<ChildEvent>>>,
}

impl Family {
    async fn start(options: PlanOptions, names: &[&'static str]) -> Self {
        let (diary, events) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let children = names
            .iter()
            .map(|name| {
                let (diary, events, name) = (diary.clone(), events.clone(), *name);
                ChildSpec::new(name, ChildKind::Permanent, move || {
                    (Mortal { name, diary: diary.clone() }, ())
                })
                .shutdown_within(s(2))
                .watched_by(move |event| events.lock().unwrap().push(event))
            })
            .collect();
        let (supervisor, ended) =
            Actor::spawn(None, Supervisor, SupervisorArgs { options, children }).await.unwrap();
        Self { supervisor, ended, diary, events }
    }

    async fn child(&self, name: &str) -> Option<ActorRef<End>> {
        let (sender, running) = oneshot::channel();
        self.supervisor.send_message(SupervisorMsg::Running(sender)).unwrap();
        let running = running.await.unwrap();
        running.into_iter().find(|(child, _)| child == name).map(|(_, cell)| cell.into())
    }

    async fn end(&self, name: &str, end: End) {
        self.child(name).await.expect("it runs").send_message(end).unwrap();
        tokio::time::sleep(s(40)).await;
    }

    fn diary(&self) -> Vec<String> {
        std::mem::take(&mut *self.diary.lock().unwrap())
    }

    fn exits(&self) -> Vec<Exit> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events
            .into_iter()
            .filter_map(|e| if let ChildEvent::Restarting { exit, .. } = e { Some(exit) } else { None })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_stops_in_reverse_and_starts_in_order() {
    let family = Family::start(options(Strategy::RestForOne, 3, Exhausted::Escalate), &["a", "b", "c"]).await;
    assert_eq!(family.diary(), ["+a", "+b", "+c"]);
    family.end("b", End::Panic).await;
    assert_eq!(family.diary(), ["-c", "+b", "+c"]);
    family.supervisor.stop(None);
    family.ended.await.unwrap();
    assert_eq!(family.diary.lock().unwrap()[..], ["-c", "-b", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_apart() {
    let family = Family::start(options(Strategy::OneForOne, 9, Exhausted::Escalate), &["a"]).await;
    family.end("a", End::Panic).await;
    family.end("a", End::Fail).await;
    family.end("a", End::Stop).await;
    family.child("a").await.unwrap().get_cell().kill();
    tokio::time::sleep(s(40)).await;
    let expected =
        [Exit::Panicked("told to".into()), Exit::Failed("told to".into()), Exit::Normal, Exit::Killed];
    assert_eq!(family.exits(), expected);
    assert!(family.child("a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn escalation_reaches_the_parent_by_name() {
    let inner = Arc::new(AtomicU32::new(0));
    let (starts, diary) = (inner.clone(), Arc::new(Mutex::new(Vec::new())));
    let exits = Arc::new(Mutex::new(Vec::new()));
    let seen = exits.clone();
    let child = ChildSpec::new("family", ChildKind::Permanent, move || {
        starts.fetch_add(1, Ordering::SeqCst);
        let diary = diary.clone();
        let mortal = ChildSpec::new("mortal", ChildKind::Permanent, move || {
            (Mortal { name: "m", diary: diary.clone() }, ())
        })
        .watched_by(|event| {
            if let ChildEvent::Started(cell) = event {
                let _ = ActorRef::<End>::from(cell).send_message(End::Panic);
            }
        });
        let options = options(Strategy::OneForOne, 2, Exhausted::Escalate);
        (Supervisor, SupervisorArgs { options, children: vec![mortal] })
    })
    .watched_by(move |event| seen.lock().unwrap().push(event));
    let rules = options(Strategy::OneForOne, 1, Exhausted::GiveUpChild);
    let (root, _) = Actor::spawn(None, Supervisor, SupervisorArgs { options: rules, children: vec![child] })
        .await
        .unwrap();
    tokio::time::sleep(s(30)).await;
    assert_eq!(inner.load(Ordering::SeqCst), 2, "started, restarted once, given up");
    let last = exits.lock().unwrap().pop();
    let Some(ChildEvent::GaveUp { exit: Exit::Failed(why) }) = last else { panic!("{last:?}") };
    assert!(why.contains("\"mortal\"") && why.contains("2 times"), "{why}");
    assert_eq!(root.get_status(), ActorStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_is_killed_at_its_limit() {
    let family = Family::start(options(Strategy::OneForOne, 3, Exhausted::Escalate), &["a", "b"]).await;
    family.child("b").await.unwrap().send_message(End::Block).unwrap();
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    family.supervisor.stop(None);
    family.ended.await.unwrap();
    assert!(began.elapsed() >= s(2) && began.elapsed() < s(3), "{:?}", began.elapsed());
    assert_eq!(family.diary.lock().unwrap()[..], ["+a", "+b", "-a"]);
}
