//! What the leader decides: who is attached, which executor serves which session. Every plan is checked again: one
//! that was made from an older state is refused.

use flame_types::{
    AppName, CoordinatorId, Epoch, ExecutorKey, ExecutorState, NodeName, Resources, SessionKey, SessionState, Token,
    limits,
};

use super::batch::{Apply, Outcome};
use crate::cluster_event::ClusterEvent;
use crate::command::{LeaseEnd, WaitReason};
use crate::effect::Order;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::schedule;
use crate::state::{Executor, ExecutorRow, Session, Trust};

/// Published family of session events; this one is ours.
const WAITING: i32 = 1003;

/// The fields of [`crate::command::Command::Place`].
pub(super) struct Placement {
    pub node: NodeName,
    pub session: SessionKey,
    pub resources: Resources,
    pub have: u32,
    pub count: u32,
    pub reuse: Option<(ExecutorKey, Epoch)>,
}

impl Apply<'_> {
    /// Every worker and cache node counts as detached until it says Hello again: nothing is sent by streams of an earlier leader.
    pub(super) fn leader_start(&mut self, leader: CoordinatorId) -> Outcome {
        if self.ctx.term <= self.state.cluster.term {
            return Ok(Reply::Done);
        }
        self.state.cluster.term = self.ctx.term;
        // The leader before may have given this one out for a task whose entry it never wrote.
        self.state.cluster.next_token = self.state.cluster.next_token.next();
        self.happened(ClusterEvent::LeaderStarted { leader, term: self.ctx.term });
        self.changes.cluster = true;
        let attached = self.state.nodes.values().filter(|node| node.row.attached);
        let attached: Vec<NodeName> = attached.map(|node| node.row.name.clone()).collect();
        for name in attached {
            self.set_detached(&name);
        }
        self.detach_caches();
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    pub(super) fn detach(&mut self, name: &NodeName, epoch: Epoch) -> Outcome {
        self.check_epoch(name, epoch)?;
        if self.state.nodes[name].row.attached {
            self.set_detached(name);
            self.happened(ClusterEvent::WorkerDetached { node: name.clone() });
        }
        Ok(Reply::Done)
    }

    pub(super) fn expire_node(&mut self, name: &NodeName, epoch: Epoch, end: LeaseEnd) -> Outcome {
        self.check_epoch(name, epoch)?;
        if self.state.nodes[name].row.expired.is_none() {
            self.end_lease(name, &format!("worker {name} was lost"));
            self.happened(ClusterEvent::WorkerExpired { node: name.clone(), end });
        }
        Ok(Reply::Done)
    }

    /// Ends the lease of a node: its executors are gone, and reports under this lease are refused from now on.
    pub(super) fn end_lease(&mut self, name: &NodeName, why: &str) {
        self.lose_node_executors(name, why);
        let (now, epoch) = (self.state.cluster.time, self.state.cluster.next_epoch);
        self.state.cluster.next_epoch = epoch.next();
        self.changes.cluster = true;
        let node = self.state.nodes.get_mut(name).expect("the caller has found it");
        node.row.attached = false;
        node.row.expired = Some(now);
        node.row.epoch = epoch;
        self.node_changed(name);
    }

    pub(super) fn place(&mut self, plan: &Placement) -> Outcome {
        let (app, edition) = self.check_session(plan)?;
        self.check_node(plan)?;
        self.check_trust(plan)?;
        match plan.reuse {
            Some((executor, epoch)) => {
                self.check_reuse(plan, executor, epoch, &app, edition)?;
                self.hand_over(executor, plan.session);
            }
            None => {
                self.check_room(plan, &app)?;
                for _ in 0..plan.count {
                    self.place_new(plan, app.clone(), edition);
                }
            }
        }
        self.touch(plan.session);
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    pub(super) fn release(&mut self, key: ExecutorKey, epoch: Epoch) -> Outcome {
        let executor = self.state.executors.get(&key).ok_or(Refusal::ExecutorNotFound(key.0))?;
        if executor.row.epoch != epoch {
            return Err(Refusal::StalePlan(format!("executor {key} has changed since")));
        }
        let state = executor.row.state;
        if executor.is_attached()
            && let Some(session) = self.state.sessions.get(&executor.row.session)
        {
            let min = session.asked.spec.min_instances;
            let open = session.row.state == SessionState::Open;
            if open && !executor.row.retiring && session.staying() <= min {
                let why = format!("session {} would fall below min_instances {min}", session.asked.id);
                return Err(Refusal::StalePlan(why));
            }
        }
        match state {
            ExecutorState::Bound | ExecutorState::Void | ExecutorState::Binding => self.retire(key),
            ExecutorState::Unbinding => self.stop(key),
            other => return Err(Refusal::ExecutorState(other)),
        }
        Ok(Reply::Done)
    }

    pub(super) fn recall(&mut self, tokens: &[Token]) -> Outcome {
        self.recall_tokens(tokens.to_vec());
        Ok(Reply::Done)
    }

    pub(super) fn waiting(&mut self, key: SessionKey, reason: Option<WaitReason>) -> Outcome {
        let Some(session) = self.state.sessions.get(&key) else {
            return Err(Refusal::SessionNotFound(key.to_string()));
        };
        // It may have been given executors since this was planned.
        let is_served = session.staying() >= session.batch_size();
        self.set_wait(key, reason.filter(|_| !is_served));
        Ok(Reply::Done)
    }

    /// A session that no worker could serve says so at once, not only when a task waits in it. From then on the planner
    /// keeps its reason up to date.
    pub(super) fn tell_if_unservable(&mut self, key: SessionKey) {
        if let Some(reason) = schedule::unservable(self.state, key) {
            self.set_wait(key, Some(reason));
        }
    }

    /// Only reasons that time alone will not mend become events: one when the kind of the reason changes, and none that
    /// the session has told already. So workers that come and go do not fill its events.
    fn set_wait(&mut self, key: SessionKey, reason: Option<WaitReason>) {
        let Some(session) = self.state.sessions.get_mut(&key).filter(|session| session.row.wait != reason) else {
            return;
        };
        let kind = |reason: &Option<WaitReason>| reason.as_ref().map(std::mem::discriminant);
        let same_kind = kind(&session.row.wait) == kind(&reason);
        session.row.wait = reason.clone();
        let text = reason.as_ref().and_then(advice).filter(|_| !same_kind);
        let news =
            text.filter(|text| !session.events.iter().any(|event| event.code == WAITING && event.message == *text));
        self.touch(key);
        if let Some(text) = news {
            self.session_event(key, WAITING, text);
        }
    }

    fn set_detached(&mut self, name: &NodeName) {
        let node = self.state.nodes.get_mut(name).expect("the caller has found it");
        node.row.attached = false;
        self.node_changed(name);
    }

    fn check_session(&self, plan: &Placement) -> Result<(AppName, u64), Refusal> {
        let stale = |why: &str| Refusal::StalePlan(why.to_string());
        let session = self.state.sessions.get(&plan.session).ok_or_else(|| stale("the session is not open"))?;
        if session.row.state != SessionState::Open {
            return Err(stale("the session is not open"));
        }
        let have = u32::try_from(session.executors.len()).unwrap_or(u32::MAX);
        if have != plan.have {
            return Err(Refusal::StalePlan(format!("the session has {have} executors, not {}", plan.have)));
        }
        if plan.count == 0 || have.saturating_add(plan.count) > session.terms.max_instances {
            return Err(Refusal::StalePlan(format!("the session may have {} executors", session.terms.max_instances)));
        }
        if session.asked.spec.resources != plan.resources {
            return Err(stale("the session asks for other resources"));
        }
        if session.row.not_before > self.state.cluster.time {
            return Err(stale("the session waits after a failure"));
        }
        if session.row.bind_failures >= session.terms.retry.refused.starts_max {
            return Err(stale("the session has failed to bind too often"));
        }
        let app = self.state.apps.get(session.app()).ok_or_else(|| stale("the application is gone"))?;
        Ok((app.row.name.clone(), app.row.edition))
    }

    fn check_node(&self, plan: &Placement) -> Result<(), Refusal> {
        let node = self.state.nodes.get(&plan.node).ok_or_else(|| Refusal::NodeNotFound(plan.node.to_string()))?;
        if !node.takes_executors() {
            return Err(Refusal::NoRoom(plan.node.to_string(), "it is detached or cordoned".into()));
        }
        Ok(())
    }

    /// A worker on which executors of the session failed may be avoided, or on trial.
    fn check_trust(&self, plan: &Placement) -> Result<(), Refusal> {
        let (Some(node), Some(session)) = (self.state.nodes.get(&plan.node), self.state.sessions.get(&plan.session))
        else {
            return Ok(());
        };
        let no_room = |why: String| Err(Refusal::NoRoom(plan.node.to_string(), why));
        let failures = node.row.bind_failures;
        match node.trust(session.asker(), self.state.now()) {
            Trust::Full => Ok(()),
            Trust::Trial if plan.count == 1 && !self.state.has_probe(node) => Ok(()),
            Trust::Trial => no_room(format!("after {failures} failures in a row it gets one executor at a time")),
            Trust::Avoided => {
                no_room(format!("after {failures} failures in a row it is avoided until {}", node.row.avoidance.until))
            }
        }
    }

    /// An executor was placed for a session: on a worker that is on trial it is the one that decides.
    pub(super) fn note_probe(&mut self, key: ExecutorKey) {
        let now = self.state.cluster.time;
        let row = &self.state.executors[&key].row;
        let Some(node) = self.state.nodes.get_mut(&row.node) else { return };
        let asker = self.state.sessions.get(&row.session).map(Session::asker);
        if asker.is_some_and(|asker| node.trust(asker, now) == Trust::Trial) {
            node.row.avoidance.probe = Some(key);
            self.changes.nodes.insert(row.node.clone());
        }
    }

    fn check_room(&self, plan: &Placement, app: &AppName) -> Result<(), Refusal> {
        let no_room = |why: String| Err(Refusal::NoRoom(plan.node.to_string(), why));
        let node = &self.state.nodes[&plan.node];
        let spec = &self.state.apps[app].row.spec;
        if !node.row.shims.contains(&spec.shim) {
            return no_room(format!("it does not run the shim {}", spec.shim));
        }
        if plan.resources.count_in(node.free()) < u64::from(plan.count) {
            return no_room(format!("{} are left", node.free()));
        }
        if node.executors.len() + plan.count as usize > limits::NODE_EXECUTORS_MAX {
            return no_room(format!("it has {} executors", node.executors.len()));
        }
        if self.state.app_instances(app).saturating_add(plan.count) > spec.max_instances {
            let why = format!("application {app} may have {} executors", spec.max_instances);
            return Err(Refusal::StalePlan(why));
        }
        Ok(())
    }

    fn check_reuse(
        &self,
        plan: &Placement,
        key: ExecutorKey,
        epoch: Epoch,
        app: &AppName,
        edition: u64,
    ) -> Result<(), Refusal> {
        let executor = self.state.executors.get(&key).ok_or(Refusal::ExecutorNotFound(key.0))?;
        let row = &executor.row;
        if row.state != ExecutorState::Unbinding {
            return Err(Refusal::ExecutorState(row.state));
        }
        let fits = row.epoch == epoch
            && row.node == plan.node
            && row.app.as_ref() == Some(app)
            && row.edition == edition
            && row.resources == plan.resources
            && plan.count == 1;
        if fits { Ok(()) } else { Err(Refusal::StalePlan(format!("executor {key} does not fit the session"))) }
    }

    fn place_new(&mut self, plan: &Placement, app: AppName, edition: u64) {
        let key = self.state.cluster.next_executor;
        self.state.cluster.next_executor = key.next();
        self.changes.cluster = true;
        let row = ExecutorRow {
            key,
            node: plan.node.clone(),
            session: plan.session,
            app: Some(app),
            edition,
            resources: plan.resources,
            state: ExecutorState::Void,
            epoch: Epoch(1),
            slots: 1,
            retiring: false,
            gone: false,
            idle_since: self.state.cluster.time,
            ran_us_mean: 0,
            completed: 0,
            created: self.wall,
        };
        self.state.executors.insert(key, Executor::new(row));
        self.state.count_executor(key);
        self.note_probe(key);
        self.executor_changed(key);
        let (session, resources) = (plan.session, plan.resources);
        self.order(&plan.node, Order::Start { executor: key, session, resources });
    }
}

/// What a user can do about it, for reasons that do not pass by themselves.
fn advice(reason: &WaitReason) -> Option<String> {
    let text = match reason {
        WaitReason::NoWorkers => {
            "No worker is attached, so no task can start. Start a worker, or look why those that ran are gone."
                .to_string()
        }
        WaitReason::NoShim { shim } => format!(
            "No attached worker runs services with the shim {shim}. Start a worker that does, or register the \
             application with another shim."
        ),
        WaitReason::TooLarge { resources } => format!(
            "No attached worker is large enough for an executor with {resources}, even when it is empty. Start a \
             larger worker, or open a session that asks for less."
        ),
        WaitReason::AppLimit { max_instances } => format!(
            "The application's max_instances, {max_instances} for all its sessions together, is reached. Wait for or \
             close another session of it, or raise max_instances."
        ),
        WaitReason::Gang { batch_size, possible } => format!(
            "The session needs {batch_size} executors at a time, and the attached workers can hold {possible}. Start \
             more workers, or open a session with a smaller batch_size."
        ),
        WaitReason::Busy | WaitReason::BindFailures { .. } | WaitReason::Priority { .. } => return None,
    };
    Some(text)
}
