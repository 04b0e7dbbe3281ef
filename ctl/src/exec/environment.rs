//! What a script finds in its environment.
//!
//! **Invariant:** no script learns where its service listens.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use flame_sdk::service::INSTANCE_VARIABLE;

use super::job::Language;

/// Where a worker offers its service another socket. This service has no use for it, and its scripts neither.
const FRAMES_VARIABLE: &str = "FLAME_FRAMES_ENDPOINT";

/// What Python scripts get of the service's environment: who and where they are, how to reach the world, and what
/// Python, uv and Flame itself read.
const NAMES: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"];
const PREFIXES: &[&str] =
    &["LC_", "PYTHON", "PYENV_", "UV_", "PIP_", "SSL_CERT_", "XDG_", "CUDA_", "NVIDIA_", "FLAME_"];

/// In either case, as programs read both.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Where programs look for a folder for temporary files.
const TEMPORARY: [&str; 3] = ["TMPDIR", "TEMP", "TMP"];

/// The environment of a script: of the `service`'s, shell scripts get all, as published, Python scripts what is listed
/// above. Temporary files go into the folder of the task, which is removed with it.
pub(super) fn environment(
    language: Language,
    service: impl Iterator<Item = (OsString, OsString)>,
    temporary: &Path,
) -> Vec<(OsString, OsString)> {
    let is_ours = |name: &OsStr| {
        name == INSTANCE_VARIABLE || name == FRAMES_VARIABLE || TEMPORARY.iter().any(|ours| name == *ours)
    };
    let is_for = |name: &OsStr| match language {
        Language::Shell => true,
        Language::Python => name.to_str().is_some_and(is_for_python),
    };
    let mut set: Vec<_> = service.filter(|(name, _)| !is_ours(name) && is_for(name)).collect();
    set.extend(TEMPORARY.iter().map(|name| ((*name).into(), temporary.into())));
    let has_own = set.iter().any(|(name, _)| name == "PYTHONUNBUFFERED");
    if language == Language::Python && !has_own {
        // What a script wrote before it was killed is not lost in its buffers.
        set.push(("PYTHONUNBUFFERED".into(), "1".into()));
    }
    set
}

fn is_for_python(name: &str) -> bool {
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(language: Language) -> Vec<String> {
        let service =
            ["PATH", "SECRET", "FLAME_ENDPOINT", INSTANCE_VARIABLE, FRAMES_VARIABLE, "https_proxy", "TMPDIR", "LC_ALL"];
        let service = service.into_iter().map(|name| (name.into(), "theirs".into()));
        let mut set: Vec<_> = environment(language, service, Path::new("/t"))
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        set.sort();
        set
    }

    #[test]
    fn python_gets_what_it_needs_and_shells_get_all() {
        let ours = ["TEMP=/t", "TMP=/t", "TMPDIR=/t"];
        let common = ["FLAME_ENDPOINT=theirs", "LC_ALL=theirs", "PATH=theirs"];
        let expected = |more: &[&'static str]| {
            let mut all = [&ours[..], &common, more, &["https_proxy=theirs"]].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(seen(Language::Python), expected(&["PYTHONUNBUFFERED=1"]));
        assert_eq!(seen(Language::Shell), expected(&["SECRET=theirs"]));
    }
}
