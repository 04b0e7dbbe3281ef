//! Rows of the machine as key and value of the store, and back.

use flame_machine::State;
use flame_machine::row::{Row, RowChange, RowKey, RowSink, Space as MachineSpace};
use flame_storage::codec::{self, Encoder};
use flame_storage::{DataDir, Space, StateStore, Write};

use super::error::StartError;

/// The open store of rows. It goes before the lock of its data directory does, so that whoever gets the lock next can
/// open it.
pub(super) struct Rows {
    store: StateStore,
    data: DataDir,
}

impl Rows {
    pub(super) fn new(store: StateStore, data: DataDir) -> Self {
        Self { store, data }
    }

    /// From now on the directory may hold what this feature level brings.
    pub(super) fn raise_level(&self, to: u32) -> Result<(), flame_storage::Error> {
        self.data.raise_level(to)
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

/// Changes of the machine as writes of the store. A row is bytes as soon as it comes.
#[derive(Default)]
pub(super) struct Writes {
    encoder: Encoder,
    writes: Vec<Write>,
}

impl Writes {
    /// What came, in order.
    pub(super) fn finish(self) -> Vec<Write> {
        self.writes
    }
}

impl RowSink for Writes {
    fn take(&mut self, change: RowChange) {
        let encoder = &mut self.encoder;
        self.writes.push(match change {
            RowChange::Put(key, row) => {
                Write::Put { space: space(&key), value: encoder.encode(row), key: encoder.copy(&key.0) }
            }
            RowChange::Delete(key) => Write::Delete { space: space(&key), key: encoder.copy(&key.0) },
            RowChange::DeleteRange(from, to) => {
                Write::DeleteRange { space: space(&from), from: encoder.copy(&from.0), to: encoder.copy(&to.0) }
            }
        });
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
