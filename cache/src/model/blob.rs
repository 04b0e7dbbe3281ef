//! Bytes, in pieces as they came, or in the arena: nothing is copied together that need not be.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::arena::Extent;
use crate::limits::{CHUNK_BYTES, PIECE_BYTES_MIN};

/// Bytes that somebody has put.
#[derive(Clone, Debug, Default)]
pub struct Blob {
    held: Held,
    len: u64,
}

#[derive(Clone, Debug)]
enum Held {
    /// In memory of this process.
    Pieces(Vec<Bytes>),
    /// In memory that is shared with clients. They could write to it if they broke the rules.
    Shared(Arc<Extent>),
}

impl Default for Held {
    fn default() -> Self {
        Self::Pieces(Vec::new())
    }
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

    /// Where they are, if that is in the arena.
    #[must_use]
    pub fn extent(&self) -> Option<&Arc<Extent>> {
        match &self.held {
            Held::Pieces(_) => None,
            Held::Shared(extent) => Some(extent),
        }
    }

    /// The bytes in order, none of the pieces empty, in memory that nobody else writes to: a copy of what is in the arena.
    #[must_use]
    pub fn pieces(&self) -> Vec<Bytes> {
        match &self.held {
            Held::Pieces(pieces) => pieces.clone(),
            Held::Shared(_) => self.chunks(CHUNK_BYTES).collect(),
        }
    }

    /// The same bytes, not in the arena.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { held: Held::Pieces(self.pieces()), len: self.len }
    }

    /// The bytes in chunks of at most `max`. What is in the arena is copied chunk by chunk.
    pub fn chunks(&self, max: usize) -> impl Iterator<Item = Bytes> + use<> {
        let (pieces, extent) = match &self.held {
            Held::Pieces(pieces) => (pieces.clone(), None),
            Held::Shared(extent) => (Vec::new(), Some(extent.clone())),
        };
        let near = pieces.into_iter().flat_map(move |piece| {
            let starts = (0..piece.len()).step_by(max);
            starts.map(move |at| piece.slice(at..piece.len().min(at + max)))
        });
        let far = extent.into_iter().flat_map(move |extent| {
            let starts = (0..extent.len()).step_by(max);
            starts.map(move |at| {
                let left = usize::try_from(extent.len() - at).unwrap_or(usize::MAX);
                extent.read(at, left.min(max))
            })
        });
        near.chain(far)
    }

    /// The bytes in one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.held {
            Held::Shared(extent) => extent.read(0, usize::try_from(self.len).expect("it is in memory")),
            Held::Pieces(pieces) => match pieces.as_slice() {
                [] => Bytes::new(),
                [one] => one.clone(),
                many => {
                    let mut bytes = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                    many.iter().for_each(|piece| bytes.extend_from_slice(piece));
                    bytes.freeze()
                }
            },
        }
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self { held: Held::Pieces(if bytes.is_empty() { Vec::new() } else { vec![bytes] }), len }
    }
}

impl From<Arc<Extent>> for Blob {
    fn from(extent: Arc<Extent>) -> Self {
        Self { len: extent.len(), held: Held::Shared(extent) }
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
        Blob { held: Held::Pieces(self.pieces), len: self.len }
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
    fn bytes_in_the_arena_are_the_same_bytes() {
        let segment = crate::arena::Segment::new(1 << 20).unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let extent = segment.allocate(bytes.len() as u64).unwrap();
        extent.write(0, &bytes).unwrap();
        let blob = Blob::from(extent);
        assert_eq!((blob.len(), &blob.to_bytes()[..]), (bytes.len() as u64, &bytes[..]));
        assert_eq!(blob.chunks(70_000).map(|chunk| chunk.len()).collect::<Vec<_>>(), [70_000, 70_000, 60_000]);
        let settled = blob.settled();
        assert_eq!(settled, blob);
        drop(blob);
        assert!(settled.extent().is_none());
        assert_eq!((segment.used(), settled.pieces().concat()), (0, bytes));
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
