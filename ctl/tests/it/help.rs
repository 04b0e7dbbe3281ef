//! Help texts, so that a change of the grammar is seen.

use std::fmt::Write;

use crate::golden::check;

fn help_of(command: &mut clap::Command, path: &str, text: &mut String) {
    writeln!(text, "$ {path} --help\n{}", command.render_long_help()).unwrap();
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        help_of(sub, &path, text);
    }
}

#[test]
fn flmctl() {
    let mut command = flame_ctl::cli::command().version("0.0.0").term_width(100);
    command.build();
    let mut text = String::new();
    help_of(&mut command, "flmctl", &mut text);
    check("help-flmctl", &text);
}

#[test]
fn flmexec() {
    let mut command = flame_ctl::exec::command().version("0.0.0").term_width(100);
    command.build();
    let mut text = String::new();
    help_of(&mut command, "flmexec", &mut text);
    check("help-flmexec", &text);
}

#[test]
fn flmping() {
    let mut command = flame_ctl::ping::command().version("0.0.0").term_width(100);
    command.build();
    let mut text = String::new();
    help_of(&mut command, "flmping", &mut text);
    check("help-flmping", &text);
}
