//! Executors.

use flame_sdk::model::Executor;
use serde::Serialize;

use super::details::or_dash;
use super::{Grid, Render, Sheet};

/// `flmctl list -e`.
#[derive(Clone, Debug, Serialize)]
pub struct Executors {
    /// By worker, then by id.
    executors: Vec<Executor>,
}

impl Executors {
    /// Puts them in order.
    #[must_use]
    pub fn new(mut executors: Vec<Executor>) -> Self {
        executors.sort_by(|a, b| (&a.spec.node, &a.metadata.id).cmp(&(&b.spec.node, &b.metadata.id)));
        Self { executors }
    }
}

impl Render for Executors {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["ID", "State", "Session", "Node"]);
        for executor in &self.executors {
            grid.row(vec![
                executor.metadata.id.clone(),
                executor.status.state.to_string(),
                or_dash(executor.status.session_id.as_deref()).to_owned(),
                executor.spec.node.clone(),
            ]);
        }
        Sheet::of_grid(grid)
    }
}
