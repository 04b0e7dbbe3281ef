//! Calls that are allowed in certain places only.

use super::Finding;
use super::sources::Source;

/// A call and where it may stand.
struct Home {
    /// Text of the call.
    call: &'static str,
    /// Where the rule holds.
    holds: fn(&Source) -> bool,
    /// What to do instead.
    instead: &'static str,
}

const HOMES: &[Home] = &[
    Home {
        call: "SystemTime::now",
        holds: |source| source.is_product() && !source.path.starts_with("crates/clock/"),
        instead: "take a flame_clock::Clock",
    },
    Home {
        call: "Instant::now",
        holds: |source| source.is_product() && !source.path.starts_with("crates/clock/") && uses_std_instant(source),
        instead: "take a flame_clock::Clock, or tokio's Instant for a deadline of async code",
    },
    Home {
        call: ".unwrap()",
        holds: Source::is_product,
        instead: "return an error, or expect(\"why it cannot fail\")",
    },
    Home { call: "HashMap", holds: in_machine, instead: "a BTreeMap: every replica must see the same order" },
    Home { call: "HashSet", holds: in_machine, instead: "a BTreeSet: every replica must see the same order" },
    Home { call: "as f64", holds: in_machine, instead: "integers: replicas must decide alike to the last bit" },
    Home { call: "as f32", holds: in_machine, instead: "integers: replicas must decide alike to the last bit" },
    Home { call: "std::env::", holds: in_pure_crates, instead: "an argument: this crate knows no environment" },
    Home { call: "#[ignore", holds: |_| true, instead: "a test that runs, or none" },
];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let rules: Vec<_> = HOMES.iter().filter(|home| (home.holds)(source)).collect();
    let found = source.code().flat_map(|(line, code)| {
        let broken = rules.iter().filter(|home| calls(&code, home.call));
        let findings = broken.map(|home| {
            let what = format!("{} is not for this place; use {}", home.call, home.instead);
            Finding::new(&source.path, line, what)
        });
        findings.collect::<Vec<_>>()
    });
    found.collect()
}

/// Whether the call stands in the code as words of its own.
fn calls(code: &str, call: &str) -> bool {
    let code = code.split("//").next().unwrap_or_default();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(call).any(|(at, _)| {
        let glued_before = call.starts_with(word) && code[..at].ends_with(word);
        let glued_after = call.ends_with(word) && code[at + call.len()..].starts_with(word);
        !glued_before && !glued_after
    })
}

fn in_machine(source: &Source) -> bool {
    source.path.starts_with("crates/machine/src/") && source.is_product()
}

fn in_pure_crates(source: &Source) -> bool {
    source.is_product() && ["crates/machine/src/", "crates/types/src/"].iter().any(|home| source.path.starts_with(home))
}

/// Whether the file means the standard library's `Instant`, and not tokio's.
fn uses_std_instant(source: &Source) -> bool {
    source.code().any(|(_, code)| code.contains("std::time::") && code.contains("Instant"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_code(path: &str, code: &str, expected: usize) {
        let findings = check(&Source::new(path, &format!("//! Doc.\n{code}\n")));
        assert_eq!(findings.len(), expected, "{path}: {code}\n{findings:?}");
    }

    #[test]
    fn only_the_clock_reads_the_time() {
        check_code("worker/src/a.rs", "let now = SystemTime::now();", 1);
        check_code("crates/clock/src/system.rs", "let now = SystemTime::now();", 0);
        check_code("worker/src/a.rs", "use std::time::Instant;\nlet now = Instant::now();", 1);
        check_code("worker/src/a.rs", "use tokio::time::Instant;\nlet now = Instant::now();", 0);
        check_code("worker/tests/it/a.rs", "use std::time::Instant;\nlet now = Instant::now();", 0);
    }

    #[test]
    fn products_do_not_unwrap() {
        check_code("worker/src/a.rs", "let a = b.unwrap();", 1);
        check_code("worker/src/a.rs", "let a = b.unwrap_or(c);", 0);
        check_code("worker/src/a.rs", "// b.unwrap() would panic", 0);
        check_code("worker/src/a.rs", "let a = b; // not b.unwrap()", 0);
        check_code("worker/src/a.rs", "#[cfg(test)]\nmod tests {\n    fn a() { b.unwrap(); }\n}", 0);
        check_code("chaos/src/a.rs", "let a = b.unwrap();", 0);
    }

    #[test]
    fn the_machine_has_one_order_and_whole_numbers() {
        check_code("crates/machine/src/state.rs", "use std::collections::HashMap;", 1);
        check_code("crates/machine/src/state.rs", "let share = a as f64;", 1);
        check_code("crates/machine/src/state.rs", "fn serialize_f64(self, a: f64) {", 0);
        check_code("coordinator/src/a.rs", "use std::collections::HashMap;", 0);
    }
}
