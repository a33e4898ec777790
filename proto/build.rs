//! Compiles the protos without `protoc`, and keeps their comments for reflection.

use std::{env, error::Error, fs, path::Path};

const FILES: [&str; 2] = ["understudy/v1/inference.proto", "understudy/v1/models.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let descriptors = Path::new(&env::var("OUT_DIR")?).join("understudy.v1.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
