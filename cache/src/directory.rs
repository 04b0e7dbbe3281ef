//! What is known of objects beyond this cache: who has which version, and what was deleted.
//!
//! **Invariant:** a cache decides nothing about objects of others without the directory: where it cannot be asked, what
//! needs it is refused with UNAVAILABLE.

use flame_types::{ObjectKey, ObjectTarget};

use crate::error::Refusal;
use crate::model::Info;

/// A cache node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheNode {
    /// Its name.
    pub name: String,
    /// Where it is reached, as references to objects have it.
    pub endpoint: String,
}

/// What the directory knows of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Its version; 0: the directory has not heard of it.
    pub version: u64,
    /// Who has this version. The first one writes the next.
    pub places: Vec<CacheNode>,
    /// Why nobody has it, when it is known and nobody has.
    pub lost: Option<String>,
    /// Whether the directory knows of everything: what was recorded and is not known any more was deleted.
    pub knows_all: bool,
}

/// A version that the directory knows, and that this cache does not show yet.
pub struct Recorded {
    /// The generation of the cluster in which it is recorded.
    pub generation: u32,
    /// For as long as this is kept, the directory counts the object as one that is here.
    pub until_shown: Option<Box<dyn Send + Sync>>,
}

/// Why a version is not recorded.
#[derive(Debug)]
pub enum NotRecorded {
    /// Another cache has written the object meanwhile: what is here counts no more.
    Superseded,
    /// It is not taken.
    Refused(Refusal),
}

/// The directory, as a cache uses it.
#[tonic::async_trait]
pub trait Directory: Send + Sync + 'static {
    /// This cache.
    fn here(&self) -> &CacheNode;

    /// Where an object is that this cache does not have, or is not known to be the writer of.
    async fn locate(&self, key: &ObjectKey) -> Result<Located, Refusal>;

    /// This cache has this version now. Once it returns, everybody who asks the directory hears so. That may take as long
    /// as nobody leads: whoever calls it must wait for the outcome, since a version that is given up may be recorded yet.
    async fn record(&self, info: &Info) -> Result<Recorded, NotRecorded>;

    /// The same, soon, together with others. The directory keeps trying.
    fn record_soon(&self, info: &Info);

    /// Waits until what was to be told soon of these objects is told.
    async fn settle(&self, _target: &ObjectTarget) -> Result<(), Refusal> {
        Ok(())
    }

    /// All that is meant is to be deleted, wherever it is.
    async fn delete(&self, target: &ObjectTarget) -> Result<(), Refusal>;

    /// Every cache node, this one included.
    async fn nodes(&self) -> Result<Vec<CacheNode>, Refusal>;

    /// Whether this cache may count on being the writer of what it has written. If not, it asks.
    fn is_certain(&self) -> bool {
        true
    }

    /// Whether objects of this application may be put.
    fn may_put(&self, _app: &str) -> Result<(), Refusal> {
        Ok(())
    }

    /// This cache ends: what it has to say to the directory is said.
    async fn leave(&self) {}
}

/// The directory of a cache that is the only one: what it does not have, nobody has.
#[derive(Clone, Debug)]
pub struct Alone {
    node: CacheNode,
}

impl Alone {
    /// The directory of this node.
    #[must_use]
    pub fn new(node: CacheNode) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Directory for Alone {
    fn here(&self) -> &CacheNode {
        &self.node
    }

    async fn locate(&self, _key: &ObjectKey) -> Result<Located, Refusal> {
        Ok(Located::default())
    }

    async fn record(&self, _info: &Info) -> Result<Recorded, NotRecorded> {
        Ok(Recorded { generation: 0, until_shown: None })
    }

    fn record_soon(&self, _info: &Info) {}

    async fn delete(&self, _target: &ObjectTarget) -> Result<(), Refusal> {
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<CacheNode>, Refusal> {
        Ok(vec![self.node.clone()])
    }
}
