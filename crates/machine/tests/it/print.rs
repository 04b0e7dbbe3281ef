//! Outcomes as text.

use flame_machine::state::RequestRow;
use flame_machine::{
    Applied, CacheEffect, CacheOrder, Command, Effect, Event, Order, Reply, Row, RowChange, Space, Table, copies,
    schedule, view,
};
use flame_types::{ObjectApp, ObjectTarget, RequestNo, SessionKey, TaskNo, Token};

use crate::world::World;

pub fn applied(applied: &Applied) -> String {
    let mut text = String::new();
    for (_, _, reply) in &applied.replies {
        text += &format!("{}\n", self::reply(reply));
    }
    for event in &applied.events {
        text += &format!("  event   {}\n", self::event(event));
    }
    for effect in &applied.effects {
        text += &format!("  to {}@{} {}\n", effect.node, effect.epoch, order(effect));
    }
    for effect in &applied.cache_effects {
        text += &format!("  to cache {}@{} {}\n", effect.cache, effect.epoch, cache_order(effect));
    }
    for change in &applied.rows {
        if let Some(line) = bulk_row(change) {
            text += &format!("  row     {line}\n");
        }
    }
    text
}

pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".into(),
        Reply::Refused(refusal) => format!("REFUSED {:?}: {refusal}", refusal.code()),
        Reply::Session { key, created } => format!("session {key}{}", if *created { " created" } else { "" }),
        Reply::Submitted { session, first, count } => {
            format!("session {session}: tasks {first}..={}", first.0 + count - 1)
        }
        Reply::Client(id) => format!("client {id}"),
        Reply::Attached { epoch } => format!("attached, epoch {epoch}"),
        Reply::Objects { refused } if refused.is_empty() => "recorded".into(),
        Reply::Objects { refused } => {
            let list: Vec<String> =
                refused.iter().map(|(at, why)| format!("not object {at}, {:?}: {why}", why.code())).collect();
            format!("recorded; {}", list.join("; "))
        }
    }
}

pub fn event(event: &Event) -> String {
    match event {
        Event::Task { session, task, state, attempt } | Event::Ended { session, task, state, attempt, .. } => {
            format!("task {session}/{task} {state} attempt {attempt}")
        }
        Event::Tasks { session, first, last, state } => format!("tasks {session}/{first}..={last} {state}"),
        Event::Session { session, state } => format!("session {session} {state}"),
        Event::SessionGone { session } => format!("session {session} gone"),
    }
}

fn tokens(tokens: &[Token]) -> String {
    let list: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    format!("[{}]", list.join(" "))
}

pub fn order(effect: &Effect) -> String {
    match &effect.order {
        Order::Welcome { settled, lapsed: false } => format!("welcome, settled {}", tokens(settled)),
        Order::Welcome { settled, lapsed: true } => format!("welcome after its lease, settled {}", tokens(settled)),
        Order::Start { executor, session, .. } => format!("start executor {executor} for session {session}"),
        Order::Assign { executor, session, task, attempt, token, timeout_ms } => {
            let limit = timeout_ms.map(|ms| format!(" for {ms}ms")).unwrap_or_default();
            format!("assign token {token}: task {session}/{task} attempt {attempt} to executor {executor}{limit}")
        }
        Order::Recall { tokens: list } => format!("recall {}", tokens(list)),
        Order::Cancel { tokens: list } => format!("cancel {}", tokens(list)),
        Order::Stop { executor } => format!("stop executor {executor}"),
        Order::Recorded { tokens: list } => format!("recorded {}", tokens(list)),
    }
}

fn cache_order(effect: &CacheEffect) -> String {
    match &effect.order {
        CacheOrder::Welcome { generation, full } => format!("welcome, generation {generation}, full {full:?}"),
        CacheOrder::Drop { objects } => {
            let list: Vec<String> = objects.iter().map(|(key, version)| format!("{key}@{version}")).collect();
            format!("drop {}", list.join(" "))
        }
        CacheOrder::Copied { key, version, copies } => format!("copied {key}@{version}: {copies} copies"),
        CacheOrder::Quota { app, full: true } => format!("application {app} is full"),
        CacheOrder::Quota { app, full: false } => format!("application {app} has room"),
    }
}

fn bulk_row(change: &RowChange) -> Option<String> {
    let key = match change {
        RowChange::Put(key, _) | RowChange::Delete(key) | RowChange::DeleteRange(key, _) => key,
    };
    // `view events` shows what happened in the cluster.
    if key.table().space() == Space::Live || key.table() == Table::ClusterEvent {
        return None;
    }
    let numbers: Vec<String> = (0..3).map_while(|place| key.number_at(place)).map(|n| n.to_string()).collect();
    let place = format!("{:?}({})", key.table(), numbers.join(" "));
    Some(match change {
        RowChange::Put(_, Row::Finished(row)) => {
            let attempts: Vec<String> = row.attempts.iter().map(attempt).collect();
            let message = row.message.as_deref().map(|text| format!(" \"{text}\"")).unwrap_or_default();
            format!("{place} {}{message} [{}]", row.state, attempts.join("; "))
        }
        RowChange::Put(_, Row::CancelledRange(row)) => format!("{place} to {}", row.last),
        RowChange::Put(_, Row::Done(done)) => {
            let tasks: Vec<String> = done.tasks.iter().map(ToString::to_string).collect();
            format!("{place} {}", tasks.join(" "))
        }
        RowChange::Put(..) => place,
        RowChange::Delete(_) => format!("{place} deleted"),
        RowChange::DeleteRange(..) => format!("{place} range deleted"),
    })
}

fn attempt(attempt: &flame_machine::row::AttemptRow) -> String {
    let lost = attempt.lost.as_ref().map(|loss| format!(", at {}: {}", loss.at.0, loss.why)).unwrap_or_default();
    format!("{} on {}{lost}", attempt.attempt, attempt.node)
}

pub fn command(command: &Command) -> String {
    match command {
        Command::Place { node, session, have, count, reuse, .. } => {
            let reuse = reuse.map(|(executor, _)| format!(" reusing executor {executor}")).unwrap_or_default();
            format!("place {count} for session {session} (has {have}) on {node}{reuse}")
        }
        Command::Release { executor, .. } => format!("release executor {executor}"),
        Command::Recall { tokens: list } => format!("recall {}", tokens(list)),
        Command::Waiting { session, reason } => format!("session {session} waits: {reason:?}"),
        Command::Trim(trim) => {
            let ranges = |ranges: &[(TaskNo, TaskNo)]| {
                let list: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
                list.join(" ")
            };
            let (from, to, tasks, submits) = (trim.from, trim.to, ranges(&trim.tasks), ranges(&trim.submits));
            let (session, bytes) = (trim.session, trim.bytes);
            format!("trim session {session} from {from} to {to}: tasks {tasks}; submits {submits}; {bytes} bytes")
        }
        Command::Expire { sessions } => format!("expire {sessions:?}"),
        other => format!("{other:?}"),
    }
}

/// What readers see of the world.
pub fn view(world: &World, words: &[&str]) -> String {
    let state = &world.state;
    match words {
        ["sessions"] => view::sessions(state, None, 100).iter().map(session).collect(),
        ["session", id] => {
            let key = view::find_session(state, id).expect("a known session");
            let view = view::session(state, key).expect("a known session");
            let mut text = session(&view);
            for event in &view.events {
                text += &format!("  {} {}\n", event.code, event.message);
            }
            text
        }
        ["executors"] => view::executors(state, None, 100).iter().map(executor).collect(),
        ["nodes"] => view::nodes(state, None, 100).iter().map(node).collect(),
        ["apps"] => view::apps(state, None, 100).iter().map(app).collect(),
        ["tasks", session] => {
            let key = SessionKey(session.parse().expect("a session key"));
            view::live_tasks(state, key, TaskNo(0), 100).iter().map(task).collect()
        }
        ["place", session, number] => {
            let key = SessionKey(session.parse().expect("a session key"));
            format!("{:?}\n", view::task_place(state, key, TaskNo(number.parse().expect("a task"))))
        }
        ["kept"] => kept(state),
        ["events"] => world.rows.iter().filter_map(|(key, row)| cluster_event(key.number_at(0), row)).collect(),
        ["why", session, number] => {
            let key = view::find_session(state, session).expect("a known session");
            why(schedule::explain_task(state, key, TaskNo(number.parse().expect("a task"))))
        }
        ["loads"] => view::node_loads(state, None, 100).iter().map(|load| node_load(state, load)).collect(),
        ["behind"] => format!("left behind: {}\n", tokens(&schedule::left_behind(state))),
        ["requests"] => {
            let line = |(number, row): (RequestNo, &RequestRow)| format!("{number}: {}\n", reply(&row.reply));
            let remembered: String = state.requests().iter().map(line).collect();
            format!("{remembered}next {}\n", state.next_request())
        }
        ["objects"] => view::objects(state, None, None, 100).0.iter().map(object).collect(),
        ["objects", target] => {
            let target = ObjectTarget::parse(target).expect("a target");
            view::objects(state, Some(&target), None, 100).0.iter().map(object).collect()
        }
        ["entries"] => {
            let line = |(app, used): (&ObjectApp, &flame_machine::state::UsedByApp)| {
                format!("application {app}: {} objects, {} bytes\n", used.objects, used.bytes)
            };
            let apps: String = state.directory().apps().iter().map(line).collect();
            let (entries, doomed) = (state.directory().entries().len(), state.directory().doomed().len());
            format!("{apps}{entries} entries, {doomed} deletions under way\n")
        }
        ["caches"] => view::caches(state).iter().map(cache).collect(),
        ["copies"] => {
            let all = copies::page(state, None, 100).0;
            let fresh = copies::fresh(state, 100);
            let line = |copying: &copies::Copying| {
                let is_fresh = if fresh.contains(copying) { ", new" } else { "" };
                let (key, version, cache) = (&copying.key, copying.version, &copying.cache);
                format!("copy {key}@{version} to {cache} from {}{is_fresh}\n", copying.from.join(" "))
            };
            if all.is_empty() { "nothing to copy\n".into() } else { all.iter().map(line).collect() }
        }
        ["deadline"] => format!("now {}, next {:?}\n", state.now(), state.next_deadline()),
        ["explain", session] => {
            let key = SessionKey(session.parse().expect("a session key"));
            format!("{:?}\n", schedule::explain(state, key))
        }
        other => panic!("unknown view {other:?}"),
    }
}

fn object(view: &view::ObjectView) -> String {
    let place = |place: &view::PlaceView| format!(" {}{}", place.cache, if place.is_away { " (away)" } else { "" });
    let places: String = view.places.iter().map(place).collect();
    let lost = if view.is_lost() { " LOST" } else { "" };
    let (key, version, size, data_type, copies) = (&view.key, view.version, view.size, &view.data_type, view.copies);
    format!("{key}@{version} {data_type} {size} bytes, {copies} wanted:{places}{lost}\n")
}

fn cache(view: &view::CacheView) -> String {
    let flags = [(view.attached, " attached"), (view.is_away, " away")];
    let flags: String = flags.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect();
    format!("cache {} at {}{flags}: {} objects, {} bytes\n", view.name, view.endpoint, view.objects, view.bytes)
}

fn session(view: &view::SessionView) -> String {
    format!(
        "session {} {} {}: pending {} running {} succeed {} failed {} cancelled {}; executors {} bound {}; waits {:?}\n",
        view.key,
        view.id,
        view.state,
        view.pending,
        view.running,
        view.succeed,
        view.failed,
        view.cancelled,
        view.executors,
        view.bound,
        view.wait
    )
}

/// What is kept of each session, and of all of them.
fn kept(state: &flame_machine::State) -> String {
    let line = |view: &view::SessionView| {
        let (kept, bytes) = (view.kept_tasks(), view.kept_bytes);
        format!(
            "session {}: {kept} kept, {} have left, {bytes} bytes, from {}\n",
            view.key, view.trimmed, view.done_from
        )
    };
    let sessions: String = view::sessions(state, None, 100).iter().map(line).collect();
    let cluster = view::cluster(state);
    let (open, closed) = (cluster.open_kept_bytes, cluster.closed_kept_bytes);
    format!("{sessions}open sessions keep {open} bytes, closed ones {closed}\n")
}

/// `NUMBER TIME KIND SUBJECT: what happened`.
fn cluster_event(number: Option<u64>, row: &Row) -> Option<String> {
    let Row::ClusterEvent(row) = row else { return None };
    let (number, kind, subject) = (number.expect("events have numbers"), row.what.kind(), row.what.subject());
    Some(format!("{number} at {} {kind} [{subject}]: {}\n", row.at.0, row.what))
}

fn why(explanation: Option<schedule::Explanation>) -> String {
    let Some(explanation) = explanation else { return "no such task\n".into() };
    let mut text = format!("{}\n", explanation.standing);
    for reason in &explanation.reasons {
        text += &format!("  {}: {reason}\n", reason.kind());
    }
    for node in &explanation.nodes {
        let reasons: Vec<String> = node.reasons.iter().map(|reason| format!("{}: {reason}", reason.kind())).collect();
        let reasons = if reasons.is_empty() { "there is room".into() } else { reasons.join("; ") };
        text += &format!("  node {}: {reasons}\n", node.node);
        for here in &node.executors {
            text += &format!("    executor {} {}\n", here.executor, here.doing);
        }
    }
    text
}

fn node_load(state: &flame_machine::State, load: &view::NodeLoad) -> String {
    let view::NodeLoad { sessions, running, queued, .. } = load;
    let mut text = node(&load.node);
    text += &format!("  {sessions} sessions, {running} running, {queued} queued\n");
    for held in view::executors_on(state, load.node.name.as_str()) {
        text += &format!("  {} running on {}", held.running, executor(&held.executor));
    }
    text
}

fn executor(view: &view::ExecutorView) -> String {
    let session = view.session.map_or("none".to_string(), |session| session.to_string());
    let retiring = if view.retiring { " retiring" } else { "" };
    format!("executor {} {}{retiring} on {} session {session} queue {}\n", view.key, view.state, view.node, view.queued)
}

fn node(view: &view::NodeView) -> String {
    let flags = [(view.attached, " attached"), (view.cordoned, " cordoned"), (view.draining, " draining")];
    let flags: String = flags.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect();
    let failures = match (view.bind_failures, view.avoided_until) {
        (0, _) => String::new(),
        (failures, None) => format!("; {failures} failures"),
        (failures, Some(until)) => format!("; {failures} failures, avoided until {until} by {:?}", view.avoided_by),
    };
    let (name, state, epoch) = (&view.name, view.state, view.epoch);
    format!("node {name} {state}{flags} epoch {epoch}: {} of {}{failures}\n", view.allocated, view.capacity)
}

fn app(view: &view::AppView) -> String {
    let (sessions, instances) = (view.open_sessions, view.instances);
    format!("app {} revision {}: {sessions} sessions, {instances} executors\n", view.name, view.revision)
}

fn task(view: &view::TaskView) -> String {
    let attempts: Vec<String> = view.attempts.iter().map(attempt).collect();
    let wait = view.not_before.map(|at| format!(" not before {at}")).unwrap_or_default();
    format!("task {} {}{wait} [{}]\n", view.no, view.state, attempts.join("; "))
}
