//! Execution and its fences, broken: double completions, zombies, leases that end for the wrong reason, reruns.

use flame_jepsen::record::{FaultKind, NodeStep, Outcome, Recording, Target, What, WorkerStep};
use flame_types::{CoordinatorId, TaskNo, TaskState, Token};

use crate::story::{S, Story, executor, nonce, seen, succeed};

/// A task that runs on the first worker.
fn running() -> Story {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story
}

pub fn double_completion() -> Recording {
    let mut story = running();
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.new_leader(2);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.heal(1);
    story.end()
}

pub fn two_results() -> Recording {
    let mut story = running();
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.reads(seen(1, TaskState::Failed));
    story.end()
}

/// The first worker stands still beyond its lease, and its task is given to the second.
fn zombie() -> Story {
    let mut story = running();
    story.fault(1, FaultKind::Pause, &[Target::Worker("worker-1".into())]);
    story.wait(12_000);
    story.evict("worker-1", false);
    story.release(1, 1);
    story
}

pub fn zombie_worker() -> Recording {
    let mut story = zombie();
    story.heal(1);
    // It goes on as if nothing had been, and its result counts.
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

pub fn zombie_without_a_journal() -> Recording {
    let mut story = zombie();
    story.grant(1, "worker-2", 2, 2);
    story.start(1, "worker-2", 2);
    story.heal(1);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    let mut recording = story.end();
    // Only results are told, not to whom tasks were given or from whom they were taken.
    recording.events.retain(|event| match &event.what {
        What::Node(node) => !matches!(node.step, NodeStep::Assigned { .. } | NodeStep::Released { .. }),
        _ => true,
    });
    recording
}

pub fn delayed_completion() -> Recording {
    let mut story = zombie();
    story.heal(1);
    story.grant(1, "worker-2", 2, 2);
    story.start(1, "worker-2", 2);
    story.report("worker-1", 1, Outcome::Failed { output: None });
    story.record(1, 1, TaskState::Pending);
    story.report("worker-2", 2, succeed(1));
    story.record(1, 2, TaskState::Succeed);
    story.stored("worker-2", 2);
    story.end()
}

pub fn forged_token() -> Recording {
    let mut story = running();
    story.report("worker-1", 1, succeed(1));
    story.record(1, 5, TaskState::Succeed);
    story.end()
}

pub fn token_used_twice() -> Recording {
    let mut story = running();
    story.submit(2);
    story.grant(2, "worker-2", 1, 1);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.end()
}

pub fn start_after_the_lease() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.fault(1, FaultKind::Partition, &[Target::Worker("worker-1".into())]);
    story.worker("worker-1", WorkerStep::LeaseLost);
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, succeed(1));
    story.heal(1);
    story.worker("worker-1", WorkerStep::Attached);
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

pub fn two_at_a_time() -> Recording {
    let mut story = running();
    story.submit(2);
    story.grant(2, "worker-1", 2, 1);
    story.start(2, "worker-1", 2);
    for number in [1, 2] {
        story.report("worker-1", number, succeed(number));
        story.record(number, number, TaskState::Succeed);
        story.stored("worker-1", number);
    }
    story.end()
}

/// A worker to which nothing was done is given up, and all that goes with it.
fn given_up(mut story: Story) -> Recording {
    story.evict("worker-1", false);
    story.release(1, 1);
    story.worker("worker-1", WorkerStep::LeaseLost);
    story.run(1, "worker-2", 2);
    story.end()
}

pub fn expiry_by_clock_jump() -> Recording {
    let mut story = running();
    story.fault(1, FaultKind::ClockJump, &[Target::Node(CoordinatorId(1)), Target::Worker("worker-1".into())]);
    story.heal(1);
    given_up(story)
}

pub fn expiry_by_leader_stall() -> Recording {
    let mut story = running();
    story.fault(1, FaultKind::Pause, &[Target::Node(CoordinatorId(1))]);
    story.wait(15_000);
    story.heal(1);
    given_up(story)
}

pub fn expiry_by_new_leader() -> Recording {
    let mut story = running();
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.wait(1_000);
    story.new_leader(2);
    story.heal(1);
    given_up(story)
}

pub fn expiry_by_pile_up() -> Recording {
    let mut story = running();
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.new_leader(2);
    story.heal(1);
    // All say Hello to the new leader at once, which is busy with them for longer than their leases.
    story.wait(12_000);
    for number in 1..=20_u64 {
        let worker = format!("crowd-{number}");
        story.worker(&worker, WorkerStep::Attached);
        story.evict(&worker, false);
    }
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

pub fn rerun_by_leader_change() -> Recording {
    let mut story = running();
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.new_leader(2);
    // The new leader starts everything that runs once more.
    story.release(1, 1);
    story.run(1, "worker-2", 2);
    story.heal(1);
    story.end()
}

pub fn same_token_run_twice() -> Recording {
    let mut story = running();
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

pub fn success_without_a_start() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

#[test]
fn a_task_that_only_a_worker_knows_is_invented() {
    let mut story = running();
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    let step = WorkerStep::Granted {
        executor: executor("worker-1"),
        session: S.into(),
        task: TaskNo(77),
        token: Token(77),
        attempt: 1,
        nonce: nonce(77),
    };
    story.worker("worker-1", step);
    crate::story::rejected(&story.end(), flame_jepsen::CheckerId::C2, "nobody submitted");

    let mut story = running();
    let step = WorkerStep::Started { executor: executor("worker-2"), token: Token(9), nonce: nonce(9) };
    story.worker("worker-2", step);
    crate::story::rejected(&story.end(), flame_jepsen::CheckerId::C2, "nobody submitted");
}

#[test]
fn what_a_service_has_at_hand_has_begun() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.worker("worker-1", WorkerStep::Handed { token: Token(1) });
    story.fault(1, FaultKind::Partition, &[Target::Worker("worker-1".into())]);
    story.worker("worker-1", WorkerStep::LeaseLost);
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, succeed(1));
    story.heal(1);
    story.worker("worker-1", WorkerStep::Attached);
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    crate::story::accepted(&story.end());
}
