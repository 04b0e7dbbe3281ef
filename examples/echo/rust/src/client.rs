//! `echo-client WORD...`: sends each word through the cluster and prints what comes back, in order.

use flame_sdk::model::ApplicationSpec;
use flame_sdk::{Connection, FlameError, StreamExt};

const APPLICATION: &str = "echo-rust";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FlameError> {
    let connection = flame_sdk::connect().await?;
    register(&connection).await?;

    let session = connection.create_session_with(APPLICATION).await?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut echoes = session.submit_many::<_, String>(words).await?.in_order();
    while let Some(echo) = echoes.next().await {
        println!("{}", echo?);
    }
    session.close().await
}

/// Registers the service that lies beside this program, unless somebody has: `flmctl register` does the same.
async fn register(connection: &Connection) -> Result<(), FlameError> {
    let client = std::env::current_exe().map_err(|error| FlameError::Internal(error.to_string()))?;
    let service = client.with_file_name("echo-service").display().to_string();
    let spec = ApplicationSpec { command: Some(service), ..ApplicationSpec::default() };
    match connection.register_application(APPLICATION, spec).await {
        Err(FlameError::AlreadyExists(_)) => Ok(()),
        registered => registered,
    }
}
