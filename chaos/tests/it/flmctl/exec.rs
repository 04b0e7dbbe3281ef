//! `flmexec` against a follower: what scripts write, how they fail, and that nothing is left of those that are ended.
//!
//! What the service does with a script is tested in ctl/tests/it/exec.rs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_sdk::SessionOptions;
use flame_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::scene::{Node, Scene};
use crate::programs::{Ended, LIMIT, Running, run};

pub async fn step(scene: &Scene) -> Result<()> {
    let leader = scene.cluster.leader().await?.id;
    let follower = scene.nodes().into_iter().find(|node| node.id != leader).context("there is no follower")?;
    what_scripts_write(scene, &follower).await.context("what scripts write")?;
    failures(&follower).await.context("failures")?;
    published_wire(scene, &follower).await.context("the published form of tasks")?;
    cancelled(scene, &follower).await.context("a task that is cancelled")?;
    interrupted(scene, &follower).await.context("a command that is interrupted")?;
    service_killed(scene, &follower).await.context("a service that is killed")
}

async fn exec(node: &Node, words: &[&str]) -> Result<Ended> {
    run("flmexec", &node.words(words)).await
}

async fn what_scripts_write(scene: &Scene, node: &Node) -> Result<()> {
    let ended = exec(node, &["-c", "echo hello; echo careful >&2"]).await?.with_code(0)?;
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (&*"hello\n".repeat(10), &*"careful\n".repeat(10)));

    let file = scene.file("sum.py", "import sys\nprint(sum(int(word) for word in sys.stdin.read().split()))\n")?;
    let ended = exec(node, &["-t", "2", &file, "-i", "1 2 3", "--timeout", "50s"]).await?.with_code(0)?;
    assert_eq!(ended.stdout, "6\n6\n", "a FILE that ends with .py is Python: {}", ended.story());
    let numbers = scene.file("numbers", "40 2")?;
    let ended = exec(node, &["-t", "1", &file, "--input-file", &numbers]).await?.with_code(0)?;
    assert_eq!(ended.stdout, "42\n", "{}", ended.story());

    let piped = Running::start_reading("flmexec", &node.words(&["-t", "1", "-r", "sh"]), "echo piped; cat")?;
    assert_eq!(piped.ended().await?.with_code(0)?.stdout, "piped\n");

    let told =
        exec(node, &["-t", "1", "-c", "echo hello; echo careful >&2", "-o", "json"]).await?.with_code(0)?.json()?;
    let (hello, careful) = ("aGVsbG8K", "Y2FyZWZ1bAo=");
    let expected = json!([{"task": "1", "state": "Succeed", "exit_code": 0, "stdout": hello, "stderr": careful}]);
    assert_eq!(told["tasks"], expected);
    let session = told["session"].as_str().context("the session is named")?;
    let view = node.json(&["view", "-s", session]).await?;
    ensure!(view["status"]["state"] == "Closed", "it leaves its session behind: {view:#}");
    Ok(())
}

async fn failures(node: &Node) -> Result<()> {
    let ended = exec(node, &["-t", "2", "-c", "echo 'no such thing' >&2; exit 3"]).await?;
    let said = ["flmexec: task 1: the script ended with exit code 3", "no such thing", "2 of 2 tasks failed"];
    ended.refused(1, &said)?;
    let ended = exec(node, &["-t", "1", "-c", "while :; do sleep 1; done", "--timeout", "200ms"]).await?;
    ended.refused(1, &["ran longer than its timeout of 200ms"])?;
    exec(node, &["-t", "1", "-r", "/opt/bash", "-c", "ls"]).await?.refused(1, &["may not be asked for"])?;
    exec(node, &["-t", "1", "-c", "yes"]).await?.refused(1, &["more than 917504 bytes to its stdout"])?;
    exec(node, &["-t", "1", "-c", "sleep 600", "--wait", "300ms"]).await?.refused(4, &["did not end in time"])?;
    exec(node, &["/nonexistent.sh"]).await?.refused(3, &["/nonexistent.sh"])?;
    exec(node, &["-l", "ruby", "-c", "puts 1"]).await?.refused(2, &["ruby"])?;
    let ended = exec(node, &["-t", "1", "-c", "exit 7", "-o", "json"]).await?.complained(1, &["\"exit_code\":1"])?;
    let task = &ended.json()?["tasks"][0];
    assert_eq!((&task["state"], &task["stdout"]), (&json!("Failed"), &json!("")));
    let message = task["message"].as_str().context("there is a message")?;
    ensure!(message.starts_with("the script ended with exit code 7"), "{message}");
    Ok(())
}

/// A session as the published Sandbox makes it.
async fn published_wire(scene: &Scene, node: &Node) -> Result<()> {
    let attributes = json!({"language": "shell", "runtime": "sh", "min_instances": 0}).to_string();
    let options = SessionOptions { common_data: Some(attributes.into()), ..SessionOptions::new("flmexec") };
    let session = scene.client.create_session(&options).await?.metadata.id;
    let output = |view: &Value| -> Result<Value> {
        let text = view["spec"]["output"].as_str().context("there is an output")?;
        Ok(json!(text))
    };
    let task = scene.submit(&session, br#"{"language":"shell","code":"cat; printf !","input":[104,105]}"#).await?;
    let view = node.task_in("Succeed", &session, &task).await?;
    // {"data":[104,105,33],"stderr":[],"exit_code":0}
    assert_eq!(output(&view)?, "eyJkYXRhIjpbMTA0LDEwNSwzM10sInN0ZGVyciI6W10sImV4aXRfY29kZSI6MH0=");
    let task = scene.submit(&session, br#"{"code":"printf !"}"#).await?;
    node.task_in("Succeed", &session, &task).await?;
    for input in [&br#"{"language":"cobol","code":""}"#[..], b"hello"] {
        let task = scene.submit(&session, input).await?;
        node.task_in("Failed", &session, &task).await?;
    }
    node.says(&["close", "-s", &session]).await.map(drop)
}

/// A script that leaves its process group and writes all process numbers into this file.
fn family(file: &Path) -> String {
    let file = file.display();
    format!(
        "echo $$ >> {file}\nsetsid sh -c 'echo $$ >> {file}; sleep 600' &\ntimeout 600 sleep 600 & echo $! >> {file}\n\
         until [ $(wc -l < {file}) = 3 ]; do sleep 0.01; done\necho ready >> {file}\nwait\n"
    )
}

async fn members(file: &Path) -> Result<Vec<u32>> {
    wait_until(LIMIT, "all processes of the script are there", || async {
        let text = std::fs::read_to_string(file)?;
        let numbers = text.strip_suffix("ready\n").with_context(|| format!("so far {text:?}"))?;
        Ok(numbers.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?)
    })
    .await
}

async fn all_end(members: &[u32]) -> Result<()> {
    assert_eq!(members.len(), 3);
    wait_until(LIMIT, "no process of the script is left", || async {
        for pid in members {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let lives = stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']));
            ensure!(!lives, "{pid} is still there");
        }
        Ok(())
    })
    .await
}

async fn cancelled(scene: &Scene, node: &Node) -> Result<()> {
    let file = scene.gate("cancelled");
    let session = scene.client.create_session(&SessionOptions::new("flmexec")).await?.metadata.id;
    let input = json!({"language": "shell", "code": family(&file), "input": null}).to_string();
    let task = scene.submit(&session, input.as_bytes()).await?;
    let members = members(&file).await?;
    node.says(&["cancel", "-s", &session, "-t", &task]).await?;
    all_end(&members).await?;
    node.task_in("Cancelled", &session, &task).await?;
    // Its service lives and goes on.
    let next = scene.submit(&session, br#"{"language":"shell","code":"true","input":null}"#).await?;
    node.task_in("Succeed", &session, &next).await?;
    node.says(&["close", "-s", &session]).await.map(drop)
}

async fn interrupted(scene: &Scene, node: &Node) -> Result<()> {
    let file = scene.gate("interrupted");
    let code = family(&file);
    let running = Running::start("flmexec", &node.words(&["-t", "1", "-c", &code]))?;
    let members = members(&file).await?;
    running.end_by(Signal::INT).await?.refused(130, &["the session was closed"])?;
    all_end(&members).await
}

/// SIGKILL leaves the service no time to do anything: its keepers must.
async fn service_killed(scene: &Scene, node: &Node) -> Result<()> {
    let file = scene.gate("killed");
    let code = format!("ps -o ppid= -p $PPID > {0}.service\n{1}", file.display(), family(&file));
    let running = Running::start("flmexec", &node.words(&["-t", "1", "-c", &code]))?;
    let members = members(&file).await?;
    let service = std::fs::read_to_string(file.with_extension("service"))?;
    let service = service.trim().parse().ok().and_then(Pid::from_raw).with_context(|| format!("a pid: {service:?}"))?;
    kill_process(service, Signal::KILL)?;
    all_end(&members).await?;
    running.end_by(Signal::INT).await.map(drop)
}
