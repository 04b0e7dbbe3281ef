//! Rows of the machine as key and value of the store, and back.

use flame_machine::State;
use flame_machine::row::{Row, RowChange, RowKey, Space as MachineSpace};
use flame_storage::{DataDir, Space, StateStore, Write, codec};

use super::error::StartError;

/// The open store of rows. It goes before the lock of its data directory does, so that whoever gets the lock next can
/// open it.
pub(super) struct Rows {
    store: StateStore,
    _data: DataDir,
}

impl Rows {
    pub(super) fn new(store: StateStore, data: DataDir) -> Self {
        Self { store, _data: data }
    }
}

impl std::ops::Deref for Rows {
    type Target = StateStore;

    fn deref(&self) -> &StateStore {
        &self.store
    }
}

fn space(key: &RowKey) -> Space {
    match key.table().space() {
        MachineSpace::Live => Space::Live,
        MachineSpace::Bulk => Space::Bulk,
    }
}

/// A change of the machine as a write of the store.
pub(super) fn to_write(change: RowChange) -> Write {
    match change {
        RowChange::Put(key, row) => Write::Put { space: space(&key), value: codec::encode(&row), key: key.0 },
        RowChange::Delete(key) => Write::Delete { space: space(&key), key: key.0 },
        RowChange::DeleteRange(from, to) => Write::DeleteRange { space: space(&from), from: from.0, to: to.0 },
    }
}

/// The state that the live rows describe.
pub(super) fn load(store: &StateStore) -> Result<State, StartError> {
    let mut rows: Vec<(RowKey, Row)> = Vec::new();
    for pair in store.scan_live() {
        let (key, value) = pair?;
        let row =
            codec::decode::<Row>(value).map_err(|error| StartError::State(format!("row {}: {error}", hex(&key))))?;
        rows.push((RowKey(key.to_vec()), row));
    }
    State::load(rows).map_err(|error| StartError::State(error.to_string()))
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
