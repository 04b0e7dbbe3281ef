//! Nothing in the tree names a path of one machine or a host of a package registry: both are for others to choose.

use super::Finding;
use super::sources::Source;

/// Written in two halves, so that this file does not break its own rule.
const FORBIDDEN: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/."),
    ("/tmp/fl", "ame/"),
    ("/opt/wh", "eels"),
    ("static.cr", "ates.io"),
    ("index.cr", "ates.io"),
    ("registry.np", "mjs.org"),
    ("files.python", "hosted.org"),
    ("py", "pi.org"),
    ("deb.deb", "ian.org"),
];

/// Written by tools, which name the registry they were resolved from.
const WRITTEN_BY_TOOLS: &str = "Cargo.lock";

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if source.path.ends_with(WRITTEN_BY_TOOLS) {
        return Vec::new();
    }
    let forbidden: Vec<String> = FORBIDDEN.iter().map(|(first, second)| format!("{first}{second}")).collect();
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for name in forbidden.iter().filter(|name| stands_alone(line, name)) {
            findings.push(Finding::new(&source.path, at + 1, format!("{name} belongs to one machine or registry")));
        }
    }
    findings
}

/// Whether the name is not the tail of a longer one: a folder `a/work/` is nobody's machine.
fn stands_alone(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at]
            .ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '>' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str, expected: usize) {
        assert_eq!(check(&Source::new("a.md", line)).len(), expected, "{line}");
    }

    #[test]
    fn a_path_of_a_machine_is_found() {
        check_line(&format!("see {}{}main", "/wo", "rk/"), 1);
        check_line(&format!("path = \"{}{}x\"", "/ro", "ot/."), 1);
        check_line("cwd/work/app and $HOME/.cache", 0);
    }

    #[test]
    fn lockfiles_name_what_they_must() {
        let line = format!("source = \"https://{}{}\"", "index.cr", "ates.io");
        assert_eq!(check(&Source::new("sdk/conformance/rust/Cargo.lock", &line)), []);
    }
}
