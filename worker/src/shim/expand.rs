//! `$VAR` and `${VAR}` in commands, arguments and environments of applications.

/// Replaces variables by what `lookup` says. One that is not known stays as it is written: the error about the missing
/// `${FLAME_HOME}/bin/x` then names the variable.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        match variable(tail) {
            Some((name, length)) => {
                match lookup(name) {
                    Some(value) => out.push_str(&value),
                    None => out.push_str(&rest[at..at + 1 + length]),
                }
                rest = &tail[length..];
            }
            None => {
                out.push('$');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The variable at the start of `tail`, the text behind a `$`, and how many bytes of `tail` it takes.
fn variable(tail: &str) -> Option<(&str, usize)> {
    if let Some(inner) = tail.strip_prefix('{') {
        let end = inner.find('}')?;
        let name = &inner[..end];
        return is_name(name).then_some((name, end + 2));
    }
    let end = tail.find(|c: char| !is_name_char(c)).unwrap_or(tail.len());
    let name = &tail[..end];
    is_name(name).then_some((name, end))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| match name {
            "HOME" => Some("/root".to_owned()),
            "EMPTY" => Some(String::new()),
            "SELF" => Some("$SELF".to_owned()),
            _ => None,
        };
        assert_eq!(expand(text, lookup), expected, "{text}");
    }

    #[test]
    fn both_forms_are_replaced() {
        check("$HOME/bin", "/root/bin");
        check("${HOME}bin:$HOME", "/rootbin:/root");
        check("a${EMPTY}b", "ab");
    }

    #[test]
    fn the_unknown_and_the_malformed_stay() {
        check("${FLAME_HOME}/bin", "${FLAME_HOME}/bin");
        check("$UNKNOWN-x", "$UNKNOWN-x");
        check("cost: 5$", "cost: 5$");
        check("$1 $$ ${ ${} ${a b} größe$", "$1 $$ ${ ${} ${a b} größe$");
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        check("$SELF", "$SELF");
    }
}
