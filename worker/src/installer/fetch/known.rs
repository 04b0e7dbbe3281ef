//! Nodes of the object cache that the coordinators know. They are asked when nobody answers who is named.

use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use flame_types::limits::MESSAGE_BYTES_MAX;

use super::within;
use crate::agent::channels::Channels;
use crate::installer::url::{Server, cache_node};

/// Longest wait for one coordinator.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Who can be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinators {
    endpoints: Vec<String>,
    channels: Channels,
}

impl Coordinators {
    pub(crate) fn new(endpoints: &[String], tls: Option<flame_tls::Client>) -> Self {
        Self { endpoints: endpoints.to_vec(), channels: Channels::new(tls, endpoints) }
    }

    /// The cache nodes that are there, as the first coordinator says that answers.
    pub(super) async fn caches(&self) -> Result<Vec<Server>, String> {
        let mut silent = Vec::new();
        for endpoint in &self.endpoints {
            match within(ANSWER_WITHIN, "an answer", self.ask(endpoint)).await {
                Ok(Ok(nodes)) => {
                    let present = nodes.iter().filter(|node| !node.away);
                    return Ok(present.filter_map(|node| cache_node(&node.endpoint)).collect());
                }
                Ok(Err(why)) | Err(why) => silent.push(format!("{endpoint}: {why}")),
            }
        }
        Err(format!("no coordinator says who else has it: {}", silent.join("; ")))
    }

    async fn ask(&self, endpoint: &str) -> Result<Vec<ha::CacheNode>, String> {
        let channel = self.channels.get(endpoint).map_err(|error| error.to_string())?;
        let mut client = ObjectDirectoryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = client.nodes(ha::CacheNodesRequest {}).await;
        answer
            .map(|reply| reply.into_inner().nodes)
            .map_err(|status| format!("{}: {}", status.code(), status.message()))
    }
}
