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
            .events(&status.events)
            .attempts(&status.attempts);
        Sheet::of_text(details.finish())
    }
}

/// The table of `flmping`: a row for each task and what its service said.
#[derive(Clone, Debug, Serialize)]
pub struct TaskTable {
    /// By number.
    pub rows: Vec<TaskRow>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRow {
    /// Its session.
    pub session: String,
    /// Its number.
    pub task: String,
    /// How it ended.
    pub state: String,
    /// What its service said, or why it failed.
    pub output: String,
}

impl Render for TaskTable {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["Session", "Task", "State", "Output"]);
        for TaskRow { session, task, state, output } in self.rows.iter().cloned() {
            grid.row(vec![session, task, state, output]);
        }
        Sheet::of_grid(grid)
    }
}
