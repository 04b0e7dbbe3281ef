//! What must hold after every batch.
//!
//! Each invariant is a function of its own; [`check`] runs them all. Tests call them after every step; they cost as much
//! as the state is large.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{CacheKey, ExecutorKey, ExecutorState, Resources, SessionState, TaskNo, Token};

use crate::schedule;
use crate::state::{Directory, Session, State, UsedByApp};

/// What an invariant says when it is broken.
pub type Broken = String;

/// Checks everything.
///
/// # Errors
/// Says what does not hold.
pub fn check(state: &State) -> Result<(), Broken> {
    counters(state)?;
    one_place(state)?;
    bound(state)?;
    tokens(state)?;
    capacity(state)?;
    limits(state)?;
    reachable(state)?;
    closed(state)?;
    ids(state)?;
    windows(state)?;
    requests(state)?;
    directory(state)?;
    memory(state)
}

/// Counters are the sizes of what they count.
///
/// # Errors
/// Says which counter is wrong.
pub fn counters(state: &State) -> Result<(), Broken> {
    for session in state.sessions.values() {
        let key = session.key;
        session.pending.check(session.row.head, state.cluster.time).map_err(|why| format!("session {key}: {why}"))?;
        let ended = session.row.ended();
        if session.row.trimmed > ended {
            return Err(format!("session {key}: {} of {ended} ended tasks have left", session.row.trimmed));
        }
        let all = session.row.next_task.0 - 1;
        if session.work() + ended != all {
            return Err(format!("session {key}: {} live and {ended} ended tasks, not {all}", session.work()));
        }
        let running = session.assigned.values().filter(|token| state.assignments[token].started.is_some()).count();
        if running as u64 != session.running {
            return Err(format!("session {key}: {running} tasks run, counted {}", session.running));
        }
        let retiring = session.executors.iter().filter(|key| state.executors[key].row.retiring).count();
        if retiring as u32 != session.retiring {
            return Err(format!("session {key}: {retiring} executors retire, counted {}", session.retiring));
        }
        if session.demand != session.wanted() {
            return Err(format!("session {key}: wants {}, indexed {}", session.wanted(), session.demand));
        }
    }
    let open: u64 = state.sessions.values().map(|session| session.row.kept_bytes).sum();
    let closed: u64 = state.closed.values().map(|row| row.kept_bytes).sum();
    if (open, closed) != (state.open_kept_bytes, state.closed_index.all.bytes) {
        let counted = (state.open_kept_bytes, state.closed_index.all.bytes);
        return Err(format!("open and closed sessions keep {:?} bytes, counted {counted:?}", (open, closed)));
    }
    for row in state.closed.values() {
        if row.succeed + row.failed + row.cancelled != row.tasks {
            return Err(format!("closed session {}: counters do not sum up to {}", row.key, row.tasks));
        }
    }
    Ok(())
}

/// A task is in exactly one of pending, assigned, finished.
///
/// # Errors
/// Names a task that is in two places.
pub fn one_place(state: &State) -> Result<(), Broken> {
    let mut held: BTreeMap<_, BTreeSet<TaskNo>> = BTreeMap::new();
    for (token, row) in state.assignments.iter().filter(|(_, row)| !row.cancelled) {
        let session = state.sessions.get(&row.session).ok_or_else(|| format!("token {token}: its session is gone"))?;
        if session.assigned.get(&row.task) != Some(token) {
            return Err(format!("token {token}: session {} does not know it", row.session));
        }
        if !held.entry(row.session).or_default().insert(row.task) {
            return Err(format!("task {} of session {} is assigned twice", row.task, row.session));
        }
        if session.pending.contains(session.row.head, row.task) {
            return Err(format!("task {} of session {} is pending and assigned", row.task, row.session));
        }
    }
    for session in state.sessions.values() {
        let known = held.get(&session.key).map_or(0, BTreeSet::len);
        if known != session.assigned.len() {
            return Err(format!("session {}: {} assigned, {known} assignments", session.key, session.assigned.len()));
        }
    }
    Ok(())
}

/// An assignment's executor is bound to the task's session, or about to enter it and then nothing is shown as Running,
/// and has it in its queue.
///
/// # Errors
/// Names the assignment.
pub fn bound(state: &State) -> Result<(), Broken> {
    let mut queued: BTreeSet<Token> = BTreeSet::new();
    for executor in state.executors.values() {
        for token in &executor.queue {
            if !queued.insert(*token) {
                return Err(format!("token {token} is queued twice"));
            }
        }
    }
    for (token, row) in &state.assignments {
        let executor = state.executors.get(&row.executor).ok_or_else(|| format!("token {token}: no executor"))?;
        let enters = executor.row.state == ExecutorState::Binding && row.started.is_none();
        let serves = executor.row.state == ExecutorState::Bound || enters || executor.row.gone;
        if executor.row.session != row.session || !serves {
            return Err(format!("token {token}: executor {} does not serve session {}", row.executor, row.session));
        }
        if !queued.remove(token) {
            return Err(format!("token {token} is in no queue"));
        }
    }
    match queued.first() {
        Some(token) => Err(format!("queued token {token} has no assignment")),
        None => Ok(()),
    }
}

/// Every token in use is below the next one, and queues are in order of tokens.
///
/// # Errors
/// Names the token.
pub fn tokens(state: &State) -> Result<(), Broken> {
    if let Some((token, _)) = state.assignments.last_key_value()
        && *token >= state.cluster.next_token
    {
        return Err(format!("token {token} is not below the next one, {}", state.cluster.next_token));
    }
    for (key, executor) in &state.executors {
        if !executor.queue.iter().is_sorted() {
            return Err(format!("the queue of executor {key} is out of order: {:?}", executor.queue));
        }
    }
    Ok(())
}

/// What is allocated on a node is the sum over its executors that have not left, and at most its capacity.
///
/// # Errors
/// Names the node.
pub fn capacity(state: &State) -> Result<(), Broken> {
    for (name, node) in &state.nodes {
        let here = state.executors.values().filter(|executor| executor.row.node == *name);
        let (mut sum, mut keys) = (Resources::ZERO, BTreeSet::<ExecutorKey>::new());
        for executor in here {
            sum = sum.plus(executor.row.resources);
            keys.insert(executor.row.key);
        }
        if sum != node.allocated || keys != node.executors {
            return Err(format!("node {name}: {sum:?} in use, counted {:?}", node.allocated));
        }
        if !sum.fits(node.row.capacity) {
            return Err(format!("node {name}: {sum:?} in use of {:?}", node.row.capacity));
        }
    }
    match state.executors.values().find(|executor| !state.nodes.contains_key(&executor.row.node)) {
        Some(executor) => Err(format!("executor {} is on no node", executor.row.key)),
        None => Ok(()),
    }
}

/// Executors are at most what session and application may have.
///
/// # Errors
/// Names the session or application.
pub fn limits(state: &State) -> Result<(), Broken> {
    for session in state.sessions.values() {
        if session.executors.len() > session.terms.max_instances as usize {
            return Err(format!("session {} has {} executors", session.key, session.executors.len()));
        }
    }
    for (name, used) in &state.app_executors {
        let counted = state.executors.values().filter(|executor| executor.row.app.as_ref() == Some(name)).count();
        if counted as u32 != *used {
            return Err(format!("application {name}: {counted} executors, counted {used}"));
        }
        // Executors of an earlier edition may be more than the present one allows: they are on their way out.
        let present = |app: &crate::state::App| {
            state.executors.values().filter(|executor| executor.row.edition == app.row.edition).count()
        };
        if let Some(app) = state.apps.get(name)
            && present(app) > app.row.spec.max_instances as usize
        {
            return Err(format!("application {name} has {} executors", present(app)));
        }
    }
    Ok(())
}

/// Executors that are given tasks are bound, not on their way out, and on an attached node that is not drained; their
/// session is open. Every session's view of its executors is true.
///
/// # Errors
/// Names the executor.
pub fn reachable(state: &State) -> Result<(), Broken> {
    for session in state.sessions.values() {
        let mut ready = 0;
        for key in &session.executors {
            let executor = &state.executors[key];
            if !executor.is_attached() || executor.row.session != session.key {
                return Err(format!("executor {key} does not belong to session {}", session.key));
            }
            let node = &state.nodes[&executor.row.node];
            let takes = executor.row.state == ExecutorState::Bound
                && !executor.row.retiring
                && node.row.attached
                && !node.row.draining;
            ready += u32::from(takes);
            let listed = executor.listed.is_some_and(|place| session.free.contains(&place));
            if executor.is_careful == session.suspects.is_empty() {
                return Err(format!("executor {key} does not know of {} suspects", session.suspects.len()));
            }
            let place = executor.place(state.cluster.config.prefetch_max);
            if listed != executor.listed.is_some() || listed && executor.listed != place {
                return Err(format!("executor {key} stands at another place than {place:?}"));
            }
            if listed && !takes {
                return Err(format!("executor {key} would be given tasks"));
            }
        }
        if session.free.iter().any(|place| !session.executors.contains(&place.executor)) || ready != session.ready {
            return Err(format!("session {}: {ready} ready executors, counted {}", session.key, session.ready));
        }
        dispatched(state, session)?;
    }
    let attached = state.executors.values().filter(|executor| executor.is_attached());
    for executor in attached {
        let known = state.sessions.get(&executor.row.session);
        if known.is_some_and(|session| !session.executors.contains(&executor.row.key)) {
            return Err(format!("executor {} is unknown to its session", executor.row.key));
        }
    }
    Ok(())
}

/// A task that may start is not left waiting.
fn dispatched(state: &State, session: &Session) -> Result<(), Broken> {
    let may = state.may_dispatch(session.key);
    if may && session.pending.next(session.row.head).is_some() {
        return Err(format!("session {}: a task waits although an executor has room", session.key));
    }
    if session.row.state == SessionState::Suspended && !session.assigned.is_empty() {
        return Err(format!("session {} is suspended and has tasks with executors", session.key));
    }
    Ok(())
}

/// A closed session has nothing pending, and nothing assigned but places of tasks that have ended.
///
/// # Errors
/// Names the session.
pub fn closed(state: &State) -> Result<(), Broken> {
    for (token, row) in &state.assignments {
        if !state.sessions.contains_key(&row.session) && !row.cancelled {
            return Err(format!("token {token} runs a task of session {}, which is closed", row.session));
        }
    }
    match state.closed.keys().find(|key| state.sessions.contains_key(key)) {
        Some(key) => Err(format!("session {key} is open and closed")),
        None => Ok(()),
    }
}

/// Every session id in use leads to its session, and to no other.
///
/// # Errors
/// Names the id.
pub fn ids(state: &State) -> Result<(), Broken> {
    let live = state.sessions.values().map(|session| (&session.asked.id, session.key));
    let closed = state.closed.values().map(|row| (&row.id, row.key));
    let mut counted = 0;
    for (id, key) in live.chain(closed) {
        counted += 1;
        if state.ids.get(id) != Some(&key) {
            return Err(format!("session id {id} does not lead to {key}"));
        }
        if key >= state.cluster.next_session {
            return Err(format!("session {key} is not below the next one"));
        }
    }
    if counted != state.ids.len() || state.closed_index.all.order.len() != state.closed.len() {
        return Err(format!("{} ids for {counted} sessions", state.ids.len()));
    }
    Ok(())
}

/// The replies from `below` to `last` of every client are there, and not more than one entry's worth below.
///
/// # Errors
/// Names the client.
pub fn windows(state: &State) -> Result<(), Broken> {
    for (id, client) in &state.clients {
        for seq in client.row.below.0..=client.row.last.0 {
            if client.kept(flame_types::Seq(seq)).is_none() {
                return Err(format!("client {id}: the reply to {seq} is gone"));
            }
        }
        let kept: u64 = client.window.iter().map(|(first, row)| first.0 + row.replies.len() as u64).max().unwrap_or(0);
        if kept > client.row.last.0 + 1 {
            return Err(format!("client {id}: a reply beyond {} is kept", client.row.last));
        }
        if state.nonces.get(&client.row.nonce) != Some(id) {
            return Err(format!("client {id}: its nonce does not lead to it"));
        }
    }
    Ok(())
}

/// Every remembered request is found by its id, and all are below the next number.
///
/// # Errors
/// Names the request.
pub fn requests(state: &State) -> Result<(), Broken> {
    let mut counted = 0;
    for (number, row) in state.requests.iter() {
        counted += 1;
        if state.requests.find(row.id) != Some(row) {
            return Err(format!("request {number}: its id does not lead to it"));
        }
        if number >= state.next_request() {
            return Err(format!("request {number} is not below the next one"));
        }
    }
    match state.requests.len() {
        known if known == counted => Ok(()),
        known => Err(format!("{known} request ids for {counted} requests")),
    }
}

/// Every place of an object is a cache node that is known, and knows of it; what is counted is what there is.
///
/// # Errors
/// Names the object, the cache node or the application.
pub fn directory(state: &State) -> Result<(), Broken> {
    let Directory { caches, entries, doomed, names, apps, copied, short } = &state.directory;
    let mut used: BTreeMap<&str, UsedByApp> = BTreeMap::new();
    let mut held: BTreeMap<CacheKey, (u64, u64)> = BTreeMap::new();
    for (key, row) in entries {
        let app = used.entry(key.app()).or_default();
        app.objects += 1;
        app.bytes += row.size;
        let places: BTreeSet<CacheKey> = row.places.iter().copied().collect();
        if places.len() != row.places.len() {
            return Err(format!("object {key} is twice with one of {places:?}"));
        }
        for place in places {
            if !caches.get(&place).is_some_and(|cache| cache.objects.contains(key)) {
                return Err(format!("object {key} is with cache node {place}, which does not know of it"));
            }
            let held = held.entry(place).or_default();
            *held = (held.0 + 1, held.1 + row.size);
        }
        let (is_copied, is_short) = (row.copies > 1, row.copies > 1 && row.places.len() < row.copies as usize);
        if (copied.contains(key), short.contains(key)) != (is_copied, is_short) {
            return Err(format!("object {key}: {} copies wanted, {:?} have it", row.copies, row.places));
        }
        if row.number >= state.cluster.next_object || row.version.0 == 0 {
            return Err(format!("object {key} has number {} and version {}", row.number, row.version));
        }
    }
    for (key, cache) in caches {
        let counted = held.remove(key).unwrap_or_default();
        if counted != (cache.objects.len() as u64, cache.bytes) {
            return Err(format!("cache node {}: {counted:?} objects and bytes, not counted so", cache.row.name));
        }
        if names.get(&cache.row.name) != Some(key) || cache.row.key != *key {
            return Err(format!("the name of cache node {} does not lead to it", cache.row.name));
        }
        if !cache.is_live() && (cache.row.attached || cache.objects.is_empty()) {
            return Err(format!("cache node {} is gone, and is not treated so", cache.row.name));
        }
    }
    let listed = apps.iter().map(|(app, used)| (app.as_str(), *used));
    if !listed.eq(used) || names.len() != caches.len() || copied.iter().any(|key| !entries.contains_key(key)) {
        return Err(format!("{} applications, {} names: not counted right", apps.len(), names.len()));
    }
    match doomed.iter().find(|(from, row)| row.target.range().0 != **from || row.below > state.cluster.next_object) {
        Some((from, row)) => Err(format!("{row:?} is kept as {from}")),
        None => Ok(()),
    }
}

/// Memory is a function of the rows.
///
/// # Errors
/// Says that it is not.
pub fn memory(state: &State) -> Result<(), Broken> {
    let loaded = State::load(state.rows()).map_err(|error| error.to_string())?;
    if loaded == *state { Ok(()) } else { Err(difference(&loaded, state)) }
}

/// The planner leaves out whom it may leave out: it plans as if it had looked at everybody.
///
/// # Errors
/// Shows both plans.
pub fn planned(state: &State) -> Result<(), Broken> {
    let (plan, thorough) = (schedule::plan(state), schedule::plan_thoroughly(state));
    if plan == thorough { Ok(()) } else { Err(format!("planned {plan:?}\nand not {thorough:?}")) }
}

/// Names the first part in which two states differ.
#[must_use]
pub fn difference(left: &State, right: &State) -> Broken {
    macro_rules! parts {
        ($($part:ident),+ $(,)?) => {
            $(if left.$part != right.$part {
                return format!("{} differ:\n{:?}\n{:?}", stringify!($part), left.$part, right.$part);
            })+
        };
    }
    parts!(
        cluster,
        apps,
        sessions,
        closed,
        assignments,
        executors,
        nodes,
        clients,
        requests,
        directory,
        ids,
        closed_index,
        open_kept_bytes,
        app_executors,
        active,
        unsettled,
        short,
        in_line,
        rivals,
        spare,
        capacity,
        avoided,
        avoidance_timer,
        unbinding,
        leaving,
        nonces,
        gateways,
        timers
    );
    "the states are equal".to_string()
}
