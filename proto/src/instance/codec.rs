//! A codec that leaves a message as it came: bytes.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::v1::{EmptyRequest, SessionContext, TaskContext};

/// What [`RawCodec`] can carry: the requests of the Instance service, and undecoded bytes.
pub trait Body: Sized + Send + 'static {
    /// Writes the message.
    fn write(self, buffer: &mut EncodeBuf<'_>);

    /// Reads the message; the buffer holds exactly one.
    ///
    /// # Errors
    /// INTERNAL when the bytes are not such a message.
    fn read(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

impl Body for Bytes {
    fn write(self, buffer: &mut EncodeBuf<'_>) {
        buffer.put(self);
    }

    fn read(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Ok(buffer.copy_to_bytes(buffer.remaining()))
    }
}

macro_rules! message_body {
    ($($message:ty),+) => {$(
        impl Body for $message {
            fn write(self, buffer: &mut EncodeBuf<'_>) {
                self.encode_raw(buffer);
            }

            fn read(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
                Self::decode(buffer).map_err(|error| Status::internal(error.to_string()))
            }
        }
    )+};
}

message_body!(SessionContext, TaskContext, EmptyRequest);

/// Encodes `T` and decodes `U`, either of which may be plain [`Bytes`].
pub struct RawCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for RawCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Body, U: Body> Codec for RawCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = RawEncoder<T>;
    type Decoder = RawDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        RawEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder(PhantomData)
    }
}

/// The sending half of [`RawCodec`].
pub struct RawEncoder<T>(PhantomData<fn(T)>);

impl<T: Body> Encoder for RawEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(buffer);
        Ok(())
    }
}

/// The receiving half of [`RawCodec`].
pub struct RawDecoder<U>(PhantomData<fn() -> U>);

impl<U: Body> Decoder for RawDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::read(buffer).map(Some)
    }
}
