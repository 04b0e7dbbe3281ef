//! Tasks.

use flame_sdk::model::Task;
use serde::Serialize;

use super::details::Details;
use super::{Grid, Render, Sheet};

/// `flmctl view -s -t`.
#[derive(Clone, Debug, Serialize)]
pub struct TaskView {
    /// The task, as the API replies.
    #[serde(flatten)]
    pub task: Task,
    /// Its application.
    pub application: String,
}

impl Render for TaskView {
    fn sheet(&self) -> Sheet {
        let Task { metadata, spec, status } = &self.task;
        let mut details = Details::default();
        details
            .line("Task", &metadata.id)
            .line("Session", &spec.session_id)
            .line("Application", &self.application)
            .line("State", status.state)
            .events(&status.events);
        Sheet::of_text(details.finish())
    }
}

/// The table of `flmping`: a row for each task and what its service said.
#[derive(Clone, Debug, Serialize)]
pub struct TaskTable {
    /// By number.
    pub tasks: Vec<Task>,
    /// What to show for each, in the same order.
    #[serde(skip)]
    pub outputs: Vec<String>,
}

impl Render for TaskTable {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["Session", "Task", "State", "Output"]);
        for (task, output) in self.tasks.iter().zip(&self.outputs) {
            grid.row(vec![
                task.spec.session_id.clone(),
                task.metadata.id.clone(),
                task.status.state.to_string(),
                output.clone(),
            ]);
        }
        Sheet::of_grid(grid)
    }
}
