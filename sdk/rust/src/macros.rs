//! The macros, with their documentation.

/// Makes a service of an `async fn`: a value of its name, for [`crate::run`].
///
/// The function takes a [`crate::FlameInstance`] first, if it likes, and at most one message: a
/// [`trait@crate::FlameMessage`], or an `Option` of one where the input may be missing. It returns
/// `Result<T, FlameError>`, where `T` is a message, an `Option` of one, or `()`. An error fails the task, and its text is
/// what the client reads.
///
/// The function itself stays callable as `name::call`, for tests. `#[entrypoint(crate = path)]` says where this crate is
/// if it is not `::flame_sdk`.
///
/// ```
/// use flame_sdk::{FlameError, FlameInstance, FlameMessage};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, FlameMessage)]
/// struct Pair {
///     left: i64,
///     right: i64,
/// }
///
/// #[flame_sdk::entrypoint]
/// async fn add(instance: FlameInstance, pair: Pair) -> Result<i64, FlameError> {
///     println!("task {:?} of session {}", instance.task_id(), instance.session_id());
///     pair.left.checked_add(pair.right).ok_or_else(|| FlameError::InvalidArgument("too large".to_owned()))
/// }
///
/// // In `main`: flame_sdk::run(add).await
/// # fn is_a_service(_: impl flame_sdk::IntoFlameInstance) {}
/// # is_a_service(add);
/// ```
pub use flame_sdk_macros::entrypoint;
/// Makes a service of a type with state: one value of it serves the sessions of its process, one after the other.
///
/// Goes on an `impl` block of the type in which one method has `#[entrypoint]` (or is named by
/// `#[instance(entrypoint = "method")]`). Methods `enter` and `leave`, if there are any, run when a session begins and
/// ends; `enter = "method"` and `leave = "method"` name others. `enter` may take a [`crate::FlameInstance`]; all of them
/// take `&self`, are async and return a `Result`. Arguments and result of the entrypoint are as [`macro@crate::entrypoint`]
/// has them, and so is `crate = path`.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use flame_sdk::{FlameError, FlameInstance};
///
/// #[derive(Default)]
/// struct Scaler {
///     factor: AtomicU64,
/// }
///
/// #[flame_sdk::instance]
/// impl Scaler {
///     async fn enter(&self, instance: FlameInstance) -> Result<(), FlameError> {
///         self.factor.store(instance.common_data()?.unwrap_or(1), Ordering::Relaxed);
///         Ok(())
///     }
///
///     #[entrypoint]
///     async fn scale(&self, number: u64) -> Result<u64, FlameError> {
///         Ok(number * self.factor.load(Ordering::Relaxed))
///     }
/// }
///
/// // In `main`: flame_sdk::run(Scaler::default()).await
/// # fn is_a_service(_: impl flame_sdk::IntoFlameInstance) {}
/// # is_a_service(Scaler::default());
/// ```
pub use flame_sdk_macros::instance;
