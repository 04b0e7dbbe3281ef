//! How a run is to go.

use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What one run of a workload gets told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many tasks, instead of the workload's own number.
    pub tasks: Option<u64>,
    /// How long a workload of a given time lasts, instead of its own time.
    pub seconds: Option<u64>,
    /// Decides what is left to chance, this run's number included.
    pub seed: u64,
    /// Where to put a profile of this run, without an extension; none is made otherwise.
    pub profile: Option<PathBuf>,
    /// Where the report goes, and whatever else a workload has to show.
    pub folder: PathBuf,
}

impl Settings {
    /// So many tasks, unless the user wants another number.
    #[must_use]
    pub fn tasks_or(&self, default: u64) -> u64 {
        self.tasks.unwrap_or(default)
    }

    /// A number below `limit`, by chance; the same for the same seed.
    #[must_use]
    pub fn pick(&self, limit: usize) -> usize {
        StdRng::seed_from_u64(self.seed).random_range(0..limit.max(1))
    }
}
