//! The program that stands in for uv.

use std::process::{Command, Output};

use flame_proto::ha;

use crate::hub::Hub;
use crate::worker::{Place, Worker};

const UV: &str = env!("CARGO_BIN_EXE_flame-uv");

fn run(words: &[&str]) -> Output {
    let variables = [("FLAME_PYTHON", "/bin/echo"), ("FLAME_PYTHON_VERSION", "3.12")];
    Command::new(UV).args(words).envs(variables).output().unwrap()
}

#[test]
fn it_becomes_the_interpreter_and_says_what_it_is_not() {
    let output = run(&["run", "--python", "python3.12", "python", "-m", "flamepy.runner.runpy"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "-m flamepy.runner.runpy\n");
    assert!(String::from_utf8_lossy(&run(&["--version"]).stdout).starts_with("flame-uv "));
    let output = run(&["pip", "install", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("put uv itself in its place"));
    let output = run(&["run", "--python", "3.99", "python"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no Python 3.99 here"));
}

/// The published template, with the echo service in place of the interpreter.
#[tokio::test]
async fn the_template_of_the_runner_starts() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let (home, python) = (place.path("home"), place.path("python"));
    std::fs::create_dir_all(home.join("bin")).unwrap();
    std::os::unix::fs::symlink(UV, home.join("bin/uv")).unwrap();
    let text = "#!/bin/sh\ncase \"$1\" in\n-c) echo 3.11 ;;\n-m) [ \"$2\" = flamepy.runner.runpy ] && exec \"$ECHO\" ;;\nesac\n";
    std::fs::write(&python, text).unwrap();
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, rights).unwrap();
    let settings = [("python", python.to_str().unwrap())];
    let variables = [("FLAME_HOME", home.to_str().unwrap())];
    let _worker = Worker::start_in(&place, &hub.endpoint, &settings, &variables);
    let mut link = hub.attach().await;
    let arguments = ["run", "--python", "python${FLAME_PYTHON_VERSION}", "python", "-m", "flamepy.runner.runpy"];
    let template = place.application("${FLAME_HOME}/bin/uv", &arguments);
    link.start(ha::Application { installer: Some("python".into()), ..template }).await;
    link.ready().await;
}
