//! What raising the feature level comes to.

use flame_proto::ha;
use serde::Serialize;

/// What raising the feature level comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// The level before.
    pub present: u32,
    /// The level that is wanted.
    pub to: u32,
    /// What every member's build understands.
    pub members: Vec<MemberLevels>,
    /// Why it is not raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Whether it was; not when it was so before.
    pub raised: bool,
}

/// Which feature levels a coordinator's build understands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberLevels {
    /// Its number.
    pub id: u64,
    /// Whether it votes.
    pub voter: bool,
    /// The lowest; 0 when it does not say.
    pub lowest: u32,
    /// The highest; 0 when it does not say.
    pub highest: u32,
    /// Why it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<ha::UpgradeReply> for Upgrade {
    fn from(reply: ha::UpgradeReply) -> Self {
        Self {
            present: reply.present,
            to: reply.to,
            members: reply.members.into_iter().map(MemberLevels::from).collect(),
            refusal: said(reply.refusal),
            raised: reply.raised,
        }
    }
}

impl From<ha::MemberLevels> for MemberLevels {
    fn from(member: ha::MemberLevels) -> Self {
        Self {
            id: member.id,
            voter: member.voter,
            lowest: member.lowest,
            highest: member.highest,
            silent: said(member.silent),
        }
    }
}
