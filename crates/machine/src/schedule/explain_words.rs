//! Reasons in words, and their short stable names.

use std::fmt;

use flame_types::resources::format_memory;

use super::explain::{Reason, Standing};
use super::explain_nodes::{Doing, NodeReason, Shortage};
use crate::view::executor_uuid;

impl Reason {
    /// A short stable name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Suspended { .. } => "suspended",
            Self::NotBefore { .. } => "not_before",
            Self::Behind { .. } => "behind",
            Self::Gang { .. } => "gang",
            Self::NoExecutor => "no_executor",
            Self::ExecutorsBusy { .. } => "executors_busy",
            Self::SessionLimit { .. } => "session_limit",
            Self::AppLimit { .. } => "application_limit",
            Self::BindFailures { .. } => "bind_failures",
            Self::BackingOff { .. } => "backing_off",
            Self::LastFailure { .. } => "last_failure",
            Self::Priority { .. } => "priority",
            Self::NoWorkers => "no_workers",
            Self::GangTooLarge { .. } => "gang_too_large",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended { state } => {
                write!(f, "its session is {state}: none of its tasks starts until it is resumed")
            }
            Self::NotBefore { in_ms, starts, last } => {
                write!(f, "start {starts} came to nothing; the next is in {}", seconds(*in_ms))?;
                last.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Behind { tasks: 1 } => write!(f, "1 task of its session comes first"),
            Self::Behind { tasks } => write!(f, "{tasks} tasks of its session come first"),
            Self::Gang { batch_size, ready, held } => write!(
                f,
                "its session starts tasks only while {batch_size} executors are ready together; {ready} of {held} are"
            ),
            Self::NoExecutor => write!(f, "its session has no executor"),
            Self::ExecutorsBusy { executors, entering, out } => {
                write!(f, "no executor of its session has room: of {executors}, {entering} are starting")?;
                let busy = executors.saturating_sub(*entering).saturating_sub(*out);
                write!(f, ", {out} take no more tasks, {busy} are busy")
            }
            Self::SessionLimit { max_instances } => {
                write!(f, "its session has as many executors as it may have: max_instances = {max_instances}")
            }
            Self::AppLimit { max_instances } => write!(
                f,
                "the sessions of its application have as many executors as they may have together: max_instances = \
                 {max_instances}"
            ),
            Self::BindFailures { failures } => write!(
                f,
                "its session gets no new executors, since {failures} failed to bind in a row: its events say why; \
                 `flmctl resume` tries again"
            ),
            Self::BackingOff { in_ms } => {
                write!(f, "after a failure its session gets the next executor in {}", seconds(*in_ms))
            }
            Self::LastFailure { message } => write!(f, "the last that failed: {message}"),
            Self::Priority { priority } => write!(f, "a session of priority {priority} is served first"),
            Self::NoWorkers => write!(f, "no worker is known"),
            Self::GangTooLarge { batch_size, possible } => {
                write!(f, "its session needs {batch_size} executors at a time, and all workers can hold {possible}")
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let away = |attached: &bool| if *attached { "" } else { "; that worker is not attached at the moment" };
        match self {
            Self::Waiting => write!(f, "it waits in its session"),
            Self::Queued { node, ahead, entering, recalled, attached, .. } => {
                match (*recalled, *entering) {
                    (true, _) => write!(f, "it is asked back from an executor on node {node}")?,
                    (_, true) => write!(f, "an executor on node {node} has it and is still to enter the session")?,
                    _ => write!(f, "an executor on node {node} has it, behind {ahead} others")?,
                }
                f.write_str(away(attached))
            }
            Self::Running { node, attempt, attached, .. } => {
                write!(f, "it runs on node {node}, start {attempt}{}", away(attached))
            }
            Self::Ended => write!(f, "it has ended"),
        }
    }
}

impl NodeReason {
    /// A short stable name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Detached => "detached",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::NoShim { .. } => "no_shim",
            Self::TooSmall { .. } => "too_small",
            Self::Full { .. } => "full",
            Self::ExecutorLimit { .. } => "executor_limit",
            Self::Avoided { .. } => "avoided",
            Self::OnTrial { .. } => "on_trial",
        }
    }
}

impl fmt::Display for NodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => write!(f, "its lease is over: it is gone"),
            Self::Detached => write!(f, "it is not attached: its stream is down"),
            Self::Cordoned => write!(f, "it is cordoned"),
            Self::Draining => write!(f, "it is draining"),
            Self::NoShim { shim } => write!(f, "it does not run the shim {shim}"),
            Self::TooSmall { short } => write!(f, "too small even when empty: {}", Shortages(short, "has")),
            Self::Full { short } => write!(f, "full just now: {}", Shortages(short, "free")),
            Self::ExecutorLimit { max } => write!(f, "it has {max} executors, the most a worker may have"),
            Self::Avoided { failures, in_ms } => write!(
                f,
                "executors failed to enter their sessions here, {failures} in a row: it is avoided for {} more",
                seconds(*in_ms)
            ),
            Self::OnTrial { failures } => write!(
                f,
                "executors failed to enter their sessions here, {failures} in a row: one is on trial, others come after it"
            ),
        }
    }
}

impl Doing {
    /// A short stable name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entering => "entering",
            Self::Retiring { .. } => "retiring",
            Self::Busy { .. } => "busy",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entering => write!(f, "is starting"),
            Self::Retiring { tasks: 0 } => write!(f, "retires"),
            Self::Retiring { tasks } => write!(f, "retires when what it has is done, tasks: {tasks}"),
            Self::Busy { running, queued } => write!(f, "is busy: {running} running, {queued} behind"),
            Self::Idle => write!(f, "is idle"),
        }
    }
}

impl super::ExecutorHere {
    /// The id under which it is shown.
    #[must_use]
    pub fn id(&self) -> String {
        executor_uuid(self.executor)
    }
}

struct Shortages<'s>(&'s [Shortage], &'static str);

impl fmt::Display for Shortages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, short) in self.0.iter().enumerate() {
            let Shortage { resource, needs, has } = *short;
            let amount = |amount| if resource == "memory" { exact_memory(amount) } else { format!("{amount}") };
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{resource} needs {}, {} {}", amount(needs), self.1, amount(has))?;
        }
        Ok(())
    }
}

/// In large units only where that is exact: `needs 1Gi, has 1Gi` explains nothing.
fn exact_memory(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    let exact = [KIB * KIB * KIB, KIB * KIB, KIB].into_iter().find(|unit| bytes >= *unit);
    match exact {
        Some(unit) if !bytes.is_multiple_of(unit) => format!("{bytes}B"),
        _ => format_memory(bytes),
    }
}

/// `2.5 s`.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}
