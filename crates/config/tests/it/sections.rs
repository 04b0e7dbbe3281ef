//! The typed sections: defaults, addresses, checks across values.

use std::path::Path;
use std::time::Duration;

use flame_config::{Flags, LogSection, Profile};

use crate::support::{THREE_MEMBERS, load, load_all};

/// The coordinator section is refused with a message that has this part.
fn check_refused(coordinator: &str, part: &str) {
    let error = load(&format!("coordinator: {coordinator}")).unwrap().coordinator().unwrap_err().to_string();
    assert!(error.contains(part), "{coordinator}\n{error}\nlacks {part:?}");
}

#[test]
fn nothing_set_is_a_cluster_of_one_on_loopback() {
    let section = load("").unwrap().coordinator().unwrap();
    assert_eq!(section.listen.client.to_string(), "127.0.0.1:8080");
    assert_eq!(section.listen.worker.to_string(), "127.0.0.1:8081");
    assert_eq!(section.listen.peer.to_string(), "127.0.0.1:8082");
    assert_eq!(section.members.len(), 1);
    assert_eq!((section.members[0].id.0, section.id.0), (1, 1));
    assert_eq!(section.profile, Profile::Default);
    assert!(!section.insecure);
}

#[test]
fn metrics_have_an_address_or_none() {
    let metrics = |text: &str| load(text).unwrap().coordinator().unwrap().listen.metrics.map(|at| at.to_string());
    assert_eq!(metrics("").as_deref(), Some("127.0.0.1:9180"));
    assert_eq!(metrics("coordinator: { listen: { metrics: 127.0.0.1:0 } }").as_deref(), Some("127.0.0.1:0"));
    assert_eq!(metrics("coordinator: { listen: { metrics: off } }"), None);
    check_refused(
        "{ listen: { metrics: '9180' } }",
        "coordinator.listen.metrics (c.yaml, line 1): \"9180\" has no port",
    );
    check_refused("{ listen: { metrics: 0.0.0.0:9180 } }", "0.0.0.0:9180 lies beyond this machine");

    let worker = |text: &str| load(text).unwrap().worker();
    assert_eq!(worker("").unwrap().metrics, None);
    let metrics = worker("worker: { metrics: 127.0.0.1:9181 }").unwrap().metrics;
    assert_eq!(metrics.map(|at| at.port()), Some(9181));
    let error = worker("worker: { metrics: 0.0.0.0:9181 }").unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:9181 lies beyond this machine"), "{error}");
    assert!(worker("worker: { insecure: true, metrics: 0.0.0.0:9181 }").is_ok());
}

#[test]
fn the_log_has_limits() {
    let log = |text: &str| load(text).unwrap().coordinator().unwrap().log;
    let LogSection { bytes_max, bytes_kept, snapshot_rate, behind_max } = log("");
    assert_eq!((bytes_max, bytes_kept), (1 << 30, 256 << 20));
    assert_eq!((snapshot_rate, behind_max), (64 << 20, 100_000));
    let small = log("coordinator: { log_bytes: 64k, log_kept: 0, snapshot_rate: 0, behind_max: 100 }");
    let expected = LogSection { bytes_max: 64 << 10, bytes_kept: 0, snapshot_rate: 0, behind_max: 100 };
    assert_eq!(small, expected);
    check_refused("{ log_bytes: 63k }", "\"63k\" is less than 65536 bytes");
    check_refused("{ snapshot_rate: 1k }", "\"1k\" is less than 65536 bytes a second; 0 means no limit");
    check_refused("{ snapshot_rate: fast }", "is no amount of bytes");
    check_refused("{ behind_max: 99 }", "is too small; write at least 100");
}

#[test]
fn ports_follow_the_published_endpoint() {
    let config = load("cluster: { endpoint: http://127.0.0.1:9000 }").unwrap();
    assert_eq!(config.coordinator().unwrap().listen.worker.to_string(), "127.0.0.1:9001");
    assert_eq!(config.worker().unwrap().coordinators[0].to_string(), "http://127.0.0.1:9001");
    let error = load("cluster: { endpoint: http://127.0.0.1:65534 }").unwrap().coordinator().unwrap_err().to_string();
    assert!(error.contains("leaves no port for coordinator.listen.peer"), "{error}");
}

#[test]
fn one_file_serves_every_member() {
    let file = format!("coordinator:{THREE_MEMBERS}");
    let flags = Flags::default().set("coordinator.id", "--id", Some(2));
    let section = load_all(&file, &[], &flags).unwrap().coordinator().unwrap();
    assert_eq!(section.listen.peer.to_string(), "127.0.0.1:22");
    let ids: Vec<_> = section.members.iter().map(|member| member.id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn members_can_come_from_the_environment_and_from_flags() {
    let text = "id=1,client=127.0.0.1:1,worker=127.0.0.1:2,peer=127.0.0.1:3";
    let by_environment = load_all("", &[("FLAME_COORDINATOR_MEMBERS", text)], &Flags::default()).unwrap();
    let flags = Flags::default().set_list("coordinator.members", "--member", vec![text.to_owned()]);
    let by_flag = load_all("", &[], &flags).unwrap();
    assert_eq!(by_environment.coordinator().unwrap(), by_flag.coordinator().unwrap());
    assert_eq!(by_flag.coordinator().unwrap().listen.peer.to_string(), "127.0.0.1:3");
}

#[test]
fn contradictions_among_members_are_refused() {
    let a = "{ id: 1, client: 127.0.0.1:1, worker: 127.0.0.1:2, peer: 127.0.0.1:3 }";
    let b = "{ id: 2, client: 127.0.0.1:4, worker: 127.0.0.1:5, peer: 127.0.0.1:6 }";
    let c = "{ id: 2, client: 127.0.0.1:7, worker: 127.0.0.1:8, peer: 127.0.0.1:9 }";
    let d = "{ id: 3, client: 127.0.0.1:7, worker: 127.0.0.1:1, peer: 127.0.0.1:9 }";
    check_refused(&format!("{{ members: [{a}, {b}] }}"), "has 2 members; a cluster has 1, 3 or 5");
    check_refused(&format!("{{ members: [{a}, {b}, {c}] }}"), "names the id 2 twice");
    check_refused(&format!("{{ members: [{a}, {b}, {d}] }}"), "names the address 127.0.0.1:1 twice");
    check_refused(&format!("{{ id: 4, members: [{a}] }}"), "is not among coordinator.members, which has 1");
}

#[test]
fn a_node_joins_a_cluster_or_lists_its_members() {
    let a = "{ id: 1, client: 127.0.0.1:1, worker: 127.0.0.1:2, peer: 127.0.0.1:3 }";
    check_refused(&format!("{{ members: [{a}], join: [127.0.0.1:3] }}"), "a node begins a cluster or joins one");
    check_refused("{ join: [127.0.0.1] }", "has no port");
    check_refused("{ join: [10.0.0.1:8082] }", "10.0.0.1:8082 lies beyond this machine");
    let flags = Flags::default().set("coordinator.id", "--id", Some(4)).set_list(
        "coordinator.join",
        "--join",
        ["127.0.0.1:3,127.0.0.1:6", "127.0.0.1:3"].map(str::to_owned),
    );
    let section = load_all("", &[], &flags).unwrap().coordinator().unwrap();
    assert!(section.members.is_empty(), "it lists nobody, itself included");
    let join: Vec<_> = section.join.iter().map(ToString::to_string).collect();
    assert_eq!(join, ["127.0.0.1:3", "127.0.0.1:6"]);
}

#[test]
fn broken_members_are_refused_with_the_grammar() {
    check_refused("{ members: [{ id: 1 }] }", "has no client; write a member like id=1");
    check_refused("{ members: [{ id: 0, client: a:1, worker: a:2, peer: a:3 }] }", "ids are whole numbers from 1");
    check_refused("{ members: [{ id: 1, client: a }] }", "has no port");
    check_refused("{ members: [{ id: 1, cleint: a:1 }] }", "unknown key \"cleint\"");
    check_refused("{ members: [one] }", "has \"one\"");
}

#[test]
fn plaintext_beyond_this_machine_must_be_asked_for() {
    check_refused("{ listen: { client: 0.0.0.0:8080 } }", "0.0.0.0:8080 lies beyond this machine");
    check_refused("{ members: [{ id: 1, client: a:1, worker: a:2, peer: a:3 }] }", "a:1 lies beyond this machine");
    assert!(load("coordinator: { insecure: true, listen: { client: 0.0.0.0:8080 } }").unwrap().coordinator().is_ok());

    let error = load("worker: { coordinators: [http://node1:8081] }").unwrap().worker().unwrap_err().to_string();
    assert!(error.contains("http://node1:8081 lies beyond this machine"), "{error}");
    let allowed = load("worker: { insecure: true, coordinators: [http://node1:8081] }").unwrap();
    assert!(allowed.worker().is_ok());
}

#[test]
fn tls_needs_no_leave_to_go_beyond_this_machine() {
    let tls = "cluster: { tls: { cert_file: a.pem, key_file: a.key, ca_file: ca.pem } }\n";
    let coordinator = |rest: &str| load(&format!("{tls}coordinator: {rest}")).unwrap().coordinator();
    assert!(coordinator("{ listen: { client: 0.0.0.0:8080 }, join: [10.0.0.1:8082] }").is_ok());
    let error = coordinator("{ listen: { metrics: 0.0.0.0:9180 } }").unwrap_err().to_string();
    assert!(error.contains("metrics are always plaintext"), "{error}");

    let worker = |text: &str| load(text).unwrap().worker();
    assert!(worker("worker: { coordinators: [https://node1:8081] }").is_ok());
    let error = worker("worker: { coordinators: [https://node1:8081, http://node2:8081] }").unwrap_err().to_string();
    assert!(error.contains("http://node2:8081 lies beyond this machine"), "{error}");
    let of_endpoint = worker("cluster: { endpoint: https://node1:8080 }").unwrap();
    assert_eq!(of_endpoint.coordinators[0].to_string(), "https://node1:8081");
}

#[test]
fn files_of_certificates_know_which_key_names_them() {
    let text = "cluster: { tls: { ca_file: ca.pem, client_ca_file: clients.pem } }";
    let environment = [("FLAME_WORKER_TLS_CERT_FILE", "w.pem")];
    let config = load_all(text, &environment, &Flags::default()).unwrap();
    let coordinator = config.coordinator().unwrap().cluster.tls;
    assert!(!coordinator.serves());
    let client_ca = coordinator.client_ca_file.unwrap();
    assert_eq!(client_ca.named, "cluster.tls.client_ca_file (c.yaml, line 1)");
    assert_eq!(client_ca.path.to_str(), Some("clients.pem"));

    let worker = config.worker().unwrap().tls;
    assert_eq!(worker.ca_file, coordinator.ca_file, "as published");
    assert_eq!(worker.cert_file.unwrap().named, "worker.tls.cert_file (environment, FLAME_WORKER_TLS_CERT_FILE)");
    assert_eq!((worker.key_file, worker.client_ca_file), (None, None));
    let own = load_all(text, &[("FLAME_WORKER_TLS_CA_FILE", "own.pem")], &Flags::default()).unwrap().worker().unwrap();
    assert_eq!(own.tls.ca_file.unwrap().path.to_str(), Some("own.pem"));
    check_refused_tls("cluster: { tls: { cert_file: '' } }");
}

fn check_refused_tls(text: &str) {
    let error = load(text).unwrap().coordinator().unwrap_err().to_string();
    assert!(error.contains("cluster.tls.cert_file (c.yaml, line 1): \"\" names no file"), "{error}");
}

#[test]
fn values_of_the_wrong_kind_name_their_place() {
    check_refused("{ id: zero }", "coordinator.id (c.yaml, line 1): \"zero\" is not a whole number");
    check_refused("{ id: 0 }", "is too small; write at least 1");
    check_refused("{ profile: turbo }", "is not a profile; write default or fast");
    check_refused("{ insecure: maybe }", "is neither true nor false");
    check_refused("{ data_dir: [a, b] }", "is a list, where one value is expected");
    check_refused("{ listen: { peer: '8082' } }", "has no port");
}

#[test]
fn worker_values_are_read() {
    let config = load(
        "worker:
  name: w1
  coordinators: [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]
  resources: cpu=4,mem=8g
  start_timeout: 90s
  results_bytes_max: 1024
",
    );
    let worker = config.unwrap().worker().unwrap();
    assert_eq!(worker.coordinators.len(), 2);
    assert_eq!(worker.resources.unwrap().cpu, 4);
    assert_eq!(worker.start_timeout, Duration::from_secs(90));
    assert_eq!((worker.results_bytes_max, worker.logs_kept), (1024, 256));
}

#[test]
fn packages_are_installed_below_the_work_folder_unless_said_otherwise() {
    let packages = |text: &str| load(text).unwrap().worker().unwrap().packages;
    let default = packages("worker: { work_dir: /w }");
    assert_eq!(default.install_dir, Path::new("/w/data"));
    assert_eq!((default.timeout, default.bytes_max, default.kept), (Duration::from_secs(600), 2 << 30, 32));
    assert_eq!((default.python, default.ca_file), (None, None));
    let set =
        packages("worker: { install_dir: /i, package_bytes_max: 1m, packages_kept: 0, python: /usr/bin/python3 }");
    assert_eq!((set.install_dir.as_path(), set.bytes_max, set.kept), (Path::new("/i"), 1 << 20, 0));
    assert_eq!(set.python.as_deref(), Some(Path::new("/usr/bin/python3")));
}

#[test]
fn broken_worker_values_are_refused() {
    for (text, part) in [
        ("{ name: ../x }", "must not contain"),
        ("{ resources: much }", "has no '='"),
        ("{ resources: gpu=0 }", "asks for nothing at all"),
        ("{ start_timeout: 30 }", "write a whole number with ms, s, m or h"),
        ("{ leave_timeout: 0s }", "is no time at all"),
        ("{ python: python3 }", "is not an absolute path"),
        ("{ package_bytes_max: lots }", "is no amount of memory"),
        ("{ coordinators: [\"http://127.0.0.1:1\", \"127.0.0.1:1\"] }", "names a coordinator twice"),
        ("{ coordinators: [\"grpc://127.0.0.1:1\"] }", "has the scheme \"grpc\""),
    ] {
        let error = load(&format!("worker: {text}")).unwrap().worker().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn only_host_services_are_served() {
    let error = load("cluster: { executors: { shim: wasm } }").unwrap().cluster().unwrap_err().to_string();
    assert!(error.contains("workers run services as host processes only"), "{error}");
}

#[test]
fn memory_is_an_amount_or_left_to_the_coordinator() {
    let memory =
        |text: &str| load(&format!("coordinator: {{ memory: {text} }}")).unwrap().coordinator().unwrap().memory;
    assert_eq!(load("").unwrap().coordinator().unwrap().memory, None);
    assert_eq!(memory("512m"), Some(512 << 20));
    assert_eq!(memory("2Gi"), Some(2 << 30));
    assert_eq!(memory("134217728"), Some(128 << 20));
    for wrong in ["{ memory: much }", "{ memory: 0 }", "{ memory: -1 }"] {
        check_refused(wrong, "coordinator.memory");
    }
}

#[test]
fn retries_and_avoidance_have_defaults_and_limits() {
    let section = |text: &str| load(text).unwrap().coordinator().unwrap();
    let defaults = section("");
    assert_eq!(defaults.retry, flame_types::RetryLimits::CLUSTER);
    let avoidance = defaults.avoidance;
    assert_eq!((avoidance.failures, avoidance.backoff_ms, avoidance.backoff_ms_max), (3, 2_000, 300_000));
    let set = section(
        "cluster: { recovery: { session: { retry_limits: 7 } } }
coordinator:
  retry: { failed_starts: 4, failed_backoff: 1s, failed_backoff_max: 1m, refused_backoff: 5ms }
  avoid: { failures: 9, backoff: 1s, backoff_max: 1s }
",
    );
    let failed = set.retry.failed;
    assert_eq!((failed.starts_max, failed.backoff_ms, failed.backoff_ms_max), (4, 1_000, 60_000));
    assert_eq!((set.retry.refused.starts_max, set.retry.refused.backoff_ms), (7, 5));
    assert_eq!(set.avoidance.failures, 9);
    check_refused("{ retry: { lost_starts: 0 } }", "coordinator.retry.lost_starts");
    check_refused("{ retry: { lost_backoff: 1h } }", "coordinator.retry: lost.backoff_ms cannot be 3600000");
    check_refused("{ avoid: { backoff: 1h } }", "coordinator.avoid.backoff must not be longer");
}
