//! Three coordinators, some caches, and the calls of a client.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_proto::ha::put_object_frame::Frame as PutFrame;
use flame_testkit::{Cache, Cluster, ClusterOptions, wait_until};
use futures::stream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Nothing here takes so long, unless it never comes. Leases of caches last ten seconds.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A cluster and its caches, `c1`, `c2`, …
pub struct Scene {
    pub caches: Vec<Cache>,
    pub cluster: Cluster,
}

impl Scene {
    pub async fn start(caches: usize) -> Result<Self> {
        Self::with(caches, ClusterOptions::default()).await
    }

    pub async fn with(caches: usize, options: ClusterOptions) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions { workers: 0, ..options }).await?;
        let mut scene = Self { caches: Vec::new(), cluster };
        for at in 1..=caches {
            scene.caches.push(Cache::join(&scene.cluster, &format!("c{at}"), &[]).await?);
        }
        Ok(scene)
    }

    /// A client of one cache.
    pub fn client(&self, at: usize) -> Result<Client> {
        Ok(Client { calls: ObjectsClient::new(self.caches[at].connect()?).max_decoding_message_size(usize::MAX) })
    }

    /// Waits until these caches, and no others, count as those that have an object; gives its version.
    pub async fn held_by(&self, key: &str, names: &[&str]) -> Result<u64> {
        wait_until(LIMIT, &format!("{key} is with {names:?}"), || async {
            let entry = self.cluster.object(key).await?.context("it is not known")?;
            let mut present: Vec<&str> =
                entry.places.iter().filter(|place| !place.away).map(|place| place.cache.as_str()).collect();
            present.sort_unstable();
            ensure!(present == names, "{entry:?}");
            Ok(entry.version)
        })
        .await
        .with_context(|| self.tails())
    }

    /// Waits until the directory knows an object.
    pub async fn known(&self, key: &str) -> Result<()> {
        let known = || async { self.cluster.object(key).await?.context("it is not known").map(|_| ()) };
        wait_until(LIMIT, &format!("{key} is known"), known).await.with_context(|| self.tails())
    }

    /// Waits until so many caches have an object.
    pub async fn copies(&self, key: &str, wanted: usize) -> Result<Vec<String>> {
        wait_until(LIMIT, &format!("{wanted} copies of {key}"), || async {
            let entry = self.cluster.object(key).await?.context("it is not known")?;
            let present: Vec<String> =
                entry.places.into_iter().filter(|place| !place.away).map(|place| place.cache).collect();
            ensure!(present.len() == wanted, "{present:?}");
            Ok(present)
        })
        .await
        .with_context(|| self.tails())
    }

    /// Waits until one cache has an object itself, or has not.
    pub async fn here(&self, at: usize, key: &str, wanted: bool) -> Result<()> {
        let client = self.client(at)?;
        wait_until(LIMIT, &format!("cache {} has {key}: {wanted}", self.caches[at].name()), || async {
            match client.clone().fetch(key, true).await {
                Ok(_) => ensure!(wanted, "it is there"),
                Err(status) if status.code() == Code::NotFound => ensure!(!wanted, "{status}"),
                Err(status) => return Err(status.into()),
            }
            Ok(())
        })
        .await
        .with_context(|| self.tails())
    }

    /// The place of a cache in the scene.
    pub fn at(&self, name: &str) -> usize {
        self.caches.iter().position(|cache| cache.name() == name).expect("it is one of them")
    }

    fn tails(&self) -> String {
        let caches: Vec<String> = self.caches.iter().map(Cache::tail).collect();
        format!("{}\n{}", caches.join("\n"), self.cluster.tails())
    }

    pub async fn end(self) -> Result<()> {
        for mut cache in self.caches {
            cache.stop().await?;
        }
        self.cluster.shutdown().await
    }
}

/// A client of our own protocol.
#[derive(Clone)]
pub struct Client {
    calls: ObjectsClient<Channel>,
}

impl Client {
    /// Puts an object, whatever is there; gives its version.
    pub async fn put(&mut self, key: &str, data: &[u8]) -> Result<u64, Status> {
        self.write(key, ha::IfExists::Replace, 0, data).await
    }

    /// Puts an object if it has this version; 0: none.
    pub async fn put_after(&mut self, key: &str, version: u64, data: &[u8]) -> Result<u64, Status> {
        self.write(key, ha::IfExists::Expect, version, data).await
    }

    async fn write(&mut self, key: &str, if_exists: ha::IfExists, expected: u64, data: &[u8]) -> Result<u64, Status> {
        let header = ha::PutObjectHeader {
            key: key.to_owned(),
            if_exists: if_exists.into(),
            expected_version: expected,
            ..ha::PutObjectHeader::default()
        };
        let frames = [PutFrame::Header(header), PutFrame::Data(data.to_vec().into())];
        let frames = frames.map(|frame| ha::PutObjectFrame { frame: Some(frame) });
        Ok(self.calls.put(stream::iter(frames)).await?.into_inner().version)
    }

    /// Adds a part.
    pub async fn patch(&mut self, key: &str, data: &[u8]) -> Result<u64, Status> {
        let header = ha::PutObjectHeader { key: key.to_owned(), ..ha::PutObjectHeader::default() };
        let frames = [PutFrame::Header(header), PutFrame::Data(data.to_vec().into())];
        let frames = frames.map(|frame| ha::PutObjectFrame { frame: Some(frame) });
        Ok(self.calls.patch(stream::iter(frames)).await?.into_inner().version)
    }

    /// An object: its version, and the bytes of all its parts.
    pub async fn get(&mut self, key: &str) -> Result<(u64, Vec<u8>), Status> {
        self.fetch(key, false).await
    }

    /// The same; only from this cache itself.
    pub async fn fetch(&mut self, key: &str, local_only: bool) -> Result<(u64, Vec<u8>), Status> {
        let request = ha::FetchObjectRequest { key: key.to_owned(), version: 0, local_only };
        let mut frames = self.calls.fetch(request).await?.into_inner();
        let (mut version, mut data) = (0, Vec::new());
        while let Some(frame) = frames.message().await? {
            match frame.frame {
                Some(Frame::Header(header)) => version = header.info.unwrap_or_default().version,
                Some(Frame::Piece(piece)) => data.extend_from_slice(&piece.data),
                None => {}
            }
        }
        Ok((version, data))
    }

    /// Deletes what is meant.
    pub async fn delete(&mut self, target: &str) -> Result<u64, Status> {
        let request = ha::DeleteObjectsRequest { target: target.to_owned() };
        Ok(self.calls.delete(request).await?.into_inner().deleted)
    }

    /// Every cache that can be asked.
    pub async fn nodes(&mut self) -> Result<Vec<String>, Status> {
        let nodes = self.calls.nodes(ha::ObjectNodesRequest {}).await?.into_inner().nodes;
        Ok(nodes.into_iter().map(|node| node.name).collect())
    }
}
