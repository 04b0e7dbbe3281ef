//! What users want to know of a worker itself, which no state holds: asked over its stream, answered over it.
//!
//! **Invariant:** a question waits with a limit, and ends with the term of this leader. Nothing but its asker depends on it.

use std::collections::HashMap;
use std::time::Duration;

use flame_proto::ha;
use flame_types::NodeName;
use flame_types::limits::INSTALL_LOG_BYTES_MAX;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Hub;

/// How long a worker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Questions that are not answered yet.
#[derive(Default)]
pub(super) struct Questions {
    last: u64,
    waiting: HashMap<u64, Question>,
}

struct Question {
    node: NodeName,
    answer: oneshot::Sender<ha::InstallLog>,
}

impl Hub {
    /// Whether this node leads, so that workers can be asked here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.table().open.is_some()
    }

    /// The names of attached workers, at most so many.
    #[must_use]
    pub fn attached_names(&self, most: usize) -> Vec<NodeName> {
        self.table().leases.names(most)
    }

    /// What the last install of an application wrote on a worker.
    ///
    /// # Errors
    /// A sentence on why there is no answer.
    pub async fn install_log(
        &self,
        node: &NodeName,
        application: &str,
        deadline: Instant,
    ) -> Result<ha::InstallLog, String> {
        let (frames, number, answer) = {
            let mut table = self.table();
            let frames = table.leases.way(node).and_then(|line| line.frames().upgrade());
            let Some(frames) = frames else { return Err("the worker is not attached".to_owned()) };
            let (sender, answer) = oneshot::channel();
            table.questions.last += 1;
            let number = table.questions.last;
            table.questions.waiting.insert(number, Question { node: node.clone(), answer: sender });
            (frames, number, answer)
        };
        let question = ha::ReadInstallLog { question: number, application: application.to_owned() };
        let frame = ha::WorkerDown { frame: Some(ha::worker_down::Frame::ReadInstallLog(question)) };
        let asked = async move {
            frames.send(Ok(frame)).await.ok()?;
            answer.await.ok()
        };
        let limit = deadline.min(Instant::now() + ANSWER_WITHIN);
        let answered = timeout_at(limit, asked).await;
        self.table().questions.waiting.remove(&number);
        match answered {
            Ok(Some(log)) => Ok(log),
            Ok(None) => Err("the worker went away".to_owned()),
            Err(_) => Err("the worker does not answer".to_owned()),
        }
    }

    /// A worker has answered. What nobody waits for any more, and what another one was asked, is let go.
    pub(super) fn on_install_log(&self, node: &NodeName, mut log: ha::InstallLog) {
        let mut table = self.table();
        let waiting = &mut table.questions.waiting;
        if waiting.get(&log.question).is_none_or(|question| question.node != *node) {
            return;
        }
        log.text.truncate(log.text.floor_char_boundary(INSTALL_LOG_BYTES_MAX));
        if let Some(question) = waiting.remove(&log.question) {
            // Whoever asked may have gone.
            let _ = question.answer.send(log);
        }
    }
}
