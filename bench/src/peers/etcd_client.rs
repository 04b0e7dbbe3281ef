//! A client of etcd: the two calls that the comparison needs, over gRPC as etcd's own clients speak it.
//!
//! Only the fields that are used are declared; their numbers are those of etcd's public API, version 3.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::payload;

const PUT: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Put");
const RANGE: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Range");

/// For one call. Longer than an election.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Keys of one answer when all are read back.
const PAGE: i64 = 1_000;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pairs: Vec<Pair>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

/// A connection to one member.
#[derive(Clone)]
pub struct Member {
    channel: Channel,
}

/// What a series of puts took.
pub struct Puts {
    /// From the first call to the last answer.
    pub took: Duration,
    /// Of each put.
    pub latencies: Vec<Duration>,
}

impl Member {
    /// The member that listens at this port. Connects with the first call.
    ///
    /// # Errors
    /// If there is no runtime for its connection.
    pub fn at(port: u16) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).context("the address of a member")?;
        // As etcd's own clients: small messages are not held back.
        Ok(Self { channel: endpoint.tcp_nodelay(true).timeout(CALL_LIMIT).connect_lazy() })
    }

    /// Puts the value with this number under the key with this number.
    ///
    /// # Errors
    /// If it is not acknowledged.
    pub async fn put(&self, number: u64) -> Result<()> {
        let request = PutRequest { key: key(number), value: payload::input(number) };
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.context("a member is not there")?;
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        client.unary(tonic::Request::new(request), PUT, codec).await.context("a put was not acknowledged")?;
        Ok(())
    }

    /// Reads all keys up to `count` back and compares each value with the one that was put.
    ///
    /// # Errors
    /// If a key is missing, or a value is wrong.
    pub async fn check_all(&self, count: u64) -> Result<()> {
        let mut number = 0;
        while number < count {
            let request = RangeRequest { key: key(number), range_end: key(count), limit: PAGE };
            let mut client = Grpc::new(self.channel.clone());
            client.ready().await.context("a member is not there")?;
            let codec = ProstCodec::<RangeRequest, RangeResponse>::default();
            let answer =
                client.unary(tonic::Request::new(request), RANGE, codec).await.context("read the keys back")?;
            let pairs = answer.into_inner().pairs;
            ensure!(!pairs.is_empty(), "key {number} of {count} is not there");
            for Pair { key: found, value } in pairs {
                ensure!(found == key(number), "key {number} is missing, the next is {found:?}");
                ensure!(value == payload::input(number), "the value of key {number} is wrong: {value:?}");
                number += 1;
            }
        }
        Ok(())
    }
}

/// So many clients put the values from `first` on, each the next one when its last is acknowledged. Clients are spread
/// over the members, beginning with the first.
///
/// # Errors
/// If a put is not acknowledged.
pub async fn put_all(members: &[Member], clients: usize, first: u64, count: u64) -> Result<Puts> {
    let next = Arc::new(AtomicU64::new(first));
    let end = first + count;
    let began = Instant::now();
    let mut running = JoinSet::new();
    for member in members.iter().cycle().take(clients) {
        let (member, next) = (member.clone(), next.clone());
        running.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return anyhow::Ok(latencies);
                }
                let at = Instant::now();
                member.put(number).await?;
                latencies.push(at.elapsed());
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(client) = running.join_next().await {
        latencies.extend(client.context("a client broke")??);
    }
    Ok(Puts { took: began.elapsed(), latencies })
}

/// Keys sort as their numbers do.
fn key(number: u64) -> Bytes {
    Bytes::from(format!("bench/{number:016x}"))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn messages_have_the_bytes_of_the_public_api() {
        let put = PutRequest { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") };
        assert_eq!(put.encode_to_vec(), [0x0a, 1, b'k', 0x12, 1, b'v']);
        let range = RangeRequest { key: Bytes::new(), range_end: Bytes::from_static(b"z"), limit: 5 };
        assert_eq!(range.encode_to_vec(), [0x12, 1, b'z', 0x18, 5]);
        // An answer has more than is read here: a header, and revisions of the key.
        let answer = [0x0a, 2, 0x18, 9, 0x12, 8, 0x0a, 1, b'k', 0x10, 7, 0x2a, 1, b'v', 0x18, 1];
        let answer = RangeResponse::decode(&answer[..]).expect("it is an answer");
        assert_eq!(answer.pairs, [Pair { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") }]);
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        assert!(key(9) < key(10) && key(255) < key(4096));
    }
}
