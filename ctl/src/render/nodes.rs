//! Workers, under their published name.

use flame_sdk::model::Node;
use flame_types::resources::format_memory;
use serde::Serialize;

use super::details::{Details, or_dash};
use super::{Grid, Render, Sheet};

/// `flmctl list -n`.
#[derive(Clone, Debug, Serialize)]
pub struct Nodes {
    /// By name.
    nodes: Vec<Node>,
}

impl Nodes {
    /// Puts them in order.
    #[must_use]
    pub fn new(mut nodes: Vec<Node>) -> Self {
        nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        Self { nodes }
    }
}

impl Render for Nodes {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["NAME", "HOSTNAME", "STATUS", "CPU", "MEMORY", "ARCH", "OS"]);
        for Node { metadata, spec, status } in &self.nodes {
            grid.row(vec![
                metadata.name.clone(),
                or_dash(Some(&spec.hostname)).to_owned(),
                status.state.to_string(),
                status.capacity.cpu.to_string(),
                format_memory(status.capacity.memory),
                or_dash(Some(&status.info.arch)).to_owned(),
                or_dash(Some(&status.info.os)).to_owned(),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// `flmctl view -n`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct NodeView(pub Node);

impl Render for NodeView {
    fn sheet(&self) -> Sheet {
        let Node { metadata, spec, status } = &self.0;
        let mut details = Details::default();
        details
            .line("Name", &metadata.name)
            .line("Hostname", or_dash(Some(&spec.hostname)))
            .line("Status", status.state)
            .line("Capacity", "")
            .inner("CPU", status.capacity.cpu)
            .inner("Memory", format_memory(status.capacity.memory))
            .line("Info", "")
            .inner("Arch", or_dash(Some(&status.info.arch)))
            .inner("OS", or_dash(Some(&status.info.os)));
        Sheet::of_text(details.finish())
    }
}
