//! The cluster that is asked, its coordinators one by one, and services that wait for a sign.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Ended, LIMIT, run};

/// The first worker of a cluster of the test kit.
pub const WORKER: &str = "w1";

/// Three coordinators, one worker, and a client for what `flmctl` has no verb for: submitting tasks.
pub struct Scene {
    pub cluster: Cluster,
    pub client: Connection,
    /// The worker's FLAME_HOME, and the files that tasks wait for.
    folder: TempDir,
}

/// One coordinator, as the only one that a command is told of.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: CoordinatorId,
    endpoint: String,
}

impl Scene {
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = Binaries::find()?.furnish(folder.path())?;
        // The Raft library's own complaints tell how often a dead peer is tried.
        let log = ("FLAME_LOG".to_owned(), "info,openraft=warn".to_owned());
        let environment = vec![home, log];
        let cluster = Cluster::start(ClusterOptions { environment, ..ClusterOptions::default() }).await?;
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        Ok(Self { cluster, client, folder })
    }

    /// All coordinators, beginning with this one.
    pub fn nodes_from(&self, first: CoordinatorId) -> Vec<Node> {
        let mut nodes = self.nodes();
        nodes.sort_by_key(|node| node.id != first);
        nodes
    }

    /// All coordinators.
    pub fn nodes(&self) -> Vec<Node> {
        let node = |id| Node { id, endpoint: self.cluster.endpoint(id) };
        self.cluster.coordinator_ids().into_iter().map(node).collect()
    }

    /// Everything of a reading command that is the same whoever is asked: each of the nodes is asked in each format, and
    /// all must agree. Gives table and JSON.
    pub async fn agreed(&self, words: &[&str]) -> Result<(String, Value)> {
        let mut agreed: Option<(String, Value)> = None;
        for node in self.nodes() {
            let table = node.run(words).await?.with_code(0)?;
            let json = node.json(words).await?;
            let yaml = node.run(&[words, &["-o", "yaml"]].concat()).await?.with_code(0)?.yaml()?;
            ensure!(yaml == json, "YAML and JSON differ through {node:?}:\n{yaml:#}\n{json:#}");
            let answer = (table.stdout, json);
            let first = agreed.get_or_insert_with(|| answer.clone());
            ensure!(*first == answer, "{words:?} through {node:?}: {answer:#?}\nthrough another node: {first:#?}");
        }
        agreed.context("there are no nodes")
    }

    /// A file that is not there yet: a task with [`wait_for`] as its input runs until [`open`] makes it.
    pub fn gate(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this text, for `-f`.
    pub fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Submits a task and gives its number.
    pub async fn submit(&self, session: &str, input: &[u8]) -> Result<String> {
        let task = self.client.create_task(session, Some(Bytes::copy_from_slice(input))).await?;
        Ok(task.metadata.id)
    }
}

impl Node {
    /// `flmctl` with these words, told of this node only.
    pub async fn run(&self, words: &[&str]) -> Result<Ended> {
        run("flmctl", &self.words(words)).await
    }

    /// `flmping` with these words, told of this node only.
    pub async fn ping(&self, words: &[&str]) -> Result<Ended> {
        run("flmping", &self.words(words)).await
    }

    /// The words, and this node as the endpoint.
    pub fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        through([self], words)
    }

    /// What a changing command says; it must succeed.
    pub async fn says(&self, words: &[&str]) -> Result<String> {
        let ended = self.run(words).await?.with_code(0)?;
        ensure!(ended.stderr.is_empty(), "a command that succeeds has nothing to complain about: {}", ended.story());
        Ok(ended.stdout)
    }

    /// What a reading command says as JSON; it must succeed.
    pub async fn json(&self, words: &[&str]) -> Result<Value> {
        self.run(&[words, &["-o", "json"]].concat()).await?.with_code(0)?.json()
    }

    /// Waits until a task is in this state, and gives its view.
    pub async fn task_in(&self, state: &str, session: &str, task: &str) -> Result<Value> {
        wait_until(LIMIT, &format!("task {task} of {session} is {state}"), || async {
            let view = self.json(&["view", "-s", session, "-t", task]).await?;
            ensure!(view["status"]["state"] == state, "{view:#}");
            Ok(view)
        })
        .await
    }
}

/// The words, and these nodes as endpoints: the first is the one that is asked, the others are for when it dies.
pub fn through<'a>(nodes: impl IntoIterator<Item = &'a Node>, words: &[&'a str]) -> Vec<&'a str> {
    let endpoints = nodes.into_iter().flat_map(|node| ["--endpoint", &node.endpoint]);
    words.iter().copied().chain(endpoints).collect()
}

/// The input of a task that runs until the gate opens.
pub fn wait_for(gate: &std::path::Path) -> Vec<u8> {
    format!("wait {}", gate.display()).into_bytes()
}

/// Lets every task go on that waits for this gate.
pub fn open(gate: &std::path::Path) -> Result<()> {
    File::create(gate).map(drop).with_context(|| format!("open {}", gate.display()))
}

/// The description of an application, as users write it, of the service that answers with its input.
pub fn echo_manifest(name: &str, more: &str) -> Result<String> {
    let command = Binaries::find()?.path("flame-echo-service")?;
    Ok(format!("metadata:\n  name: {name}\nspec:\n  command: {}\n{more}", command.display()))
}

/// The element of a list in a reply with this id.
pub fn element<'a>(list: &'a Value, id: &str) -> Result<&'a Value> {
    let elements = list.as_array().with_context(|| format!("this is no list: {list:#}"))?;
    let found = elements.iter().find(|element| element["metadata"]["id"] == id);
    found.with_context(|| format!("{id} is not in the list: {list:#}"))
}
