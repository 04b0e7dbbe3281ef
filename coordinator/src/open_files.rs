//! Room for connections: each takes a file of the process, and the limit that a process starts with is often 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Both listeners full, and the files of the databases.
const FILES_WANTED: u64 = 32_768;

/// Raises the number of files that this process may have open, as far as it may do that itself.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(FILES_WANTED, |maximum| maximum.min(FILES_WANTED));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, ?current, "the limit of open files stays as it is; connections beyond it are refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered_and_reaches_what_may_be_had() {
        let before = getrlimit(Resource::Nofile);
        raise_limit();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.maximum, before.maximum);
        let wanted = before.maximum.map_or(FILES_WANTED, |maximum| maximum.min(FILES_WANTED));
        assert!(after.current.is_none_or(|now| now >= wanted && Some(now) >= before.current));
    }
}
