//! Which generation a reply comes from, decided by the wire type of its field 1.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost::{DecodeError, Message};

use crate::v1;

/// A generation of the published SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Replies are bare results.
    V06,
    /// Replies wrap the result and may carry attributes of the executor.
    V07,
}

/// Answer to `OnSessionEnter`.
#[derive(Clone, Debug, PartialEq)]
pub struct EnterReply {
    /// Who answered.
    pub generation: Generation,
    /// How it went: a return code other than 0 is a bind failure, and the message says why.
    pub result: v1::Result,
    /// What the executor publishes or takes back (0.7).
    pub attributes: Option<v1::ExecutorAttributes>,
}

/// Answer to `OnTaskInvoke`.
#[derive(Clone, Debug, PartialEq)]
pub struct InvokeReply {
    /// Who answered.
    pub generation: Generation,
    /// How it went: a return code other than 0 is a failed task, and the message says why.
    pub result: v1::TaskResult,
    /// What the executor publishes or takes back (0.7).
    pub attributes: Option<v1::ExecutorAttributes>,
}

/// Reads the answer to `OnSessionEnter`.
///
/// # Errors
/// When the bytes are a reply of neither generation.
pub fn decode_enter_reply(bytes: Bytes) -> Result<EnterReply, DecodeError> {
    match generation(&bytes)? {
        Generation::V06 => {
            let result = v1::Result::decode(bytes)?;
            Ok(EnterReply { generation: Generation::V06, result, attributes: None })
        }
        Generation::V07 => {
            let reply = v1::OnSessionEnterResponse::decode(bytes)?;
            let result = reply.result.unwrap_or_default();
            Ok(EnterReply { generation: Generation::V07, result, attributes: reply.attributes })
        }
    }
}

/// Reads the answer to `OnTaskInvoke`. The output is a slice of `bytes`, not a copy.
///
/// # Errors
/// When the bytes are a reply of neither generation.
pub fn decode_invoke_reply(bytes: Bytes) -> Result<InvokeReply, DecodeError> {
    match generation(&bytes)? {
        Generation::V06 => {
            let result = v1::TaskResult::decode(bytes)?;
            Ok(InvokeReply { generation: Generation::V06, result, attributes: None })
        }
        Generation::V07 => {
            let reply = v1::OnTaskInvokeResponse::decode(bytes)?;
            let result = reply.task_result.unwrap_or_default();
            Ok(InvokeReply { generation: Generation::V07, result, attributes: reply.attributes })
        }
    }
}

/// Reads the answer to `OnSessionLeave`, which both generations give alike.
///
/// # Errors
/// When the bytes are not a result.
pub fn decode_leave_reply(bytes: Bytes) -> Result<v1::Result, DecodeError> {
    v1::Result::decode(bytes)
}

/// The generation of a reply. Field 1 is looked for wherever it stands: protobuf does not promise an order.
fn generation(reply: &Bytes) -> Result<Generation, DecodeError> {
    let mut rest = reply.clone();
    while rest.has_remaining() {
        let (tag, wire_type) = decode_key(&mut rest)?;
        if tag == 1 {
            return Ok(if wire_type == WireType::LengthDelimited { Generation::V07 } else { Generation::V06 });
        }
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
    }
    Ok(Generation::V06)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// -1 as protobuf writes an `int32`: ten bytes.
    const MINUS_ONE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

    fn bytes(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    #[test]
    fn an_empty_reply_is_a_success_of_0_6() {
        let enter = decode_enter_reply(Bytes::new()).unwrap();
        assert_eq!((enter.generation, enter.result.return_code), (Generation::V06, 0));
        let task = decode_invoke_reply(Bytes::new()).unwrap();
        assert_eq!((task.generation, task.result.return_code, task.result.output), (Generation::V06, 0, None));
    }

    #[test]
    fn output_alone_is_a_success_of_0_6() {
        let reply = decode_invoke_reply(bytes(&[&[0x12, 2], b"hi"])).unwrap();
        assert_eq!(reply.generation, Generation::V06);
        assert_eq!(reply.result.output.as_deref(), Some(&b"hi"[..]));
        let empty = decode_invoke_reply(bytes(&[&[0x12, 0]])).unwrap();
        assert_eq!(empty.result.output.as_deref(), Some(&b""[..]), "an empty output is present");
    }

    #[test]
    fn a_varint_in_field_1_is_a_failure_of_0_6() {
        let enter = decode_enter_reply(bytes(&[&[0x08], &MINUS_ONE, &[0x12, 4], b"boom"])).unwrap();
        assert_eq!((enter.generation, enter.result.return_code), (Generation::V06, -1));
        assert_eq!(enter.result.message.as_deref(), Some("boom"));
        let task = decode_invoke_reply(bytes(&[&[0x08], &MINUS_ONE, &[0x1a, 4], b"boom"])).unwrap();
        assert_eq!((task.generation, task.result.return_code), (Generation::V06, -1));
        assert_eq!(task.result.message.as_deref(), Some("boom"));
    }

    #[test]
    fn a_message_in_field_1_is_0_7_even_when_it_is_empty() {
        let enter = decode_enter_reply(bytes(&[&[0x0a, 0, 0x12, 0]])).unwrap();
        assert_eq!((enter.generation, enter.result.return_code), (Generation::V07, 0));
        assert!(enter.attributes.is_some());
        let task = decode_invoke_reply(bytes(&[&[0x0a, 0, 0x12, 0]])).unwrap();
        assert_eq!((task.generation, task.result.return_code, task.result.output), (Generation::V07, 0, None));
    }

    #[test]
    fn a_failed_task_of_0_7_keeps_its_code_and_message() {
        let inner = [&[0x08][..], &MINUS_ONE, &[0x1a, 4], b"boom"].concat();
        let reply = decode_invoke_reply(bytes(&[&[0x0a, inner.len() as u8], &inner, &[0x12, 0]])).unwrap();
        assert_eq!((reply.generation, reply.result.return_code), (Generation::V07, -1));
        assert_eq!(reply.result.message.as_deref(), Some("boom"));
    }

    #[test]
    fn attributes_of_0_7_are_kept() {
        let reply = decode_enter_reply(bytes(&[&[0x0a, 0, 0x12, 8, 0x0a, 2], b"k1", &[0x12, 2], b"k2"])).unwrap();
        let attributes = reply.attributes.unwrap();
        assert_eq!((attributes.publish[0].as_ref(), attributes.retract[0].as_ref()), (&b"k1"[..], &b"k2"[..]));
    }

    #[test]
    fn field_1_is_found_behind_other_fields() {
        let reply = decode_invoke_reply(bytes(&[&[0x12, 0, 0x0a, 4, 0x12, 2], b"hi"])).unwrap();
        assert_eq!(reply.generation, Generation::V07);
        assert_eq!(reply.result.output.as_deref(), Some(&b"hi"[..]));
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(decode_enter_reply(Bytes::from_static(&[0x0a, 200])).is_err());
        assert!(decode_invoke_reply(Bytes::from_static(&[0xff])).is_err());
    }

    #[test]
    fn leave_is_the_same_in_both() {
        assert_eq!(decode_leave_reply(Bytes::new()).unwrap().return_code, 0);
    }
}
