//! What happened in the cluster.

use flame_sdk::model::ClusterEvents;
use serde::Serialize;

use super::details::or_dash;
use super::{Grid, Render, Sheet};
use crate::time::date_and_clock;

/// `flmctl cluster events`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct EventList(pub ClusterEvents);

impl Render for EventList {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["Number", "Time", "Kind", "Subject", "Message"]);
        for event in &self.0.events {
            grid.row(vec![
                event.number.to_string(),
                date_and_clock(event.time),
                event.kind.clone(),
                or_dash(Some(&event.subject)).to_owned(),
                event.message.clone(),
            ]);
        }
        Sheet::of_grid(grid)
    }
}
