//! Objects through the published crate: put, get, patch, delete, upload_package. Runs against a cache alone; the crate
//! reads `$HOME/.flame/flame.yaml`, which says where it is.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use flame_rs::apis::{FlameContext, FlameError};
use flame_rs::{
    FlameMessage, ObjectKey, ObjectRef, delete_objects, get_object, package_key, patch_object, put_object,
    upload_package,
};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Runs the published Rust client's object calls against a cache")]
struct Arguments {
    /// Leave an object of these bytes here, for another client, instead of running the checks.
    #[arg(long, num_args = 2, value_names = ["PREFIX", "TEXT"])]
    leave: Option<Vec<String>>,
    /// Read an object that another client put, and compare it with this text.
    #[arg(long, num_args = 3, value_names = ["ENDPOINT", "KEY", "TEXT"])]
    read: Option<Vec<String>>,
}

/// Bytes as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Raw(Vec<u8>);

impl FlameMessage for Raw {
    fn encode(&self) -> Result<Bytes, FlameError> {
        Ok(Bytes::from(self.0.clone()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, FlameError> {
        Ok(Self(bytes.to_vec()))
    }
}

/// Every part of an object.
#[derive(Debug, PartialEq, Eq)]
struct Parts(Vec<Vec<u8>>);

impl TryFrom<Vec<Bytes>> for Parts {
    type Error = FlameError;

    fn try_from(parts: Vec<Bytes>) -> Result<Self, FlameError> {
        Ok(Self(parts.iter().map(|part| part.to_vec()).collect()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FlameMessage)]
struct Person {
    name: String,
    age: u32,
}

type Outcome = Result<(), String>;
type Body = Pin<Box<dyn Future<Output = Outcome>>>;
type Check = (&'static str, fn() -> Body);

macro_rules! check_list {
    ($group:literal: $($function:ident),+ $(,)?) => {
        vec![$((
            concat!("rust::", $group, "::", stringify!($function)),
            (|| -> Body { Box::pin($function()) }) as fn() -> Body,
        )),+]
    };
}

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

fn why(error: FlameError) -> String {
    error.to_string()
}

fn prefix(stem: &str) -> String {
    format!("rs-{}-{stem}/session", std::process::id())
}

async fn parts(reference: &ObjectRef) -> Result<Vec<Vec<u8>>, String> {
    get_object::<Parts>(reference.clone()).await.map(|parts| parts.0).map_err(why)
}

async fn a_message_is_put_and_read() -> Outcome {
    let person = Person { name: "Ada".to_owned(), age: 36 };
    let reference = put_object(prefix("message"), &person).await.map_err(why)?;
    ensure!(reference.version == 1, "{reference:?}");
    let again: Person = ObjectRef::decode(reference.encode().map_err(why)?).map_err(why)?.get().await.map_err(why)?;
    ensure!(again == person, "{again:?}");
    Ok(())
}

async fn large_and_empty_objects_come_back_as_they_were() -> Outcome {
    for length in [0_usize, 1, 1 << 20, (5 << 20) + 3] {
        let data: Vec<u8> = (0..length).map(|at| (at / 11) as u8).collect();
        let reference = put_object(prefix("large"), &Raw(data.clone())).await.map_err(why)?;
        let parts = parts(&reference).await?;
        ensure!(parts == [data], "{length} bytes came back as {} parts", parts.len());
    }
    Ok(())
}

async fn patches_are_parts_in_order() -> Outcome {
    let reference = put_object(prefix("patch"), &Raw(b"base".to_vec())).await.map_err(why)?;
    for (version, text) in [(2, "one"), (3, ""), (4, "two")] {
        let patched = patch_object(&reference, &Raw(text.as_bytes().to_vec())).await.map_err(why)?;
        ensure!(patched.key == reference.key && patched.version == version, "{patched:?}");
    }
    let expected: Vec<Vec<u8>> = ["base", "one", "", "two"].map(|text| text.as_bytes().to_vec()).to_vec();
    ensure!(parts(&reference).await? == expected, "the parts are others");
    Ok(())
}

async fn what_is_not_there_is_not_found() -> Outcome {
    let mut reference = put_object(prefix("missing"), &Raw(b"x".to_vec())).await.map_err(why)?;
    reference.key = format!("{}/none", prefix("missing"));
    for outcome in [parts(&reference).await.err(), patch_object(&reference, &Raw(Vec::new())).await.err().map(why)] {
        let text = outcome.ok_or("it was accepted")?;
        ensure!(text.contains("not found"), "{text}");
    }
    Ok(())
}

async fn deletions_take_keys_prefixes_and_applications() -> Outcome {
    let prefix = prefix("delete");
    let key = ObjectKey::from_prefix(&prefix).map_err(why)?;
    let application = key.to_prefix().split('/').next().unwrap_or_default().to_owned();
    let mut references = Vec::new();
    for target in [&prefix, &prefix, &format!("{application}/shared")] {
        references.push(put_object(target, &Raw(b"x".to_vec())).await.map_err(why)?);
    }
    for (target, left) in [(references[0].key.clone(), 2), (prefix.clone(), 1), (format!("{application}/*"), 0)] {
        for _ in 0..2 {
            delete_objects(&target).await.map_err(why)?;
        }
        let mut found = 0;
        for reference in &references {
            found += usize::from(parts(reference).await.is_ok());
        }
        ensure!(found == left, "{found} objects are left after {target}, not {left}");
    }
    Ok(())
}

async fn a_package_is_uploaded_again_under_its_name() -> Outcome {
    let context = FlameContext::from_file_with_env(None).map_err(why)?;
    let application = format!("rs-{}-package", std::process::id());
    let path = std::env::temp_dir().join(format!("{application}.tar.gz"));
    for length in [3_000_000_usize, 10] {
        let data = vec![length as u8; length];
        std::fs::write(&path, &data).map_err(|error| error.to_string())?;
        let uploaded = upload_package(&context, &application, "package.tar.gz", &path).await;
        std::fs::remove_file(&path).map_err(|error| error.to_string())?;
        let reference = uploaded.map_err(why)?;
        ensure!(reference.key == package_key(&application, "package.tar.gz"), "{reference:?}");
        ensure!(parts(&reference).await? == [data], "{length} bytes are others");
    }
    Ok(())
}

fn checks() -> Vec<Check> {
    check_list!("objects":
        a_message_is_put_and_read,
        large_and_empty_objects_come_back_as_they_were,
        patches_are_parts_in_order,
        what_is_not_there_is_not_found,
        deletions_take_keys_prefixes_and_applications,
        a_package_is_uploaded_again_under_its_name,
    )
}

/// Puts an object for another client, and prints its key.
async fn leave(prefix: &str, text: &str) -> Outcome {
    let reference = put_object(prefix, &Raw(text.as_bytes().to_vec())).await.map_err(why)?;
    println!("left {}", reference.key);
    Ok(())
}

/// Reads what another client put.
async fn read(endpoint: &str, key: &str, text: &str) -> Outcome {
    let reference = ObjectRef::new(endpoint, key, 1).map_err(why)?;
    let found = parts(&reference).await?;
    ensure!(found == [text.as_bytes().to_vec()], "{found:?}");
    println!("ok {key}");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    const CHECK_MAX: Duration = Duration::from_secs(90);
    let arguments = Arguments::parse();
    let one = match (&arguments.leave, &arguments.read) {
        (Some(leave), _) => Some(self::leave(&leave[0], &leave[1]).await),
        (None, Some(read)) => Some(self::read(&read[0], &read[1], &read[2]).await),
        (None, None) => None,
    };
    if let Some(outcome) = one {
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                println!("FAILED: {reason}");
                ExitCode::FAILURE
            }
        };
    }
    let mut failed = 0;
    for (name, check) in checks() {
        let outcome = tokio::time::timeout(CHECK_MAX, check()).await;
        match outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_MAX.as_secs()))) {
            Ok(()) => println!("ok {name}"),
            Err(reason) => {
                failed += 1;
                println!("FAILED {name}: {reason}");
            }
        }
    }
    println!("flame-rs 0.7.0: objects: failed={failed}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
