//! `pi-client [TASKS [POINTS]]`: estimates pi from so many tasks of so many random points each.

use flame_example_pi::{Hits, Throw};
use flame_sdk::model::ApplicationSpec;
use flame_sdk::{Connection, FlameError, StreamExt};

const APPLICATION: &str = "pi-rust";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FlameError> {
    let (tasks, points) = (argument(1, 100)?, argument(2, 1_000_000)?);
    let connection = flame_sdk::connect().await?;
    register(&connection).await?;

    let session = connection.create_session_with(APPLICATION).await?;
    let throws = (0..tasks).map(|seed| Throw { seed, points });
    let mut results = session.map::<_, Hits>(throws).as_completed();
    let mut inside = 0;
    while let Some((_, hits)) = results.next().await {
        inside += hits?.inside;
    }
    session.close().await?;

    println!("pi is about {:.4}", 4.0 * inside as f64 / (tasks * points) as f64);
    Ok(())
}

fn argument(at: usize, otherwise: u64) -> Result<u64, FlameError> {
    let Some(text) = std::env::args().nth(at) else { return Ok(otherwise) };
    let wrong = || FlameError::InvalidArgument(format!("{text:?} is not a number above 0"));
    text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// Registers the service that lies beside this program, unless somebody has: `flmctl register` does the same.
async fn register(connection: &Connection) -> Result<(), FlameError> {
    let client = std::env::current_exe().map_err(|error| FlameError::Internal(error.to_string()))?;
    let service = client.with_file_name("pi-service").display().to_string();
    let spec = ApplicationSpec { command: Some(service), ..ApplicationSpec::default() };
    match connection.register_application(APPLICATION, spec).await {
        Err(FlameError::AlreadyExists(_)) => Ok(()),
        registered => registered,
    }
}
