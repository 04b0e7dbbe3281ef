//! What workers say of their executors, and what operators do with nodes.

use flame_types::{Epoch, ExecutorKey, ExecutorState, NodeName, SessionKey, Token};

use super::batch::{Apply, Outcome};
use super::ending::Loss;
use crate::cluster_event::ClusterEvent;
use crate::command::{Attributes, FailureCause};
use crate::effect::Order;
use crate::refusal::Refusal;
use crate::reply::Reply;

impl Apply<'_> {
    pub(super) fn executor_ready(
        &mut self,
        node: &NodeName,
        epoch: Epoch,
        key: ExecutorKey,
        session: SessionKey,
        attributes: &Attributes,
    ) -> Outcome {
        self.check_epoch(node, epoch)?;
        let Some(executor) = self.executor_on(node, key) else {
            self.order(node, Order::Stop { executor: key });
            return Ok(Reply::Done);
        };
        let starting = matches!(executor, ExecutorState::Void | ExecutorState::Binding);
        // Late news of a session that it has left since changes nothing.
        if self.state.executors[&key].row.session == session {
            self.publish(key, attributes);
            if starting {
                self.bound(key);
            }
        }
        Ok(Reply::Done)
    }

    pub(super) fn executor_failed(
        &mut self,
        node: &NodeName,
        epoch: Epoch,
        key: ExecutorKey,
        started: &[Token],
        cause: FailureCause,
    ) -> Outcome {
        self.check_epoch(node, epoch)?;
        if self.executor_on(node, key).is_some() {
            self.executor_lost(key, started, cause);
        }
        Ok(Reply::Done)
    }

    /// A worker that stops of itself says so too: what ran there has lost its start.
    pub(super) fn executor_left(&mut self, node: &NodeName, epoch: Epoch, key: ExecutorKey) -> Outcome {
        self.check_epoch(node, epoch)?;
        if self.executor_on(node, key).is_some() {
            let loss = Loss::Worker(format!("worker {node} stopped the service"));
            self.empty_queue(key, &loss, |_, row| row.started.is_some());
            self.remove_executor(key);
        }
        Ok(Reply::Done)
    }

    pub(super) fn cordon(&mut self, name: &NodeName, on: bool) -> Outcome {
        let node = self.state.nodes.get_mut(name).ok_or_else(|| Refusal::NodeNotFound(name.to_string()))?;
        let was_on = std::mem::replace(&mut node.row.cordoned, on);
        if !on {
            node.row.draining = false;
        }
        self.node_changed(name);
        let node = name.clone();
        match (was_on, on) {
            (false, true) => self.happened(ClusterEvent::NodeCordoned { node }),
            (true, false) => self.happened(ClusterEvent::NodeUncordoned { node }),
            _ => {}
        }
        Ok(Reply::Done)
    }

    /// What runs may finish; what has not started goes elsewhere, and so do the executors.
    pub(super) fn drain(&mut self, name: &NodeName) -> Outcome {
        let node = self.state.nodes.get_mut(name).ok_or_else(|| Refusal::NodeNotFound(name.to_string()))?;
        node.row.cordoned = true;
        let was_draining = std::mem::replace(&mut node.row.draining, true);
        let executors: Vec<ExecutorKey> = node.executors.iter().copied().collect();
        for key in executors {
            match self.state.executors[&key].row.state {
                ExecutorState::Bound | ExecutorState::Void | ExecutorState::Binding => self.retire(key),
                ExecutorState::Unbinding => self.stop(key),
                _ => {}
            }
        }
        self.node_changed(name);
        if !was_draining {
            self.happened(ClusterEvent::NodeDraining { node: name.clone() });
        }
        Ok(Reply::Done)
    }

    /// Whether a node takes executors or tasks has changed.
    pub(super) fn node_changed(&mut self, name: &NodeName) {
        self.changes.nodes.insert(name.clone());
        self.capacity_changed |= self.state.index_node(name);
        let executors: Vec<ExecutorKey> =
            self.state.nodes.get(name).into_iter().flat_map(|node| node.executors.iter().copied()).collect();
        for key in executors {
            self.state.index_executor(key);
            let session = self.state.executors[&key].row.session;
            self.touch(session);
        }
        self.placement_dirty = true;
    }

    /// All executors of a node are lost with it. What was shown as Running has lost a start.
    pub(super) fn lose_node_executors(&mut self, name: &NodeName, why: &str) {
        let executors: Vec<ExecutorKey> =
            self.state.nodes.get(name).into_iter().flat_map(|node| node.executors.iter().copied()).collect();
        let loss = Loss::Worker(why.to_string());
        for key in executors {
            self.empty_queue(key, &loss, |_, row| row.started.is_some());
            self.remove_executor(key);
        }
    }

    /// The state of an executor, if it is on this node.
    fn executor_on(&self, node: &NodeName, key: ExecutorKey) -> Option<ExecutorState> {
        self.state.executors.get(&key).filter(|executor| executor.row.node == *node).map(|executor| executor.row.state)
    }
}
