//! What happens on a panic: it is logged, and the process ends.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::process;

/// Makes any panic of any thread log its message and abort the process.
pub(crate) fn abort_on_panic(service: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        report(service, info);
        process::abort();
    }));
}

fn report(service: &str, info: &PanicHookInfo<'_>) {
    let location = info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        service,
        thread = thread.name().unwrap_or("unnamed"),
        location,
        backtrace = %Backtrace::capture(),
        "broken invariant, the process stops: {}",
        message(info),
    );
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("a panic without a message")
}
