//! Weights for tests.

use std::sync::atomic::AtomicBool;

use understudy_hub::Puller;

/// Makes sure that models are on disk, fetching what is missing. Fails loudly when it cannot.
pub fn ensure_models(names: &[&str]) {
    let puller = Puller::from_env().expect("a models folder");
    for name in names {
        let pulled = puller.pull(name, &mut |_| (), &AtomicBool::new(false));
        pulled.unwrap_or_else(|error| panic!("this test needs the model {name}: {error}"));
    }
}
