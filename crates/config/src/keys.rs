//! The table of every key of `flame-cluster.yaml`.

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It changes what a daemon does.
    Works,
    /// It is part of the published format and taken without harm, but changes nothing here; setting it is warned about.
    NoEffect,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its sections and its name, joined with dots.
    pub path: &'static str,
    /// What it is for.
    pub usage: Use,
    /// Its default as it would be written; empty when it has none.
    pub default: &'static str,
    /// What it means, in one sentence for the reference.
    pub doc: &'static str,
}

impl Key {
    /// The variable that sets it. Keys of `cluster` have none, as published; every other has one: `worker.work_dir` is
    /// `FLAME_WORKER_WORK_DIR`. So the published `FLAME_CACHE_ENDPOINT` and `FLAME_CACHE_STORAGE` are what they were.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let own = ["coordinator.", "worker.", "cache."].iter().any(|section| self.path.starts_with(section));
        own.then(|| format!("FLAME_{}", self.path.replace('.', "_").to_ascii_uppercase()))
    }
}

const fn works(path: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { path, usage: Use::Works, default, doc }
}

const fn no_effect(path: &'static str, doc: &'static str) -> Key {
    Key { path, usage: Use::NoEffect, default: "", doc }
}

/// Every key there is, in the order of the reference.
pub const KEYS: &[Key] = &[
    works(
        "cluster.name",
        "flame",
        "Name of the cluster: a coordinator refuses a data directory or a peer of another, a worker that is given it works for no other.",
    ),
    works(
        "cluster.endpoint",
        "http://127.0.0.1:8080",
        "Where clients reach the cluster. Told to services when worker.proxy is off; its port is the default of the listeners, its host that of worker.coordinators.",
    ),
    works(
        "cluster.resreq",
        "cpu=1,mem=1g",
        "Resources of one executor of a session that asks for none. Text like cpu=2,mem=4g,gpu=1.",
    ),
    no_effect(
        "cluster.policies",
        "Scheduling policies. This scheduler always serves priorities first, then shares by dominant resource, with gangs by batch_size.",
    ),
    no_effect("cluster.storage", "Storage engine. Replicated storage is always used; see coordinator.data_dir."),
    no_effect(
        "cluster.schedule_interval",
        "Milliseconds between scheduling rounds. This scheduler is woken by events, not by a timer.",
    ),
    works("cluster.executors.shim", "host", "How workers run services. Only host is served."),
    no_effect("cluster.executors.limits.max_executors", "Former place of cluster.limits.max_executors."),
    works("cluster.limits.max_sessions", "100000", "Closed sessions that stay visible; the oldest leave first."),
    no_effect(
        "cluster.limits.max_executors",
        "Executors per worker. What a worker offers (worker.resources) is the limit.",
    ),
    works(
        "cluster.recovery.session.retry_limits",
        "5",
        "Failed starts of a service in a row after which its session gets no new executors.",
    ),
    works(
        "cluster.tls.cert_file",
        "",
        "PEM file with the certificate of this coordinator, and those that sign it. Set, all traffic with clients, workers and other coordinators is encrypted (docs/operate/tls.md).",
    ),
    works("cluster.tls.key_file", "", "PEM file with the private key of that certificate."),
    works(
        "cluster.tls.ca_file",
        "",
        "PEM file with the authority of the certificates of all coordinators. Coordinators know each other by it; workers and services trust it, too.",
    ),
    works(
        "cluster.tls.client_ca_file",
        "",
        "PEM file with the authority of the certificates of clients and workers. Set, those without such a certificate are turned away.",
    ),
    no_effect("cluster.pprof.port", "Port of a profiler. There is none."),
    works(
        "cache.endpoint",
        "",
        "Where services find the object cache, grpc://host:port or grpcs://host:port: told to them as FLAME_CACHE_ENDPOINT; several are separated by commas, which only our own SDKs read. For the cache itself the default of cache.advertise.",
    ),
    works(
        "cache.listen",
        "",
        "Where the object cache listens, for clients and for other caches. Default: 127.0.0.1 with the port of cache.endpoint, else 127.0.0.1:9090.",
    ),
    works(
        "cache.advertise",
        "",
        "Where clients and other caches reach this one, grpc://host:port: references to its objects carry it. Default: cache.endpoint, else where it listens.",
    ),
    works("cache.name", "", "Name of this cache, different for each. Default: the name of the host."),
    works(
        "cache.endpoints",
        "",
        "Worker addresses of coordinators, https://host:8081 or http://host:8081; any of them says who leads. With them this is one of several caches, which find each other's objects. Default: none, then it is alone, and nobody else knows what it has.",
    ),
    works(
        "cache.storage",
        "/var/lib/flame/cache",
        "Folder of the objects, or none: then objects are in memory only and are gone with the process. One cache only: it is locked.",
    ),
    works("cache.disk_max", "64g", "Bytes of objects in that folder; what finds no room is refused."),
    works(
        "cache.object_max",
        "512m",
        "Bytes of one object with its patches. An object is in memory while it is written or read.",
    ),
    works(
        "cache.arena",
        "1g",
        "Most memory that is shared with clients on the cache's host, which write objects into it and read them out of it; what finds no room there travels over the cache's port. Pages are taken when they are first written, and kept for the next object. 0 shares none.",
    ),
    works("cache.quota", "", "Bytes of the objects of one application. Default: no limit but those of the cache."),
    works(
        "cache.eviction.policy",
        "lru",
        "What becomes of objects when memory is full. lru: those not used for longest leave it, and are forgotten where there is no folder. none: nothing leaves, and what finds no room is refused.",
    ),
    works("cache.eviction.max_memory", "1g", "Bytes of objects in memory."),
    works("cache.eviction.max_objects", "1000000", "Objects in memory."),
    works("cache.metrics", "off", "Address for /metrics and /livez over plain HTTP, like 127.0.0.1:9190, or off."),
    works(
        "cache.tls.cert_file",
        "",
        "PEM file with the certificate of this cache, and those that sign it. Set, its clients must use grpcs://.",
    ),
    works("cache.tls.key_file", "", "PEM file with the private key of that certificate."),
    works(
        "cache.tls.ca_file",
        "",
        "PEM file with the authority of the certificates of caches and coordinators. Default: cluster.tls.ca_file.",
    ),
    works(
        "cache.insecure",
        "false",
        "Allows plaintext traffic beyond this machine: with clients and other caches where cache.tls.cert_file is not set, with coordinators at http://, and for metrics. Only on a trusted network.",
    ),
    no_effect("cache.network_interface", "Which interface a cache binds. Set cache.listen and cache.advertise."),
    no_effect("cache.pprof.port", "Port of a profiler. There is none."),
    works("coordinator.id", "1", "Which of coordinator.members this node is. A number from 1."),
    works(
        "coordinator.data_dir",
        "/var/lib/flame/coordinator",
        "Folder of the node's log, state and identity. One node only: it is locked.",
    ),
    works(
        "coordinator.listen.client",
        "",
        "Address for clients. Default: this node's own in coordinator.members, else 127.0.0.1 with the port of cluster.endpoint.",
    ),
    works("coordinator.listen.worker", "", "Address for workers. Default: likewise, one port up."),
    works("coordinator.listen.peer", "", "Address for other coordinators. Default: likewise, two ports up."),
    works(
        "coordinator.listen.metrics",
        "127.0.0.1:9180",
        "Address for /metrics, /livez and /readyz over plain HTTP, or off. Every coordinator on one machine needs one of its own.",
    ),
    works(
        "coordinator.members",
        "",
        "All coordinators of the cluster, 1, 3 or 5, the same list on each: items with id, client, worker and peer. Default: this node alone.",
    ),
    works(
        "coordinator.join",
        "",
        "Peer addresses of members of a cluster that exists. The node waits until one of them adds it (flmctl cluster add) instead of beginning a cluster; coordinator.members must be empty.",
    ),
    works(
        "coordinator.profile",
        "default",
        "How fast a lost leader is replaced: default is safe on busy machines, fast takes half the time.",
    ),
    works(
        "coordinator.memory",
        "",
        "Memory of the coordinator, like 512m or 2g: memtables, caches, the log's tail and everything that waits take their limits from it. Default: a quarter of what the machine (or its control group) has, at most 1g.",
    ),
    works(
        "coordinator.disk_floor",
        "",
        "Free disk, like 2g, below which this coordinator counts as short of it: while no majority has more, nothing is taken in. At least a quarter of it is set aside for the way out. Default: 5 % of the file system of coordinator.data_dir, at most 2g.",
    ),
    works(
        "coordinator.log_bytes",
        "1g",
        "Bytes of entries after which the log is cut; at least 64k. A coordinator that misses what was cut gets a snapshot.",
    ),
    works(
        "coordinator.log_kept",
        "256m",
        "Bytes of the newest entries that stay when the log is cut, so that a coordinator that was away for a short time needs no snapshot.",
    ),
    works(
        "coordinator.snapshot_rate",
        "64m",
        "Bytes of snapshots that a leader sends in a second, to all others together; at least 64k, or 0 for no limit.",
    ),
    works(
        "coordinator.behind_max",
        "100000",
        "Entries that this coordinator may be behind the others before it turns new calls away and says that it is not ready; at least 100.",
    ),
    works(
        "coordinator.retention.task_age",
        "168h",
        "Age at which finished tasks leave a session that is not closed. Applications and sessions may say otherwise; ages count while the cluster has a leader.",
    ),
    works(
        "coordinator.retention.task_age_min",
        "1h",
        "Age before which no finished task leaves a session that is not closed, however full it is.",
    ),
    works(
        "coordinator.retention.task_count",
        "100000000",
        "Most tasks of one session, finished or not. Above three quarters the oldest finished ones leave; at the limit submits are refused.",
    ),
    works(
        "coordinator.retention.task_bytes",
        "16g",
        "Most bytes of inputs, outputs and messages of one session. Likewise.",
    ),
    works("coordinator.retention.closed_age", "168h", "Age at which a closed session leaves with all its tasks."),
    works(
        "coordinator.retention.closed_bytes",
        "64g",
        "Most bytes that closed sessions keep together; the oldest leave first. Their number: cluster.limits.max_sessions.",
    ),
    works(
        "coordinator.retention.total_bytes",
        "128g",
        "Most bytes that all sessions keep together. Above three quarters the oldest closed ones leave; at the limit submits are refused.",
    ),
    works(
        "coordinator.objects.copies",
        "2",
        "Copies of cached objects that sessions share and of packages, each on another cache node; 1 to 16. As many as there are nodes when there are fewer.",
    ),
    works("coordinator.objects.session_copies", "1", "Copies of cached objects of sessions; likewise."),
    works(
        "coordinator.objects.app_bytes",
        "1t",
        "Most bytes of cached objects of one application, each counted once. At the limit puts are refused.",
    ),
    works(
        "coordinator.retry.lost_starts",
        "8",
        "Starts of a task whose worker was lost, after which the task fails. Here and below: an application (retry:) and a session (flmctl create --retry) may say otherwise.",
    ),
    works("coordinator.retry.lost_backoff", "200ms", "Wait before such a task is started again; doubles each time."),
    works("coordinator.retry.lost_backoff_max", "10s", "Longest such wait."),
    works(
        "coordinator.retry.crashed_starts",
        "3",
        "Starts of a task under which its service died, after which the task fails.",
    ),
    works(
        "coordinator.retry.crashed_backoff",
        "200ms",
        "Wait before such a task is started again, and before its session gets another executor; doubles each time.",
    ),
    works("coordinator.retry.crashed_backoff_max", "10s", "Longest such wait."),
    works(
        "coordinator.retry.refused_backoff",
        "200ms",
        "Wait before a session gets another executor after one that did not start; doubles each time in a row. How often: cluster.recovery.session.retry_limits.",
    ),
    works("coordinator.retry.refused_backoff_max", "10s", "Longest such wait."),
    works(
        "coordinator.retry.failed_starts",
        "1",
        "Starts of a task that its service answered with a failure or that ran too long, after which the task fails. 1: what a service answers is the end.",
    ),
    works("coordinator.retry.failed_backoff", "200ms", "Wait before such a task is started again; doubles each time."),
    works("coordinator.retry.failed_backoff_max", "10s", "Longest such wait."),
    works(
        "coordinator.avoid.failures",
        "3",
        "Executors in a row that did not start on a worker, after which those whose executors they were stay away from it for a while.",
    ),
    works(
        "coordinator.avoid.backoff",
        "2s",
        "How long they stay away; doubles each time. Then one executor at a time is tried, until one has started.",
    ),
    works("coordinator.avoid.backoff_max", "5m", "Longest such while."),
    works(
        "coordinator.insecure",
        "false",
        "Allows plaintext traffic beyond this machine: with clients, workers and other coordinators where cluster.tls.cert_file is not set, and for metrics. Only on a trusted network.",
    ),
    works("worker.name", "", "Name of the worker, different for each. Default: the name of the host."),
    works(
        "worker.coordinators",
        "",
        "Worker addresses of the coordinators, https://host:port or http://host:port; any of them says who leads. Default: the host of cluster.endpoint, one port up.",
    ),
    works("worker.resources", "", "What the worker offers, like cpu=8,mem=16g. Default: what the host has."),
    works("worker.work_dir", "/var/lib/flame/worker", "Scratch folders of executors. One worker only: it is locked."),
    works(
        "worker.socket_dir",
        "/var/flame/executors",
        "Unix sockets of services. Keep it short: a socket's path has less than 108 bytes.",
    ),
    works(
        "worker.log_dir",
        "",
        "What services print, one pair of files per executor. Default: logs in worker.work_dir.",
    ),
    works("worker.start_timeout", "60s", "Longest time from starting a service until its socket answers."),
    works("worker.enter_timeout", "5m", "Longest time a service may take to enter a session."),
    works("worker.leave_timeout", "10s", "Longest time a service may take to leave a session."),
    works("worker.terminate_grace", "5s", "Time between SIGTERM and SIGKILL for a service that is told to stop."),
    works("worker.cancel_grace", "5s", "How long a cancelled task may go on before its service is killed."),
    works("worker.drain_timeout", "5s", "How long running tasks may go on once the worker is told to stop."),
    works(
        "worker.results_bytes_max",
        "268435456",
        "Bytes of results that may wait to be recorded; beyond it no further task is started.",
    ),
    works("worker.logs_kept", "256", "Ended executors whose log files are kept."),
    works(
        "worker.install_dir",
        "",
        "Where packages of applications are unpacked and installed, with the log of each install. Several workers of one host may share it. Default: data in worker.work_dir.",
    ),
    works("worker.install_timeout", "10m", "Longest time to fetch and install a package."),
    works(
        "worker.package_bytes_max",
        "2g",
        "Largest package that is fetched; unpacked it may have eight times as much.",
    ),
    works(
        "worker.packages_kept",
        "32",
        "Installed packages that no executor uses and that are kept all the same; the one that was used longest ago leaves first.",
    ),
    works(
        "worker.python",
        "",
        "Python interpreter of applications with the python installer, if it is of the version that they ask for. Default: the one of VIRTUAL_ENV, else python of that version, python3 or python in PATH.",
    ),
    works(
        "worker.package_ca_file",
        "",
        "PEM file with the authorities that servers of packages (https://) are checked by. Default: those that the system trusts.",
    ),
    works(
        "worker.metrics",
        "off",
        "Address for /metrics and /livez over plain HTTP, like 127.0.0.1:9181, or off. Every worker on one machine needs one of its own.",
    ),
    works(
        "worker.tls.ca_file",
        "",
        "PEM file with the authorities that certificates of coordinators are checked by. Default: cluster.tls.ca_file, else those that the system trusts.",
    ),
    works(
        "worker.tls.cert_file",
        "",
        "PEM file with the certificate that the worker shows to coordinators which demand one (cluster.tls.client_ca_file).",
    ),
    works("worker.tls.key_file", "", "PEM file with the private key of that certificate."),
    works(
        "worker.proxy",
        "127.0.0.1:0",
        "Where the worker serves the published API to its services, which get this address as FLAME_ENDPOINT and so live through the loss of any coordinator; or off: then they get cluster.endpoint itself.",
    ),
    works(
        "worker.endpoints",
        "",
        "Client addresses of the coordinators for that proxy, http://host:port; it hears of the others from them and from the leader. Default: cluster.endpoint.",
    ),
    works(
        "worker.insecure",
        "false",
        "Allows plaintext traffic with coordinators on other machines (http://), and metrics in plaintext beyond this one.",
    ),
];

/// The key of that path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether the path is that of a section: `cluster.limits`.
#[must_use]
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known key most like an unknown one, when one is like it enough to be what was meant.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    const TYPING_ERRORS_MAX: usize = 3;
    const PATH_BYTES_MAX: usize = 128;
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let (distance, key) = KEYS.iter().map(|key| (edits(path, key.path), key.path)).min()?;
    (distance <= TYPING_ERRORS_MAX).then_some(key)
}

/// How many letters must be put in, taken out or changed to make one text of the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_and_variables_are_unique() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        assert_eq!(paths.len(), KEYS.len());
        let variables: Vec<_> = KEYS.iter().filter_map(Key::variable).collect();
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
        assert!(variables.contains(&"FLAME_COORDINATOR_LISTEN_CLIENT".to_owned()));
    }

    #[test]
    fn published_keys_have_no_variable() {
        assert_eq!(find("cluster.endpoint").unwrap().variable(), None);
    }

    #[test]
    fn a_typing_error_finds_what_was_meant() {
        assert_eq!(nearest("coordinator.data-dir"), Some("coordinator.data_dir"));
        assert_eq!(nearest("worker.nmae"), Some("worker.name"));
        assert_eq!(nearest("something.else"), None);
    }

    /// The reference shows this table: `BLESS=1` writes it anew.
    #[test]
    fn the_reference_shows_every_key() {
        const BEGIN: &str = "<!-- keys: begin (written by `BLESS=1 cargo nextest run --release -p flame-config`) -->\n";
        const END: &str = "<!-- keys: end -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the page has the begin mark");
        let (shown, after) = rest.split_once(END).expect("the page has the end mark");
        let expected = table();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
            return;
        }
        for (shown, expected) in shown.lines().zip(expected.lines()) {
            assert_eq!(shown, expected, "docs/reference/config.md is stale: run with BLESS=1");
        }
        assert_eq!(shown.lines().count(), expected.lines().count(), "a key more or less: run with BLESS=1");
    }

    fn table() -> String {
        let mut text = "| key | default | variable | what it does |\n|---|---|---|---|\n".to_owned();
        for key in KEYS {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let variable = key.variable().map(|name| format!("`{name}`")).unwrap_or_default();
            let usage = match key.usage {
                Use::Works => "",
                Use::NoEffect => "*No effect, warned about.* ",
            };
            text += &format!("| `{}` | {default} | {variable} | {usage}{} |\n", key.path, key.doc);
        }
        text
    }
}
