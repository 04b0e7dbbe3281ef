//! What happened in the cluster: rows of this node, as far as they are acknowledged.

use flame_machine::{Row, RowKey, State};
use flame_proto::ha;
use flame_storage::{RowReader, Space, codec};
use flame_types::EventNo;
use flame_types::limits::CLUSTER_EVENTS_MAX;
use tonic::Status;

use crate::api::call::Call;
use crate::api::errors::ReadError;
use crate::drive::gateway::Gateway;

pub async fn list(
    gateway: &Gateway,
    call: Call,
    message: ha::ListClusterEventsRequest,
) -> Result<ha::ListClusterEventsReply, Status> {
    gateway.barrier(call.deadline).await?;
    let next = gateway.with_state(|state: &State| state.cluster().next_event).await?;
    let span = Span::of(next, &message);
    let reader = gateway.rows();
    let joined = tokio::task::spawn_blocking(move || read(&reader, span.from, next)).await;
    let events = joined.map_err(|error| Status::internal(format!("a read ended early: {error}")))??;
    // Some may have left between the two looks.
    let oldest = events.first().map_or(span.oldest, |first| match first.number > span.from.0 {
        true => first.number,
        false => span.oldest,
    });
    Ok(ha::ListClusterEventsReply { events, oldest, newest: next.0 - 1 })
}

/// What is asked for of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// The lowest number that is kept; 0 when nothing is.
    oldest: u64,
    /// The lowest that is asked for.
    from: EventNo,
}

impl Span {
    fn of(next: EventNo, message: &ha::ListClusterEventsRequest) -> Self {
        let oldest = next.0.saturating_sub(CLUSTER_EVENTS_MAX).max(1);
        let last = if message.last == 0 { CLUSTER_EVENTS_MAX } else { message.last.into() };
        let from = message.after.saturating_add(1).max(next.0.saturating_sub(last)).max(oldest);
        Self { oldest: if next.0 > 1 { oldest } else { 0 }, from: EventNo(from.min(next.0)) }
    }
}

fn read(rows: &RowReader, from: EventNo, next: EventNo) -> Result<Vec<ha::ClusterEvent>, ReadError> {
    let (from, to) = (RowKey::cluster_event(from), RowKey::cluster_event(next));
    let limit = usize::try_from(CLUSTER_EVENTS_MAX).unwrap_or(usize::MAX);
    let found = rows.scan(Space::Bulk, &from.0, &to.0, limit)?;
    found.into_iter().map(|(key, value)| shown(&RowKey(key.to_vec()), codec::decode::<Row>(value)?)).collect()
}

fn shown(key: &RowKey, row: Row) -> Result<ha::ClusterEvent, ReadError> {
    let Row::ClusterEvent(row) = row else { return Err(ReadError::Kind) };
    Ok(ha::ClusterEvent {
        number: key.number_at(0).ok_or(ReadError::Kind)?,
        time: row.at.0,
        kind: row.what.kind().to_owned(),
        subject: row.what.subject(),
        message: row.what.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(next: u64, after: u64, last: u32) -> (u64, u64) {
        let span = Span::of(EventNo(next), &ha::ListClusterEventsRequest { after, last });
        (span.oldest, span.from.0)
    }

    #[test]
    fn what_is_asked_for_lies_within_what_is_kept() {
        assert_eq!(span(1, 0, 0), (0, 1), "nothing has happened");
        assert_eq!(span(8, 0, 0), (1, 1));
        assert_eq!(span(8, 0, 3), (1, 5), "the last three: 5, 6, 7");
        assert_eq!(span(8, 6, 3), (1, 7), "only what came after");
        assert_eq!(span(8, 7, 3), (1, 8), "nothing new");
        assert_eq!(span(8, u64::MAX, 3), (1, 8));
        let next = CLUSTER_EVENTS_MAX + 51;
        assert_eq!(span(next, 3, 0), (51, 51), "what has left is not there");
        assert_eq!(span(next, next - 2, 0), (51, next - 1));
    }
}
