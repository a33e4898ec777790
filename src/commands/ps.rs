//! `understudy ps`: the slots of a running node.

use std::time::Duration;

use serde_json::{Value, json};
use understudy_proto::v1::{ModelStatus, NumericsGate};

use crate::cli::Ps;
use crate::error::Error;
use crate::render::{bytes, line, table};
use crate::source::connect;

const TIMEOUT: Duration = Duration::from_secs(5);

pub async fn run(args: &Ps) -> Result<(), Error> {
    let client = connect(args.server.named_or_here(), TIMEOUT).await?;
    let slots: Vec<ModelStatus> = client.models(TIMEOUT).await?;
    if args.json {
        return line(&Value::Array(slots.iter().map(as_json).collect()).to_string());
    }
    let rows = slots.iter().map(|slot| {
        vec![
            slot.model.clone(),
            slot.state.clone(),
            slot.active.to_string(),
            slot.waiting.to_string(),
            if slot.decode_tok_s > 0.0 { format!("{:.1}", slot.decode_tok_s) } else { "-".to_owned() },
            bytes(slot.bytes),
            slot.restarts.to_string(),
            slot.detail.clone(),
        ]
    });
    line(&table(&["MODEL", "STATE", "ACTIVE", "WAITING", "TOK/S", "SIZE", "RESTARTS", "DETAIL"], rows))
}

fn as_json(slot: &ModelStatus) -> Value {
    let gate =
        |gate: &NumericsGate| json!({"kernel": gate.kernel, "state": gate.state, "detail": gate.detail});
    json!({
        "model": slot.model, "state": slot.state, "detail": slot.detail,
        "active": slot.active, "waiting": slot.waiting, "decode_tok_s": slot.decode_tok_s,
        "bytes": slot.bytes, "numerics": slot.numerics, "context": slot.context,
        "restarts": slot.restarts, "gates": slot.gates.iter().map(gate).collect::<Vec<_>>(),
    })
}
