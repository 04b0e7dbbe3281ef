//! A worker that is kept busy: every task is answered, and what that costs the worker and its service in processor time
//! is printed. To measure, give it more to do:
//!
//! `FLAME_COST_TASKS=50000 cargo nextest run --release -p flame-worker --no-capture cost`
//!
//! `FLAME_COST_AHEAD` is how many tasks the worker holds at a time; `FLAME_COST_WORKER` and `FLAME_COST_SERVICE` name
//! other programs than the ones just built, to compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flame_clock::{Clock, SystemClock};
use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_up::Frame as Up;

use crate::hub::{EXECUTOR, Hub, Link, SESSION};
use crate::worker::{Place, Worker};

/// Tasks that are measured, after as many that are not, unless `FLAME_COST_TASKS` says otherwise.
const TASKS: u64 = 1_000;

/// Tasks that the worker holds at a time, as the leader would let it, unless `FLAME_COST_AHEAD` says otherwise.
const AHEAD: u64 = 512;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Processor time of a process so far, all threads.
fn processor_time(pid: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = threads.map(|thread| {
        let text = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

async fn assign(link: &Link, tasks: std::ops::Range<u64>) {
    let task = |task| ha::Task {
        token: task,
        executor: EXECUTOR,
        session: SESSION,
        task,
        attempt: 1,
        input: Some(vec![b'x'; 100].into()),
        timeout_ms: 0,
    };
    link.send(Down::Assign(ha::Assign { tasks: tasks.map(task).collect() })).await;
}

/// Runs tasks until so many are done; answers in how many frames their results came.
async fn run(link: &mut Link, first: u64, count: u64) -> u64 {
    let (mut next, mut frames, mut done) = (first + setting("FLAME_COST_AHEAD", AHEAD).min(count), 0, BTreeSet::new());
    assign(link, first..next).await;
    while (done.len() as u64) < count {
        let Up::Complete(complete) = link.next().await else { panic!("results expected") };
        frames += 1;
        let tokens: Vec<u64> = complete.done.iter().map(|done| done.token).collect();
        assert!(complete.done.iter().all(|done| done.succeed));
        let more = (tokens.len() as u64).min(first + count - next);
        assert!(tokens.iter().all(|token| done.insert(*token)), "each is answered once: {tokens:?}");
        link.send(Down::Recorded(ha::Recorded { tokens })).await;
        if more > 0 {
            assign(link, next..next + more).await;
            next += more;
        }
    }
    frames
}

async fn measure(name: &str, application: ha::Application, place: &Place) {
    let mut hub = Hub::start().await;
    let worker = Worker::start_program(std::env::var_os("FLAME_COST_WORKER").map(PathBuf::from), place, &hub.endpoint);
    let mut link = hub.attach().await;
    link.start(application).await;
    link.ready().await;
    let tasks = setting("FLAME_COST_TASKS", TASKS);
    run(&mut link, 1, tasks).await;
    let pids = [i32::try_from(worker.pid()).unwrap(), service_of(worker.pid())];
    let before = pids.map(processor_time);
    let begun = SystemClock.mono();
    let frames = run(&mut link, tasks + 1, tasks).await;
    let took = SystemClock.mono().since(begun);
    let cost = |at: usize| (processor_time(pids[at]) - before[at]).as_secs_f64() * 1e6 / tasks as f64;
    println!(
        "{name}: {:.0} tasks/s, worker {:.2} µs, service {:.2} µs of processor time per task, {:.1} results per frame",
        tasks as f64 / took.as_secs_f64(),
        cost(0),
        cost(1),
        tasks as f64 / frames as f64,
    );
}

/// The only child of the worker, whichever thread of it has started it.
fn service_of(worker: u32) -> i32 {
    let threads = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
    let children = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    let pids: Vec<i32> =
        children.flat_map(|line| line.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    assert_eq!(pids.len(), 1, "one service runs");
    pids[0]
}

#[tokio::test]
async fn a_busy_worker_answers_every_task_once() {
    let plain = |program: &str, arguments: &[&str]| ha::Application {
        name: "cost".into(),
        command: Some(program.into()),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environments: BTreeMap::new(),
        ..ha::Application::default()
    };
    if let Ok(program) = std::env::var("FLAME_COST_SERVICE") {
        let place = Place::new();
        return measure(&program, plain(&program, &[]), &place).await;
    }
    for dialect in ["0.7", "stream"] {
        let place = Place::new();
        measure(dialect, plain(env!("CARGO_BIN_EXE_flame-echo-service"), &["--dialect", dialect]), &place).await;
    }
}
