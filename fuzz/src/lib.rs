//! What the fuzz targets share: GGUF files made from parts, and walks through texts of a schema.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

mod gguf;
pub mod schema;

pub use gguf::{GgufWriter, Value};

/// Puts the bytes in this process's one file: the engine maps files, it does not read slices.
pub fn on_disk(bytes: &[u8]) -> &'static PathBuf {
    static PATH: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("understudy-fuzz-{}.gguf", std::process::id())));
    fs::write(&*PATH, bytes).expect("the folder for temporary files can be written");
    &PATH
}
