//! Changes that carry a request id: each is done once, however often and through whichever coordinators it arrives.
//!
//! What was answered is answered again, refusals too: a client that sends a change again wants to hear what became of the
//! first attempt, not of a second one.

use flame_types::{RequestId, RequestNo};

use super::batch::{Apply, Outcome};
use crate::command::Command;
use crate::digest;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::RequestRow;

/// Most that are forgotten with one that is new: more than one, so that a limit that was lowered is reached in time.
const FORGOTTEN_AT_ONCE_MAX: usize = 2;

impl Apply<'_> {
    pub(super) fn once(&mut self, id: RequestId, seen: RequestNo, command: Command) -> Outcome {
        if !command.is_of_users() {
            return Err(Refusal::InvalidSpec("only changes that users ask for carry request ids".into()));
        }
        let hash = digest::fingerprint(&command);
        if let Some(known) = self.state.requests.find(id) {
            return if known.hash == hash { Ok(known.reply.clone()) } else { Err(Refusal::RequestReused(id)) };
        }
        if !self.state.remembers_since(seen) {
            return Err(Refusal::RequestForgotten { next: self.state.next_request() });
        }
        let reply = self.execute(command).unwrap_or_else(Reply::Refused);
        self.remember(RequestRow { id, hash, reply: reply.clone() });
        Ok(reply)
    }

    fn remember(&mut self, row: RequestRow) {
        let number = self.state.next_request();
        self.state.requests.insert(number, row);
        self.changes.requests.insert(number);
        let limit = self.state.cluster.config.requests_max as usize;
        for _ in 0..FORGOTTEN_AT_ONCE_MAX {
            if self.state.requests.len() <= limit {
                return;
            }
            self.changes.requests.extend(self.state.requests.forget_oldest());
        }
    }
}
