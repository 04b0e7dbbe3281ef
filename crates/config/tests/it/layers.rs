//! Which layer wins, what is unknown, what has no effect, what is printed.

use std::collections::BTreeMap;

use flame_config::{ClusterFile, ConfigError, Flags};

use crate::support::{load, load_all};

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let file = "worker: { name: from-file, work_dir: /file, socket_dir: /file }";
    let environment = [("FLAME_WORKER_NAME", "from-environment"), ("FLAME_WORKER_WORK_DIR", "/environment")];
    let flags = Flags::default().set("worker.name", "--name", Some("from-flag"));
    let config = load_all(file, &environment, &flags).unwrap();

    let worker = config.worker().unwrap();
    assert_eq!(worker.name.unwrap().as_str(), "from-flag");
    assert_eq!(worker.work_dir.to_str(), Some("/environment"));
    assert_eq!(worker.socket_dir.to_str(), Some("/file"));
    assert_eq!(worker.log_dir.to_str(), Some("/environment/logs"));

    let printed = config.print();
    for line in [
        "worker.name: from-flag  # flag --name",
        "worker.work_dir: /environment  # environment, FLAME_WORKER_WORK_DIR",
        "worker.socket_dir: /file  # c.yaml, line 1",
        "worker.start_timeout: 60s  # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line:?} is missing in\n{printed}");
    }
}

#[test]
fn a_flag_that_was_not_given_changes_nothing() {
    let flags = Flags::default().set("worker.name", "--name", None::<String>).set_list(
        "worker.coordinators",
        "--coordinator",
        Vec::new(),
    );
    let config = load_all("worker: { name: w7 }", &[], &flags).unwrap();
    assert_eq!(config.worker().unwrap().name.unwrap().as_str(), "w7");
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_a_hint() {
    let check = |text: &str, expected: &str| assert_eq!(load(text).unwrap_err().to_string(), expected);
    check(
        "cluster:\n  name: a\ncoordinator:\n  datadir: /x\n",
        "c.yaml, line 4: unknown key coordinator.datadir (did you mean coordinator.data_dir?); \
         docs/reference/config.md lists all keys",
    );
    check("extra:\n  thing: 1\n", "c.yaml, line 2: unknown key extra.thing; docs/reference/config.md lists all keys");
    check("extra:\n", "c.yaml, line 1: unknown key extra; docs/reference/config.md lists all keys");
}

#[test]
fn every_published_key_is_known() {
    let published = "
cluster:
  name: flame
  endpoint: http://127.0.0.1:8080
  resreq: cpu=2,mem=4g
  policies: [priority, drf]
  storage: fs:///var/lib/flame
  schedule_interval: 100
  executors:
    shim: host
    limits:
      max_executors: 128
  limits:
    max_sessions: 1000
    max_executors: 128
  recovery:
    session:
      retry_limits: 7
  pprof:
    port: 6060
cache:
  endpoint: grpc://127.0.0.1:9090
  network_interface: eth0
  storage: none
  eviction:
    policy: lru
    max_memory: 1G
    max_objects: 10
  pprof:
    port: 6061
";
    let config = load(published).unwrap();
    let cluster = config.cluster().unwrap();
    assert_eq!(cluster.default_resources.to_string(), "cpu=2,mem=4Gi,gpu=0");
    assert_eq!((cluster.closed_sessions_max, cluster.bind_failures_max), (1000, 7));
    assert_eq!(cluster.cache_endpoint.as_deref(), Some("grpc://127.0.0.1:9090"));

    let warned = config.warnings();
    for key in ["cluster.storage", "cluster.schedule_interval", "cluster.policies", "cluster.pprof.port"] {
        let found = warned.iter().any(|warning| warning.starts_with(&format!("{key} (c.yaml, line ")));
        assert!(found, "no warning for {key} in {warned:#?}");
    }
    assert!(!warned.iter().any(|warning| warning.contains("max_sessions")), "{warned:#?}");
}

#[test]
fn defaults_alone_warn_about_nothing() {
    let config = load("").unwrap();
    assert_eq!(config.warnings(), Vec::<String>::new());
    assert!(config.coordinator().is_ok());
    assert!(config.worker().is_ok());
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none: BTreeMap<&str, &str> = BTreeMap::new();
    let missing = folder.path().join("missing.yaml");
    let error = ClusterFile::load(Some(&missing), &none).unwrap_err();
    assert!(matches!(&error, ConfigError::Read { path, .. } if *path == missing), "{error}");

    let large = folder.path().join("large.yaml");
    std::fs::write(&large, "# padding\n".repeat(200_000)).unwrap();
    let error = ClusterFile::load(Some(&large), &none).unwrap_err();
    assert!(matches!(&error, ConfigError::TooLarge { bytes: 2_000_000, .. }), "{error}");
}

#[test]
fn the_usual_place_is_read_when_no_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let environment = BTreeMap::from([("HOME", home.path().to_str().unwrap())]);
    assert_eq!(ClusterFile::load(None, &environment).unwrap().cluster().unwrap().name, "flame");

    std::fs::create_dir(home.path().join(".flame")).unwrap();
    std::fs::write(home.path().join(".flame/flame-cluster.yaml"), "cluster: { name: at-home }").unwrap();
    assert_eq!(ClusterFile::load(None, &environment).unwrap().cluster().unwrap().name, "at-home");
}
