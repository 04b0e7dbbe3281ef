//! Which crate may use which. Anything that is not listed is forbidden.
//!
//! The two pictures to keep: the machine knows nothing but its vocabulary, so it stays a pure function; and openraft,
//! RocksDB and bincode each stay behind one fence, so that replacing one of them is the work of one folder.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::step::output_of;

/// What a crate of ours may use of ours.
const OURS: &[(&str, &[&str])] = &[
    ("flame-types", &[]),
    ("flame-machine", &["flame-types"]),
    ("flame-clock", &["flame-types"]),
    ("flame-config", &["flame-types"]),
    ("flame-metrics", &["flame-clock"]),
    ("flame-telemetry", &["flame-types", "flame-metrics"]),
    ("flame-listen", &["flame-tls"]),
    ("flame-tls", &[]),
    ("flame-proto", &["flame-types"]),
    ("flame-storage", &["flame-types", "flame-metrics"]),
    (
        "flame-coordinator",
        &[
            "flame-types",
            "flame-machine",
            "flame-clock",
            "flame-config",
            "flame-metrics",
            "flame-telemetry",
            "flame-listen",
            "flame-tls",
            "flame-proto",
            "flame-storage",
        ],
    ),
    (
        "flame-worker",
        &[
            "flame-types",
            "flame-clock",
            "flame-config",
            "flame-metrics",
            "flame-telemetry",
            "flame-listen",
            "flame-tls",
            "flame-proto",
            "flame-proxy",
        ],
    ),
    (
        "flame-cache",
        &[
            "flame-types",
            "flame-clock",
            "flame-config",
            "flame-metrics",
            "flame-telemetry",
            "flame-listen",
            "flame-tls",
            "flame-proto",
        ],
    ),
    ("flame-sdk-macros", &[]),
    ("flame-sdk", &["flame-types", "flame-clock", "flame-tls", "flame-proto", "flame-sdk-macros"]),
    ("flame-example-echo", &["flame-sdk"]),
    ("flame-example-pi", &["flame-sdk"]),
    ("flame-proxy", &["flame-types", "flame-proto", "flame-listen", "flame-sdk"]),
    ("flame-ctl", &["flame-sdk", "flame-types", "flame-config", "flame-proxy"]),
    ("flame-testkit", &["flame-types", "flame-clock", "flame-config", "flame-tls", "flame-proto", "flame-sdk"]),
    ("flame-jepsen", &["flame-types", "flame-testkit", "flame-sdk"]),
    ("flame-chaos", &["flame-types", "flame-proto", "flame-testkit", "flame-sdk", "flame-jepsen"]),
    ("flame-conformance", &["flame-types", "flame-testkit", "flame-sdk", "flame-jepsen"]),
    ("flame-bench", &["flame-types", "flame-proto", "flame-testkit", "flame-sdk", "flame-jepsen", "flame-chaos"]),
    ("xtask", &[]),
];

/// What a crate of ours may use in its tests besides.
const IN_TESTS: &[&str] = &["flame-testkit"];

/// Dependencies of others that stay behind a fence: who may use them.
const FENCES: &[(&str, &[&str])] = &[
    ("openraft", &["flame-coordinator", "flame-storage"]),
    ("rocksdb", &["flame-storage"]),
    ("bincode", &["flame-storage"]),
    ("serde-saphyr", &["flame-config", "flame-ctl", "flame-sdk", "flame-chaos"]),
    ("tracing-subscriber", &["flame-telemetry"]),
    ("metrics", &["flame-metrics"]),
    ("metrics-exporter-prometheus", &["flame-telemetry"]),
    ("axum", &["flame-coordinator", "flame-worker", "flame-cache"]),
    ("arrow-flight", &["flame-cache"]),
    ("arrow-ipc", &["flame-cache"]),
    ("arrow-array", &["flame-cache"]),
    ("tokio-rustls", &["flame-tls"]),
    ("rustls-native-certs", &["flame-tls"]),
    ("rcgen", &["flame-testkit"]),
    ("rmp-serde", &["flame-sdk"]),
    ("syn", &["flame-sdk-macros"]),
];

/// Dependencies of others that would end the purity of a crate.
const PURE: &[(&str, &[&str])] = &[
    ("flame-types", &["tokio", "tonic", "prost", "tracing", "rand", "futures", "uuid"]),
    ("flame-machine", &["tokio", "tonic", "prost", "tracing", "rand", "futures", "uuid", "tokio-util"]),
    ("flame-storage", &["tonic", "prost"]),
];

/// One package of the workspace and what it names in its manifest.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    manifest: String,
    uses: Vec<Use>,
}

#[derive(Debug)]
struct Use {
    name: String,
    only_in_tests: bool,
}

/// The packages of the workspace, as cargo sees them.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let text = output_of(root, "cargo", &["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    packages.iter().map(|package| read_package(root, package)).collect()
}

fn read_package(root: &Path, package: &Value) -> Result<Package> {
    let text = |value: &Value, key: &str| -> Result<String> {
        Ok(value[key].as_str().with_context(|| format!("cargo metadata has no {key}"))?.to_owned())
    };
    let manifest = text(package, "manifest_path")?;
    let manifest = Path::new(&manifest).strip_prefix(root).map_or(manifest.clone(), |path| path.display().to_string());
    let mut uses = Vec::new();
    for dependency in package["dependencies"].as_array().context("cargo metadata has no dependencies")? {
        uses.push(Use { name: text(dependency, "name")?, only_in_tests: dependency["kind"] == "dev" });
    }
    Ok(Package { name: text(package, "name")?, manifest, uses })
}

pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    packages.iter().flat_map(|package| check_package(package, &names)).collect()
}

fn check_package(package: &Package, ours: &[&str]) -> Vec<Finding> {
    let finding = |what: String| Finding::new(&package.manifest, 0, what);
    let Some((_, allowed)) = OURS.iter().find(|(name, _)| *name == package.name) else {
        return vec![finding(format!("{} is not in the table of crates (xtask/src/tidy/edges.rs)", package.name))];
    };
    let mut findings = Vec::new();
    for Use { name, only_in_tests } in &package.uses {
        let allowed_in_tests = *only_in_tests && (IN_TESTS.contains(&name.as_str()) || *name == package.name);
        if ours.contains(&name.as_str()) && !allowed.contains(&name.as_str()) && !allowed_in_tests {
            findings.push(finding(format!("{} must not use {name}", package.name)));
        }
        let listed = |table: &[(&str, &'static [&'static str])], key: &str| {
            table.iter().find(|(name, _)| *name == key).map(|(_, members)| *members)
        };
        if listed(FENCES, name).is_some_and(|members| !members.contains(&package.name.as_str())) {
            findings.push(finding(format!("{} must not use {name}, which stays behind its fence", package.name)));
        }
        let taboo = listed(PURE, &package.name).unwrap_or_default();
        if !only_in_tests && taboo.contains(&name.as_str()) {
            findings.push(finding(format!("{} must not use {name}: it stays pure", package.name)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_use(name: &str, used: &str, only_in_tests: bool, expected: usize) {
        let uses = vec![Use { name: used.to_owned(), only_in_tests }];
        let package = Package { name: name.to_owned(), manifest: "Cargo.toml".to_owned(), uses };
        let ours: Vec<_> = OURS.iter().map(|(name, _)| *name).collect();
        assert_eq!(check_package(&package, &ours).len(), expected, "{name} uses {used}");
    }

    #[test]
    fn the_machine_knows_its_vocabulary_only() {
        check_use("flame-machine", "flame-types", false, 0);
        check_use("flame-machine", "flame-storage", false, 1);
        check_use("flame-machine", "tokio", false, 1);
        check_use("flame-machine", "tokio", true, 0);
        check_use("flame-machine", "proptest", true, 0);
    }

    #[test]
    fn fences_hold_in_tests_too() {
        check_use("flame-storage", "openraft", false, 0);
        check_use("flame-worker", "openraft", true, 1);
        check_use("flame-coordinator", "bincode", false, 1);
    }

    #[test]
    fn only_tests_may_use_the_testkit() {
        check_use("flame-sdk", "flame-testkit", true, 0);
        check_use("flame-sdk", "flame-testkit", false, 1);
    }

    #[test]
    fn a_new_crate_must_enter_the_table() {
        check_use("flame-new", "serde", false, 1);
    }

    #[test]
    fn the_table_holds_for_the_workspace() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(&packages(root).unwrap()), []);
    }
}
