//! Every method that is served, and how.
//!
//! The published ones are the union of both generations; ours are those of the client port of a coordinator. A test holds
//! the table against the descriptions of the services.

use flame_sdk::forward::Repeat;

/// How a method is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One answer, by whichever coordinator gives it.
    Call(Repeat),
    /// A stream of tasks, from the first to the last; begun again where it broke.
    List,
    /// A stream of one task's states, opened again until the last one.
    Watch,
    /// A stream of many tasks' states, opened again for those that have not ended.
    WatchMany,
    /// A stream to one coordinator. It ends with UNAVAILABLE when that one is gone; its clients open it again.
    Pipe,
}

const READ: Way = Way::Call(Repeat::Read);
const CHANGE: Way = Way::Call(Repeat::Change);
const SAME: Way = Way::Call(Repeat::Same);

/// Paths, and how they are served.
pub const METHODS: &[(&str, Way)] = &[
    ("/flame.v1.Frontend/RegisterApplication", CHANGE),
    ("/flame.v1.Frontend/UnregisterApplication", CHANGE),
    ("/flame.v1.Frontend/UpdateApplication", CHANGE),
    ("/flame.v1.Frontend/GetApplication", READ),
    ("/flame.v1.Frontend/ListApplication", READ),
    ("/flame.v1.Frontend/ListApplications", READ),
    ("/flame.v1.Frontend/ListExecutor", READ),
    ("/flame.v1.Frontend/ListExecutors", READ),
    ("/flame.v1.Frontend/ListNodes", READ),
    ("/flame.v1.Frontend/GetNode", READ),
    ("/flame.v1.Frontend/CreateSession", CHANGE),
    ("/flame.v1.Frontend/DeleteSession", CHANGE),
    ("/flame.v1.Frontend/OpenSession", CHANGE),
    ("/flame.v1.Frontend/CloseSession", CHANGE),
    ("/flame.v1.Frontend/SuspendSession", CHANGE),
    ("/flame.v1.Frontend/ResumeSession", CHANGE),
    ("/flame.v1.Frontend/GetSession", READ),
    ("/flame.v1.Frontend/ListSession", READ),
    ("/flame.v1.Frontend/ListSessions", READ),
    ("/flame.v1.Frontend/CreateTask", CHANGE),
    ("/flame.v1.Frontend/GetTask", READ),
    ("/flame.v1.Frontend/ListTask", Way::List),
    ("/flame.v1.Frontend/ListTasks", Way::List),
    ("/flame.v1.Frontend/WatchTask", Way::Watch),
    ("/flame.v1.Frontend/WatchTasks", Way::WatchMany),
    ("/flame.ha.v1.Sessions/Stream", Way::Pipe),
    // A repeat is known by its key, or changes nothing.
    ("/flame.ha.v1.Sessions/Run", SAME),
    ("/flame.ha.v1.Cluster/Members", READ),
    ("/flame.ha.v1.Cluster/MemberStatus", READ),
    ("/flame.ha.v1.Cluster/StateDigest", READ),
    ("/flame.ha.v1.Cluster/CancelTask", CHANGE),
    ("/flame.ha.v1.Cluster/ForceCloseSession", CHANGE),
    // To whoever is furthest, a repeat would hand on a second time.
    ("/flame.ha.v1.Cluster/TransferLeader", Way::Call(Repeat::Never)),
    ("/flame.ha.v1.Cluster/Upgrade", SAME),
    ("/flame.ha.v1.Membership/Change", SAME),
    ("/flame.ha.v1.Operate/ListNodeLoads", READ),
    ("/flame.ha.v1.Operate/GetNodeLoad", READ),
    ("/flame.ha.v1.Operate/CordonNode", CHANGE),
    ("/flame.ha.v1.Operate/DrainNode", CHANGE),
    ("/flame.ha.v1.Operate/ExplainTask", READ),
    ("/flame.ha.v1.Operate/ListClusterEvents", READ),
    ("/flame.ha.v1.Operate/ReadInstallLogs", READ),
    ("/flame.ha.v1.ObjectDirectory/Locate", READ),
    ("/flame.ha.v1.ObjectDirectory/List", READ),
    ("/flame.ha.v1.ObjectDirectory/Delete", CHANGE),
    ("/flame.ha.v1.ObjectDirectory/Nodes", READ),
    ("/flame.ha.v1.ObjectDirectory/Remove", CHANGE),
    ("/flame.ha.v1.Backup/Take", Way::Pipe),
    ("/grpc.health.v1.Health/Check", READ),
    ("/grpc.health.v1.Health/Watch", Way::Pipe),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Way::Pipe),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Way::Pipe),
];

/// The method of a path, if it is served.
#[must_use]
pub fn find(path: &str) -> Option<(&'static str, Way)> {
    METHODS.iter().find(|(known, _)| *known == path).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Services that coordinators do not serve on the client port.
    const ELSEWHERE: &[&str] = &[
        "flame.v1.Instance",
        "flame.ha.v1.WorkerHub",
        "flame.ha.v1.LeaderNews",
        "flame.ha.v1.ServiceStream",
        "flame.ha.v1.Raft",
        "flame.ha.v1.Forward",
        "flame.ha.v1.Bootstrap",
        "flame.ha.v1.CacheNodes",
        "flame.ha.v1.Objects",
        "flame.v1.ObjectCacheService",
    ];

    #[test]
    fn every_method_of_the_client_port_is_served_in_its_shape() {
        let ours = FileDescriptorSet::decode(flame_proto::FILE_DESCRIPTOR_SET).unwrap();
        let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        let mut described = BTreeSet::new();
        for file in ours.file.iter().chain(&health.file) {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                if ELSEWHERE.contains(&name.as_str()) {
                    continue;
                }
                for method in &service.method {
                    let path = format!("/{name}/{}", method.name());
                    let Some((_, way)) = find(&path) else {
                        panic!("{path} is not in the table (proxy/src/method.rs)")
                    };
                    let shape = match way {
                        Way::Call(_) => Some((false, false)),
                        Way::List | Way::Watch => Some((false, true)),
                        Way::WatchMany => Some((true, true)),
                        Way::Pipe => None,
                    };
                    let described_shape = (method.client_streaming(), method.server_streaming());
                    assert!(shape.is_none_or(|shape| shape == described_shape), "{path}: {way:?}");
                    assert!(shape.is_some() || method.server_streaming(), "{path} has one answer");
                    described.insert(path);
                }
            }
        }
        let others = METHODS.iter().filter(|(path, _)| !described.contains(*path));
        assert!(
            others.clone().all(|(path, _)| path.starts_with("/grpc.reflection.")),
            "{:?}",
            others.collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_path_that_is_not_served_has_no_method() {
        assert_eq!(find("/flame.v1.Frontend/GetSession"), Some(("/flame.v1.Frontend/GetSession", READ)));
        for path in ["/flame.v1.Backend/RegisterNode", "/flame.v1.Frontend/getsession", "/", ""] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
