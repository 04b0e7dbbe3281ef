//! A cluster in which everything is encrypted and coordinators demand certificates: it works like any other, and whoever
//! does not fit hears so in one error, at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, FlameError, Options, SessionOptions, TlsFiles};
use flame_testkit::certificates::CertifiedKey;
use flame_testkit::{Binaries, Certificates, Cluster, ClusterOptions, wait_until};
use flame_types::{CoordinatorId, Resources, TaskState};

use crate::programs::{LIMIT, run, run_with};
use crate::refusals::files::{changed, config};

/// Calls are tried for so long that a test which waits for the end of it fails by its own limit.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// What `flmctl` ends with when certificates do not fit, and when nobody can be reached.
const NOT_ALLOWED: i32 = 7;

const APPLICATION: &str = "tls";

const SERVICES: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_cluster_works_and_says_at_once_who_does_not_fit() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { tls: true, workers: 2, ..ClusterOptions::default() }).await?;
    let outcome = steps(&mut cluster).await;
    outcome.with_context(|| cluster.tails())?;
    cluster.shutdown().await
}

async fn steps(cluster: &mut Cluster) -> Result<()> {
    let certificates = cluster.certificates().context("it has certificates")?.clone();
    misfits_of_the_sdk(cluster, &certificates).await.context("the SDK")?;
    misfits_of_flmctl(cluster, &certificates).await.context("flmctl")?;
    misfits_of_workers(cluster, &certificates).await.context("workers")?;
    one_bad_endpoint_hides_no_good_one(cluster, &certificates).await.context("several endpoints")?;
    tasks_outlive_the_leader(cluster, &certificates).await.context("work")?;
    a_coordinator_that_does_not_fit(cluster, &certificates).await.context("coordinators")
}

fn files(ca: &Path, pair: Option<&CertifiedKey>) -> TlsFiles {
    TlsFiles {
        ca_file: Some(ca.to_owned()),
        cert_file: pair.map(|pair| pair.cert.clone()),
        key_file: pair.map(|pair| pair.key.clone()),
    }
}

/// Who is with the cluster.
fn fitting(certificates: &Certificates) -> TlsFiles {
    files(&certificates.ca, Some(&certificates.client))
}

fn connect(endpoints: &[String], tls: TlsFiles) -> Result<Connection> {
    let options = Options { tls, deadline: FOR_EVER, ..Options::default() };
    Ok(Connection::open(Endpoints::parse(endpoints)?, options)?)
}

/// A call, a stream and a watch end with this error long before their deadline.
async fn turned_away(endpoints: &[String], tls: TlsFiles, says: &[&str]) -> Result<()> {
    let client = connect(endpoints, tls)?;
    let limited = tokio::time::timeout(LIMIT, async {
        let call = client.members().await.err();
        let change = client.create_session(&SessionOptions::new(APPLICATION)).await.err();
        let stream = client.open_stream("any").await.err();
        let list = futures::TryStreamExt::try_next(&mut Box::pin(client.list_tasks("any"))).await.err();
        [call, change, stream, list]
    });
    for error in limited.await.with_context(|| format!("it is tried on: {says:?}"))? {
        let error = error.context("it went through")?;
        ensure!(matches!(error, FlameError::Untrusted(_)), "{error:?}");
        for text in says {
            ensure!(error.to_string().contains(text), "{text:?} is not in {error}");
        }
    }
    Ok(())
}

async fn misfits_of_the_sdk(cluster: &Cluster, certificates: &Certificates) -> Result<()> {
    let Certificates { ca, client, expired, strangers_ca, stranger, .. } = certificates;
    let (all, plain) = (cluster.endpoints(), plain(&cluster.endpoints()));
    turned_away(&all, files(ca, None), &["it demands a certificate", "FLAME_CERT_FILE"]).await?;
    turned_away(&all, files(ca, Some(stranger)), &["does not accept the certificate", "UnknownCA"]).await?;
    turned_away(&all, files(ca, Some(expired)), &["does not accept the certificate", "CertificateExpired"]).await?;
    turned_away(&all, files(strangers_ca, Some(client)), &["is not trusted", "unknown authority", "FLAME_CA_FILE"])
        .await?;
    turned_away(&plain, TlsFiles::default(), &["it speaks TLS only; write https://"]).await?;
    let unencrypted =
        Cluster::start(ClusterOptions { coordinators: 1, workers: 0, ..ClusterOptions::default() }).await?;
    let secure: Vec<_> = unencrypted.endpoints().iter().map(|url| url.replace("http://", "https://")).collect();
    turned_away(&secure, fitting(certificates), &["it does not speak TLS; write http://"]).await?;
    unencrypted.shutdown().await
}

fn plain(endpoints: &[String]) -> Vec<String> {
    endpoints.iter().map(|url| url.replace("https://", "http://")).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

async fn misfits_of_flmctl(cluster: &Cluster, certificates: &Certificates) -> Result<()> {
    let Certificates { ca, client, strangers_ca, .. } = certificates;
    let endpoints = cluster.endpoints().join(",");
    let [ca, cert, key, strangers] = [ca, &client.cert, &client.key, strangers_ca].map(|path| text(path));
    let all = ["--endpoint", &endpoints, "--timeout", "1h"];
    let list = |more: &[&str]| [&all[..], &["list", "-s"], more].concat().into_iter().map(str::to_owned).collect();
    for (more, says) in
        [(list(&["--ca-file", &ca]), "it demands a certificate"), (list(&["--ca-file", &strangers]), "is not trusted")]
    {
        let more: Vec<String> = more;
        let words: Vec<_> = more.iter().map(String::as_str).collect();
        run("flmctl", &words).await?.refused(NOT_ALLOWED, &[says, "docs/operate/tls.md"])?;
    }
    let missing = [&all[..], &["list", "-s", "--ca-file", "/nowhere/ca.pem"]].concat();
    run("flmctl", &missing).await?.refused(2, &["--ca-file names /nowhere/ca.pem, which cannot be read"])?;
    let alone = [&all[..], &["list", "-s", "--ca-file", &ca, "--cert-file", &cert]].concat();
    run("flmctl", &alone).await?.refused(2, &["--cert-file is set and FLAME_KEY_FILE (or --key-file) is not"])?;

    let flags = ["--ca-file", &ca, "--cert-file", &cert, "--key-file", &key];
    let status = run("flmctl", &[&all[..], &flags, &["cluster", "status"]].concat()).await?.with_code(0)?;
    ensure!(status.stdout.to_lowercase().contains("healthy"), "{}", status.story());
    let environment =
        [("FLAME_ENDPOINT", &*endpoints), ("FLAME_CA_FILE", &ca), ("FLAME_CERT_FILE", &cert), ("FLAME_KEY_FILE", &key)];
    run_with(&environment, "flmctl", &["list", "-s"]).await?.with_code(0)?;
    let file = cluster.folder().join("flame.yaml");
    let (first, rest) =
        cluster.endpoints().split_first().map(|(first, rest)| (first.clone(), rest.join(", "))).context("endpoints")?;
    let yaml = format!(
        "current-context: here\ncontexts:\n  - name: here\n    cluster:\n      endpoint: {first}\n      endpoints: [{rest}]\n      \
         tls: {{ ca_file: {ca}, cert_file: {cert}, key_file: {key} }}\n"
    );
    std::fs::write(&file, yaml)?;
    run("flmctl", &["--config", &text(&file), "list", "-s"]).await?.with_code(0).map(drop)
}

/// Whoever runs a worker reads its log; it keeps trying, since files on the other side may be mended.
async fn misfits_of_workers(cluster: &mut Cluster, certificates: &Certificates) -> Result<()> {
    let Certificates { client, strangers_ca, ca, stranger, .. } = certificates;
    let original = cluster.folder().join("w1/flame-cluster.yaml");
    cluster.stop_worker(0).await?;
    let (cert, trusted) = (text(&client.cert), text(ca));
    for (name, from, to, says) in [
        ("stranger", &cert, text(&stranger.cert), "does not accept the certificate that was shown (UnknownCA)"),
        ("distrust", &trusted, text(strangers_ca), "its certificate is not trusted"),
        ("plain", &"https://".to_owned(), "http://".to_owned(), "it speaks TLS only; write https://"),
    ] {
        let mut wrong = changed(&original, &format!("{name}.yaml"), from, &to)?;
        if name == "stranger" {
            wrong = changed(&wrong, &format!("{name}.yaml"), &text(&client.key), &text(&stranger.key))?;
        }
        let mut worker = crate::programs::Running::start("flame-worker", &["--config", &text(&wrong)])?;
        worker.says("this worker and a coordinator do not come together over TLS").await.context(name)?;
        worker.says(says).await.context(name)?;
        worker.kill().await?;
    }
    let alone = changed(&original, "alone.yaml", &format!("    key_file: \"{}\"\n", text(&client.key)), "")?;
    let refused = run("flame-worker", &["--config", &text(&alone)]).await?;
    refused.complained(2, &["worker.tls.cert_file (", "is set and worker.tls.key_file is not"])?;
    cluster.start_worker(0).await
}

async fn one_bad_endpoint_hides_no_good_one(cluster: &Cluster, certificates: &Certificates) -> Result<()> {
    let good = cluster.endpoints();
    let bad = plain(&good)[0].clone();
    for endpoints in [vec![bad.clone(), good[1].clone()], vec![good[1].clone(), bad.clone()]] {
        let client = connect(&endpoints, fitting(certificates))?;
        for _ in 0..3 {
            tokio::time::timeout(LIMIT, client.members()).await.context("a good endpoint is there")??;
        }
    }
    // One that is away may come back, and may fit: that is tried until the deadline, and both are named then.
    let options = Options { tls: fitting(certificates), deadline: Duration::from_secs(2), ..Options::default() };
    let away = "https://127.0.0.1:1".to_owned();
    let error = Connection::open(Endpoints::parse(&[bad.clone(), away])?, options)?.members().await;
    match error {
        Err(FlameError::Unavailable(why)) => {
            // Also when the deadline comes in the middle of an attempt.
            ensure!(why.contains(&format!("{bad}: it speaks TLS only")), "{why}");
            Ok(())
        }
        other => anyhow::bail!("{other:?}"),
    }
}

async fn tasks_outlive_the_leader(cluster: &mut Cluster, certificates: &Certificates) -> Result<()> {
    let client = connect(&cluster.endpoints(), fitting(certificates))?;
    let application = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-echo-service")?.display().to_string()),
        environments: vec![Environment { name: "FLAME_ECHO_LOG".into(), value: text(&cluster.folder().join("calls")) }],
        ..ApplicationSpec::default()
    };
    client.register_application(APPLICATION, application).await?;
    let options = SessionOptions {
        id: Some("encrypted".to_owned()),
        max_instances: Some(SERVICES),
        resreq: Some(Resources { cpu: 1, memory: 64 << 20, gpu: 0 }),
        ..SessionOptions::new(APPLICATION)
    };
    client.create_session(&options).await?;
    let leader = cluster.leader().await?.id;
    for number in 0..20 {
        if number == 10 {
            cluster.kill_coordinator(leader).await?;
        }
        let task = client.create_task("encrypted", Some(format!("input {number}").into())).await?.number()?;
        let ended = wait_until(LIMIT, "the task has ended", || async {
            let task = client.get_task("encrypted", task).await?;
            ensure!(task.is_terminal(), "{task:?}");
            Ok(task)
        });
        let ended = ended.await?;
        ensure!(ended.status.state.is(TaskState::Succeed), "{ended:?}");
    }
    ensure!(cluster.leader().await?.id != leader, "another one leads");
    cluster.start_coordinator(leader).await?;
    cluster.leader().await.map(drop)
}

/// It stays up, says what is wrong, and harms nobody.
async fn a_coordinator_that_does_not_fit(cluster: &mut Cluster, certificates: &Certificates) -> Result<()> {
    let Certificates { ca, coordinator, strangers_ca, stranger, misnamed, .. } = certificates;
    let leader = cluster.leader().await?.id;
    let victim = cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("a follower")?;
    cluster.stop_coordinator(victim).await?;
    let original = config(cluster, victim.0);
    let good = std::fs::read_to_string(&original)?;
    let foreign = good.replace(&text(ca), &text(strangers_ca)).replace(&text(&coordinator.cert), &text(&stranger.cert));
    std::fs::write(&original, foreign.replace(&text(&coordinator.key), &text(&stranger.key)))?;
    cluster.start_coordinator(victim).await?;
    wait_until(LIMIT, "both sides complain", || async {
        ensure!(cluster.written("this node and a peer do not come together over TLS")? >= 2, "nobody complains");
        Ok(())
    })
    .await?;
    ensure!(cluster.exit_code(victim).is_none(), "it has ended");
    let of_victim = connect(&[cluster.endpoint(victim)], files(strangers_ca, Some(stranger)))?;
    wait_until(LIMIT, "it says so itself", || async {
        let status = of_victim.member_status().await?;
        ensure!(status.not_ready_reason.contains("over TLS, coordinator "), "{status:?}");
        Ok(())
    })
    .await?;
    cluster.stop_coordinator(victim).await?;

    let misnamed_pair = good.replace(&text(&coordinator.cert), &text(&misnamed.cert));
    std::fs::write(&original, misnamed_pair.replace(&text(&coordinator.key), &text(&misnamed.key)))?;
    cluster.start_coordinator(victim).await?;
    wait_until(LIMIT, "the others name the names", || async {
        ensure!(cluster.written("its certificate is for elsewhere.example, not for 127.0.0.1")? >= 1, "not yet");
        Ok(())
    })
    .await?;
    cluster.stop_coordinator(victim).await?;

    std::fs::write(&original, good)?;
    cluster.start_coordinator(victim).await?;
    all_follow(cluster, victim).await
}

async fn all_follow(cluster: &Cluster, victim: CoordinatorId) -> Result<()> {
    let leader = cluster.leader().await?;
    wait_until(LIMIT, "the coordinator that was mended follows", || async {
        let (follows, _) = cluster.opinion(victim).await?;
        ensure!(follows == Some(leader.id), "it follows {follows:?}");
        Ok(())
    })
    .await
}
