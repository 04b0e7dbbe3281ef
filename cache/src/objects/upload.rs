//! Bytes on their way in.
//!
//! **Invariant:** room is made for bytes as they come, and what is too large is refused when it is, not at its end.

use bytes::Bytes;

use crate::error::Refusal;
use crate::inflow::Arrived;
use crate::limits::{MESSAGES_MAX, PIECE_BYTES_MIN};
use crate::model::{ArrowMessage, Blob, Gathering};
use crate::objects::Objects;
use crate::store::Reservation;

/// An object, or a patch, that is coming in.
pub struct Upload {
    objects: Objects,
    data: Gathering,
    messages: Vec<ArrowMessage>,
    bytes: u64,
    room: Reservation,
    /// Where what comes has room already.
    arrived: Option<Arrived>,
}

impl Objects {
    /// Begins to take something in, of what has arrived.
    #[must_use]
    pub fn upload(&self, arrived: Option<Arrived>) -> Upload {
        Upload {
            arrived,
            objects: self.clone(),
            data: Gathering::default(),
            messages: Vec::new(),
            bytes: 0,
            room: self.store().nothing(),
        }
    }
}

impl Upload {
    /// The next bytes.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] when that is too much.
    pub async fn data(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.take(bytes.len() as u64).await?;
        self.data.push(bytes);
        Ok(())
    }

    /// The next message of native Arrow.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] when that is too much.
    pub async fn message(&mut self, head: Bytes, body: Bytes) -> Result<(), Refusal> {
        if self.messages.len() >= MESSAGES_MAX {
            return Err(Refusal::Wrong(format!(
                "an object has at most {MESSAGES_MAX} messages of Arrow; write larger batches"
            )));
        }
        self.take((head.len() + body.len()) as u64).await?;
        // The header of a message lies in the same buffer as its body; a small one would keep more alive than itself.
        let own = |bytes: Bytes| if bytes.len() < PIECE_BYTES_MIN { Bytes::copy_from_slice(&bytes) } else { bytes };
        self.messages.push(ArrowMessage { head: own(head), body: own(body) });
        Ok(())
    }

    async fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let max = self.objects.part_max();
        self.bytes += bytes;
        if self.bytes > max {
            return Err(too_large(max));
        }
        let arrived = self.arrived.as_ref().map(|arrived| arrived.take(bytes));
        let missing = bytes - arrived.as_ref().map_or(0, Reservation::bytes);
        arrived.into_iter().for_each(|room| self.room.join(room));
        self.room.join(self.objects.store().reserve(missing).await?);
        Ok(())
    }

    /// What has come, as bytes, and the room for it.
    #[must_use]
    pub fn into_blob(self) -> (Blob, Reservation) {
        (self.data.finish(), self.room)
    }

    /// What has come, as messages, and the room for it.
    #[must_use]
    pub fn into_messages(self) -> (Vec<ArrowMessage>, Reservation) {
        (self.messages, self.room)
    }
}

/// More than an object may have.
pub fn too_large(max: u64) -> Refusal {
    Refusal::NoRoom(format!("an object has at most {max} bytes here (cache.object_max); cut it, or raise the limit"))
}
