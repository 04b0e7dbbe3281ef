//! What workers hold: allocated beside what there is.

use flame_sdk::model::{NodeExecutor, NodeLoad};
use flame_types::resources::format_memory;
use serde::Serialize;

use super::details::{Details, or_dash};
use super::{Grid, Render, Sheet};
use crate::time::date_and_clock;

/// `flmctl node list`.
#[derive(Clone, Debug, Serialize)]
pub struct NodeLoads {
    /// By name.
    nodes: Vec<NodeLoad>,
}

impl NodeLoads {
    /// Puts them in order.
    #[must_use]
    pub fn new(mut nodes: Vec<NodeLoad>) -> Self {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Self { nodes }
    }
}

impl Render for NodeLoads {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&[
            "NAME",
            "STATUS",
            "USE",
            "CPU",
            "MEMORY",
            "GPU",
            "EXECUTORS",
            "SESSIONS",
            "RUNNING",
            "FAILED BINDS",
            "LAST HELLO",
        ]);
        for load in &self.nodes {
            grid.row(vec![
                load.name.clone(),
                load.state.to_string(),
                order(load).to_owned(),
                cpu(load),
                memory(load),
                gpu(load),
                load.executors.to_string(),
                load.sessions.to_string(),
                load.running.to_string(),
                load.bind_failures.to_string(),
                date_and_clock(load.last_hello),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// `flmctl node view`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct NodeLoadView(pub NodeLoad);

impl Render for NodeLoadView {
    fn sheet(&self) -> Sheet {
        let load = &self.0;
        let mut details = Details::default();
        details
            .line("Name", &load.name)
            .line("Hostname", or_dash(Some(&load.hostname)))
            .line("Status", load.state)
            .line("Attached", if load.attached { "yes" } else { "no" })
            .line("Use", order(load))
            .line("Allocated", "")
            .inner("CPU", cpu(load))
            .inner("Memory", memory(load))
            .inner("GPU", gpu(load))
            .line("Tasks", format!("{} running, {} not begun", load.running, load.queued))
            .line("Failed Binds", load.bind_failures)
            .line("Avoided", avoided(load))
            .line("Last Hello", date_and_clock(load.last_hello))
            .line("Shims", load.shims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            .line("Info", "")
            .inner("Arch", or_dash(Some(&load.arch)))
            .inner("OS", or_dash(Some(&load.os)))
            .line("Executors", load.executors);
        for held in &load.held {
            details.item(1, &executor(held));
        }
        Sheet::of_text(details.finish())
    }
}

/// What an operator has ordered of it, and whether that is done.
fn order(load: &NodeLoad) -> &'static str {
    match (load.draining, load.cordoned, load.executors) {
        (true, _, 0) => "drained",
        (true, ..) => "draining",
        (_, true, _) => "cordoned",
        _ if load.avoided_ms > 0 => "avoided",
        _ => "yes",
    }
}

fn avoided(load: &NodeLoad) -> String {
    match load.avoided_ms {
        0 => "no".to_owned(),
        ms => format!("by {} for {}.{} s", load.avoided_by, ms / 1000, ms % 1000 / 100),
    }
}

fn cpu(load: &NodeLoad) -> String {
    format!("{}/{}", load.allocated.cpu, load.capacity.cpu)
}

fn memory(load: &NodeLoad) -> String {
    format!("{}/{}", format_memory(load.allocated.memory), format_memory(load.capacity.memory))
}

fn gpu(load: &NodeLoad) -> String {
    format!("{}/{}", load.allocated.gpu, load.capacity.gpu)
}

fn executor(held: &NodeExecutor) -> String {
    let NodeExecutor { id, state, resources, running, queued, .. } = held;
    let retiring = if held.retiring { ", retiring" } else { "" };
    let session = match held.session_id.as_str() {
        "" => "no session".to_owned(),
        session => format!("session {session}"),
    };
    let application = or_dash(Some(&held.application));
    format!("{id}: {state}{retiring}, {session} of {application}, {resources}, {running} running, {queued} not begun")
}
