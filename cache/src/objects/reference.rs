//! References to objects: a BSON document of three fields, `endpoint`, `key` and `version`, and nothing else, since
//! published clients refuse a fourth.
//!
//! The document is written by hand: it is twenty lines, and a library would be the only user of its many types.

use bytes::{BufMut, Bytes, BytesMut};

/// The element types that a reference has.
const STRING: u8 = 0x02;
const INT64: u8 = 0x12;

/// A reference as bytes.
#[must_use]
pub fn encode(endpoint: &str, key: &str, version: u64) -> Bytes {
    let mut document = BytesMut::with_capacity(64 + endpoint.len() + key.len());
    document.put_i32_le(0);
    for (name, text) in [("endpoint", endpoint), ("key", key)] {
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
    document.put_u64_le(version);
    document.put_u8(0);
    let length = document.len() as u32;
    document[..4].copy_from_slice(&length.to_le_bytes());
    document.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_what_published_clients_read() {
        let expected = b"\x3d\0\0\0\
            \x02endpoint\0\x09\0\0\0grpc://a\0\
            \x02key\0\x06\0\0\0a/s/o\0\
            \x12version\0\x07\0\0\0\0\0\0\0\
            \0";
        let mut expected = expected.to_vec();
        expected[0] = expected.len() as u8;
        assert_eq!(encode("grpc://a", "a/s/o", 7), expected);
    }
}
