//! Object caches, asked by the published `ObjectCacheService`. Any node of a cache serves any object: when the one that the
//! URL names does not answer, those that the worker was told of are asked, and then those that the coordinators know.

use flame_proto::v1;
use flame_proto::v1::object_cache_service_client::ObjectCacheServiceClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use v1::cache_get_response::Payload;

use super::{CONNECT_MAX, Fetched, Fingerprint, SILENT_MAX, Sink, Sources, within};
use crate::installer::url::Server;

/// Why a node gave nothing.
enum Failure {
    /// Another one may.
    Silent(String),
    /// None will.
    Final(String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let message = status.message();
        match status.code() {
            Code::NotFound => Self::Final(format!("the object cache does not have it: {message}")),
            Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => Self::Final(message.to_owned()),
            Code::Unimplemented => {
                Self::Final("the object cache does not serve ObjectCacheService, by which packages are fetched".into())
            }
            code => Self::Silent(format!("{code}: {message}")),
        }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Final(why)
    }
}

pub(super) async fn fetch(
    sources: &Sources,
    named: &Server,
    key: &str,
    had: Option<&Fingerprint>,
    sink: &mut Sink<'_>,
) -> Result<Fetched, String> {
    let mut round = Round::default();
    let told = [std::slice::from_ref(named), &sources.caches].concat();
    if let Some(fetched) = round.ask(sources, told, key, had, sink).await? {
        return Ok(fetched);
    }
    match sources.coordinators.caches().await {
        Ok(known) => {
            if let Some(fetched) = round.ask(sources, known, key, had, sink).await? {
                return Ok(fetched);
            }
        }
        Err(why) => round.silent.push(why),
    }
    Err(round.silent.join("; "))
}

/// One node after the other, each once.
#[derive(Default)]
struct Round {
    asked: Vec<Server>,
    silent: Vec<String>,
}

impl Round {
    /// What one of these gives; none when nobody answers.
    async fn ask(
        &mut self,
        sources: &Sources,
        servers: Vec<Server>,
        key: &str,
        had: Option<&Fingerprint>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Fetched>, String> {
        for server in servers {
            if self.asked.contains(&server) {
                continue;
            }
            match fetch_from(sources, &server, key, had, sink).await {
                Ok(fetched) => return Ok(Some(fetched)),
                Err(Failure::Final(why)) => return Err(format!("{}: {why}", server.authority())),
                Err(Failure::Silent(why)) => self.silent.push(format!("{}: {why}", server.authority())),
            }
            self.asked.push(server);
        }
        Ok(None)
    }
}

async fn fetch_from(
    sources: &Sources,
    server: &Server,
    key: &str,
    had: Option<&Fingerprint>,
    sink: &mut Sink<'_>,
) -> Result<Fetched, Failure> {
    let mut client = connect(sources, server)?;
    // Looked at before it is read: what is replaced meanwhile has another fingerprint next time.
    let asked = client.get_metadata(v1::CacheGetMetadataRequest { key: key.to_owned() });
    let metadata = silence(within(SILENT_MAX, "an answer", asked).await)??.into_inner();
    let fingerprint =
        Fingerprint::Object { version: metadata.version, bytes: metadata.size, created_ms: metadata.creation_time };
    if had == Some(&fingerprint) {
        return Ok(Fetched::Same);
    }
    sink.announce(metadata.size)?;
    let asked = client.get(v1::CacheGetRequest { key: key.to_owned(), version: 0 });
    let mut parts = silence(within(SILENT_MAX, "an answer", asked).await)??.into_inner();
    sink.begin().await?;
    let mut part = None;
    while let Some(message) = silence(within(SILENT_MAX, "the rest of it", parts.message()).await)?? {
        let Some(Payload::Chunk(v1::CacheGetChunk { version, data })) = message.payload else { continue };
        if part.is_some_and(|part| part != version) {
            return Err(Failure::Final("the object was patched; a package is one piece".to_owned()));
        }
        part = Some(version);
        sink.write(&data).await?;
    }
    match part {
        Some(_) => Ok(Fetched::New(fingerprint)),
        None => Err(Failure::Final("the object is empty".to_owned())),
    }
}

/// A node that says nothing in time is like one that is not there.
fn silence<T>(waited: Result<T, String>) -> Result<T, Failure> {
    waited.map_err(Failure::Silent)
}

fn connect(sources: &Sources, server: &Server) -> Result<ObjectCacheServiceClient<Channel>, Failure> {
    let tls = match server.tls {
        true => Some(sources.cache_tls.load().map_err(|refusal| refusal.to_string())?),
        false => None,
    };
    let endpoint =
        Endpoint::from_shared(format!("http://{}", server.authority())).map_err(|error| error.to_string())?;
    let channel = flame_tls::client::channel(endpoint.connect_timeout(CONNECT_MAX), tls.as_ref());
    Ok(ObjectCacheServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
