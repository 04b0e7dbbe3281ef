//! What verbs that change something say on success. The first two are published, word for word.

use flame_types::ObjectTarget;

/// After `flmctl create`.
#[must_use]
pub fn created(session: &str) -> String {
    format!("Session <{session}> was created.\n")
}

/// After `flmctl close`.
#[must_use]
pub fn closed(session: &str) -> String {
    format!("Session <{session}> was closed.\n")
}

/// After `flmctl suspend`.
#[must_use]
pub fn suspended(session: &str) -> String {
    format!("Session <{session}> was suspended.\n")
}

/// After `flmctl resume`.
#[must_use]
pub fn resumed(session: &str) -> String {
    format!("Session <{session}> was resumed.\n")
}

/// After `flmctl delete`.
#[must_use]
pub fn deleted(session: &str) -> String {
    format!("Session <{session}> was deleted.\n")
}

/// After `flmctl object delete`.
#[must_use]
pub fn objects_deleted(target: &ObjectTarget) -> String {
    match target {
        ObjectTarget::Object(key) => format!("Object <{key}> was deleted.\n"),
        several => format!("Objects <{several}> were deleted.\n"),
    }
}

/// After `flmctl cancel`.
#[must_use]
pub fn cancelled(session: &str, task: u64) -> String {
    format!("Task <{task}> of session <{session}> was cancelled.\n")
}

/// After `flmctl cache remove`.
#[must_use]
pub fn cache_removed(cache: &str) -> String {
    format!("Cache <{cache}> was removed.\n")
}

/// After `flmctl node cordon`.
#[must_use]
pub fn cordoned(node: &str) -> String {
    format!("Node <{node}> was cordoned.\n")
}

/// After `flmctl node uncordon`.
#[must_use]
pub fn uncordoned(node: &str) -> String {
    format!("Node <{node}> was uncordoned.\n")
}

/// After `flmctl node drain`, when it holds nothing any more.
#[must_use]
pub fn drained(node: &str) -> String {
    format!("Node <{node}> was drained.\n")
}

/// After `flmctl node drain --no-wait`.
#[must_use]
pub fn draining(node: &str) -> String {
    format!("Node <{node}> is draining.\n")
}

/// After `flmctl cluster transfer-leader`.
#[must_use]
pub fn leads(coordinator: u64) -> String {
    format!("Coordinator <{coordinator}> leads.\n")
}

/// After `flmctl cluster add`.
#[must_use]
pub fn learns(coordinator: u64) -> String {
    format!("Coordinator <{coordinator}> is a learner.\n")
}

/// After `flmctl cluster promote`, and `add --promote`.
#[must_use]
pub fn votes(coordinator: u64) -> String {
    format!("Coordinator <{coordinator}> votes.\n")
}

/// After `flmctl cluster remove`.
#[must_use]
pub fn removed(coordinator: u64) -> String {
    format!("Coordinator <{coordinator}> was removed.\n")
}

/// After `flmctl cluster replace`.
#[must_use]
pub fn replaced(old: u64, new: u64) -> String {
    format!("Coordinator <{new}> has replaced <{old}>.\n")
}
