//! The real binaries where no cluster is needed: how they end and where they write.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn flmctl() -> Command {
    program(env!("CARGO_BIN_EXE_flmctl"))
}

fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env_remove("FLAME_ENDPOINT").env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address where nobody listens: bound, so that nobody else can, and never accepted from once dropped.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn nothing_to_do_prints_help() {
    let output = run(&mut flmctl());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Usage: flmctl"), "{}", text(&output.stdout));
}

#[test]
fn usage_errors_end_with_2() {
    for words in [
        &["list", "--no-such-flag"][..],
        &["nonsense"],
        &["view"],
        &["view", "-a", "x", "-n", "y"],
        &["view", "-t", "1"],
        &["create"],
        &["create", "-a", "x", "-r", "cpu=many"],
        &["list", "--endpoint", "ftp://x"],
        &["list", "--config", "/nonexistent/flame.yaml"],
        &["list", "--timeout", "soon"],
        &["dev", "--nodes", "2"],
        &["cluster", "transfer-leader", "--to", "0"],
    ] {
        let output = run(flmctl().args(words));
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}: errors go to stderr");
    }
}

#[test]
fn a_cluster_that_is_not_there_ends_with_5_and_says_what_to_do() {
    for words in [
        &["list"][..],
        &["view", "-s", "x", "-t", "1"],
        &["create", "-a", "x"],
        &["close", "-s", "x", "--force"],
        &["cancel", "-s", "x", "-t", "1"],
        &["unregister", "-a", "x"],
        &["cluster", "status"],
    ] {
        let ask = || run(flmctl().args(words).args(["--endpoint", &nobody(), "--timeout", "300ms"]));
        // A change that is being sent at the very end of the time has an unknown outcome, whoever is there: ask again.
        let is_told = |output: &Output| !text(&output.stderr).contains("the answer was lost");
        let output = std::iter::repeat_with(ask).take(10).find(is_told).expect("not each time at the very end");
        assert_eq!(output.status.code(), Some(5), "{words:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("--endpoint"), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn errors_are_json_when_json_was_asked_for() {
    let output = run(flmctl().args(["list", "-o", "json", "--endpoint", &nobody(), "--timeout", "300ms"]));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["class"], "unavailable");
    assert_eq!(error["error"]["exit_code"], 5);
}

#[test]
fn the_environment_names_the_cluster() {
    let address = nobody();
    let output = run(flmctl().args(["list", "--timeout", "300ms"]).env("FLAME_ENDPOINT", &address));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
}

#[test]
fn a_missing_manifest_ends_with_3_and_a_wrong_one_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.yaml");
    assert_eq!(run(flmctl().args(["register", "-f"]).arg(&missing)).status.code(), Some(3));
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(&wrong, "metadata: {name: a}\nspec: {comand: x}\n").unwrap();
    let output = run(flmctl().args(["register", "-f"]).arg(&wrong));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("comand"), "{}", text(&output.stderr));
}

#[test]
fn a_daemon_is_started_by_its_own_supervisor_only() {
    let child = |parent: u32| {
        run(flmctl().args(["dev", "child", "--parent", &parent.to_string(), "--", "/bin/echo", "--hello"]))
    };
    let started = child(std::process::id());
    assert_eq!((started.status.code(), text(&started.stdout).as_str()), (Some(0), "--hello\n"));
    let stray = child(1);
    assert_eq!(stray.status.code(), Some(1));
    assert!(text(&stray.stderr).contains("the supervisor has ended"), "{}", text(&stray.stderr));
}

#[test]
fn dev_verbs_without_a_cluster_end_with_3() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["status"][..], &["kill", "leader"], &["start", "1"], &["stop"]] {
        let output = run(flmctl().arg("dev").args(words).arg("--data").arg(folder.path()));
        assert_eq!(output.status.code(), Some(3), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        flmctl().args(["completion", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn completion_scripts_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(flmctl().args(["completion", shell]));
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("flmctl"), "{shell}");
    }
}

#[test]
fn a_service_started_by_hand_says_who_should_start_it() {
    for service in [env!("CARGO_BIN_EXE_flmping-service"), env!("CARGO_BIN_EXE_flmexec-service")] {
        let output = run(program(service).env_remove("FLAME_INSTANCE_ENDPOINT"));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("started by a worker"), "{}", text(&output.stderr));
    }
}
