//! A file holds one idea, a function fits on a screen.

use super::Finding;
use super::sources::Source;

/// Longest file, tests included.
const FILE_LINES_MAX: usize = 800;

/// Longest function of product code, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}: split it by what it holds");
        findings.push(Finding::new(&source.path, 0, what));
    }
    if source.is_rust() && source.is_product() {
        findings.extend(long_functions(source));
    }
    findings
}

/// Relies on rustfmt: a function ends at the first `}` that stands as far in as its signature.
fn long_functions(source: &Source) -> Vec<Finding> {
    let code: Vec<(usize, String)> = source.code().collect();
    let mut findings = Vec::new();
    for (at, (start, line)) in code.iter().enumerate() {
        let Some(indent) = function_indent(line) else { continue };
        let end = code[at..].iter().find(|(_, line)| line.len() == indent + 1 && line.trim() == "}");
        let Some((end, _)) = end else { continue };
        // A signature without a body ends with its line; the brace found is not its own.
        if line.trim_end().ends_with(';') {
            continue;
        }
        let lines = end - start + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("a function of {lines} lines, at most {FUNCTION_LINES_MAX}: give its parts names");
            findings.push(Finding::new(&source.path, *start, what));
        }
    }
    findings
}

/// How far in a line stands that begins a function whose body is not on the same line.
fn function_indent(line: &str) -> Option<usize> {
    let text = line.trim_start();
    let begins = text.split_whitespace().take_while(|word| !word.contains('(')).any(|word| word == "fn")
        || text.starts_with("fn ");
    (begins && !line.trim_end().ends_with('}')).then(|| line.len() - text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!(
            "//! Doc.\nimpl A {{\n    pub async fn long(&self) {{\n{}    }}\n}}\n",
            "        step();\n".repeat(lines)
        )
    }

    #[test]
    fn a_long_function_is_found_by_its_first_line() {
        let source = Source::new("worker/src/a.rs", &function(69));
        let expected = Finding::new("worker/src/a.rs", 3, "a function of 71 lines, at most 70: give its parts names");
        assert_eq!(check(&source), [expected]);
        assert_eq!(check(&Source::new("worker/src/a.rs", &function(68))), []);
    }

    #[test]
    fn tests_may_tell_a_long_story() {
        assert_eq!(check(&Source::new("worker/tests/it/a.rs", &function(200))), []);
    }

    #[test]
    fn a_long_file_is_found_wherever_it_is() {
        let source = Source::new("worker/tests/it/a.rs", &"// a\n".repeat(801));
        assert_eq!(check(&source).len(), 1);
        assert_eq!(check(&Source::new("worker/tests/it/a.rs", &"// a\n".repeat(800))), []);
    }
}
