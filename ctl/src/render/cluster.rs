//! The coordinators: a row for each from its own answer, and what that means together.

use std::fmt;

use flame_sdk::MemberReport;
use flame_sdk::model::{Member, MemberStatus, Members};
use flame_types::resources::format_memory;
use serde::Serialize;

use super::details::or_dash;
use super::grid::one_line;
use super::{Grid, Render, Sheet};
use crate::time::rough_span;

/// A member that is further behind than this many entries would be missed for long if it had to take over.
const LAG_FAR: u64 = 10_000;

/// What a cluster can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every member serves, is near the leader and has room on its disk, and a leader is known.
    Healthy,
    /// It works, with less left to lose, or with something that will become worse by itself.
    Degraded,
    /// It does not work: too few voters serve, or nobody leads.
    NoQuorum,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NoQuorum => "no quorum",
        })
    }
}

/// `flmctl cluster status`.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// Which cluster this is.
    pub cluster_id: String,
    /// What it can still take.
    pub verdict: Verdict,
    /// How many more voters it can lose and still work.
    pub can_lose: usize,
    /// Why it is not healthy.
    pub reasons: Vec<String>,
    /// Who leads, by the word of the members themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// By number.
    pub members: Vec<MemberRow>,
}

/// One coordinator.
#[derive(Clone, Debug, Serialize)]
pub struct MemberRow {
    /// As the cluster lists it.
    pub member: Member,
    /// Its own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<MemberStatus>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ClusterStatus {
    /// Judges a cluster by its members' own answers.
    #[must_use]
    pub fn new(cluster_id: String, reports: Vec<MemberReport<MemberStatus>>) -> Self {
        let mut members: Vec<MemberRow> = reports
            .into_iter()
            .map(|MemberReport { member, answer }| match answer {
                Ok(status) => MemberRow { member, status: Some(status), error: None },
                Err(error) => MemberRow { member, status: None, error: Some(error.to_string()) },
            })
            .collect();
        members.sort_by_key(|row| row.member.id);
        let voters = members.iter().filter(|row| row.member.voter).count();
        let serving = members.iter().filter(|row| row.member.voter && row.serves()).count();
        let leader = leader(&members);
        let majority = voters / 2 + 1;
        let furthest = furthest(&members);
        let mut reasons: Vec<String> = members.iter().flat_map(|row| row.troubles(furthest)).collect();
        if leader.is_none() {
            reasons.push("nobody leads".to_owned());
        }
        let verdict = if serving < majority || leader.is_none() {
            Verdict::NoQuorum
        } else if reasons.is_empty() {
            Verdict::Healthy
        } else {
            Verdict::Degraded
        };
        let can_lose = if verdict == Verdict::NoQuorum { 0 } else { serving - majority };
        Self { cluster_id, verdict, can_lose, reasons, leader, members }
    }

    fn verdict_line(&self) -> String {
        let serving = self.members.iter().filter(|row| row.serves()).count();
        let leader = self.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader {leader}"));
        let lose = match (self.verdict, self.can_lose) {
            (Verdict::NoQuorum, _) => "it accepts no changes until a majority serves".to_owned(),
            (_, 0) => "it can lose no more members".to_owned(),
            (_, 1) => "it can lose 1 more member".to_owned(),
            (_, more) => format!("it can lose {more} more members"),
        };
        let reasons: String = self.reasons.iter().map(|reason| format!("   {}\n", one_line(reason))).collect();
        let levels = self.levels_line();
        format!(
            "\n Cluster {}: {} ({serving} of {} members serve, {leader}); {lose}.\n{reasons}{levels}",
            or_dash(Some(&self.cluster_id)),
            self.verdict,
            self.members.len(),
        )
    }
}

impl ClusterStatus {
    /// Says when members are of different builds, and when all of them could do more than they do.
    fn levels_line(&self) -> String {
        let statuses: Vec<&MemberStatus> = self.members.iter().filter_map(|row| row.status.as_ref()).collect();
        let Some(level) = statuses.iter().map(|status| status.feature_level).max() else { return String::new() };
        let highest = statuses.iter().map(|status| status.feature_level_max);
        let (common, furthest) = (highest.clone().min().unwrap_or(level), highest.max().unwrap_or(level));
        if common > level && statuses.len() == self.members.len() {
            return format!("   It runs at feature level {level}; `flmctl cluster upgrade` raises it to {common}.\n");
        }
        if furthest > level {
            return format!("   It runs at feature level {level}, which every coordinator understands.\n");
        }
        String::new()
    }
}

/// Who calls itself leader in the highest term: one of an older term has not heard the news yet.
fn leader(members: &[MemberRow]) -> Option<u64> {
    let leaders = members.iter().filter_map(|row| row.status.as_ref()).filter(|status| status.role == "leader");
    leaders.max_by_key(|status| status.term).map(|status| status.id)
}

impl MemberRow {
    fn serves(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.ready)
    }

    /// What is not as it should be.
    fn troubles(&self, furthest: u64) -> Vec<String> {
        let id = self.member.id;
        let Some(status) = &self.status else {
            return vec![format!("coordinator {id} does not answer: {}", or_dash(self.error.as_deref()))];
        };
        let mut troubles = Vec::new();
        if !status.ready {
            troubles.push(format!("coordinator {id} is not ready: {}", or_dash(Some(&status.not_ready_reason))));
        }
        let lag = furthest.saturating_sub(status.applied);
        if lag > LAG_FAR {
            troubles.push(format!("coordinator {id} is {lag} entries behind"));
        }
        if let Some((free, percent)) = disk(status).filter(|(free, _)| *free < status.disk_floor_bytes) {
            let (free, floor) = (format_memory(free), format_memory(status.disk_floor_bytes));
            troubles
                .push(format!("coordinator {id} is short of disk: {free} ({percent}%) are free, less than {floor}"));
        }
        troubles
    }

    fn cells(&self, furthest: u64) -> Vec<String> {
        let Some(status) = &self.status else {
            let mut cells =
                vec![self.member.id.to_string(), self.member.client_endpoint.clone(), "unreachable".to_owned()];
            cells.extend(std::iter::repeat_n("-".to_owned(), 10));
            return cells;
        };
        let workers = if status.role == "leader" { status.workers_attached.to_string() } else { "-".to_owned() };
        let free = disk(status).map(|(free, percent)| format!("{} {percent}%", format_memory(free)));
        vec![
            self.member.id.to_string(),
            self.member.client_endpoint.clone(),
            status.role.clone(),
            status.term.to_string(),
            status.last_log.to_string(),
            status.applied.to_string(),
            status.flushed.to_string(),
            furthest.saturating_sub(status.applied).to_string(),
            workers,
            or_dash(free.as_deref()).to_owned(),
            status.version.clone(),
            rough_span(status.uptime_seconds),
            if status.ready { "yes" } else { "no" }.to_owned(),
        ]
    }
}

/// The last entry that any member knows to be committed.
fn furthest(members: &[MemberRow]) -> u64 {
    let statuses = members.iter().filter_map(|row| row.status.as_ref());
    statuses.map(|status| status.committed).max().unwrap_or(0)
}

/// What is free of the disk of a member, in bytes and in percent, rounded down.
fn disk(status: &MemberStatus) -> Option<(u64, u64)> {
    let (free, total) = (status.disk_free_bytes?, status.disk_total_bytes.filter(|total| *total > 0)?);
    let percent = u128::from(free) * 100 / u128::from(total);
    Some((free, u64::try_from(percent).unwrap_or(100)))
}

impl Render for ClusterStatus {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&[
            "ID", "Endpoint", "Role", "Term", "Last", "Applied", "Flushed", "Lag", "Workers", "Free", "Version",
            "Uptime", "Ready",
        ]);
        let furthest = furthest(&self.members);
        for row in &self.members {
            grid.row(row.cells(furthest));
        }
        Sheet { grid: Some(grid), text: self.verdict_line() }
    }
}

/// `flmctl cluster members`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct MemberList(pub Members);

impl Render for MemberList {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["ID", "Client", "Worker", "Peer", "Voter", "Leader"]);
        let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        for member in &self.0.members {
            grid.row(vec![
                member.id.to_string(),
                member.client_endpoint.clone(),
                member.worker_endpoint.clone(),
                member.peer_endpoint.clone(),
                yes_or_no(member.voter),
                yes_or_no(self.0.leader == Some(member.id)),
            ]);
        }
        let changing =
            "\n A change of the voters is under way: the old and the new ones must agree until it is done.\n";
        Sheet { grid: Some(grid), text: if self.0.changing { changing.to_owned() } else { String::new() } }
    }
}
