//! One version of one object, and what of it is new to somebody who has an older one.

use std::sync::Arc;

use bytes::Bytes;
use flame_types::ObjectKey;

use crate::arena::Extent;
use crate::limits::PATCHES_MAX;
use crate::model::Blob;

/// Bytes that were written at once, and the version that the object got by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The version of the object with this part as its last.
    pub version: u64,
    /// The bytes.
    pub data: Blob,
}

/// A message of Arrow's streams: what it is, and the buffers that it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrowMessage {
    /// A flatbuffer of type `Message`, without the frame that files and sockets put around it.
    pub head: Bytes,
    /// Its buffers.
    pub body: Bytes,
}

/// What an object consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Parts in the order of their versions; at least one, the base.
    Opaque(Vec<Arc<Part>>),
    /// Messages of native Arrow; at least one, the schema.
    Native(Arc<Vec<ArrowMessage>>),
}

/// One version of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: ObjectKey,
    /// The word of whoever put it for what the bytes are.
    pub data_type: Arc<str>,
    /// When it was first put, in milliseconds since 1970.
    pub created_ms: i64,
    /// The version that its base came with.
    pub base_version: u64,
    /// What it consists of.
    pub content: Content,
}

/// What is known of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub key: ObjectKey,
    /// The word of whoever put it for what the bytes are.
    pub data_type: Arc<str>,
    /// When it was first put, in milliseconds since 1970.
    pub created_ms: i64,
    /// The version that its base came with.
    pub base_version: u64,
    /// Its version.
    pub version: u64,
    /// Bytes of all parts, or messages.
    pub size: u64,
    /// How many parts it has; 1 for native Arrow.
    pub parts: usize,
    /// Whether it is native Arrow.
    pub is_native: bool,
}

/// Why an object cannot be patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchRefused {
    /// It is native Arrow.
    Native,
    /// It has as many patches as one may have.
    TooMany,
}

/// What is new to somebody who has some version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since<'a> {
    /// Nothing.
    NotModified,
    /// These parts.
    Patches(&'a [Arc<Part>]),
    /// Everything: what they have counts no more.
    Full,
}

impl Object {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        match &self.content {
            Content::Opaque(parts) => parts.last().map_or(self.base_version, |part| part.version),
            Content::Native(_) => self.base_version,
        }
    }

    /// Bytes of all parts, or messages.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Opaque(parts) => parts.iter().map(|part| part.data.len()).sum(),
            Content::Native(messages) => {
                messages.iter().map(|message| (message.head.len() + message.body.len()) as u64).sum()
            }
        }
    }

    /// What is known of it without its bytes.
    #[must_use]
    pub fn info(&self) -> Info {
        let parts = match &self.content {
            Content::Opaque(parts) => parts.len(),
            Content::Native(_) => 1,
        };
        Info {
            key: self.key.clone(),
            data_type: self.data_type.clone(),
            created_ms: self.created_ms,
            base_version: self.base_version,
            version: self.version(),
            size: self.size(),
            parts,
            is_native: matches!(self.content, Content::Native(_)),
        }
    }

    /// Its parts' places in the arena.
    fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.parts_after(0).iter().filter_map(|part| part.data.extent().map(Arc::as_ref))
    }

    /// Whether some of it is in the arena.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.extents().next().is_some()
    }

    /// Whether clients read it in the arena: then dropping it would free nothing.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.extents().any(Extent::is_pinned)
    }

    /// The same object, nothing of it in the arena.
    #[must_use]
    pub fn settled(&self) -> Self {
        let Content::Opaque(parts) = &self.content else { return self.clone() };
        let parts = parts.iter().map(|part| match part.data.extent() {
            Some(_) => Arc::new(Part { version: part.version, data: part.data.settled() }),
            None => part.clone(),
        });
        Self { content: Content::Opaque(parts.collect()), ..self.clone() }
    }

    /// The object with one part more, which is the next version.
    ///
    /// # Errors
    /// [`PatchRefused`] says why not.
    pub fn patched(&self, data: Blob) -> Result<Self, PatchRefused> {
        let Content::Opaque(parts) = &self.content else { return Err(PatchRefused::Native) };
        if parts.len() > PATCHES_MAX {
            return Err(PatchRefused::TooMany);
        }
        let mut parts = parts.clone();
        parts.push(Arc::new(Part { version: self.version() + 1, data }));
        Ok(Self { content: Content::Opaque(parts), ..self.clone() })
    }

    /// What is new to somebody who has `version` of it; 0 has nothing.
    #[must_use]
    pub fn since(&self, version: u64) -> Since<'_> {
        let current = self.version();
        if version == current && version != 0 {
            return Since::NotModified;
        }
        let Content::Opaque(parts) = &self.content else { return Since::Full };
        if version < self.base_version || version > current {
            return Since::Full;
        }
        // Somebody who has a version between two parts has it of another object of this name.
        match parts.iter().position(|part| part.version == version) {
            Some(last_known) => Since::Patches(&parts[last_known + 1..]),
            None => Since::Full,
        }
    }

    /// Its parts after this version; none of native Arrow.
    #[must_use]
    pub fn parts_after(&self, version: u64) -> &[Arc<Part>] {
        match &self.content {
            Content::Opaque(parts) => &parts[parts.partition_point(|part| part.version <= version)..],
            Content::Native(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(base_version: u64, data: u8) -> Object {
        let base = Part { version: base_version, data: Blob::from(Bytes::from(vec![data])) };
        Object {
            key: ObjectKey::parse("a/s/o").unwrap(),
            data_type: Arc::from("raw"),
            created_ms: 0,
            base_version,
            content: Content::Opaque(vec![Arc::new(base)]),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Replace(u8),
        Patch(u8),
        Read,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![any::<u8>().prop_map(Step::Replace), any::<u8>().prop_map(Step::Patch), Just(Step::Read)]
    }

    proptest! {
        /// A reader who keeps what it was given, and asks with the version it has, always ends with what is there,
        /// however often it looks.
        #[test]
        fn a_reader_that_follows_has_what_is_there(steps in proptest::collection::vec(step(), 1..40)) {
            let mut object = object(1, 0);
            let mut written = vec![0_u8];
            let (mut version, mut had): (u64, Vec<u8>) = (0, Vec::new());
            for step in steps {
                match step {
                    Step::Replace(data) => {
                        object = self::object(object.version() + 1, data);
                        written = vec![data];
                    }
                    Step::Patch(data) => {
                        object = object.patched(Blob::from(Bytes::from(vec![data]))).unwrap();
                        written.push(data);
                    }
                    Step::Read => {
                        let bytes = |parts: &[Arc<Part>]| -> Vec<u8> {
                            parts.iter().flat_map(|part| part.data.to_bytes().to_vec()).collect()
                        };
                        match object.since(version) {
                            Since::NotModified => {}
                            Since::Patches(parts) => had.extend(bytes(parts)),
                            Since::Full => had = bytes(object.parts_after(0)),
                        }
                        version = object.version();
                        prop_assert_eq!(&had, &written);
                    }
                }
                prop_assert_eq!(object.size(), written.len() as u64);
                prop_assert!(object.version() >= object.base_version);
            }
        }
    }

    #[test]
    fn who_has_what_never_was_gets_everything() {
        let object = object(5, 1).patched(Blob::default()).unwrap();
        assert_eq!(object.version(), 6);
        assert_eq!(object.since(6), Since::NotModified);
        assert!(matches!(object.since(5), Since::Patches([one]) if one.version == 6));
        for version in [0, 4, 7, u64::MAX] {
            assert_eq!(object.since(version), Since::Full, "{version}");
        }
    }

    #[test]
    fn patches_have_a_limit_and_native_arrow_has_none() {
        let mut object = object(1, 1);
        for _ in 0..PATCHES_MAX {
            object = object.patched(Blob::default()).unwrap();
        }
        assert_eq!(object.patched(Blob::default()), Err(PatchRefused::TooMany));
        let schema = ArrowMessage { head: Bytes::from_static(b"schema"), body: Bytes::new() };
        let native = Object { content: Content::Native(Arc::new(vec![schema])), ..object };
        assert_eq!(native.patched(Blob::default()), Err(PatchRefused::Native));
        assert_eq!((native.version(), native.size()), (1, 6));
        assert_eq!(native.since(1), Since::NotModified);
        assert_eq!(native.since(0), Since::Full);
    }
}
