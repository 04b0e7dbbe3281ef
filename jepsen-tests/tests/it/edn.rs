//! Recordings as EDN.

use flame_jepsen::record::{ErrorClass, FaultKind, Operation, Target, edn};
use flame_types::{CoordinatorId, TaskState};

use crate::story::{Story, get, seen};

fn exported(story: Story) -> Vec<String> {
    let mut out = Vec::new();
    edn::write(&story.recording, &mut out).expect("memory takes it");
    String::from_utf8(out).expect("it is text").lines().map(str::to_owned).collect()
}

#[test]
fn operations_are_as_jepsen_reads_them() {
    let mut story = Story::new();
    story.recording.events.clear();
    story.submit(1);
    story.reads(seen(1, TaskState::Succeed));
    story.refused(get(7), ErrorClass::TaskNotFound);
    let process = story.asks(Operation::ListSessions);
    story.lost(process);
    let lines = exported(story);
    assert_eq!(
        lines[..4],
        [
            r#"{:index 0, :time 10000000, :type :invoke, :process 2, :f :submit, :value {:nonces ["n-1"], :request "r-1", :session "s"}}"#,
            r#"{:index 1, :time 11000000, :type :ok, :process 2, :f :submit, :value {:first 1}}"#,
            r#"{:index 2, :time 12000000, :type :invoke, :process 3, :f :get, :value {:session "s", :task 1}}"#,
            r#"{:index 3, :time 13000000, :type :ok, :process 3, :f :get, :value {:nonce "n-1", :output "out-1", :state "Succeed", :task 1}}"#,
        ]
    );
    assert!(lines[5].contains(":type :fail, :process 4, :f :get, :value {:class \"task_not_found\"}"), "{}", lines[5]);
    assert!(lines[6].contains(":f :list-sessions, :value nil"), "{}", lines[6]);
    assert!(lines[7].contains(":type :info, :process 5, :f :list-sessions"), "{}", lines[7]);
}

#[test]
fn faults_are_the_nemesis_and_workers_and_nodes_are_left_out() {
    let mut story = Story::new();
    story.recording.events.clear();
    story.fault(3, FaultKind::PartitionOneWay, &[Target::Node(CoordinatorId(1)), Target::Worker("w\"1".into())]);
    story.grant(1, "worker-1", 1, 1);
    story.heal(3);
    let lines = exported(story);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(":type :info, :process :nemesis, :f :partition-one-way"), "{}", lines[0]);
    assert!(lines[0].contains(r#":targets [{:node 1} {:worker "w\"1"}]"#), "{}", lines[0]);
    assert!(
        lines[1].contains(r#":index 1"#) && lines[1].contains(":f :partition-one-way, :value \"healed\""),
        "{}",
        lines[1]
    );
}

#[test]
fn brackets_are_balanced_whatever_stands_in_texts() {
    let mut story = Story::new();
    let session = "a \"quoted\" \\ name\nwith {brackets] and \u{1}".into();
    let process = story.asks(Operation::List { session });
    story.lost(process);
    for line in exported(story) {
        let (mut depth, mut inside, mut escaped) = (0_i32, false, false);
        for letter in line.chars() {
            match (letter, inside, escaped) {
                (_, true, true) => escaped = false,
                ('\\', true, false) => escaped = true,
                ('"', ..) => inside = !inside,
                ('{' | '[', false, _) => depth += 1,
                ('}' | ']', false, _) => depth -= 1,
                _ => {}
            }
        }
        assert_eq!((depth, inside), (0, false), "{line}");
    }
}
