//! The macros of `flame-sdk`, which re-exports them: use that crate.
//!
//! **Invariant:** what a macro cannot accept it refuses with a sentence that says what to write instead, at the place in
//! question. Nothing that it accepts is silently left out.
//! **Invariant:** expansions name everything by full path, so that they mean the same wherever they stand.
//!
//! | module | holds |
//! |---|---|
//! | [`entrypoint`] | `#[entrypoint]`: a function as a service |
//! | [`instance`] | `#[instance]`: a type with state as a service |
//! | [`message`] | `#[derive(FlameMessage)]`: a type as a payload |
//! | [`signature`] | what user code may take and give |
//! | [`options`] | what stands in the parentheses of a macro |

mod entrypoint;
mod instance;
mod message;
mod options;
mod signature;

use proc_macro::TokenStream;

/// Makes a service of an `async fn`. Documented in `flame_sdk::entrypoint`.
#[proc_macro_attribute]
pub fn entrypoint(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(entrypoint::expand(options.into(), item.into()))
}

/// Makes a service of an `impl` block. Documented in `flame_sdk::instance`.
#[proc_macro_attribute]
pub fn instance(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(instance::expand(options.into(), item.into()))
}

/// Makes a payload of a type. Documented in `flame_sdk::FlameMessage`.
#[proc_macro_derive(FlameMessage, attributes(flame))]
pub fn flame_message(item: TokenStream) -> TokenStream {
    finish(message::expand(item.into()))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// How a macro that was misused answers.
#[cfg(test)]
fn refusal(expanded: syn::Result<proc_macro2::TokenStream>) -> String {
    expanded.map(|tokens| tokens.to_string()).expect_err("it is refused").to_string()
}
