//! The reference page says all there is: every verb, every flag, every exit code.

use std::path::Path;

use flame_ctl::exec;
use flame_ctl::exit::Exit;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn check(command: &clap::Command, path: &str, page: &str, missing: &mut Vec<String>) {
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        if let Some(long) = argument.get_long().filter(|long| !matches!(*long, "help" | "version")) {
            let flag = format!("--{long}");
            if !page.contains(&flag) {
                missing.push(format!("{path} {flag}"));
            }
        }
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name());
        if !page.contains(&format!("`{path}")) {
            missing.push(path.clone());
        }
        check(sub, &path, page, missing);
    }
}

#[test]
fn every_verb_and_flag_is_documented() {
    let (page, mut missing) = (page("flmctl.md"), Vec::new());
    check(&flame_ctl::cli::command(), "flmctl", &page, &mut missing);
    check(&flame_ctl::ping::command(), "flmping", &page, &mut missing);
    assert!(missing.is_empty(), "docs/reference/flmctl.md does not mention {missing:#?}");
}

#[test]
fn every_flag_and_bound_of_flmexec_is_documented() {
    let (page, mut missing) = (page("flmexec.md"), Vec::new());
    check(&flame_ctl::exec::command(), "flmexec", &page, &mut missing);
    assert!(missing.is_empty(), "docs/reference/flmexec.md does not mention {missing:#?}");
    for (what, bytes) in [("stdout", exec::STDOUT_BYTES_MAX), ("stderr", exec::STDERR_BYTES_MAX)] {
        let bound = format!("{} KiB of {what}", bytes / 1024);
        assert!(page.contains(&bound), "docs/reference/flmexec.md lacks {bound:?}");
    }
}

#[test]
fn every_exit_code_is_documented_with_its_meaning() {
    let page = page("flmctl.md");
    for (exit, meaning) in Exit::TABLE {
        let row = format!("| {} | {meaning} |", exit.code());
        assert!(page.contains(&row), "docs/reference/flmctl.md lacks the row {row}");
    }
}
