//! Objects through memory that is shared with clients of the same host: what they write others read, what they read stays,
//! and what they hold ends with them.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::arena_part::Place;
use flame_proto::ha::arena_reply::Reply;
use flame_proto::ha::arena_request::Request;
use flame_proto::ha::arena_seal::Content;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_testkit::wait_until;
use prost::Message;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{ARENA, Cache, connect, delete, flight, get, put, refused};

const LIMIT: Duration = Duration::from_secs(20);

/// A client of the arena, which reads and writes the memory as the file that it is.
struct Client {
    stream: UnixStream,
    memory: File,
    bytes: u64,
}

fn send(stream: &mut UnixStream, request: &ha::ArenaRequest) {
    let message = request.encode_to_vec();
    stream.write_all(&(message.len() as u32).to_le_bytes()).unwrap();
    stream.write_all(&message).unwrap();
}

fn request(request: Request) -> ha::ArenaRequest {
    ha::ArenaRequest { released: Vec::new(), request: Some(request) }
}

/// Says hello, and takes the descriptor that comes with the answer; `None` when the cache ends the connection.
async fn join(channel: Channel, token: Option<&str>) -> Option<Client> {
    let local = ObjectsClient::new(channel).local(ha::LocalObjectsRequest {}).await.unwrap().into_inner();
    let address = SocketAddr::from_abstract_name(local.socket.as_bytes()).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    let token = token.unwrap_or(&local.token).to_owned();
    send(&mut stream, &request(Request::Hello(ha::ArenaHello { token })));

    let mut head = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(&stream, &mut [IoSliceMut::new(&mut head)], &mut control, RecvFlags::empty()).unwrap();
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return None;
    }
    assert_eq!((received.bytes, descriptors.len()), (4, 1));
    let mut message = vec![0; u32::from_le_bytes(head) as usize];
    stream.read_exact(&mut message).unwrap();
    let Some(Reply::Welcome(welcome)) = ha::ArenaReply::decode(&message[..]).unwrap().reply else {
        panic!("no welcome")
    };
    Some(Client { stream, memory: File::from(descriptors.remove(0)), bytes: welcome.bytes })
}

fn header(key: &str) -> ha::PutObjectHeader {
    ha::PutObjectHeader { key: key.to_owned(), ..ha::PutObjectHeader::default() }
}

impl Client {
    async fn of(cache: &Cache) -> Self {
        join(cache.channel.clone(), None).await.unwrap()
    }

    fn ask(&mut self, asked: Request) -> Reply {
        send(&mut self.stream, &request(asked));
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).unwrap();
        let mut message = vec![0; u32::from_le_bytes(head) as usize];
        self.stream.read_exact(&mut message).unwrap();
        ha::ArenaReply::decode(&message[..]).unwrap().reply.unwrap()
    }

    fn release(&mut self, id: u64) {
        send(&mut self.stream, &ha::ArenaRequest { released: vec![id], request: None });
    }

    fn create(&mut self, size: u64) -> Reply {
        self.ask(Request::Create(ha::ArenaCreate { size }))
    }

    fn seal(&mut self, header: ha::PutObjectHeader, content: Content) -> Reply {
        self.ask(Request::Seal(ha::ArenaSeal { header: Some(header), content: Some(content) }))
    }

    /// Puts an object through the memory.
    fn put(&mut self, header: ha::PutObjectHeader, data: &[u8]) -> Reply {
        let Reply::Room(room) = self.create(data.len() as u64) else { panic!("there is no room") };
        assert_eq!((room.offset + 4) % 64, 0);
        self.memory.write_all_at(data, room.offset).unwrap();
        self.seal(header, Content::Room(room.id))
    }

    fn get(&mut self, key: &str, version: u64) -> Reply {
        self.ask(Request::Get(ha::ArenaGet { key: key.to_owned(), version }))
    }

    fn read(&self, part: &ha::ArenaPart) -> Vec<u8> {
        match part.place.clone().unwrap() {
            Place::Data(data) => data.to_vec(),
            Place::Offset(offset) => {
                let mut data = vec![0; part.size as usize];
                self.memory.read_exact_at(&mut data, offset).unwrap();
                data
            }
        }
    }
}

fn version(reply: Reply) -> u64 {
    let Reply::Sealed(info) = reply else { panic!("{reply:?}") };
    info.version
}

fn object(reply: Reply) -> ha::ArenaObject {
    let Reply::Object(object) = reply else { panic!("{reply:?}") };
    object
}

fn offset(part: &ha::ArenaPart) -> u64 {
    let Some(Place::Offset(offset)) = part.place else { panic!("{part:?} is not in the memory") };
    offset
}

#[track_caller]
fn is_elsewhere(reply: &Reply, word: &str) {
    let Reply::Elsewhere(why) = reply else { panic!("{reply:?}") };
    assert!(why.reason.contains(word), "{}", why.reason);
}

#[track_caller]
fn is_refused(reply: &Reply, code: Code, word: &str) {
    let Reply::Error(error) = reply else { panic!("{reply:?}") };
    assert_eq!((Code::from(error.code), error.message.contains(word)), (code, true), "{}", error.message);
}

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_into_the_memory_is_an_object() {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    assert_eq!((client.bytes, client.memory.metadata().unwrap().len()), (ARENA, ARENA));
    let data: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8).collect();
    assert_eq!(version(client.put(header("a/s/o"), &data)), 1);
    assert_eq!(get(&mut cache.flight(), "a/s/o", 0).await.unwrap()[0].2, data);

    let found = object(client.get("a/s/o", 0));
    assert_eq!((found.parts.len(), client.read(&found.parts[0])), (1, data.clone()));
    let mut other = Client::of(&cache).await;
    let seen = object(other.get("a/s/o", 0));
    assert_eq!((offset(&seen.parts[0]), other.read(&seen.parts[0])), (offset(&found.parts[0]), data));
    assert_eq!(object(other.get("a/s/o", 1)).parts, []);

    assert_eq!(version(client.seal(header("a/s/o"), Content::Data(Bytes::from_static(b"small")))), 2);
    let small = object(other.get("a/s/o", 0));
    assert_eq!((small.pin, small.parts[0].place.clone()), (0, Some(Place::Data(Bytes::from_static(b"small")))));
    is_refused(&client.get("a/s/none", 0), Code::NotFound, "not found");
    is_refused(&client.create(u64::MAX), Code::ResourceExhausted, "cache.object_max");
    is_refused(&client.seal(header("a/s/o"), Content::Room(77)), Code::InvalidArgument, "77");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_over_the_port_is_read_from_the_memory() {
    let cache = Cache::start().await;
    let data = vec![3; MIB];
    put(&mut cache.flight(), "a/s/o", &data).await.unwrap();
    crate::support::patch(&mut cache.flight(), "a/s/o", b"more").await.unwrap();
    let mut client = Client::of(&cache).await;
    let found = object(client.get("a/s/o", 0));
    let parts: Vec<_> = found.parts.iter().map(|part| (part.version, client.read(part))).collect();
    assert_eq!(parts, [(1, data), (2, b"more".to_vec())]);
    let again = object(client.get("a/s/o", 0));
    assert_eq!(offset(&again.parts[0]), offset(&found.parts[0]));
    let news = object(client.get("a/s/o", 1));
    assert_eq!((news.parts.len(), news.parts[0].version, news.pin), (1, 2, 0));
    assert_eq!(get(&mut cache.flight(), "a/s/o", 0).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_stays_until_it_is_given_back() {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    version(client.put(header("a/s/o"), &vec![1; 3 * MIB]));
    let found = object(client.get("a/s/o", 0));
    // Its name gets another object, and then none; what is read of the first stays.
    version(client.put(header("a/s/o"), &vec![2; 3 * MIB]));
    delete(&mut cache.flight(), "a/s/o").await.unwrap();
    version(client.put(header("a/s/p"), &vec![3; 3 * MIB]));
    assert_eq!(client.read(&found.parts[0]), vec![1; 3 * MIB]);
    let second = object(client.get("a/s/p", 0));
    is_elsewhere(&client.create(3 * MIB as u64), "cache.arena");
    // Over the port there is room, and for small ones.
    put(&mut cache.flight(), "a/s/q", &vec![4; 3 * MIB]).await.unwrap();
    is_elsewhere(&client.get("a/s/q", 0), "cache.arena");
    client.release(found.pin);
    let third = object(client.get("a/s/q", 0));
    assert_eq!(client.read(&third.parts[0]), vec![4; 3 * MIB]);
    assert_eq!(client.read(&second.parts[0]), vec![3; 3 * MIB]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_holds_ends_with_it() -> Result<()> {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    assert!(matches!(client.create(ARENA / 2), Reply::Room(_)));
    version(client.put(header("a/s/o"), &vec![1; 3 * MIB]));
    object(client.get("a/s/o", 0));
    let mut other = Client::of(&cache).await;
    is_elsewhere(&other.create(3 * MIB as u64), "cache.arena");
    drop(client);
    wait_until(LIMIT, "the room of a client that is gone", || {
        let reply = other.create(3 * MIB as u64);
        async move {
            ensure!(matches!(reply, Reply::Room(_)), "{reply:?}");
            Ok(())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_leave_the_memory_for_others_and_nothing_is_lost() {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    for at in 0..24_u8 {
        version(client.put(header(&format!("a/s/{at}")), &vec![at; MIB]));
    }
    for at in 0..24_u8 {
        let found = object(client.get(&format!("a/s/{at}"), 0));
        assert_eq!(client.read(&found.parts[0]), vec![at; MIB], "{at}");
        client.release(found.pin);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_does_not_leave_memory() {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    version(client.put(header("a/s/read"), &vec![1; 3 * MIB]));
    let found = object(client.get("a/s/read", 0));
    for at in 0..20_u8 {
        put(&mut cache.flight(), &format!("a/s/{at}"), &vec![at; MIB]).await.unwrap();
    }
    let again = object(client.get("a/s/read", 0));
    assert_eq!(offset(&again.parts[0]), offset(&found.parts[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_does_not_hold_gives_the_room_back() {
    let cache = Cache::start().await;
    let mut client = Client::of(&cache).await;
    version(client.put(header("a/s/o"), &vec![1; 3 * MIB]));
    let expect = |expected_version| ha::PutObjectHeader {
        if_exists: ha::IfExists::Expect.into(),
        expected_version,
        ..header("a/s/o")
    };
    for _ in 0..4 {
        is_refused(&client.put(expect(7), &vec![2; 3 * MIB]), Code::Aborted, "version 1");
    }
    assert_eq!(version(client.put(expect(1), &vec![2; 3 * MIB])), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_token_gets_nothing() {
    let cache = Cache::start().await;
    assert!(join(cache.channel.clone(), Some("wrong")).await.is_none());
    let without = Cache::with(|options| options.arena = 0).await;
    let local = without.own().local(ha::LocalObjectsRequest {}).await.unwrap().into_inner();
    assert_eq!(local, ha::LocalObjectsReply::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_objects_are_on_disk_before_they_are_acknowledged() -> Result<()> {
    let mut cache = flame_testkit::Cache::start(&[]).await?;
    let channel = connect(cache.endpoint()).await;
    let mut client = join(channel, None).await.unwrap();
    let data: Vec<u8> = (0..3 * MIB).map(|at| (at % 241) as u8).collect();
    version(client.put(header("a/shared/o"), &data));
    version(client.put(header("a/session/o"), &data));
    cache.kill().await?;
    // The memory outlives the cache for whoever has it.
    ensure!(client.memory.metadata()?.len() == client.bytes);
    cache.start_again().await?;
    let mut port = flight(connect(cache.endpoint()).await);
    ensure!(get(&mut port, "a/shared/o", 0).await?[0].2 == data);
    refused(get(&mut port, "a/session/o", 0).await, Code::NotFound, "not found");
    Ok(())
}
