//! Ports that somebody uses, and configurations that cannot be meant.

use std::net::TcpListener;

use anyhow::{Context, Result};
use flame_testkit::{Cluster, ClusterOptions};

use super::files::{ANY_PORTS, changed, config, line_of, refused, stop_all};

const USAGE: i32 = 2;
const PORT_IN_USE: i32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn ports_in_use_and_wrong_settings_are_named() -> Result<()> {
    let options = ClusterOptions { coordinators: 1, workers: 0, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(options).await?;
    stop_all(&mut cluster).await?;
    ports(&cluster).await.context("ports")?;
    settings(&cluster).await.context("settings")?;
    cluster.start_all_coordinators().await?;
    cluster.leader().await?;
    cluster.shutdown().await
}

async fn ports(cluster: &Cluster) -> Result<()> {
    let (config, scratch) = (config(cluster, 1), tempfile::tempdir()?);
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (position, whose) in [(1, "clients"), (3, "workers"), (5, "other coordinators"), (7, "metrics")] {
        let mut flags = ANY_PORTS;
        flags[position] = &address;
        let words = [format!("cannot listen on {address} for {whose}: "), "choose another port".to_owned()];
        let words = words.each_ref().map(String::as_str);
        refused(&config, &scratch.path().join("data"), &flags, PORT_IN_USE, &words).await?;
    }
    Ok(())
}

async fn settings(cluster: &Cluster) -> Result<()> {
    let (config, scratch) = (config(cluster, 1), tempfile::tempdir()?);
    let data = scratch.path().join("data");
    let member = line_of(&config, "    - { id: 1")?;
    let second = member.replace("id: 1", "id: 2");
    let beyond = member.replace("127.0.0.1", "192.0.2.1");
    for (number, (from, to, says)) in [
        ("  profile: default", "  profle: default", &["profle", "line "][..]),
        ("  profile: default", "  profile: hasty", &["coordinator.profile", "hasty"]),
        ("  id: 1\n", "  id: 7\n", &["coordinator.members", "7"]),
        ("  id: 1\n", "  id: 0\n", &["coordinator.id"]),
        (&member, &format!("{member}\n{second}"), &["coordinator.members"]),
        (&member, &format!("{member}\n{member}\n{member}"), &["coordinator.members"]),
        ("  insecure: true", "  insecure: maybe", &["coordinator.insecure", "maybe"]),
        ("cluster:\n", "cluster:\n  tls: { cert_file: /x }\n", &["cluster.tls.cert_file", "set both or neither"]),
        (
            "cluster:\n",
            "cluster:\n  tls: { cert_file: /x/a.pem, key_file: /x/a.key, ca_file: /x/ca.pem }\n",
            &["cluster.tls.cert_file (", "wrong-8.yaml, line 2) names /x/a.pem, which cannot be read"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let wrong = changed(&config, &format!("wrong-{number}.yaml"), from, to)?;
        refused(&wrong, &data, &ANY_PORTS, USAGE, says).await.with_context(|| format!("{from:?} is {to:?}"))?;
    }
    let open = changed(&config, "open.yaml", "  insecure: true", "  insecure: false")?;
    let open = changed(&open, "open.yaml", &member, &beyond)?;
    refused(&open, &data, &ANY_PORTS, USAGE, &["coordinator.insecure"]).await?;
    let missing = config.with_file_name("missing.yaml");
    refused(&missing, &data, &ANY_PORTS, USAGE, &["missing.yaml"]).await?;
    assert!(!data.exists(), "a configuration is checked before anything is made");
    Ok(())
}
