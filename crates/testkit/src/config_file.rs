//! The YAML that each daemon gets, as a user would write it.

use std::fmt::Write as _;
use std::path::Path;

use flame_types::CoordinatorId;

use crate::options::Profile;

/// Where what nobody else has to find is served: the daemon says in its first line where that is.
const ANY_PORT: &str = "127.0.0.1:0";

/// Free disk that a coordinator asks for. The default suits a machine that runs one: many in a test share a disk with a
/// build, and each sets a quarter of it aside.
const DISK_FLOOR: &str = "64m";

/// One line of the list of members.
#[derive(Clone, Debug)]
pub(crate) struct MemberAddresses {
    pub(crate) id: CoordinatorId,
    pub(crate) client: String,
    pub(crate) worker: String,
    pub(crate) peer: String,
}

/// The file of the coordinator `me`.
pub(crate) fn coordinator(
    cluster: &str,
    me: &MemberAddresses,
    members: &[MemberAddresses],
    profile: Profile,
    data_dir: &Path,
) -> String {
    let mut yaml = alone(cluster, me, profile, data_dir) + "  members:\n";
    for member in members {
        let MemberAddresses { id, client, worker, peer } = member;
        let _ = writeln!(yaml, "    - {{ id: {id}, client: {client}, worker: {worker}, peer: {peer} }}");
    }
    yaml
}

/// The file of the coordinator `me`, which asks members at these peer addresses to be added.
pub(crate) fn joiner(
    cluster: &str,
    me: &MemberAddresses,
    join: &[String],
    profile: Profile,
    data_dir: &Path,
) -> String {
    let join: Vec<_> = join.iter().map(|address| format!("\"{address}\"")).collect();
    alone(cluster, me, profile, data_dir) + &format!("  join: [{}]\n", join.join(", "))
}

/// What every coordinator's file begins with.
fn alone(cluster: &str, me: &MemberAddresses, profile: Profile, data_dir: &Path) -> String {
    let mut yaml = cluster_section(cluster, &me.client);
    let _ = write!(
        yaml,
        "coordinator:\n  id: {}\n  data_dir: {}\n  disk_floor: {DISK_FLOOR}\n  profile: {}\n  insecure: true\n  listen:\n    client: {}\n    worker: {}\n    peer: {}\n    metrics: {ANY_PORT}\n",
        me.id,
        quoted(data_dir),
        profile.name(),
        me.client,
        me.worker,
        me.peer
    );
    yaml
}

/// The file of a worker.
pub(crate) fn worker(
    cluster: &str,
    name: &str,
    members: &[MemberAddresses],
    resources: &str,
    folder: &Path,
    socket_dir: &Path,
) -> String {
    let endpoint = members.first().map_or("", |member| member.client.as_str());
    let mut yaml = cluster_section(cluster, endpoint);
    let coordinators: Vec<_> = members.iter().map(|member| format!("\"http://{}\"", member.worker)).collect();
    let _ = write!(
        yaml,
        "worker:\n  name: {name}\n  insecure: true\n  coordinators: [{}]\n  resources: \"{resources}\"\n  work_dir: {}\n  socket_dir: {}\n  log_dir: {}\n",
        coordinators.join(", "),
        quoted(&folder.join("work")),
        quoted(socket_dir),
        quoted(&folder.join("logs")),
    );
    yaml
}

fn cluster_section(name: &str, endpoint: &str) -> String {
    format!("cluster:\n  name: {name}\n  endpoint: http://{endpoint}\n")
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> MemberAddresses {
        let at = |port: u64| format!("127.0.0.1:{port}");
        MemberAddresses {
            id: CoordinatorId(id),
            client: at(20_000 + 10 * id),
            worker: at(20_001 + 10 * id),
            peer: at(20_002 + 10 * id),
        }
    }

    #[test]
    fn a_coordinator_file_lists_every_member() {
        let members = [member(1), member(2)];
        let yaml = coordinator("test", &members[1], &members, Profile::Fast, Path::new("/data/2"));
        let expected = r#"cluster:
  name: test
  endpoint: http://127.0.0.1:20020
coordinator:
  id: 2
  data_dir: "/data/2"
  disk_floor: 64m
  profile: fast
  insecure: true
  listen:
    client: 127.0.0.1:20020
    worker: 127.0.0.1:20021
    peer: 127.0.0.1:20022
    metrics: 127.0.0.1:0
  members:
    - { id: 1, client: 127.0.0.1:20010, worker: 127.0.0.1:20011, peer: 127.0.0.1:20012 }
    - { id: 2, client: 127.0.0.1:20020, worker: 127.0.0.1:20021, peer: 127.0.0.1:20022 }
"#;
        assert_eq!(yaml, expected);
    }

    #[test]
    fn a_joiner_lists_no_members() {
        let yaml = joiner("test", &member(4), &["127.0.0.1:1".to_owned()], Profile::Fast, Path::new("/data/4"));
        assert!(yaml.ends_with("    metrics: 127.0.0.1:0\n  join: [\"127.0.0.1:1\"]\n"), "{yaml}");
        assert!(!yaml.contains("members"), "{yaml}");
    }

    #[test]
    fn a_worker_file_names_all_coordinators() {
        let yaml = worker("test", "w1", &[member(1), member(2)], "cpu=2,mem=1g", Path::new("/w"), Path::new("/s"));
        assert!(yaml.contains(r#"coordinators: ["http://127.0.0.1:20011", "http://127.0.0.1:20021"]"#), "{yaml}");
        assert!(yaml.contains("resources: \"cpu=2,mem=1g\""), "{yaml}");
    }
}
