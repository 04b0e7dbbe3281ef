//! Installs the subscriber and the panic hook.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::{Format, InitError, panic};

/// Where the filter is looked for, first match wins. Without any of them the filter is [`DEFAULT_FILTER`].
pub const FILTER_VARIABLES: [&str; 2] = ["FLAME_LOG", "RUST_LOG"];

/// Where the format is looked for: `text` (also when unset) or `json`.
pub const FORMAT_VARIABLE: &str = "FLAME_LOG_FORMAT";

/// `info` for us, and nothing but warnings from the chatter of the libraries below.
const DEFAULT_FILTER: &str = "info,openraft=error,h2=warn,hyper=warn,tower=warn,tonic=warn";

/// Sets up logs and the panic hook from the environment of the process.
///
/// # Errors
/// [`InitError`] when a variable holds nonsense, or on a second call.
pub fn init(service: &'static str) -> Result<(), InitError> {
    init_with(service, |name| std::env::var(name).ok())
}

/// The same, with the environment given by the caller.
///
/// # Errors
/// As [`init`].
pub fn init_with(service: &'static str, environment: impl Fn(&str) -> Option<String>) -> Result<(), InitError> {
    let filter = filter(&environment)?;
    let format = format(&environment)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && environment("NO_COLOR").is_none());
    match format {
        Format::Text => builder.finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| InitError::Twice)?;
    panic::abort_on_panic(service);
    Ok(())
}

fn filter(environment: &impl Fn(&str) -> Option<String>) -> Result<EnvFilter, InitError> {
    for variable in FILTER_VARIABLES {
        let Some(text) = environment(variable).filter(|text| !text.trim().is_empty()) else { continue };
        return EnvFilter::try_new(&text).map_err(|error| InitError::Filter { variable, text, why: error.to_string() });
    }
    Ok(EnvFilter::new(DEFAULT_FILTER))
}

fn format(environment: &impl Fn(&str) -> Option<String>) -> Result<Format, InitError> {
    match environment(FORMAT_VARIABLE) {
        None => Ok(Format::default()),
        Some(text) => text.parse().map_err(|()| InitError::Format { variable: FORMAT_VARIABLE, text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn our_variable_wins_over_the_general_one() {
        let both = environment(&[("RUST_LOG", "warn"), ("FLAME_LOG", "flame_worker=trace")]);
        assert_eq!(filter(&both).unwrap().to_string(), "flame_worker=trace");
        let general = environment(&[("RUST_LOG", "warn"), ("FLAME_LOG", "")]);
        assert_eq!(filter(&general).unwrap().to_string(), "warn");
    }

    #[test]
    fn without_a_variable_the_level_is_info() {
        assert!(filter(&environment(&[])).unwrap().to_string().contains("info"));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let error = filter(&environment(&[("FLAME_LOG", "flame=loud")])).unwrap_err();
        assert!(error.to_string().starts_with("FLAME_LOG=\"flame=loud\" is not a log filter"), "{error}");
        let error = format(&environment(&[("FLAME_LOG_FORMAT", "xml")])).unwrap_err();
        assert_eq!(error.to_string(), "FLAME_LOG_FORMAT=\"xml\" is not a log format; write text or json");
    }
}
