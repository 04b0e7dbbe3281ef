//! Collects what nodes and services say, and lets the checker judge.
//!
//! **Invariant:** each node is asked for its own view, through its own client port.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_jepsen::{Execution, History, NodeView, Nonce, ObservedTask, Verdict, execution_log};
use flame_sdk::model::Task;
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::wait_until;
use flame_types::{CoordinatorId, TaskNo, TaskState};
use futures::{StreamExt, TryStreamExt, stream};

use crate::run::setup::Run;
use crate::service;

/// Questions about single tasks that are open at the same time.
const QUESTIONS_OPEN_MAX: usize = 64;

/// For all nodes to have applied the same.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(60);

impl Run {
    /// What happened, judged. Everything must be at rest.
    ///
    /// # Errors
    /// If a witness cannot be asked. What a witness says is never an error here.
    pub async fn verdict(&self) -> Result<Verdict> {
        self.verdict_but_for(BTreeSet::new()).await
    }

    /// The same; these tasks may have been run again, since their worker was taken from them.
    ///
    /// # Errors
    /// As [`Run::verdict`].
    pub async fn verdict_but_for(&self, may_rerun: BTreeSet<Nonce>) -> Result<Verdict> {
        Ok(flame_jepsen::check(&History { may_rerun, ..self.history().await? }))
    }

    /// What the services have written so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn executions_so_far(&self) -> Result<Vec<Execution>> {
        // Before the first task there is no file.
        match std::fs::read_to_string(&self.executions) {
            Ok(log) => Ok(execution_log::parse(&log)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context("read the log of executions"),
        }
    }

    /// Waits until a coordinator has applied what the leader has committed by now.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn catches_up(&self, id: CoordinatorId) -> Result<()> {
        let leader = self.cluster.leader().await?;
        let committed = self.only(leader.id)?.member_status().await?.committed;
        let behind = self.only(id)?;
        wait_until(AGREEMENT_LIMIT, &format!("coordinator {id} has applied entry {committed}"), || async {
            let status = behind.member_status().await?;
            ensure!(status.applied >= committed && status.ready, "{status:?}");
            Ok(())
        })
        .await
    }

    /// Reads every task through one coordinator, with all that it knows of it.
    ///
    /// # Errors
    /// If it does not answer, or cannot read them.
    pub async fn reads_all(&self, id: CoordinatorId) -> Result<()> {
        self.view(id).await.map(drop)
    }

    /// What all witnesses say.
    ///
    /// # Errors
    /// If a witness cannot be asked.
    pub async fn history(&self) -> Result<History> {
        let mut views = Vec::new();
        for id in self.cluster.coordinator_ids() {
            views.push(self.view(id).await.with_context(|| format!("the view of coordinator {id}"))?);
        }
        Ok(History {
            acknowledged: self.ledger.acknowledgements(),
            unresolved: self.ledger.unresolved(),
            told: self.ledger.told_results(),
            views,
            executions: self.executions_so_far()?,
            may_rerun: BTreeSet::new(),
        })
    }

    /// Waits until all nodes have applied the same and their states have the same digest.
    ///
    /// # Errors
    /// If they do not come to agree; the message has the last digests.
    pub async fn agreement(&self) -> Result<()> {
        let ids = self.cluster.coordinator_ids();
        wait_until(AGREEMENT_LIMIT, "all nodes have the same state", || async {
            let mut digests = Vec::new();
            for id in &ids {
                let digest = self.only(*id)?.state_digest().await?;
                digests.push((digest.applied, digest.digest));
            }
            ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
            Ok(())
        })
        .await
    }

    async fn view(&self, id: CoordinatorId) -> Result<NodeView> {
        let connection = self.only(id)?;
        let listed: Vec<Task> = connection.list_tasks(&self.session).try_collect().await?;
        // Lists leave the events out; a task's whole story is told one by one.
        let stories = stream::iter(listed.iter().map(|task| completions(&connection, &self.session, task)));
        let stories: BTreeMap<_, _> = stories.buffer_unordered(QUESTIONS_OPEN_MAX).try_collect().await?;
        let tasks = listed.into_iter().map(|task| observed(task, &stories)).collect::<Result<_>>()?;
        Ok(NodeView { node: id, tasks })
    }

    /// A connection to one node and no other.
    pub(crate) fn only(&self, id: CoordinatorId) -> Result<Connection> {
        let endpoints = Endpoints::parse(&[self.cluster.endpoint(id)])?;
        Ok(Connection::open(endpoints, Options::default())?)
    }
}

/// How many ends the story of a task has. The code of an event is the state it tells of.
async fn completions(connection: &Connection, session: &str, task: &Task) -> Result<(TaskNo, u32)> {
    let number = task.number()?;
    let story = connection.get_task(session, number).await?.status.events;
    let ends = story.iter().filter(|event| TaskState::from_number(event.code).is_some_and(TaskState::is_terminal));
    Ok((number, u32::try_from(ends.count()).unwrap_or(u32::MAX)))
}

fn observed(task: Task, stories: &BTreeMap<TaskNo, u32>) -> Result<ObservedTask> {
    let number = task.number()?;
    let input = task.spec.input.as_deref().unwrap_or_default();
    let (nonce, _) = service::parse(input).with_context(|| format!("task {number} is not ours"))?;
    Ok(ObservedTask {
        task: number,
        nonce: Nonce::new(nonce),
        state: task.status.state.known().with_context(|| format!("task {number} has an unknown state"))?,
        output: task.spec.output.map(|output| output.to_vec()),
        recorded_completions: stories.get(&number).copied().unwrap_or(0),
    })
}
