//! Raising the feature level, as an operator asks for it.

use flame_machine::Levels;
use flame_proto::ha;
use tonic::Status;

use super::call::Call;
use crate::consensus::MemberLevels;
use crate::drive::upgrade::{Upgrade, UpgradeError, Upgrades};

/// Raises it, or says whether it could be.
pub async fn run(upgrades: &Upgrades, call: Call, asked: &ha::UpgradeRequest) -> Result<ha::UpgradeReply, Status> {
    let to = (asked.to != 0).then_some(asked.to);
    let raised = tokio::time::timeout_at(call.deadline, upgrades.raise(to, asked.dry_run)).await;
    match raised.unwrap_or(Err(UpgradeError::Unknown)) {
        Ok(upgrade) => Ok(shown(upgrade)),
        Err(UpgradeError::NotLeader { leader }) => {
            let leader = leader.map_or(0, |leader| leader.0);
            Ok(ha::UpgradeReply { not_leader: true, leader, ..ha::UpgradeReply::default() })
        }
        Err(UpgradeError::Refused(why)) => Err(Status::failed_precondition(why)),
        Err(error @ UpgradeError::Unknown) => Err(Status::deadline_exceeded(error.to_string())),
        Err(error @ UpgradeError::Stopped) => Err(Status::unavailable(error.to_string())),
    }
}

fn shown(upgrade: Upgrade) -> ha::UpgradeReply {
    let Upgrade { present, to, members, refusal, raised } = upgrade;
    ha::UpgradeReply {
        present,
        to,
        members: members.into_iter().map(shown_member).collect(),
        refusal: refusal.unwrap_or_default(),
        raised,
        ..ha::UpgradeReply::default()
    }
}

fn shown_member(member: MemberLevels) -> ha::MemberLevels {
    let MemberLevels { id, voter, levels } = member;
    let (Levels { lowest, highest }, silent) = match levels {
        Ok(levels) => (levels, String::new()),
        Err(why) => (Levels { lowest: 0, highest: 0 }, why),
    };
    ha::MemberLevels { id: id.0, voter, lowest, highest, silent }
}
