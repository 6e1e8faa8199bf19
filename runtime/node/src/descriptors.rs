//! How many files this process may have open: sockets, segments, links, logs.
//!
//! Does not live here: who gets how many of them; the roles share them out.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us (`ulimit -Hn`, systemd's `LimitNOFILE=`), and says how many it is. The
/// soft limit is low for the sake of programs that use select(2), which we do not.
pub fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return before.current.unwrap_or(u64::MAX);
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before }) {
        tracing::warn!(%error, "the number of files that may be open could not be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_as_far_as_may_be() {
        let hard = getrlimit(Resource::Nofile).maximum;
        // Other tests of this process need nearly as many as they have: one less is enough to see it raised.
        let soft = hard.map(|it| it - 1);
        setrlimit(Resource::Nofile, Rlimit { current: soft, maximum: hard }).unwrap();
        assert_eq!(raise(), hard.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
