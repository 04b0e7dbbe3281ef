//! The YAML that describes applications, for `flmctl register` and `flmctl update`.
//!
//! **Invariant:** a key that is not known is an error: a misspelt one must not be skipped in silence.

use std::collections::BTreeMap;
use std::path::Path;

use flame_sdk::model::{ApplicationSpec, Environment, Retention, Retries, Schema, State};
use flame_types::{AppName, Shim};
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Most applications in one file.
const DOCUMENTS_MAX: usize = 1000;

/// An application as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// How its service is started.
    pub spec: ApplicationSpec,
}

/// Reads every application of a file, in order. `-` is standard input.
///
/// # Errors
/// Says where the file is wrong.
pub fn read(path: &Path) -> Result<Vec<Manifest>, Failure> {
    let name = path.display();
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin().lock()).map_err(|error| Failure::failed(format!("stdin: {error}")))?
    } else {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("{name}: there is no such file")),
            _ => Failure::failed(format!("{name}: {error}")),
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(Failure::usage(format!("{name}: it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
        }
        std::fs::read_to_string(path).map_err(unreadable)?
    };
    parse(&text).map_err(|failure| Failure { message: format!("{name}: {}", failure.message), ..failure })
}

/// Reads every application of a text.
///
/// # Errors
/// Says where the text is wrong.
pub fn parse(text: &str) -> Result<Vec<Manifest>, Failure> {
    let documents: Vec<&str> = split_documents(text).into_iter().filter(|document| holds_something(document)).collect();
    if documents.is_empty() {
        return Err(Failure::usage("it describes no application"));
    }
    if documents.len() > DOCUMENTS_MAX {
        let count = documents.len();
        return Err(Failure::usage(format!("it describes {count} applications, at most {DOCUMENTS_MAX} are allowed")));
    }
    documents.iter().enumerate().map(|(at, document)| parse_document(document, at + 1)).collect()
}

/// Splits at lines of three dashes.
fn split_documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            documents.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents
}

fn holds_something(document: &str) -> bool {
    document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

fn parse_document(text: &str, number: usize) -> Result<Manifest, Failure> {
    let wrong = |why: String| Failure::usage(format!("document {number}: {why}"));
    let document: Document = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    AppName::parse(&document.metadata.name).map_err(|error| wrong(error.to_string()))?;
    let spec = document.spec;
    let shim = spec.shim.as_deref().map_or(Some(Shim::Host), parse_shim).ok_or_else(|| {
        wrong(format!("shim {:?} is not known; write Host, Wasm or Cri", spec.shim.unwrap_or_default()))
    })?;
    let environments = spec.environments.into_iter().map(|(name, value)| Environment { name, value }).collect();
    let spec = ApplicationSpec {
        shim: State::Known(shim),
        description: spec.description,
        labels: spec.labels,
        image: spec.image,
        command: spec.command,
        arguments: spec.arguments,
        environments,
        working_directory: spec.working_directory,
        max_instances: spec.max_instances,
        delay_release: spec.delay_release,
        schema: spec.schema.map(|schema| Schema {
            input: schema.input,
            output: schema.output,
            common_data: schema.common_data,
        }),
        url: spec.url,
        installer: spec.installer,
        retention: spec.retention,
        retry: spec.retry,
        task_timeout_ms: spec.task_timeout_ms,
    };
    Ok(Manifest { name: document.metadata.name, spec })
}

/// A shim by its name, in any case.
pub(crate) fn parse_shim(text: &str) -> Option<Shim> {
    match text.to_ascii_lowercase().as_str() {
        "host" => Some(Shim::Host),
        "wasm" => Some(Shim::Wasm),
        "cri" => Some(Shim::Cri),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Spec {
    shim: Option<String>,
    description: Option<String>,
    labels: Vec<String>,
    image: Option<String>,
    command: Option<String>,
    arguments: Vec<String>,
    environments: BTreeMap<String, String>,
    working_directory: Option<String>,
    max_instances: Option<u32>,
    delay_release: Option<i64>,
    schema: Option<SchemaSpec>,
    url: Option<String>,
    installer: Option<String>,
    retention: Option<Retention>,
    retry: Option<Retries>,
    task_timeout_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SchemaSpec {
    input: Option<String>,
    output: Option<String>,
    common_data: Option<String>,
}

#[cfg(test)]
mod tests {
    use flame_sdk::model::Retry;

    use super::*;

    const PUBLISHED: &str = "metadata:
  name: crawler-app
spec:
  working_directory: /opt/examples/crawler/
  environments:
    FLAME_LOG_LEVEL: DEBUG
    PORT: 8080
    VERSION: 1.10
    VERBOSE: true
  command: /usr/bin/uv
  arguments:
    - run
    - crawler.py
    - 3
";

    #[test]
    fn the_published_example_is_read() {
        let manifests = parse(PUBLISHED).unwrap();
        assert_eq!(manifests.len(), 1);
        assert_eq!(manifests[0].name, "crawler-app");
        let spec = &manifests[0].spec;
        assert_eq!(spec.command.as_deref(), Some("/usr/bin/uv"));
        assert_eq!(spec.arguments, ["run", "crawler.py", "3"]);
        // Values are the text of the file: 1.10 stays 1.10.
        let values: Vec<&str> = spec.environments.iter().map(|variable| variable.value.as_str()).collect();
        assert_eq!(values, ["DEBUG", "8080", "true", "1.10"]);
        assert_eq!(spec.shim, State::Known(Shim::Host));
    }

    #[test]
    fn one_file_may_hold_several() {
        let text = format!("# both\n---\n{PUBLISHED}---\n{}\n---\n", PUBLISHED.replace("crawler-app", "other"));
        let names: Vec<String> = parse(&text).unwrap().into_iter().map(|manifest| manifest.name).collect();
        assert_eq!(names, ["crawler-app", "other"]);
    }

    #[test]
    fn retention_is_a_section_of_its_own() {
        let text = "metadata: {name: a}\nspec: {retention: {task_age_ms: 60000, closed_count: 10}}";
        let expected = Retention { task_age_ms: Some(60_000), closed_count: Some(10), ..Retention::default() };
        assert_eq!(parse(text).unwrap()[0].spec.retention, Some(expected));
        let wrong = parse("metadata: {name: a}\nspec: {retention: {task_age: 1m}}").unwrap_err();
        assert!(wrong.message.contains("task_age"), "{}", wrong.message);
    }

    #[test]
    fn a_retry_policy_is_a_section_of_its_own() {
        let text = "metadata: {name: a}\nspec: {retry: {failed: {starts_max: 3, backoff_ms: 50}}, task_timeout_ms: 9}";
        let failed = Retry { starts_max: Some(3), backoff_ms: Some(50), ..Retry::default() };
        let spec = &parse(text).unwrap()[0].spec;
        assert_eq!(spec.retry, Some(Retries { failed: Some(failed), ..Retries::default() }));
        assert_eq!(spec.task_timeout_ms, Some(9));
        let wrong = parse("metadata: {name: a}\nspec: {retry: {fail: {starts_max: 3}}}").unwrap_err();
        assert!(wrong.message.contains("fail"), "{}", wrong.message);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |text: &str| parse(text).unwrap_err().message;
        assert!(message("").contains("no application"));
        assert!(message("metadata: {name: a}\nspec: {comand: x}").contains("comand"));
        assert!(message("metadata: {name: ../a}\nspec: {}").contains("invalid application name"));
        assert!(message("metadata: {name: a}\nspec: {shim: Tcp}").contains("\"Tcp\" is not known"));
        assert!(message(&format!("{PUBLISHED}---\nmetadata: {{}}")).contains("document 2"));
    }
}
