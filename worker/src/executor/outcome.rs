//! How a task ended, in the words of its service, and what is told of it.

use bytes::Bytes;
use flame_proto::instance::InvokeReply;
use flame_proto::{ha, v1};
use flame_types::kept_text;
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;

use crate::attributes;

/// The end of a task that its service does not speak of.
pub(super) fn failed(token: u64, message: String, ran_us: u64) -> ha::Completion {
    ha::Completion { token, message: Some(kept_text(message)), ran_us, ..ha::Completion::default() }
}

/// What a published reply says.
pub(super) fn replied(token: u64, reply: InvokeReply, ran_us: u64) -> ha::Completion {
    let v1::TaskResult { return_code, output, message } = reply.result;
    let attributes = usable_attributes(reply.attributes);
    completion(ha::Completion { token, succeed: return_code == 0, output, message, ran_us, attributes })
}

/// What an answer on the stream says.
pub(super) fn answered(done: ha::TaskDone) -> ha::Completion {
    let ha::TaskDone { token, return_code, output, message, publish, retract, ran_us, .. } = done;
    let says_nothing = publish.is_empty() && retract.is_empty();
    let reported = (!says_nothing).then_some(v1::ExecutorAttributes { publish, retract });
    let attributes = usable_attributes(reported);
    completion(ha::Completion { token, succeed: return_code == 0, output, message, ran_us, attributes })
}

fn completion(said: ha::Completion) -> ha::Completion {
    let length = said.output.as_ref().map_or(0, Bytes::len);
    if length > TASK_PAYLOAD_BYTES_MAX {
        let message = format!("the output has {length} bytes, at most {TASK_PAYLOAD_BYTES_MAX} are allowed");
        return ha::Completion { succeed: false, output: None, message: Some(message), ..said };
    }
    ha::Completion { message: said.message.map(kept_text), ..said }
}

/// What a service reported about itself, if that keeps to the published limits. The reply counts either way.
pub(super) fn usable_attributes(reported: Option<v1::ExecutorAttributes>) -> Option<ha::Attributes> {
    attributes::check(reported?).unwrap_or_else(|why| {
        tracing::warn!(%why, "the attributes that a service reported are not taken over");
        None
    })
}

#[cfg(test)]
mod tests {
    use flame_proto::instance::Generation;

    use super::*;

    fn reply(result: v1::TaskResult) -> ha::Completion {
        replied(7, InvokeReply { generation: Generation::V07, result, attributes: None }, 5)
    }

    #[test]
    fn the_words_of_the_service_are_kept() {
        let done = reply(v1::TaskResult { output: Some(Bytes::new()), ..v1::TaskResult::default() });
        assert!(done.succeed && done.output == Some(Bytes::new()), "an empty output is present");
        assert_eq!((done.token, done.ran_us), (7, 5));
        let message = Some("boom".to_owned());
        let failed = reply(v1::TaskResult { return_code: -1, output: None, message });
        assert_eq!((failed.succeed, failed.message.as_deref()), (false, Some("boom")));
    }

    #[test]
    fn an_output_that_no_client_could_read_fails_the_task() {
        let output = Some(Bytes::from(vec![0; TASK_PAYLOAD_BYTES_MAX + 1]));
        let unary = reply(v1::TaskResult { output: output.clone(), ..v1::TaskResult::default() });
        let stream = answered(ha::TaskDone { output, ..ha::TaskDone::default() });
        for outcome in [unary, stream] {
            assert!(!outcome.succeed && outcome.output.is_none());
            assert!(outcome.message.unwrap().contains("at most"));
        }
    }

    #[test]
    fn keys_of_an_answer_are_told() {
        let publish = vec![Bytes::from_static(b"model")];
        let done = answered(ha::TaskDone { token: 7, publish: publish.clone(), ran_us: 3, ..Default::default() });
        assert_eq!(done.attributes.unwrap().publish, publish);
        assert_eq!(done.ran_us, 3);
        let too_long = vec![Bytes::from(vec![0; 300])];
        let done = answered(ha::TaskDone { publish: too_long, ..Default::default() });
        assert!(done.succeed && done.attributes.is_none(), "the result counts all the same");
    }
}
