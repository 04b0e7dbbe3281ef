//! Sessions and tasks as this node has them: what is live from memory, what has ended from rows.
//!
//! A task is looked at in memory first and in the rows after that. What is live has its input there; what has ended was
//! written before memory forgot it. So a task is never missed, whatever is applied between the two looks; only the end
//! of its whole session can come between, and then it is not found.

mod rows;
mod sessions;
mod task;
mod tasks;

pub use sessions::{Filter, common_data, find_session, list_sessions, session};
pub use task::{Standing, TaskSnapshot, standing};
pub use tasks::{
    TASKS_PER_READ_MAX, created, ending, standings, task, task_that_stands, tasks, tasks_above, tasks_that_stand,
};
