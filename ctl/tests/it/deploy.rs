//! `flmctl deploy` where nothing is sent: what is found in a folder, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn flmctl(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flmctl"));
    command.env_remove("FLAME_ENDPOINT").env_remove("FLAME_CACHE_ENDPOINT").env("HOME", "/nonexistent");
    command.args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a program in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serve");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The plan for such a folder.
fn plan(words: &[&str]) -> Output {
    let folder = folder();
    let path = folder.path().display().to_string();
    let always = ["deploy", "--name", "app", "--application", &path, "--dry-run"];
    flmctl(&[&always, words].concat())
}

const CACHE: [&str; 2] = ["--cache-endpoint", "grpc://cache,grpc://other:1"];

#[test]
fn a_plan_says_what_would_be_done() {
    let words = ["--argument", "-v", "--argument", "x y", "--delay-release", "90"];
    let output = plan(&[&CACHE[..], &words].concat());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let sum = said.lines().find_map(|line| line.strip_prefix("SHA256: ")).unwrap();
    let object = format!("app/pkg/app-{}.tar.gz", &sum[..16]);
    let expected = format!(
        "Application <app> deploy plan.\nInput Kind: directory\nInstaller: binary\nCommand: serve\n\
         Delay Release: 1m 30s\nArguments: -v x y\nObject: {object}\nSHA256: {sum}\n\
         URL: grpc://cache:9090/{object}#sha256={sum}\nDry Run: true\n"
    );
    assert_eq!(said, expected);
    assert_eq!(said, text(&plan(&[&CACHE[..], &words].concat()).stdout), "the same files are the same package");
}

#[test]
fn a_plan_has_a_form_for_programs() {
    let words = ["-o", "json", "--env", "A=b=c", "--label", "web", "--max-instances", "3", "--schema-input", "{}"];
    let output = plan(&[&CACHE[..], &words].concat());
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&plan["name"], &plan["input_kind"], &plan["dry_run"]),
        (&"app".into(), &"directory".into(), &true.into())
    );
    let spec = &plan["spec"];
    assert_eq!(
        (&spec["installer"], &spec["command"], &spec["max_instances"]),
        (&"binary".into(), &"serve".into(), &3.into())
    );
    assert_eq!(spec["environments"][0], serde_json::json!({ "name": "A", "value": "b=c" }));
    assert_eq!((&spec["labels"][0], &spec["schema"]["input"]), (&"web".into(), &"{}".into()));
}

#[test]
fn what_cannot_be_deployed_is_refused() {
    let refused = |output: Output, code: i32, part: &str| {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part) && output.stdout.is_empty(), "{part:?} is missing in {said}");
    };
    // Nothing names a cache, so the coordinators are asked.
    let nobody = ["--endpoint", "127.0.0.1:1", "--timeout", "10ms"];
    refused(plan(&nobody), 5, "no coordinator answered");
    refused(plan(&["--cache-endpoint", "http://h"]), 2, "is neither grpc nor grpcs");
    refused(plan(&[&CACHE[..], &["--shim", "tcp"]].concat()), 2, "write Host, Wasm or Cri");
    refused(plan(&[&CACHE[..], &["--installer", "conda"]].concat()), 2, "write python or binary");
    refused(plan(&[&CACHE[..], &["--installer", "python"]].concat()), 2, "--command");
    let named = |name: &str, path: &str| {
        flmctl(&["deploy", "--name", name, "--application", path, "--dry-run", CACHE[0], CACHE[1]])
    };
    refused(named("../app", "/tmp"), 2, "'..'");
    refused(named("app", "/does/not/exist"), 3, "there is no such file");
    refused(flmctl(&["deploy", "--name", "app"]), 2, "--application");
}
