//! Where the script and its input come from.

use std::io::{IsTerminal, Read};
use std::path::Path;

use super::args::{ExecArgs, ScriptLanguage};
use super::payload::ScriptInput;
use crate::exit::{Exit, Failure};

/// Stands for standard input.
const STDIN: &str = "-";

/// Reads whatever the arguments name.
pub(super) fn script(args: &ExecArgs) -> Result<ScriptInput, Failure> {
    let is_piped = args.code.is_none() && args.file.as_deref().is_none_or(is_stdin);
    if is_piped && args.input_file.as_deref().is_some_and(is_stdin) {
        return Err(Failure::usage("standard input can be the script or what the script reads, not both"));
    }
    let code = match (&args.code, &args.file) {
        (Some(code), _) => code.clone(),
        (None, None) if std::io::stdin().is_terminal() => {
            return Err(Failure::usage("there is no script").hint("name a FILE, give -c CODE, or pipe it in"));
        }
        (None, file) => {
            let file = file.as_deref().unwrap_or(Path::new(STDIN));
            let wrong = |_| Failure::usage(format!("{} is no text in UTF-8, so it is no script", file.display()));
            String::from_utf8(read(file)?).map_err(wrong)?
        }
    };
    let input = match (&args.input, &args.input_file) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(file)) => Some(read(file)?),
        (None, None) => None,
    };
    let language = Some(language(args).name().to_owned());
    let timeout = args.timeout.map(|timeout| timeout.as_secs_f64());
    Ok(ScriptInput { language, code, input, runtime: args.runtime.clone(), timeout })
}

fn language(args: &ExecArgs) -> ScriptLanguage {
    args.language.unwrap_or_else(|| match args.file.as_deref().and_then(Path::extension) {
        Some(extension) if extension == "py" => ScriptLanguage::Python,
        _ => ScriptLanguage::Shell,
    })
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if is_stdin(file) {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    bytes.map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("cannot read {}: {error}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn read(words: &[&str]) -> Result<ScriptInput, Failure> {
        script(&ExecArgs::try_parse_from([&["flmexec"], words].concat()).unwrap())
    }

    #[test]
    fn scripts_come_from_words_and_files() {
        let typed = read(&["-c", "ls", "-i", "text", "-r", "sh", "--timeout", "500ms"]).unwrap();
        assert_eq!((typed.language.as_deref(), typed.code.as_str()), (Some("shell"), "ls"));
        assert_eq!((typed.input.as_deref(), typed.timeout), (Some(&b"text"[..]), Some(0.5)));
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let (python, input) = (file("a.py", b"print(1)"), file("input", b"\xff\x00"));
        let filed = read(&[&python, "--input-file", &input]).unwrap();
        assert_eq!((filed.language.as_deref(), filed.code.as_str()), (Some("python"), "print(1)"));
        assert_eq!((filed.input.as_deref(), filed.timeout), (Some(&b"\xff\x00"[..]), None));
        assert_eq!(read(&[&python, "-l", "shell"]).unwrap().language.as_deref(), Some("shell"));
        assert_eq!(read(&[&input]).unwrap_err().exit, Exit::Usage, "no text");
        assert_eq!(read(&["/nonexistent/x.py"]).unwrap_err().exit, Exit::NotFound);
        assert_eq!(read(&["-", "--input-file", "-"]).unwrap_err().exit, Exit::Usage);
    }
}
