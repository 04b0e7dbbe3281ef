//! A typed service written with the macros of the published crate: it adds two numbers.

use flame_rs::FlameMessage;
use flame_rs::apis::FlameError;
use flame_rs::service::FlameInstance;
use serde::{Deserialize, Serialize};

/// The input: two numbers.
#[derive(Serialize, Deserialize, FlameMessage)]
struct Pair {
    left: i64,
    right: i64,
}

/// The output: their sum, and the session that asked.
#[derive(Serialize, Deserialize, FlameMessage)]
struct Sum {
    sum: i64,
    session: String,
}

#[flame_rs::entrypoint]
async fn add(instance: FlameInstance, pair: Pair) -> Result<Sum, FlameError> {
    let sum = pair.left.checked_add(pair.right).ok_or_else(|| FlameError::Internal("the sum is too large".into()))?;
    Ok(Sum { sum, session: instance.session_id().to_owned() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    flame_rs::run(add).await
}
