//! What expansions of the macros and examples of the documentation use. No program should: it changes without notice.

use std::future::Future;
use std::time::Duration;

pub use bytes::Bytes;
use futures::future::BoxFuture;
pub use serde::Serialize;
pub use serde::de::DeserializeOwned;

use crate::FlameError;

/// A task that runs.
pub type Invocation<'a> = BoxFuture<'a, Result<Option<Bytes>, FlameError>>;

/// A hook that runs.
pub type Step<'a> = BoxFuture<'a, Result<(), FlameError>>;

/// Set where there is a cluster for the examples; elsewhere they are compiled only.
const EXAMPLES_VARIABLE: &str = "FLAME_DOC_EXAMPLES";

/// No example takes so long, unless something is wrong.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(60);

/// Runs an example of the documentation, if there is a cluster for it.
///
/// # Panics
/// When the example fails.
pub fn example(example: impl Future<Output = Result<(), FlameError>>) {
    if std::env::var_os(EXAMPLES_VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("an example gets a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(EXAMPLE_LIMIT, example).await });
    ended.expect("an example ends in time").expect("an example works");
}
