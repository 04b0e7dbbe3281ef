//! What the service and the client of the pi example say to each other.

use flame_sdk::FlameMessage;
use serde::{Deserialize, Serialize};

/// So many random points are thrown into a square.
#[derive(Debug, Serialize, Deserialize, FlameMessage)]
pub struct Throw {
    /// The same seed is the same points: a task that is run again gives the same answer.
    pub seed: u64,
    /// How many.
    pub points: u64,
}

/// So many of them fell into the circle inside.
#[derive(Debug, Serialize, Deserialize, FlameMessage)]
pub struct Hits {
    /// How many.
    pub inside: u64,
}
