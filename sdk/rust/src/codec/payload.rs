//! What may stand where a payload is asked for: a message, or nothing.

use std::any::type_name;

use bytes::Bytes;

use super::formats::{Codec, Json};
use super::message::FlameMessage;
use crate::FlameError;

/// What a task may be given: a message or a reference to one, an `Option` of a reference, or `()` for no input.
///
/// ```
/// use flame_sdk::IntoTaskInput;
///
/// assert_eq!((&7_u32).into_task_input()?.as_deref(), Some(&b"7"[..]));
/// assert_eq!("text".into_task_input()?.as_deref(), Some(&b"\"text\""[..]));
/// assert_eq!(b"bytes".to_vec().into_task_input()?.as_deref(), Some(&b"bytes"[..]));
/// assert_eq!(None::<&u32>.into_task_input()?, None);
/// assert_eq!(().into_task_input()?, None);
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub trait IntoTaskInput {
    /// The input as it travels; `None` is no input, which is not the same as an empty one.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when the value has no such form.
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError>;
}

impl<T: FlameMessage> IntoTaskInput for &T {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        self.encode().map(Some)
    }
}

impl<T: FlameMessage> IntoTaskInput for Option<&T> {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        self.map(FlameMessage::encode).transpose()
    }
}

impl IntoTaskInput for &str {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        Json::encode(self).map(Some)
    }
}

impl IntoTaskInput for &[u8] {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        Ok(Some(Bytes::copy_from_slice(self)))
    }
}

impl IntoTaskInput for () {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        Ok(None)
    }
}

/// What a task's output may be taken for: a message, an `Option` of one where the service may give nothing, or `()` where
/// it does not matter.
///
/// ```
/// use flame_sdk::FromTaskOutput;
///
/// assert_eq!(u32::from_task_output(Some("7".into()))?, 7);
/// assert_eq!(<Option<u32>>::from_task_output(None)?, None);
/// <()>::from_task_output(Some("7".into()))?;
/// assert_eq!(u32::from_task_output(None).unwrap_err().class(), "codec");
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub trait FromTaskOutput: Sized {
    /// The value of an output.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when it is something else.
    fn from_task_output(output: Option<Bytes>) -> Result<Self, FlameError>;
}

impl<T: FlameMessage> FromTaskOutput for T {
    fn from_task_output(output: Option<Bytes>) -> Result<Self, FlameError> {
        T::decode(output.ok_or_else(|| missing::<T>("missing task output"))?)
    }
}

impl<T: FlameMessage> FromTaskOutput for Option<T> {
    fn from_task_output(output: Option<Bytes>) -> Result<Self, FlameError> {
        output.map(T::decode).transpose()
    }
}

impl FromTaskOutput for () {
    fn from_task_output(_: Option<Bytes>) -> Result<Self, FlameError> {
        Ok(())
    }
}

/// What a session may be given for all of its tasks: a reference to a message.
///
/// ```
/// use flame_sdk::SessionOptions;
///
/// let options = SessionOptions::new("render").common_data(&"scene-7".to_owned())?;
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub trait IntoCommonData {
    /// The data as they travel.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when the value has no such form.
    fn into_common_data(self) -> Result<Bytes, FlameError>;
}

impl<T: FlameMessage> IntoCommonData for &T {
    fn into_common_data(self) -> Result<Bytes, FlameError> {
        self.encode()
    }
}

/// What an entrypoint may take: a message, or an `Option` of one.
pub trait FromTaskInput: Sized {
    /// The value of an input.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when it is something else.
    fn from_task_input(input: Option<Bytes>) -> Result<Self, FlameError>;
}

impl<T: FlameMessage> FromTaskInput for T {
    fn from_task_input(input: Option<Bytes>) -> Result<Self, FlameError> {
        T::decode(input.ok_or_else(|| missing::<T>("missing task input"))?)
    }
}

impl<T: FlameMessage> FromTaskInput for Option<T> {
    fn from_task_input(input: Option<Bytes>) -> Result<Self, FlameError> {
        input.map(T::decode).transpose()
    }
}

/// What an entrypoint may give: a message, an `Option` of one, or `()` for no output.
pub trait IntoTaskOutput {
    /// The output as it travels; `None` is no output, which is not the same as an empty one.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when the value has no such form.
    fn into_task_output(self) -> Result<Option<Bytes>, FlameError>;
}

impl<T: FlameMessage> IntoTaskOutput for T {
    fn into_task_output(self) -> Result<Option<Bytes>, FlameError> {
        self.encode().map(Some)
    }
}

impl<T: FlameMessage> IntoTaskOutput for Option<T> {
    fn into_task_output(self) -> Result<Option<Bytes>, FlameError> {
        self.as_ref().map(FlameMessage::encode).transpose()
    }
}

impl IntoTaskOutput for () {
    fn into_task_output(self) -> Result<Option<Bytes>, FlameError> {
        Ok(None)
    }
}

fn missing<T>(what: &str) -> FlameError {
    let name = type_name::<T>();
    FlameError::Codec(format!("{what}: a {name} is expected; where there may be none, write Option<{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(Bytes::new().into_task_input().unwrap(), Some(Bytes::new()));
        assert_eq!(<Option<Bytes>>::from_task_output(Some(Bytes::new())).unwrap(), Some(Bytes::new()));
        assert_eq!(Some(Bytes::new()).into_task_output().unwrap(), Some(Bytes::new()));
        assert_eq!(None::<Bytes>.into_task_output().unwrap(), None);
        assert_eq!(().into_task_output().unwrap(), None);
    }

    #[test]
    fn whoever_expects_something_is_told_that_it_is_missing() {
        let text = <u32 as FromTaskInput>::from_task_input(None).unwrap_err().to_string();
        assert!(text.starts_with("missing task input") && text.contains("Option<u32>"), "{text}");
        assert_eq!(<Option<u32> as FromTaskInput>::from_task_input(None).unwrap(), None);
    }
}
