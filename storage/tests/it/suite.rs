//! openraft's own storage suite.

use flame_storage::{RocksLog, StateOptions, StateStore, TypeConfig};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::directory::{fast, open, scratch};
use crate::machine::Machine;

struct Stores;

impl StoreBuilder<TypeConfig, RocksLog, Machine, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, RocksLog, Machine), StorageError<TypeConfig>> {
        let root = scratch();
        let data = open(root.path()).unwrap();
        let log = RocksLog::open(&data, fast()).unwrap();
        let state = StateStore::open(data.state_dir(), StateOptions::default()).unwrap();
        Ok((root, log, Machine::new(state, data.snapshots_dir())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openraft_suite() {
    Suite::<TypeConfig, RocksLog, Machine, Stores, TempDir>::test_all(Stores).await.unwrap();
}
