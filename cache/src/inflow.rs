//! Uploads on their way in.
//!
//! **Invariant:** bytes that have come have room in memory, also those of a message that is not complete: a message may be as
//! large as an object, and many come at a time. What finds no room is refused, and the rest of it is not read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use http::Request;
use tonic::body::Body;
use tonic::{Code, Status, Streaming};

use crate::objects::upload::too_large;
use crate::objects::{Objects, Upload};
use crate::store::{Reservation, Store};

/// The calls that bring objects.
const UPLOADS: [&str; 5] = [
    "/arrow.flight.protocol.FlightService/DoPut",
    "/flame.v1.ObjectCacheService/Put",
    "/flame.v1.ObjectCacheService/Patch",
    "/flame.ha.v1.Objects/Put",
    "/flame.ha.v1.Objects/Patch",
];

/// Room for what has come of one call and belongs to no object yet. A handle: clones are of the same.
#[derive(Clone, Debug)]
pub struct Arrived {
    room: Arc<Mutex<Reservation>>,
}

impl Arrived {
    // Nothing that is done under the lock can fail halfway.
    fn room(&self) -> MutexGuard<'_, Reservation> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for so many bytes of it, or for fewer where fewer have come.
    #[must_use]
    pub fn take(&self, bytes: u64) -> Reservation {
        self.room().split(bytes)
    }
}

/// The same call, whose bytes get room as they come.
#[must_use]
pub fn with_room(store: &Store, call: Request<Body>) -> Request<Body> {
    if !UPLOADS.contains(&call.uri().path()) {
        return call;
    }
    let (mut head, body) = call.into_parts();
    let arrived = Arrived { room: Arc::new(Mutex::new(store.nothing())) };
    head.extensions.insert(arrived.clone());
    let store = store.clone();
    // A call of gRPC has no trailers.
    let data = axum::body::Body::new(body).into_data_stream().map_err(axum::BoxError::from);
    let data = data.and_then(move |bytes| {
        let (store, arrived) = (store.clone(), arrived.clone());
        async move {
            let room = store.reserve(bytes.len() as u64).await.map_err(Status::from)?;
            arrived.room().join(room);
            Ok::<_, axum::BoxError>(bytes)
        }
    });
    Request::from_parts(head, Body::new(axum::body::Body::from_stream(data)))
}

/// The messages of an upload.
pub struct Inflow<T> {
    messages: Streaming<T>,
    arrived: Option<Arrived>,
}

impl<T> Inflow<T> {
    /// Those of a call.
    #[must_use]
    pub fn of(call: tonic::Request<Streaming<T>>) -> Self {
        let arrived = call.extensions().get::<Arrived>().cloned();
        Self { messages: call.into_inner(), arrived }
    }

    /// The next message.
    ///
    /// # Errors
    /// The client has ended it badly, the message is larger than any object, or there is no room for it.
    pub async fn next(&mut self, objects: &Objects) -> Result<Option<T>, Status> {
        self.messages.message().await.map_err(|status| match status.code() {
            // The library has refused to read so much.
            Code::OutOfRange => too_large(objects.part_max()).into(),
            _ => status,
        })
    }

    /// Begins to take in what these messages bring.
    #[must_use]
    pub fn upload(&self, objects: &Objects) -> Upload {
        objects.upload(self.arrived.clone())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flame_config::Eviction;
    use flame_metrics::Registrar;
    use futures::stream;

    use super::*;
    use crate::metrics::StoreMetrics;
    use crate::store::StoreOptions;
    use crate::store::index::Bounds;

    const MEMORY: u64 = 1000;

    fn store() -> Store {
        let bounds = Bounds { memory: MEMORY, disk: 0, resident: 10, quota: None };
        let options = StoreOptions { folder: None, bounds, eviction: Eviction::Never };
        Store::open(&options, StoreMetrics::register(&Registrar::off())).unwrap()
    }

    fn call(path: &str, chunks: usize, length: usize) -> Request<Body> {
        let chunks = stream::iter((0..chunks).map(move |_| Ok::<_, Status>(Bytes::from(vec![7; length]))));
        Request::builder().uri(path).body(Body::new(axum::body::Body::from_stream(chunks))).unwrap()
    }

    async fn read(call: Request<Body>) -> Result<usize, axum::Error> {
        let data = axum::body::Body::new(call.into_body()).into_data_stream();
        data.try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) }).await
    }

    #[tokio::test]
    async fn what_has_come_has_room_until_somebody_takes_it() {
        let store = store();
        let call = with_room(&store, call(UPLOADS[0], 2, 400));
        let arrived = call.extensions().get::<Arrived>().unwrap().clone();
        assert_eq!(read(call).await.unwrap(), 800);
        assert_eq!(store.held().reserved, 800);
        let taken = arrived.take(500);
        assert_eq!((taken.bytes(), arrived.take(500).bytes()), (500, 300));
        assert_eq!(store.held().reserved, 500, "the rest was dropped");
        drop(taken);
        assert_eq!(store.held().reserved, 0);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_not_read() {
        let store = store();
        let refused = read(with_room(&store, call(UPLOADS[4], 2, MEMORY as usize + 1))).await.unwrap_err();
        assert!(refused.to_string().contains("cache.eviction.max_memory"), "{refused}");
        assert_eq!(store.held().reserved, 0);
        assert_eq!(read(with_room(&store, call("/flame.ha.v1.Objects/Fetch", 3, 400))).await.unwrap(), 1200);
    }
}
