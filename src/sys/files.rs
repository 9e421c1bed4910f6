//! How many files and sockets this process may have open.

use std::io;

/// Raises the soft limit of open files to the hard one, which needs no privilege; gives the limit that
/// holds then. Shells and service managers often start programs with 1024, out of regard for `select`,
/// which is not used here.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: FRESH: the kernel writes one `rlimit` that lives on this stack.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: FRESH: the kernel reads one `rlimit` that lives on this stack.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let limit = raise_open_files().unwrap();
        assert!(limit > 0);
        assert_eq!(raise_open_files().unwrap(), limit);
    }
}
