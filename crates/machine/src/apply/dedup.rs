//! Windows of clients: each numbered command takes effect once, in the order of its number, and a repeated one gets
//! the reply it got.

use flame_types::{ClientId, Seq};

use super::batch::Apply;
use crate::command::{Command, Item};
use crate::digest;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::{KeptReply, RepliesRow};

impl Apply<'_> {
    /// Takes one item through its client's window.
    pub fn item(&mut self, item: Item) -> Reply {
        if item.client == ClientId::NONE {
            return self.execute(item.command).unwrap_or_else(Reply::Refused);
        }
        let hash = digest::fingerprint(&item.command);
        match self.admit(item.client, item.seq, item.below, hash) {
            Err(refusal) => Reply::Refused(refusal),
            Ok(Some(kept)) => kept,
            Ok(None) => self.execute_numbered(item.client, item.seq, hash, item.command),
        }
    }

    /// Decides about a number: `Ok(None)` when it is next, `Ok(Some)` when it has been answered.
    fn admit(&mut self, id: ClientId, seq: Seq, below: Seq, hash: u32) -> Result<Option<Reply>, Refusal> {
        let window_max = u64::from(self.state.cluster.config.client_window_max);
        let client = self.state.clients.get_mut(&id).ok_or(Refusal::SessionExpired(id))?;
        let below = below.min(client.row.last.next());
        if below > client.row.below {
            self.changes.client(id, client);
            client.row.below = below;
            let given_up = |(first, chunk): &(&Seq, &RepliesRow)| first.0 + chunk.replies.len() as u64 <= below.0;
            let forget: Vec<Seq> = client.window.iter().take_while(given_up).map(|(first, _)| *first).collect();
            for first in forget {
                client.window.remove(&first);
                self.changes.forgotten.insert((id, first));
            }
        }
        if seq < client.row.below {
            return Err(Refusal::Stale(seq));
        }
        if seq <= client.row.last {
            let kept = client.kept(seq).expect("replies from `below` to `last` are kept");
            return if kept.hash == hash { Ok(Some(kept.reply.clone())) } else { Err(Refusal::SequenceReused(seq)) };
        }
        let expected = client.row.last.next();
        if seq > expected {
            return Err(Refusal::OutOfOrder { expected });
        }
        if client.in_window() >= window_max {
            return Err(Refusal::Limit { name: "client_window_max".into(), limit: window_max });
        }
        Ok(None)
    }

    fn execute_numbered(&mut self, id: ClientId, seq: Seq, hash: u32, command: Command) -> Reply {
        let reply = self.execute(command).unwrap_or_else(Reply::Refused);
        // The command may have been the client's farewell.
        let Some(client) = self.state.clients.get_mut(&id) else { return reply };
        self.changes.client(id, client);
        client.row.last = seq;
        let kept = KeptReply { hash, reply: reply.clone() };
        // Replies of one entry lie together. Those of an earlier entry are not written again.
        match client.window.last_entry().filter(|newest| self.changes.is_new(id, *newest.key())) {
            Some(mut newest) => newest.get_mut().replies.push(kept),
            None => drop(client.window.insert(seq, RepliesRow { replies: vec![kept] })),
        }
        reply
    }
}
