//! How many connections there is room for: as many as are asked for, as the system's limit on open files allows.
//!
//! Called by `server.rs` once, at the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at once when nothing is said: each takes some ten to forty kilobytes while it is idle.
pub const USUAL: usize = 16_384;

/// Descriptors that are kept for the store, mails, keys and whoever reads what is measured.
const KEPT: u64 = 256;

/// How many connections may be open at once, `wanted` or [`USUAL`]. The limit on open files is raised as far as this
/// process may, as nothing here minds numbers above 1,024 (select(2) does, and is not used).
///
/// # Errors
/// When there are too few descriptors for as many as are wanted, and how to mend it.
pub fn room(wanted: Option<usize>) -> Result<usize, String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        // Whoever forbids that has set the limit on purpose.
        tracing::debug!(%why, "the limit on open files stays as it is");
    }
    fits(wanted, getrlimit(Resource::Nofile).current)
}

fn fits(wanted: Option<usize>, descriptors: Option<u64>) -> Result<usize, String> {
    let Some(descriptors) = descriptors else { return Ok(wanted.unwrap_or(USUAL)) };
    let kept = KEPT.min(descriptors / 2);
    let most = usize::try_from(descriptors - kept).unwrap_or(usize::MAX);
    match wanted {
        Some(wanted) if wanted > most => Err(format!(
            "--max-connections (SIGNET_MAX_CONNECTIONS): {descriptors} open files allow for {most}; give at most as many, or raise the limit on open files (ulimit -n, LimitNOFILE)"
        )),
        Some(wanted) => Ok(wanted),
        None => Ok(USUAL.min(most)),
    }
}

#[cfg(test)]
mod tests {
    use super::{USUAL, fits};

    #[test]
    fn there_are_always_descriptors_left_for_everything_else() {
        assert_eq!(fits(None, Some(1024)), Ok(768));
        assert_eq!(fits(None, Some(100)), Ok(50));
        assert_eq!(fits(None, Some(1_048_576)), Ok(USUAL));
        assert_eq!(fits(Some(60_000), Some(65_536)), Ok(60_000));
        assert_eq!(fits(Some(60_000), None), Ok(60_000));
        assert!(fits(Some(769), Some(1024)).is_err_and(|why| why.contains("768")));
    }
}
