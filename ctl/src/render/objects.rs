//! Cached objects and where they lie.

use flame_sdk::model::{ObjectEntry, ObjectPlace};
use flame_sdk::objects::ObjectInfo;
use flame_types::resources::format_memory;
use serde::Serialize;

use super::{Grid, Render, Sheet};
use crate::time::date_and_clock;

/// `flmctl object list`.
#[derive(Clone, Debug, Serialize)]
pub struct Objects {
    /// By key.
    objects: Vec<ObjectEntry>,
}

impl Objects {
    /// As they came.
    #[must_use]
    pub fn new(objects: Vec<ObjectEntry>) -> Self {
        Self { objects }
    }
}

impl Render for Objects {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["KEY", "VERSION", "SIZE", "TYPE", "COPIES", "NODES", "CREATED"]);
        for object in &self.objects {
            grid.row(vec![
                object.key.clone(),
                object.version.to_string(),
                format_memory(object.size),
                object.data_type.clone(),
                format!("{}/{}", present(object).count(), object.copies),
                nodes(object),
                date_and_clock(object.creation_time),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// `flmctl object put`, and `get` into a file.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectDone {
    /// What was done with it.
    #[serde(skip)]
    pub verb: &'static str,
    /// What it is now.
    #[serde(flatten)]
    pub info: ObjectInfo,
}

impl Render for ObjectDone {
    fn sheet(&self) -> Sheet {
        let ObjectInfo { key, version, size, .. } = &self.info;
        Sheet::of_text(format!("Object <{key}> was {}: version {version}, {size} bytes.\n", self.verb))
    }
}

/// Those who have it and are there.
fn present(object: &ObjectEntry) -> impl Iterator<Item = &ObjectPlace> {
    object.places.iter().filter(|place| !place.away)
}

/// The one that writes it first; of those that are away it is said.
fn nodes(object: &ObjectEntry) -> String {
    if object.places.is_empty() {
        return "lost".to_owned();
    }
    let away = object.places.iter().filter(|place| place.away).map(|place| format!("{} (away)", place.node));
    let nodes: Vec<String> = present(object).map(|place| place.node.clone()).chain(away).collect();
    nodes.join(", ")
}
