//! The samples that are handed out can be used as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flame_config::ClusterFile;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples").join(name)
}

fn load(name: &str) -> ClusterFile {
    let none: BTreeMap<&str, &str> = BTreeMap::new();
    let file = ClusterFile::load(Some(&sample(name)), &none).unwrap();
    assert_eq!(file.warnings(), Vec::<String>::new(), "{name} sets what has no effect");
    file
}

#[test]
fn a_single_node_serves_both_daemons() {
    let file = load("single-node.yaml");
    let coordinator = file.coordinator().unwrap();
    assert_eq!(coordinator.members.len(), 1);
    assert_eq!(file.worker().unwrap().coordinators[0].address, coordinator.listen.worker);
}

#[test]
fn three_nodes_agree_on_who_they_are() {
    let nodes = [1, 2, 3].map(|id| load(&format!("three-nodes/node{id}.yaml")).coordinator().unwrap());
    for (node, id) in nodes.iter().zip(1..) {
        assert_eq!(node.id.0, id);
        assert_eq!(node.members, nodes[0].members);
        assert_eq!(node.cluster.name, nodes[0].cluster.name);
    }
    let worker = load("three-nodes/worker.yaml").worker().unwrap();
    let reached: Vec<_> = worker.coordinators.iter().map(|endpoint| &endpoint.address).collect();
    let served: Vec<_> = nodes[0].members.iter().map(|member| &member.worker).collect();
    assert_eq!(reached, served);
    assert_eq!(worker.cluster.name, nodes[0].cluster.name);
}

#[test]
fn samples_for_several_hosts_say_first_that_traffic_is_plaintext() {
    for name in ["node1.yaml", "node2.yaml", "node3.yaml", "worker.yaml"] {
        let text = std::fs::read_to_string(sample(&format!("three-nodes/{name}"))).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.contains("PLAINTEXT"), "{name} begins with {first:?}");
    }
}
