//! Every class of bugs that systems like this one have had, and the checker that must find it.
//!
//! *Source of the classes:* the checklist of the reliability study: Jepsen's reports on etcd, RabbitMQ, Chronos, Redis-Raft,
//! Bufstream, TigerBeetle and NATS, etcd's robustness suite, and the trackers of spur, Nomad, Flame, databend and openraft.

use flame_jepsen::checkers::CheckerId::{self, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14};
use flame_jepsen::record::{Recording, edn};

use super::{bad_execution as execution, bad_replication as replication, bad_service as service};
use crate::story::rejected;

/// A class of bugs.
pub struct Class {
    /// What goes wrong.
    pub name: &'static str,
    /// Whose business it is.
    pub checker: CheckerId,
    /// What it must say.
    pub says: &'static str,
    /// A recording of it.
    pub story: fn() -> Recording,
}

const fn class(name: &'static str, checker: CheckerId, says: &'static str, story: fn() -> Recording) -> Class {
    Class { name, checker, says, story }
}

/// All of them.
pub const ALL: &[Class] = &[
    // ── reading and writing ─────────────────────────────────────────────────────────────────────────────────────
    class("stale read from an old leader", C4, "no order explains", service::stale_read_from_an_old_leader),
    class("stale read after a pause", C4, "no order explains", service::stale_read_after_a_pause),
    class("acknowledged before it was durable", C1, "does not have it", service::acknowledged_before_durable),
    class("acknowledged session lost", C1, "is not listed", service::acknowledged_session_lost),
    class("told end taken back", C1, "was told as Succeed", service::told_end_taken_back),
    class("lost completion report", C1, "was taken from its worker", service::lost_completion_report),
    class("two acknowledgements of one number", C1, "there", service::two_acknowledgements_of_one_number),
    class("non-idempotent retry by a client", C2, "submitted once", service::retry_makes_two_tasks),
    class("non-idempotent retry inside a proxy", C2, "submitted once", service::proxy_makes_two_tasks),
    class("a submit made by half", C2, "made by half", service::submit_made_by_half),
    class("dedup entry evicted too early", C2, "submitted once", service::late_retry_makes_two_tasks),
    class("dedup missing from a snapshot", C4, "no order explains", service::snapshot_forgets_requests),
    class("a cancel that was acknowledged does nothing", C4, "no order explains", service::cancel_does_nothing),
    class("submit into a closed session", C4, "no order explains", service::submit_into_a_closed_session),
    class("an invented result", C4, "no order explains", service::invented_result),
    class("definite error for what took effect", C13, "was refused", service::refused_and_done),
    class("a timeout called a failure", C13, "was called a failure", service::timeout_called_a_failure),
    class("a refused cancel that took effect", C13, "every cancel", service::refused_cancel_takes_effect),
    class("watch gap", C6, "never told", service::watch_gap),
    class("watch gap at a failover", C6, "goes on after", service::watch_resumes_too_late),
    class("watch that stops silently", C6, "never told", service::watch_stops_silently),
    class("watch duplicate", C6, "told twice", service::watch_duplicate),
    class("watch back in time", C6, "went back", service::watch_back_in_time),
    class("panic on disconnect", C14, "panicked", service::panic_on_disconnect),
    class("death by surprise", C14, "nobody had done anything", service::death_by_surprise),
    class("retry storm", C9, "after everything was healed", service::retry_storm),
    class("a silence that is too long", C9, "at most", service::long_silence),
    class("no liveness after heal: never at rest", C8, "never came to rest", service::never_at_rest),
    class("no liveness after heal: calls hang", C8, "never answered", service::calls_hang_after_heal),
    class("no liveness after heal: tasks wait for ever", C8, "for ever", service::tasks_wait_for_ever),
    class("leaked allocation", C7, "every session is closed", service::leaked_allocation),
    class("allocation that does not add up", C7, "its executors have", service::allocation_does_not_add_up),
    class("a table that grows without end", C12, "at most", service::table_grows),
    class("a table that is not emptied", C12, "after everything was drained", service::table_is_not_emptied),
    // ── execution ───────────────────────────────────────────────────────────────────────────────────────────────
    class("double completion across a failover", C2, "ended at log positions", execution::double_completion),
    class("two results of one task", C2, "and Failed with", execution::two_results),
    class("zombie worker", C3, "it had none", execution::zombie_worker),
    class("zombie worker, seen by workers alone", C3, "was given it under token", execution::zombie_without_a_journal),
    class("delayed message of an older lease", C3, "it had 2", execution::delayed_completion),
    class("token that nobody was given", C3, "no worker was given", execution::forged_token),
    class("one token for two tasks", C3, "token 1 was given", execution::token_used_twice),
    class("a start after the lease", C3, "after its lease was over", execution::start_after_the_lease),
    class("two tasks at a time in one slot", C7, "works on 2 tasks", execution::two_at_a_time),
    class("lease expiry by a clock jump", C10, "was given up", execution::expiry_by_clock_jump),
    class("lease expiry by a leader's stall", C10, "was given up", execution::expiry_by_leader_stall),
    class("lease expiry by a new leader", C10, "was given up", execution::expiry_by_new_leader),
    class("heartbeat pile-up after an election", C10, "was given up", execution::expiry_by_pile_up),
    class("rerun by a leader change alone", C10, "nothing had happened", execution::rerun_by_leader_change),
    class("one token run twice", C10, "twice under token", execution::same_token_run_twice),
    class("a success that nobody ran", C10, "no service ran it", execution::success_without_a_start),
    // ── replication ─────────────────────────────────────────────────────────────────────────────────────────────
    class("retry after a failed sync", C11, "after its disk failed", replication::retry_after_a_failed_sync),
    class("silent truncation of the log", C11, "it has forgotten", replication::silent_truncation),
    class("log lost, and it votes again", C11, "it takes part all the same", replication::amnesia),
    class("vote lost, and it votes twice", C11, "voted for", replication::votes_twice),
    class("two leaders in a term", C11, "lead in term", replication::two_leaders),
    class("two logs", C11, "is of term", replication::two_logs),
    class("non-deterministic apply", C5, "has the state", replication::clock_in_apply),
    class("version skew in apply", C5, "has the state", replication::version_skew),
    class("snapshot installed by half", C5, "has the state", replication::half_a_snapshot),
    class("snapshot of an older state", C11, "installed a snapshot of", replication::older_snapshot),
    class("damaged snapshot", C14, "damage that nobody made", replication::damaged_snapshot),
    class("membership change lost", C11, "do not say so", replication::lost_change_of_members),
    class("stuck in a joint membership", C11, "was never finished", replication::stuck_in_joint),
    class("removed node leads", C11, "was removed, and leads", replication::removed_node_leads),
    class("state that goes back", C11, "without a restart", replication::state_goes_back),
];

#[test]
fn each_is_rejected_by_the_checker_whose_business_it_is() {
    for class in ALL {
        println!("{} by {}", class.name, class.checker);
        rejected(&(class.story)(), class.checker, class.says);
    }
}

#[test]
fn every_checker_that_can_reject_has_a_class() {
    let checkers: std::collections::BTreeSet<CheckerId> = ALL.iter().map(|class| class.checker).collect();
    assert_eq!(checkers.len(), 14, "C15 never rejects, the others must: {checkers:?}");
}

#[test]
fn each_is_the_same_after_it_was_written_and_read() {
    for class in ALL {
        let recording = (class.story)();
        let mut file = Vec::new();
        recording.write(&mut file).expect("memory takes it");
        let again = Recording::read(file.as_slice()).expect("it was written");
        assert_eq!(again, recording, "{}", class.name);
        let mut exported = Vec::new();
        edn::write(&recording, &mut exported).expect("memory takes it");
        assert!(!exported.is_empty(), "{}", class.name);
    }
}
