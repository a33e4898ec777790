//! What telemetry gets to know of models and engines.

use std::{collections::HashMap, sync::Arc, time::Duration};

use understudy_cluster::{Cluster, Life, view::id_text};
use understudy_engine::tick::EngineStats;
use understudy_telemetry::{EngineFigures, ModelFigures, PeerFigures, Telemetry};

use crate::{ModelControl, NodeConfig};

/// The telemetry of a node with these models. Labels may name those of the ladder and of the catalogue.
pub(crate) fn telemetry(config: &NodeConfig, control: &Arc<dyn ModelControl>) -> Telemetry {
    let telemetry = Telemetry::start(&config.telemetry);
    config.ladder.iter().for_each(|rung| telemetry.know_model(&rung.model, 0));
    control.list().iter().for_each(|model| telemetry.know_model(&model.model, model.bytes));
    let control = control.clone();
    telemetry.read_models_from(move || figures(control.as_ref()));
    telemetry
}

fn figures(control: &dyn ModelControl) -> Vec<ModelFigures> {
    let mut engines: HashMap<String, EngineStats> = control.engines().into_iter().collect();
    let figures = control.list().into_iter().map(|model| ModelFigures {
        engine: engines.remove(&model.model).map(engine),
        state: model.state,
        bytes: model.bytes,
        active: model.active.into(),
        waiting: model.waiting.into(),
        decode_tok_s: model.decode_tok_s,
        restarts: model.restarts.into(),
        model: model.model,
    });
    figures.collect()
}

/// The other nodes of the cluster.
pub(crate) fn peers(cluster: &Cluster) -> Vec<PeerFigures> {
    let view = cluster.watch().borrow().clone();
    let figures = view.nodes.iter().map(|node| PeerFigures {
        node: id_text(node.node),
        state: node.life.as_str(),
        round_trip: (node.life == Life::Alive && !node.round_trip.is_zero()).then_some(node.round_trip),
    });
    figures.collect()
}

fn engine(stats: EngineStats) -> EngineFigures {
    let pages = |count: usize| count as u64 * stats.kv_page_bytes;
    EngineFigures {
        passes: stats.passes,
        prefill_rows: stats.total.prefill_rows,
        decode_rows: stats.total.decode_rows,
        adopted_rows: stats.total.adopted_rows,
        bytes_read: stats.total.bytes_read,
        compute: Duration::from_micros(stats.total.compute_us),
        kv_used: pages(stats.kv_pages_used),
        kv_total: pages(stats.kv_pages_total),
        mask_passes: stats.masks.passes,
        mask_wait: stats.masks.waited,
    }
}
