//! Which object cache a verb turns to.

use clap::Args;
use flame_sdk::endpoints::Environment;
use flame_sdk::objects::ObjectCache;
use flame_sdk::packages::PackageStore;

use super::{Context, GlobalArgs};
use crate::exit::Failure;

/// The flag that names it.
#[derive(Clone, Debug, Default, Args)]
pub struct CacheEndpoint {
    /// Object cache, grpc://HOST:9090; several nodes with commas. Default: cache.endpoint of flame.yaml or
    /// FLAME_CACHE_ENDPOINT, else the nodes that the coordinators know
    #[arg(long, value_name = "URL")]
    pub cache_endpoint: Option<String>,
}

impl CacheEndpoint {
    /// Its objects.
    pub(super) async fn objects(&self, context: &Context, global: &GlobalArgs) -> Result<ObjectCache, Failure> {
        let (given, config) = (self.cache_endpoint.as_deref(), global.config.as_deref());
        let tls = global.tls.clone().into();
        match ObjectCache::discover(given, config, &Environment::of_process(), &tls)? {
            Some(cache) => Ok(cache),
            None => Ok(ObjectCache::of_cluster(&context.connection).await?),
        }
    }

    /// What takes packages.
    pub(super) async fn packages(&self, context: &Context, global: &GlobalArgs) -> Result<PackageStore, Failure> {
        let (given, config) = (self.cache_endpoint.as_deref(), global.config.as_deref());
        let tls = global.tls.clone().into();
        match PackageStore::discover(given, config, &Environment::of_process(), &tls)? {
            Some(store) => Ok(store),
            None => Ok(PackageStore::of_cluster(&context.connection).await?),
        }
    }
}
