//! Calling a service process, whichever generation of the published SDK it was built with.
//!
//! Both generations have the same methods and the same requests. They differ in two replies: 0.6 answers
//! `OnSessionEnter` with a `Result` and `OnTaskInvoke` with a `TaskResult`; 0.7 wraps each in a message of its own, as
//! field 1. The generations cannot be told apart before the reply is there, so [`InstanceClient`] hands out bytes, and
//! [`decode_enter_reply`] and [`decode_invoke_reply`] look at the wire type of field 1: a length-delimited one is 0.7,
//! a varint (a failure of 0.6) or none at all (a success of 0.6) is 0.6.
//!
//! ```no_run
//! # async fn example(channel: tonic::transport::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use flame_proto::instance::{InstanceClient, decode_invoke_reply};
//! use flame_proto::v1::TaskContext;
//!
//! let mut service = InstanceClient::new(channel);
//! let task = TaskContext { task_id: "1".into(), session_id: "ping-1".into(), input: None };
//! let reply = decode_invoke_reply(service.on_task_invoke(task).await?.into_inner())?;
//! println!("{} {:?}", reply.result.return_code, reply.result.output);
//! # Ok(())
//! # }
//! ```

mod codec;
mod dialect;

pub use crate::generated::raw::instance_client::InstanceClient;
pub use crate::generated::raw::instance_server::{Instance as RawInstance, InstanceServer as RawInstanceServer};
pub use codec::{Body, RawCodec};
pub use dialect::{EnterReply, Generation, InvokeReply, decode_enter_reply, decode_invoke_reply, decode_leave_reply};
