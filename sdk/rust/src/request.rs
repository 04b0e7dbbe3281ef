//! Request ids: what makes a change one that may be sent again.
//!
//! Every attempt of a change carries the same id, and the coordinators, all of them, do it once and answer the others as the
//! first. Their memory is bounded. So that an attempt which comes too late for it is turned away, and not done a second time,
//! each one also names the number of the next change as this client heard it before it sent the first: whoever remembers
//! nothing from that number on cannot tell, and says so.
//!
//! **Invariant:** an id belongs to one change: all its attempts carry it, no other change ever does.
//! **Invariant:** the number was heard before the first attempt was sent.

use std::sync::Mutex;
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

/// Metadata of a change: its id.
const ID_METADATA: &str = "flame-request-id-bin";

/// Metadata of a change: the number that was heard before it. In the refusal of one that is too old: the present number.
const SEEN_METADATA: &str = "flame-request-seen";

const ID_BYTES: usize = 16;

/// A number that was heard longer ago is asked for anew: the older it is, the sooner nobody remembers what follows it.
const HEARD_AGE_MAX: Duration = Duration::from_secs(30);

/// As is one that so many changes of this client have named. The coordinators remember four times as many of everybody.
const NAMED_MAX: u32 = 16_384;

/// What the attempts of one change have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(Option<([u8; ID_BYTES], u64)>);

impl Mark {
    /// Of a change that nobody has sent before. `seen`: the number that was heard; none of a server that knows no request
    /// ids.
    pub(crate) fn draw(seen: Option<u64>) -> Self {
        Self(seen.map(|seen| (rand::rng().random(), seen)))
    }

    /// Whether the change may be sent again after a lost answer.
    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }

    /// A request that carries it.
    pub(crate) fn attach<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.put(request.metadata_mut());
        request
    }

    /// The metadata carries it.
    pub(crate) fn put(self, metadata: &mut MetadataMap) {
        if let Some((id, seen)) = self.0 {
            metadata.insert_bin(ID_METADATA, MetadataValue::from_bytes(&id));
            metadata.insert(SEEN_METADATA, seen.into());
        }
    }
}

/// Whether the metadata carries a mark already: who sends the change has drawn it, and knows what to do with a refusal.
pub(crate) fn is_marked(metadata: &MetadataMap) -> bool {
    metadata.contains_key(ID_METADATA)
}

/// A refusal for its age, to somebody who has sent the change once, of which there was another attempt meanwhile: it may
/// have been done, and must not begin anew.
pub(crate) fn not_anew(refusal: &mut Status) {
    refusal.metadata_mut().remove(SEEN_METADATA);
}

/// The number to begin anew with, if a coordinator has refused a change for its age.
pub(crate) fn too_old(refusal: &Status) -> Option<u64> {
    let number = refusal.metadata().get(SEEN_METADATA).filter(|_| refusal.code() == Code::Aborted)?;
    number.to_str().ok()?.parse().ok()
}

/// The number that was heard last.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<(u64, Instant, u32)>>);

impl Heard {
    /// To be named by a change, if it is young enough.
    pub(crate) fn number(&self, now: Instant) -> Option<u64> {
        let mut heard = self.0.lock().expect("no code panics while it holds this lock");
        let (number, since, named) = heard.as_mut()?;
        *named += 1;
        (now.duration_since(*since) < HEARD_AGE_MAX && *named <= NAMED_MAX).then_some(*number)
    }

    /// A coordinator has named it.
    pub(crate) fn note(&self, number: u64, now: Instant) {
        *self.0.lock().expect("no code panics while it holds this lock") = Some((number, now, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mark: Mark) -> Option<(Vec<u8>, String)> {
        let request = mark.attach(());
        let id = request.metadata().get_bin(ID_METADATA)?.to_bytes().unwrap().to_vec();
        Some((id, request.metadata().get(SEEN_METADATA)?.to_str().unwrap().to_owned()))
    }

    #[test]
    fn every_change_has_an_id_of_its_own_and_all_its_attempts_carry_it() {
        let (one, other) = (Mark::draw(Some(7)), Mark::draw(Some(7)));
        assert_eq!(sent(one), sent(one));
        assert_ne!(sent(one), sent(other));
        let (id, seen) = sent(one).unwrap();
        assert_eq!((id.len(), seen.as_str(), one.is_known()), (ID_BYTES, "7", true));
    }

    #[test]
    fn a_server_that_knows_no_request_ids_is_sent_none() {
        let mark = Mark::draw(None);
        assert_eq!((sent(mark), mark.is_known()), (None, false));
    }

    #[test]
    fn a_number_is_named_while_it_is_young() {
        let (heard, start) = (Heard::default(), Instant::now());
        assert_eq!(heard.number(start), None);
        heard.note(5, start);
        assert_eq!(heard.number(start + HEARD_AGE_MAX / 2), Some(5));
        assert_eq!(heard.number(start + HEARD_AGE_MAX), None);
        heard.note(6, start);
        assert_eq!((0..NAMED_MAX).filter_map(|_| heard.number(start)).count(), NAMED_MAX as usize);
        assert_eq!(heard.number(start), None, "many changes later");
    }

    #[test]
    fn only_a_refusal_for_its_age_names_a_number() {
        let mut status = Status::aborted("too old");
        assert_eq!(too_old(&status), None);
        status.metadata_mut().insert(SEEN_METADATA, 9.into());
        assert_eq!(too_old(&status), Some(9));
        let mut status = Status::not_found("s");
        status.metadata_mut().insert(SEEN_METADATA, 9.into());
        assert_eq!(too_old(&status), None);
    }
}
