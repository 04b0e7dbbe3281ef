//! What coordinators say of the caches of a cluster, and of the objects in them.

use anyhow::{Result, anyhow};
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use flame_proto::ha::{CacheNode, CacheNodesRequest, DirectoryEntry, LocateObjectRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Cluster, question};

impl Cluster {
    /// Every cache node that the cluster knows.
    ///
    /// # Errors
    /// If no coordinator that runs can say.
    pub async fn cache_nodes(&self) -> Result<Vec<CacheNode>> {
        let ask = async |mut directory: ObjectDirectoryClient<Channel>| directory.nodes(CacheNodesRequest {}).await;
        Ok(self.ask_directory(ask).await?.into_inner().nodes)
    }

    /// Where an object lies; `None` when there is no such object.
    ///
    /// # Errors
    /// As [`Cluster::cache_nodes`].
    pub async fn object(&self, key: &str) -> Result<Option<DirectoryEntry>> {
        let ask = async |mut directory: ObjectDirectoryClient<Channel>| match directory
            .locate(LocateObjectRequest { key: key.to_owned() })
            .await
        {
            Ok(found) => Ok(Some(found.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        };
        self.ask_directory(ask).await
    }

    async fn ask_directory<T>(
        &self,
        ask: impl AsyncFn(ObjectDirectoryClient<Channel>) -> Result<T, Status>,
    ) -> Result<T> {
        let mut last = anyhow!("no coordinator runs");
        for member in self.members().filter(|member| member.daemon.is_started()) {
            let channel = question(&member.addresses.client, self.certificates())?;
            match ask(ObjectDirectoryClient::new(channel)).await {
                Ok(answer) => return Ok(answer),
                Err(status) => last = anyhow!("coordinator {}: {status}", member.addresses.id),
            }
        }
        Err(last)
    }
}
