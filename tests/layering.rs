//! Dependencies point inward: any edge between our crates that is not listed here fails.
//! The table is the one in docs/architecture.md.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate and the crates of this workspace it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("understudy-proto", &[]),
    ("understudy-kernels", &[]),
    ("understudy-grammars", &[]),
    ("understudy-calibration", &[]),
    ("understudy-engine", &["understudy-kernels"]),
    ("understudy-hub", &[]),
    ("understudy-sandbox", &[]),
    ("understudy-backend", &["understudy-engine", "understudy-grammars"]),
    (
        "understudy-actors",
        &["understudy-backend", "understudy-engine", "understudy-hub", "understudy-grammars"],
    ),
    (
        "understudy-router",
        &[
            "understudy-backend",
            "understudy-actors",
            "understudy-engine",
            "understudy-grammars",
            "understudy-calibration",
            "understudy-sandbox",
        ],
    ),
    (
        "understudy-remote",
        &[
            "understudy-proto",
            "understudy-backend",
            "understudy-actors",
            "understudy-engine",
            "understudy-grammars",
        ],
    ),
    (
        "understudy-cluster",
        &[
            "understudy-proto",
            "understudy-backend",
            "understudy-actors",
            "understudy-identity",
            "understudy-listener",
            "understudy-membership",
            "understudy-remote",
        ],
    ),
    ("understudy-ledger", &[]),
    ("understudy-listener", &[]),
    ("understudy-membership", &[]),
    (
        "understudy-gateway",
        &[
            "understudy-proto",
            "understudy-backend",
            "understudy-actors",
            "understudy-cluster",
            "understudy-remote",
            "understudy-router",
            "understudy-ledger",
            "understudy-listener",
            "understudy-telemetry",
            "understudy-engine",
            "understudy-hub",
        ],
    ),
    ("understudy-telemetry", &["understudy-backend", "understudy-router"]),
    (
        "understudy-http",
        &["understudy-proto", "understudy-backend", "understudy-router", "understudy-gateway"],
    ),
    ("understudy-identity", &[]),
    ("understudy-agents", &["understudy-proto", "understudy-calibration", "understudy-sandbox"]),
];

/// The binary may use everything.
const ROOT: &str = "understudy";

#[test]
fn dependencies_point_inward() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs");
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        if package.name == ROOT {
            continue;
        }
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} has no place in the layering table", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let is_ours = dependency.name.starts_with("understudy");
            let is_built_in = dependency.kind != DependencyKind::Development;
            if is_ours && is_built_in && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn engines_and_kernels_know_no_runtime() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs");
    for package in metadata.workspace_packages() {
        if !["understudy-kernels", "understudy-engine", "understudy-grammars"]
            .contains(&package.name.as_str())
        {
            continue;
        }
        for dependency in &package.dependencies {
            let is_runtime = ["tokio", "tonic", "ractor", "prost"].contains(&dependency.name.as_str());
            assert!(!is_runtime, "{} must not depend on {}", package.name, dependency.name);
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_kernels() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs");
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert_eq!(inherits, package.name != "understudy-kernels", "lints of {}", package.name);
    }
    let root =
        std::fs::read_to_string(metadata.workspace_root.join("Cargo.toml")).expect("a manifest is readable");
    assert!(root.contains("unsafe_code = \"forbid\""));
}
