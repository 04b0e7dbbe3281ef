//! Types that know how they become bytes and back.

use bytes::Bytes;

use super::formats::{Codec, Json};
use super::payload::IntoTaskInput;
use crate::FlameError;

/// A type that travels as a task's input or output, or as the common data of a session.
///
/// Derive it beside serde's traits. `#[flame(codec = MessagePack)]` changes the codec, `#[flame(crate = path)]` says where
/// this crate is if it is not `::flame_sdk`.
///
/// ```
/// use flame_sdk::FlameMessage;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, FlameMessage)]
/// struct Ask {
///     question: String,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, FlameMessage)]
/// #[flame(codec = MessagePack)]
/// struct Pixels(Vec<u8>);
///
/// let ask = Ask { question: "why".to_owned() };
/// assert_eq!(&ask.encode()?[..], br#"{"question":"why"}"#);
/// assert_eq!(Ask::decode(ask.encode()?)?, ask);
/// assert_eq!(Pixels::decode(Pixels(vec![0; 9]).encode()?)?, Pixels(vec![0; 9]));
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub trait FlameMessage: Sized {
    /// The value as bytes.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when the value has no such form.
    fn encode(&self) -> Result<Bytes, FlameError>;

    /// The value that these bytes are.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when they are something else.
    fn decode(bytes: Bytes) -> Result<Self, FlameError>;
}

macro_rules! as_they_are {
    ($($type:ty),+) => {
        $(
            impl FlameMessage for $type {
                fn encode(&self) -> Result<Bytes, FlameError> {
                    Ok(self.clone().into())
                }

                fn decode(bytes: Bytes) -> Result<Self, FlameError> {
                    Ok(bytes.into())
                }
            }

            impl IntoTaskInput for $type {
                fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
                    Ok(Some(self.into()))
                }
            }
        )+
    };
}

as_they_are!(Bytes, Vec<u8>);

macro_rules! as_json {
    ($($type:ty),+) => {
        $(
            impl FlameMessage for $type {
                fn encode(&self) -> Result<Bytes, FlameError> {
                    Json::encode(self)
                }

                fn decode(bytes: Bytes) -> Result<Self, FlameError> {
                    Json::decode(&bytes)
                }
            }

            impl IntoTaskInput for $type {
                fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
                    Json::encode(&self).map(Some)
                }
            }
        )+
    };
}

as_json!(bool, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, String, serde_json::Value);
