//! Whether a node can answer, from the live states of its models.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};
use understudy_proto::{names, v1::ModelStatus};

use crate::models::ModelControl;

/// Keeps `grpc.health.v1` and [`Readiness`] true to the models' states.
///
/// | name | serving means |
/// |---|---|
/// | `""`, `understudy.v1.Inference` | some rung of the ladder is ready, or loads on demand |
/// | `understudy.v1.Models` | the node is not stopping |
/// | `models/NAME` | the model is loaded and ready |
pub(crate) struct Health {
    reporter: HealthReporter,
    control: Arc<dyn ModelControl>,
    ladder: Vec<String>,
    ready: watch::Sender<Readiness>,
    reported: BTreeSet<String>,
}

/// Whether requests should be sent here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// Why not, for people.
    NotReady(String),
}

impl Health {
    pub(crate) fn new(
        reporter: HealthReporter,
        control: Arc<dyn ModelControl>,
        ladder: Vec<String>,
    ) -> (Self, watch::Receiver<Readiness>) {
        let (ready, readiness) = watch::channel(Readiness::NotReady("the node is starting".into()));
        (Self { reporter, control, ladder, ready, reported: BTreeSet::new() }, readiness)
    }

    /// Reports until the node drains; then everything is not serving.
    pub(crate) async fn follow(mut self, draining: CancellationToken) {
        let mut changes = self.control.changes();
        loop {
            changes.mark_unchanged();
            self.report().await;
            tokio::select! {
                () = draining.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        let names = self.reported.clone();
        for name in names {
            self.set(name, false).await;
        }
        self.ready.send_replace(Readiness::NotReady("the node is stopping".into()));
    }

    /// Reports the present states.
    pub(crate) async fn report(&mut self) {
        let statuses = self.control.list();
        let readiness = readiness(&statuses, &self.ladder);
        let ready = readiness == Readiness::Ready;
        self.set(String::new(), ready).await;
        self.set(names::INFERENCE_SERVICE.into(), ready).await;
        self.set(names::MODELS_SERVICE.into(), true).await;
        for status in statuses {
            self.set(names::model_health(&status.model), status.state == "ready").await;
        }
        self.ready.send_replace(readiness);
    }

    async fn set(&mut self, name: String, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(&name, status).await;
        self.reported.insert(name);
    }
}

/// Ready when some rung answers now or would load when asked. A ladder of models that the
/// node does not list (paths, perhaps) loads on demand too.
fn readiness(statuses: &[ModelStatus], ladder: &[String]) -> Readiness {
    let state =
        |model: &str| statuses.iter().find(|status| status.model == model).map_or("unloaded", |s| &s.state);
    let answers = |model: &String| matches!(state(model), "ready" | "unloaded" | "absent");
    if ladder.is_empty() || ladder.iter().any(answers) {
        return Readiness::Ready;
    }
    let states: Vec<_> = ladder.iter().map(|model| format!("{model} is {}", state(model))).collect();
    Readiness::NotReady(states.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rung_that_answers_is_enough() {
        let status = |model: &str, state: &str| ModelStatus {
            model: model.into(),
            state: state.into(),
            ..Default::default()
        };
        let ladder = ["small".to_owned(), "large".to_owned()];
        for (small, large, ready) in [
            ("ready", "failed", true),
            ("failed", "unloaded", true),
            ("absent", "absent", true),
            ("loading", "failed", false),
            ("draining", "warming", false),
        ] {
            let verdict = readiness(&[status("small", small), status("large", large)], &ladder);
            assert_eq!(verdict == Readiness::Ready, ready, "{small} {large}: {verdict:?}");
        }
        let verdict = readiness(&[status("small", "failed"), status("large", "loading")], &ladder);
        assert_eq!(verdict, Readiness::NotReady("small is failed, large is loading".into()));
    }
}
