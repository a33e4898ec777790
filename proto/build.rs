//! Compiles the protos without `protoc`, and keeps their comments for reflection.

use std::{env, error::Error, fs, path::Path};

/// What clients see, by the name of its descriptors.
const PUBLIC: (&str, &[&str]) = (
    "understudy.v1.bin",
    &["understudy/v1/cluster.proto", "understudy/v1/inference.proto", "understudy/v1/models.proto"],
);
/// What the nodes of a cluster say to each other.
const NODE: (&str, &[&str]) = (
    "understudy.node.v1.bin",
    &["understudy/node/v1/peers.proto", "understudy/node/v1/shadows.proto", "understudy/node/v1/verbs.proto"],
);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = env::var("OUT_DIR")?;
    for ((name, files), imports) in [(PUBLIC, true), (NODE, false)] {
        fs::write(Path::new(&out).join(name), compiler(files, imports)?.encode_file_descriptor_set())?;
    }
    let all = [PUBLIC.1, NODE.1].concat();
    tonic_prost_build::configure().compile_fds(compiler(&all, true)?.file_descriptor_set())?;
    Ok(())
}

fn compiler(files: &[&str], imports: bool) -> Result<protox::Compiler, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(imports).open_files(files)?;
    Ok(compiler)
}
