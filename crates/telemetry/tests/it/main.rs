//! What a process looks like from outside once telemetry is set up: run as a child, since both the subscriber and the
//! panic hook are for a whole process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const SIGABRT: i32 = 6;

/// Set in the child: what it shall do.
const TASK_VARIABLE: &str = "FLAME_TELEMETRY_TEST_TASK";

/// Runs this test program again as a child that does `task`.
fn child(task: &str, format: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["as_a_child", "--exact", "--nocapture"])
        .env(TASK_VARIABLE, task)
        .env("FLAME_LOG", "info")
        .env("FLAME_LOG_FORMAT", format)
        .output()
        .unwrap()
}

/// Not a test of its own: without the variable it has nothing to do.
#[test]
fn as_a_child() {
    let Ok(task) = std::env::var(TASK_VARIABLE) else { return };
    flame_telemetry::init("child").unwrap();
    match task.as_str() {
        "log" => tracing::info!(answer = 42, "ready"),
        "panic" => std::thread::spawn(|| panic!("two replicas differ")).join().unwrap(),
        "twice" => assert!(matches!(flame_telemetry::init("child"), Err(flame_telemetry::InitError::Twice))),
        other => panic!("unknown task {other}"),
    }
}

#[test]
fn a_panic_of_any_thread_is_logged_and_aborts_the_process() {
    let output = child("panic", "text");
    assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("broken invariant, the process stops: two replicas differ"), "{log}");
}

#[test]
fn logs_go_to_standard_error_as_json_when_asked() {
    let output = child("log", "json");
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let line = log.lines().find(|line| line.contains("ready")).unwrap_or_else(|| panic!("nothing was logged: {log}"));
    assert!(line.starts_with('{') && line.contains("\"answer\":42"), "{line}");
}

#[test]
fn a_second_call_is_an_error() {
    let output = child("twice", "text");
    assert!(output.status.success(), "{output:?}");
}
