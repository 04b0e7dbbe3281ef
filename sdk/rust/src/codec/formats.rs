//! The ways to write a value as bytes.

use std::any::type_name;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FlameError;

/// A way to write serde values as bytes. Implement it for a format of your own and name it in
/// `#[flame(codec = YourCodec)]`.
///
/// ```
/// use flame_sdk::codec::{Codec, Json, MessagePack};
///
/// let bytes = Json::encode(&("pi", 3))?;
/// assert_eq!(&bytes[..], br#"["pi",3]"#);
/// assert_eq!(Json::decode::<(String, u8)>(&bytes)?, ("pi".to_owned(), 3));
/// assert!(MessagePack::encode(&("pi", 3))?.len() < bytes.len());
///
/// let error = Json::decode::<u8>(b"[]").unwrap_err();
/// assert!(error.to_string().contains("u8") && error.to_string().contains("JSON"));
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub trait Codec {
    /// Its name, for errors.
    const NAME: &'static str;

    /// The value as bytes.
    ///
    /// # Errors
    /// [`FlameError::Codec`] names the type.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FlameError>;

    /// The value that these bytes are.
    ///
    /// # Errors
    /// [`FlameError::Codec`] names the type.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FlameError>;
}

/// JSON: what a message is unless it says otherwise. Every language reads it, and people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {}

/// MessagePack with the names of fields: smaller and quicker than JSON, bytes included, and as open to other languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessagePack {}

impl Codec for Json {
    const NAME: &'static str = "JSON";

    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FlameError> {
        serde_json::to_vec(value).map(Bytes::from).map_err(|error| not_encoded::<T>(Self::NAME, &error))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FlameError> {
        serde_json::from_slice(bytes).map_err(|error| not_decoded::<T>(Self::NAME, bytes, &error))
    }
}

impl Codec for MessagePack {
    const NAME: &'static str = "MessagePack";

    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FlameError> {
        rmp_serde::to_vec_named(value).map(Bytes::from).map_err(|error| not_encoded::<T>(Self::NAME, &error))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FlameError> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        let value = T::deserialize(&mut reader).map_err(|error| not_decoded::<T>(Self::NAME, bytes, &error))?;
        match rest.len() {
            0 => Ok(value),
            more => Err(not_decoded::<T>(Self::NAME, bytes, &format!("{more} bytes follow it"))),
        }
    }
}

fn not_encoded<T: ?Sized>(codec: &str, why: &dyn std::fmt::Display) -> FlameError {
    FlameError::Codec(format!("a {} cannot be written as {codec}: {why}", type_name::<T>()))
}

fn not_decoded<T>(codec: &str, bytes: &[u8], why: &dyn std::fmt::Display) -> FlameError {
    let (name, length) = (type_name::<T>(), bytes.len());
    FlameError::Codec(format!("a payload of {length} bytes is not a {name} in {codec}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Circle { radius: f64 },
        Path(Vec<(i64, i64)>),
        Nothing,
    }

    fn survives<C: Codec>() {
        for shape in [Shape::Circle { radius: 0.5 }, Shape::Path(vec![(1, -2), (i64::MAX, 0)]), Shape::Nothing] {
            assert_eq!(C::decode::<Shape>(&C::encode(&shape).unwrap()).unwrap(), shape, "{}", C::NAME);
        }
    }

    #[test]
    fn values_survive_every_codec() {
        survives::<Json>();
        survives::<MessagePack>();
    }

    #[test]
    fn fields_travel_by_name_so_that_other_languages_read_them() {
        let bytes = MessagePack::encode(&Shape::Circle { radius: 1.0 }).unwrap();
        let read: BTreeMap<String, BTreeMap<String, f64>> = MessagePack::decode(&bytes).unwrap();
        assert_eq!(read["Circle"]["radius"], 1.0);
    }

    #[test]
    fn errors_name_the_type_and_the_codec() {
        let text = |error: FlameError| {
            assert_eq!(error.class(), "codec");
            error.to_string()
        };
        let wrong = text(MessagePack::decode::<Shape>(b"\xc1").unwrap_err());
        assert!(wrong.contains("Shape in MessagePack") && wrong.contains("1 bytes"), "{wrong}");
        let trailing = text(MessagePack::decode::<u8>(b"\x01\x02").unwrap_err());
        assert!(trailing.contains("1 bytes follow it"), "{trailing}");
        let keys = BTreeMap::from([((1, 2), 3)]);
        let wrong = text(Json::encode(&keys).unwrap_err());
        assert!(wrong.contains("BTreeMap") && wrong.contains("JSON"), "{wrong}");
    }
}
