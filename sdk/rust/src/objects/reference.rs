//! References to objects: a BSON document of `endpoint`, `key` and `version`, as both published SDKs write and read them.
//!
//! **Invariant:** a reference has these three fields and no other: flamepy 0.6.0 refuses a fourth.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flame_types::ObjectKey;
use serde::Serialize;

use crate::{FlameError, FlameMessage};

/// The element types that a reference has.
const STRING: u8 = 0x02;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// Longest reference that is read, in bytes: names have limits.
const BYTES_MAX: usize = 64 * 1024;

/// Where an object is, and which version of it somebody has seen. Small: tasks carry it instead of the object.
///
/// ```
/// use flame_sdk::objects::ObjectRef;
/// use flame_sdk::types::ObjectKey;
///
/// let key = ObjectKey::parse("app/shared/model").unwrap();
/// let reference = ObjectRef { endpoint: "grpc://cache:9090".to_owned(), key, version: 3 };
/// assert_eq!(ObjectRef::from_bson(&reference.to_bson())?, reference);
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectRef {
    /// The cache node that had it when the reference was made. Every other one can be asked as well.
    pub endpoint: String,
    /// Which object.
    pub key: ObjectKey,
    /// Its version then; 0: any.
    pub version: u64,
}

impl ObjectRef {
    /// The reference as it travels.
    #[must_use]
    pub fn to_bson(&self) -> Bytes {
        let mut document = BytesMut::with_capacity(64 + self.endpoint.len() + self.key.as_str().len());
        document.put_u32_le(0);
        for (name, text) in [("endpoint", self.endpoint.as_str()), ("key", self.key.as_str())] {
            document.put_u8(STRING);
            document.put_slice(name.as_bytes());
            document.put_u8(0);
            document.put_u32_le(text.len() as u32 + 1);
            document.put_slice(text.as_bytes());
            document.put_u8(0);
        }
        document.put_u8(INT64);
        document.put_slice(b"version\0");
        // Versions are counted one by one: none reaches the sign.
        document.put_u64_le(self.version);
        document.put_u8(0);
        let length = document.len() as u32;
        document[..4].copy_from_slice(&length.to_le_bytes());
        document.freeze()
    }

    /// Reads what [`ObjectRef::to_bson`] or a published SDK has written.
    ///
    /// # Errors
    /// [`FlameError::Codec`] says what is missing or wrong.
    pub fn from_bson(bytes: &[u8]) -> Result<Self, FlameError> {
        let wrong = |why: String| FlameError::Codec(format!("this is no reference to an object: {why}"));
        let fields = Fields::read(bytes).map_err(|why| wrong(why.to_owned()))?;
        let missing = |name: &str| wrong(format!("it has no {name}"));
        let key = fields.key.ok_or_else(|| missing("key"))?;
        Ok(Self {
            endpoint: fields.endpoint.ok_or_else(|| missing("endpoint"))?,
            key: ObjectKey::parse(&key).map_err(|error| wrong(error.to_string()))?,
            version: fields.version.ok_or_else(|| missing("version"))?,
        })
    }
}

impl FlameMessage for ObjectRef {
    fn encode(&self) -> Result<Bytes, FlameError> {
        Ok(self.to_bson())
    }

    fn decode(bytes: Bytes) -> Result<Self, FlameError> {
        Self::from_bson(&bytes)
    }
}

#[derive(Default)]
struct Fields {
    endpoint: Option<String>,
    key: Option<String>,
    version: Option<u64>,
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Result<Self, &'static str> {
        const CUT: &str = "it ends too early";
        let has = bytes.len();
        if has > BYTES_MAX || bytes.try_get_u32_le().ok() != u32::try_from(has).ok() {
            return Err("it does not begin with its length");
        }
        let mut fields = Self::default();
        loop {
            let kind = bytes.try_get_u8().map_err(|_| CUT)?;
            if kind == 0 {
                break;
            }
            let name = bytes.iter().position(|byte| *byte == 0).ok_or(CUT)?;
            let (name, rest) = bytes.split_at(name);
            bytes = &rest[1..];
            match (name, kind) {
                (b"endpoint", STRING) => fields.endpoint = Some(text(&mut bytes)?),
                (b"key", STRING) => fields.key = Some(text(&mut bytes)?),
                (b"version", INT64) => fields.version = Some(counted(bytes.try_get_i64_le().map_err(|_| CUT)?)?),
                (b"version", INT32) => {
                    fields.version = Some(counted(bytes.try_get_i32_le().map_err(|_| CUT)?.into())?);
                }
                _ => return Err("it has a field that references do not have"),
            }
        }
        if bytes.is_empty() { Ok(fields) } else { Err("something follows it") }
    }
}

fn counted(version: i64) -> Result<u64, &'static str> {
    u64::try_from(version).map_err(|_| "its version is negative")
}

fn text(bytes: &mut &[u8]) -> Result<String, &'static str> {
    const CUT: &str = "a text in it ends too early";
    let length = bytes.try_get_u32_le().map_err(|_| CUT)? as usize;
    let (text, rest) = bytes.split_at_checked(length).ok_or(CUT)?;
    *bytes = rest;
    let text = text.strip_suffix(b"\0").ok_or(CUT)?;
    String::from_utf8(text.to_vec()).map_err(|_| "a text in it is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As flamepy 0.6.0 writes it: small versions are 32 bits wide.
    fn published() -> Vec<u8> {
        let mut bytes =
            b"\0\0\0\0\x02endpoint\0\x09\0\0\0grpc://a\0\x02key\0\x06\0\0\0a/s/o\0\x10version\0\x07\0\0\0\0".to_vec();
        bytes[0] = bytes.len() as u8;
        bytes
    }

    #[test]
    fn references_of_published_sdks_are_read() {
        let reference = ObjectRef::from_bson(&published()).unwrap();
        let key = ObjectKey::parse("a/s/o").unwrap();
        assert_eq!(reference, ObjectRef { endpoint: "grpc://a".into(), key, version: 7 });
        assert_eq!(ObjectRef::decode(reference.encode().unwrap()).unwrap(), reference);
    }

    #[test]
    fn nothing_else_is_taken_for_a_reference() {
        let whole = published();
        for end in 0..whole.len() {
            let mut cut = whole[..end].to_vec();
            assert!(ObjectRef::from_bson(&cut).is_err(), "cut at {end}");
            if end >= 4 {
                cut[0] = end as u8;
                assert!(ObjectRef::from_bson(&cut).is_err(), "cut at {end}, with its length");
            }
        }
        let error = |change: fn(&mut Vec<u8>)| {
            let mut bytes = published();
            change(&mut bytes);
            bytes[0] = bytes.len() as u8;
            ObjectRef::from_bson(&bytes).unwrap_err().to_string()
        };
        assert!(error(|bytes| bytes[5] = b'E').contains("a field that references do not have"));
        assert!(error(|bytes| bytes.push(0)).contains("something follows it"));
        assert!(
            error(|bytes| {
                let at = bytes.len() - 2;
                bytes[at] = 0xff;
            })
            .contains("negative")
        );
    }
}
