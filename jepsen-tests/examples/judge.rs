//! Judges a recording, or exports it for Jepsen's own tools.
//!
//! ```text
//! cargo run --release -p flame-jepsen --example judge -- RECORDING          the word of every checker; the last line is the ruling
//! cargo run --release -p flame-jepsen --example judge -- --edn RECORDING    its operations as EDN
//! ```
//!
//! Exit codes: 0 every promise was kept, 1 one was broken, 2 the command or the file is wrong, 3 nothing is proved.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write, stdout};
use std::process::ExitCode;

use flame_jepsen::record::edn::Exporter;
use flame_jepsen::record::file::Reader;
use flame_jepsen::{Recording, Ruling, judge};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--edn", path] => export(path).map(|()| ExitCode::SUCCESS),
        [path] if !path.starts_with('-') => judge_file(path),
        _ => Err("usage: judge [--edn] RECORDING".into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn open(path: &str) -> Result<BufReader<File>, Failure> {
    Ok(BufReader::new(File::open(path).map_err(|error| format!("cannot open {path}: {error}"))?))
}

fn judge_file(path: &str) -> Result<ExitCode, Failure> {
    let report = judge(&Recording::read(open(path)?)?)?;
    writeln!(stdout(), "{report}")?;
    Ok(match report.ruling {
        Ruling::Valid => ExitCode::SUCCESS,
        Ruling::Invalid => ExitCode::from(1),
        Ruling::Inconclusive | Ruling::Unknown => ExitCode::from(3),
    })
}

fn export(path: &str) -> Result<(), Failure> {
    let mut exporter = Exporter::new(BufWriter::new(stdout().lock()));
    for event in Reader::new(open(path)?)? {
        exporter.event(&event?)?;
    }
    Ok(exporter.into_inner().flush()?)
}
