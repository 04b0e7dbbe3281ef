//! Single questions: vote, pre-vote, transfer of leadership.

use bytes::Bytes;
use flame_proto::ha::RaftFrame;
use flame_proto::ha::raft_client::RaftClient;
use flame_storage::{TypeConfig, codec};
use openraft::RPCTypes;
use openraft::errors::RPCError;
use openraft::network::{NetTransferLeader, NetVote, RPCOption};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{Client, FRAME_BYTES_MAX, unreachable};

impl Client {
    /// Asks and waits, no longer than the library allows. The answer counts only if it comes from the store that this
    /// peer has always had.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        action: RPCTypes,
        question: &Q,
        option: &RPCOption,
        call: impl AsyncFnOnce(RaftClient<Channel>, RaftFrame) -> Result<Response<RaftFrame>, Status>,
    ) -> Result<A, RPCError<TypeConfig>> {
        let channel = self.questions.clone().ok_or_else(|| self.bad_address())?;
        let client = RaftClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
        let body: Bytes = codec::encode_plain(question);
        let header = Some(self.network.gate.header_to(self.target));
        let frame = RaftFrame { header, body, ..RaftFrame::default() };
        let answer = match tokio::time::timeout(option.soft_ttl(), call(client, frame)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(self.refused(status)),
            Err(_elapsed) => return Err(self.timed_out(action, option)),
        };
        self.network.gate.confirm(self.target, answer.header.as_ref()).map_err(unreachable)?;
        codec::decode_plain(&answer.body).map_err(unreachable)
    }
}

impl NetVote<TypeConfig> for Client {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(RPCTypes::Vote, &rpc, &option, async |mut client, frame| client.vote(frame).await).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(RPCTypes::Vote, &rpc, &option, async |mut client, frame| client.pre_vote(frame).await).await
    }
}

impl NetTransferLeader<TypeConfig> for Client {
    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let action = RPCTypes::TransferLeader;
        self.ask(action, &req, &option, async |mut client, frame| client.transfer_leader(frame).await).await
    }
}
