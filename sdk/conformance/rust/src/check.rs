//! A check has a name, a body and a deadline; its outcome is one line on stdout.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use crate::world::World;

/// Why a check failed, in words.
pub type Outcome = Result<(), String>;

/// No check of this suite takes longer on a healthy cluster, however busy the machine.
const CHECK_SECONDS_MAX: u64 = 90;

type Body = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One sentence of the contract.
#[derive(Clone, Copy)]
pub struct Check {
    pub name: &'static str,
    pub body: Body,
}

/// Lists async functions as checks under a common prefix.
#[macro_export]
macro_rules! check_list {
    ($group:literal: $($function:ident),+ $(,)?) => {
        vec![$($crate::check::Check {
            name: concat!("rust::", $group, "::", stringify!($function)),
            body: |world| Box::pin($function(world)),
        }),+]
    };
}

/// Fails the check with a sentence unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Runs the checks one after the other and prints `ok NAME`, or `FAILED NAME: reason`, for each.
pub async fn run_all(world: &World, checks: &[Check], only: Option<&str>) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for check in checks.iter().filter(|check| only.is_none_or(|part| check.name.contains(part))) {
        let limit = Duration::from_secs(CHECK_SECONDS_MAX);
        let outcome = match tokio::time::timeout(limit, (check.body)(world)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {CHECK_SECONDS_MAX} s")),
        };
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok {}", check.name);
            }
            Err(reason) => {
                failed += 1;
                println!("FAILED {}: {reason}", check.name);
            }
        }
    }
    println!("flame-rs 0.7.0: passed={passed} failed={failed}");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
