//! Golden files: `tests/golden/<name>.txt`. `BLESS=1` writes them anew; look at the difference before committing it.

use std::fmt::Write;
use std::path::PathBuf;

use flame_ctl::render::{Format, Render, render};

/// Compares `text` with its golden file.
pub fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs; BLESS=1 accepts it\n--- expected\n{expected}\n--- found\n{text}");
}

/// Checks a value in every format.
pub fn check_value<T: Render>(name: &str, command: &str, value: &T) {
    let mut text = String::new();
    for (format, flag) in [(Format::Table, ""), (Format::Json, " -o json"), (Format::Yaml, " -o yaml")] {
        let shown = render(value, format, false).unwrap();
        writeln!(text, "$ {command}{flag}\n{shown}").unwrap();
    }
    check(name, &text);
}
