//! Bytes in pieces, as they came: nothing is copied together that need not be.

use bytes::{Bytes, BytesMut};

use crate::limits::PIECE_BYTES_MIN;

/// Bytes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Blob {
    pieces: Vec<Bytes>,
    len: u64,
}

impl Blob {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order; none is empty.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The same bytes in chunks of at most `max`.
    pub fn chunks(&self, max: usize) -> impl Iterator<Item = Bytes> + use<> {
        self.pieces.clone().into_iter().flat_map(move |piece| {
            let starts = (0..piece.len()).step_by(max);
            starts.map(move |at| piece.slice(at..piece.len().min(at + max)))
        })
    }

    /// The bytes in one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut bytes = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|piece| bytes.extend_from_slice(piece));
                bytes.freeze()
            }
        }
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self { pieces: if bytes.is_empty() { Vec::new() } else { vec![bytes] }, len }
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Blob {}

/// A blob that is still coming in.
#[derive(Debug, Default)]
pub struct Gathering {
    pieces: Vec<Bytes>,
    /// Short pieces, copied together.
    tail: BytesMut,
    len: u64,
}

impl Gathering {
    /// How many bytes have come.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len() as u64;
        if bytes.len() < PIECE_BYTES_MIN {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= PIECE_BYTES_MIN {
                self.close_tail();
            }
            return;
        }
        self.close_tail();
        self.pieces.push(bytes);
    }

    /// All that has come.
    #[must_use]
    pub fn finish(mut self) -> Blob {
        self.close_tail();
        Blob { pieces: self.pieces, len: self.len }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            // A copy of its own size: the buffer may have grown to twice of that.
            self.pieces.push(Bytes::copy_from_slice(&self.tail));
            self.tail.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However bytes come in, the same bytes go out, in chunks that keep to their limit.
        #[test]
        fn what_goes_in_comes_out(lengths in proptest::collection::vec(0_usize..200_000, 0..8), max in 1_usize..300_000) {
            let mut gathering = Gathering::default();
            let mut expected = Vec::new();
            for (at, length) in lengths.iter().enumerate() {
                let piece = vec![at as u8; *length];
                expected.extend_from_slice(&piece);
                gathering.push(Bytes::from(piece));
            }
            let blob = gathering.finish();
            prop_assert_eq!(blob.len(), expected.len() as u64);
            prop_assert_eq!(&blob.to_bytes()[..], &expected[..]);
            prop_assert!(blob.pieces().iter().all(|piece| !piece.is_empty()));
            let chunks: Vec<Bytes> = blob.chunks(max).collect();
            prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= max));
            prop_assert_eq!(chunks.concat(), expected);
        }
    }

    #[test]
    fn short_pieces_do_not_keep_their_messages_alive() {
        let message = Bytes::from(vec![7; 10 * PIECE_BYTES_MIN]);
        let mut gathering = Gathering::default();
        gathering.push(message.slice(..10));
        drop(message.clone());
        let blob = gathering.finish();
        assert_eq!(blob.pieces().len(), 1);
        assert!(message.is_unique(), "the blob has a copy of its ten bytes");
    }
}
