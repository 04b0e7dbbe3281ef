//! The YAML that each daemon gets, as a user would write it.

use std::fmt::Write as _;
use std::path::Path;

use flame_types::CoordinatorId;

use crate::certificates::Certificates;
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
    tls: Option<&Certificates>,
) -> String {
    let mut yaml = alone(cluster, me, profile, data_dir, tls) + "  members:\n";
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
    tls: Option<&Certificates>,
) -> String {
    let join: Vec<_> = join.iter().map(|address| format!("\"{address}\"")).collect();
    alone(cluster, me, profile, data_dir, tls) + &format!("  join: [{}]\n", join.join(", "))
}

/// What every coordinator's file begins with.
fn alone(cluster: &str, me: &MemberAddresses, profile: Profile, data_dir: &Path, tls: Option<&Certificates>) -> String {
    let mut yaml = cluster_section(cluster, &me.client, tls);
    if let Some(Certificates { coordinator, ca, .. }) = tls {
        let _ =
            writeln!(yaml, "    cert_file: {}\n    key_file: {}", quoted(&coordinator.cert), quoted(&coordinator.key));
        let _ = writeln!(yaml, "    client_ca_file: {}", quoted(ca));
    }
    let insecure = tls.is_none();
    let _ = write!(
        yaml,
        "coordinator:\n  id: {}\n  data_dir: {}\n  disk_floor: {DISK_FLOOR}\n  profile: {}\n  insecure: {insecure}\n  listen:\n    client: {}\n    worker: {}\n    peer: {}\n    metrics: {ANY_PORT}\n",
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
    tls: Option<&Certificates>,
) -> String {
    let endpoint = members.first().map_or("", |member| member.client.as_str());
    let mut yaml = cluster_section(cluster, endpoint, tls);
    let scheme = scheme(tls);
    let coordinators: Vec<_> = members.iter().map(|member| format!("\"{scheme}://{}\"", member.worker)).collect();
    let _ = write!(
        yaml,
        "worker:\n  name: {name}\n  insecure: {}\n  coordinators: [{}]\n  resources: \"{resources}\"\n  work_dir: {}\n  socket_dir: {}\n  log_dir: {}\n",
        tls.is_none(),
        coordinators.join(", "),
        quoted(&folder.join("work")),
        quoted(socket_dir),
        quoted(&folder.join("logs")),
    );
    if let Some(Certificates { client, .. }) = tls {
        let (cert, key) = (quoted(&client.cert), quoted(&client.key));
        let _ = write!(yaml, "  tls:\n    cert_file: {cert}\n    key_file: {key}\n");
    }
    yaml
}

/// The file of a cache: its certificates. All else is said by flags.
pub(crate) fn cache(Certificates { coordinator, ca, .. }: &Certificates) -> String {
    let (cert, key, ca) = (quoted(&coordinator.cert), quoted(&coordinator.key), quoted(ca));
    format!("cache:\n  tls:\n    cert_file: {cert}\n    key_file: {key}\n    ca_file: {ca}\n")
}

/// How listeners are spoken to.
pub(crate) fn scheme(tls: Option<&Certificates>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

/// Ends with the section of certificates, if there is one.
fn cluster_section(name: &str, endpoint: &str, tls: Option<&Certificates>) -> String {
    let mut yaml = format!("cluster:\n  name: {name}\n  endpoint: {}://{endpoint}\n", scheme(tls));
    if let Some(Certificates { ca, .. }) = tls {
        let _ = write!(yaml, "  tls:\n    ca_file: {}\n", quoted(ca));
    }
    yaml
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
        let yaml = coordinator("test", &members[1], &members, Profile::Fast, Path::new("/data/2"), None);
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
        let yaml = joiner("test", &member(4), &["127.0.0.1:1".to_owned()], Profile::Fast, Path::new("/data/4"), None);
        assert!(yaml.ends_with("    metrics: 127.0.0.1:0\n  join: [\"127.0.0.1:1\"]\n"), "{yaml}");
        assert!(!yaml.contains("members"), "{yaml}");
    }

    #[test]
    fn with_certificates_nothing_is_insecure() {
        let pair = |name: &str| crate::certificates::CertifiedKey {
            cert: format!("/c/{name}.pem").into(),
            key: format!("/c/{name}.key").into(),
        };
        let certificates = Certificates {
            ca: "/c/ca.pem".into(),
            coordinator: pair("coordinator"),
            client: pair("client"),
            expired: pair("expired"),
            misnamed: pair("misnamed"),
            strangers_ca: "/c/s.pem".into(),
            stranger: pair("stranger"),
        };
        let tls = Some(&certificates);
        let yaml = coordinator("test", &member(1), &[member(1)], Profile::Fast, Path::new("/data/1"), tls);
        let section = r#"  endpoint: https://127.0.0.1:20010
  tls:
    ca_file: "/c/ca.pem"
    cert_file: "/c/coordinator.pem"
    key_file: "/c/coordinator.key"
    client_ca_file: "/c/ca.pem"
coordinator:
"#;
        assert!(yaml.contains(section) && yaml.contains("  insecure: false\n"), "{yaml}");
        let yaml = worker("test", "w1", &[member(1)], "cpu=2,mem=1g", Path::new("/w"), Path::new("/s"), tls);
        assert!(
            yaml.contains(r#"coordinators: ["https://127.0.0.1:20011"]"#) && yaml.contains("insecure: false"),
            "{yaml}"
        );
        assert!(
            yaml.ends_with("  tls:\n    cert_file: \"/c/client.pem\"\n    key_file: \"/c/client.key\"\n"),
            "{yaml}"
        );
    }

    #[test]
    fn a_worker_file_names_all_coordinators() {
        let yaml =
            worker("test", "w1", &[member(1), member(2)], "cpu=2,mem=1g", Path::new("/w"), Path::new("/s"), None);
        assert!(yaml.contains(r#"coordinators: ["http://127.0.0.1:20011", "http://127.0.0.1:20021"]"#), "{yaml}");
        assert!(yaml.contains("resources: \"cpu=2,mem=1g\""), "{yaml}");
    }
}
