//! Nodes of the object cache.

use flame_sdk::model::CacheNode;
use flame_types::resources::format_memory;
use serde::Serialize;

use super::{Grid, Render, Sheet};
use crate::time::date_and_clock;

/// `flmctl cache list`.
#[derive(Clone, Debug, Serialize)]
pub struct CacheNodes {
    /// By name.
    nodes: Vec<CacheNode>,
}

impl CacheNodes {
    /// Puts them in order.
    #[must_use]
    pub fn new(mut nodes: Vec<CacheNode>) -> Self {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Self { nodes }
    }
}

impl Render for CacheNodes {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["NAME", "ENDPOINT", "STATUS", "OBJECTS", "BYTES", "MEMORY", "DISK", "LAST HELLO"]);
        for node in &self.nodes {
            grid.row(vec![
                node.name.clone(),
                node.endpoint.clone(),
                status(node).to_owned(),
                node.objects.to_string(),
                format_memory(node.bytes),
                format_memory(node.memory_bytes),
                disk(node),
                date_and_clock(node.last_hello),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// In the words that nodes have.
fn status(node: &CacheNode) -> &'static str {
    match (node.attached, node.away) {
        (true, _) => "Ready",
        (false, false) => "Unknown",
        (false, true) => "NotReady",
    }
}

fn disk(node: &CacheNode) -> String {
    if node.disk_bytes == 0 { "-".to_owned() } else { format_memory(node.disk_bytes) }
}
