//! Any bytes as a model file: opened, and asked for two tokens. Its length chooses the kind of activations: all
//! of them on every file are a quarter of the files.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use understudy_engine::ComputePool;
use understudy_engine::model::Activations;
use understudy_fuzz::on_disk;

#[path = "../../models/engine/tests/hostile/open.rs"]
mod open;

static POOL: LazyLock<Arc<ComputePool>> = LazyLock::new(|| Arc::new(ComputePool::new(1)));

fuzz_target!(|file: &[u8]| {
    let activations = Activations::ALL[file.len() % Activations::ALL.len()];
    open::open_and_ask(on_disk(file), activations, &POOL);
});
