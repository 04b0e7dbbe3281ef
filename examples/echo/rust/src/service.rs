//! Answers every text with itself. A worker starts this program.

use flame_sdk::FlameError;

#[flame_sdk::entrypoint]
async fn echo(text: String) -> Result<String, FlameError> {
    Ok(text)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FlameError> {
    flame_sdk::run(echo).await
}
