//! Any bytes as a model file: opened, and asked for two tokens with each kind of activations.
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
    let path = on_disk(file);
    for activations in Activations::ALL {
        if open::open_and_ask(path, activations, &POOL) < open::Reached::Engine {
            break; // what refused it reads no weights
        }
    }
});
