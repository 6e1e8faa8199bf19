//! Who is asked: origins, their addresses, and whether they may be asked at all.
//!
//! A load tester that follows a redirect to somebody else's host is an attack. So nothing but this machine's own
//! loopback is asked, unless a person has said which host is theirs; that holds for every redirect and every
//! pathway too.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use viewer::Url;

/// Origins a run knows at most: every edge of a large cluster.
pub(crate) const ORIGINS_MAX: usize = 1024;

/// Why an origin is not asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A name without an address.
    #[error("{host} has no address: {why}")]
    NoAddress {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// Not this machine, and nobody said that it is theirs.
    #[error(
        "{host} is {address}, which is not this machine's loopback: viewers are sent there only with \
         --i-own-this-host{}", if *is_entry { String::new() } else { format!("={host}") }
    )]
    NotOurs {
        /// The host.
        host: String,
        /// Where it is.
        address: IpAddr,
        /// Whether a person named it, and not a redirect or a playlist.
        is_entry: bool,
    },
    /// More than [`ORIGINS_MAX`].
    #[error("{host} is one origin too many: at most {ORIGINS_MAX} are asked in a run")]
    TooMany {
        /// The host.
        host: String,
    },
}

/// One scheme, host and port.
#[derive(Debug)]
pub(crate) struct Origin {
    /// `https://e1:8443`.
    pub(crate) text: Box<str>,
    pub(crate) host: Box<str>,
    port: u16,
    pub(crate) is_https: bool,
    /// Whether a name had to be resolved.
    pub(crate) is_named: bool,
    known: OnceLock<Result<SocketAddr, Refusal>>,
}

impl Origin {
    /// Where it is, or why it is not asked; `None` while nobody knows yet.
    pub(crate) fn address(&self) -> Option<Result<SocketAddr, &Refusal>> {
        self.known.get().map(|known| known.as_ref().copied())
    }
}

/// All origins of a run.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Hosts that a person called theirs.
    ours: BTreeSet<Box<str>>,
    entry_host: Box<str>,
    known: Mutex<HashMap<Box<str>, Arc<Origin>>>,
}

impl Origins {
    /// For viewers that begin at `entry`; `ours` are hosts besides loopback that may be asked.
    pub(crate) fn new(entry: &Url, ours: impl IntoIterator<Item = String>) -> Self {
        let ours = ours.into_iter().map(|host| host.to_ascii_lowercase().into_boxed_str()).collect();
        Self { ours, entry_host: entry.host().into(), known: Mutex::default() }
    }

    /// The origin of `url`. Its name is resolved the first time, beside the caller.
    pub(crate) fn of(self: &Arc<Self>, url: &Url) -> Arc<Origin> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = known.get(url.origin()) {
            return origin.clone();
        }
        let literal = url.host().parse::<IpAddr>().ok();
        let origin = Arc::new(Origin {
            text: url.origin().into(),
            host: url.host().into(),
            port: url.port(),
            is_https: url.is_https(),
            is_named: literal.is_none(),
            known: OnceLock::new(),
        });
        if known.len() >= ORIGINS_MAX {
            let _ = origin.known.set(Err(Refusal::TooMany { host: url.host().into() }));
            return origin;
        }
        known.insert(url.origin().into(), origin.clone());
        drop(known);
        match literal {
            Some(address) => {
                let _ = origin.known.set(self.judge(&origin, &[SocketAddr::new(address, origin.port)]));
            }
            None => {
                let (origins, asked) = (self.clone(), origin.clone());
                let resolve = move || {
                    let _ = asked.known.set(origins.resolve(&asked));
                };
                if let Err(error) = thread::Builder::new().name("resolve".into()).spawn(resolve) {
                    let host = url.host().into();
                    let _ = origin.known.set(Err(Refusal::NoAddress { host, why: error.to_string() }));
                }
            }
        }
        origin
    }

    /// The same, and waits for the resolver.
    pub(crate) fn resolved(self: &Arc<Self>, url: &Url) -> Result<SocketAddr, Refusal> {
        self.of(url).known.wait().clone()
    }

    /// Everything that was refused because it is not ours.
    pub(crate) fn refused(&self) -> Vec<Refusal> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused: Vec<Refusal> = known
            .values()
            .filter_map(|origin| origin.known.get()?.as_ref().err().cloned())
            .filter(|refusal| !matches!(refusal, Refusal::NoAddress { .. }))
            .collect();
        refused.sort_by_key(ToString::to_string);
        refused
    }

    fn resolve(&self, origin: &Origin) -> Result<SocketAddr, Refusal> {
        let no_address = |why: String| Refusal::NoAddress { host: origin.host.to_string(), why };
        let found = (&*origin.host, origin.port).to_socket_addrs();
        let addresses: Vec<SocketAddr> = found.map_err(|error| no_address(error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(no_address("the resolver knows none".into()));
        }
        self.judge(origin, &addresses)
    }

    /// The first of the addresses, if every one of them may be asked.
    fn judge(&self, origin: &Origin, addresses: &[SocketAddr]) -> Result<SocketAddr, Refusal> {
        let is_ours = self.ours.contains(&origin.host);
        match addresses.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
            Some(foreign) if !is_ours => Err(Refusal::NotOurs {
                host: origin.host.to_string(),
                address: foreign.ip(),
                is_entry: origin.host == self.entry_host,
            }),
            // IPv4 first: that is what most edges listen on.
            _ => Ok(*addresses.iter().find(|address| address.is_ipv4()).unwrap_or(&addresses[0])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, ours: &[&str]) -> Result<SocketAddr, Refusal> {
        let entry = Url::parse("http://192.0.2.1/live/x/index.m3u8").unwrap();
        let origins = Arc::new(Origins::new(&entry, ours.iter().map(|host| (*host).to_owned())));
        origins.resolved(&Url::parse(url).unwrap())
    }

    #[test]
    fn this_machine_is_asked() {
        for url in ["http://127.0.0.31:8080/", "http://127.9.9.9/x", "http://[::1]:81/", "http://localhost/"]
        {
            assert!(ask(url, &[]).is_ok(), "{url}");
        }
        assert_eq!(ask("https://127.0.0.1/", &[]).unwrap().port(), 443);
        assert!(ask("http://[::ffff:127.0.0.1]/", &[]).is_ok());
    }

    #[test]
    fn another_machine_is_asked_only_if_somebody_says_it_is_theirs() {
        for url in ["http://192.0.2.1/", "http://203.0.113.9/", "http://[2001:db8::1]/", "http://0.0.0.0/"] {
            assert!(matches!(ask(url, &[]), Err(Refusal::NotOurs { .. })), "{url}");
        }
        assert!(ask("http://192.0.2.1:8080/", &["192.0.2.1"]).is_ok());
        assert!(ask("http://[2001:db8::1]/", &["2001:db8::1"]).is_ok());
        assert!(ask("http://203.0.113.9/", &["192.0.2.1"]).is_err(), "where it leads to is another host");
    }

    #[test]
    fn a_refusal_says_which_flag_would_allow_it() {
        let of = |url| ask(url, &[]).unwrap_err().to_string();
        assert!(
            of("http://192.0.2.1/").ends_with("only with --i-own-this-host"),
            "{}",
            of("http://192.0.2.1/")
        );
        assert!(of("http://203.0.113.9/").ends_with("--i-own-this-host=203.0.113.9"));
    }

    #[test]
    fn a_name_that_leads_anywhere_else_is_refused_even_if_it_leads_here_too() {
        let entry = Url::parse("http://e/").unwrap();
        let origins = Arc::new(Origins::new(&entry, []));
        let origin = origins.of(&Url::parse("http://127.0.0.1/").unwrap());
        let addresses = ["127.0.0.1:80".parse().unwrap(), "203.0.113.9:80".parse().unwrap()];
        assert!(matches!(origins.judge(&origin, &addresses), Err(Refusal::NotOurs { .. })));
        assert!(origins.judge(&origin, &addresses[..1]).is_ok());
    }

    #[test]
    fn a_name_without_an_address_is_no_refusal_of_ours() {
        let entry = Url::parse("http://127.0.0.1/").unwrap();
        let origins = Arc::new(Origins::new(&entry, []));
        let unknown = Url::parse("http://no-such-host.invalid/").unwrap();
        assert!(matches!(origins.resolved(&unknown), Err(Refusal::NoAddress { .. })));
        assert_eq!(origins.refused(), []);
        assert!(origins.resolved(&Url::parse("http://203.0.113.9/").unwrap()).is_err());
        assert_eq!(origins.refused().len(), 1);
    }

    #[test]
    fn origins_are_bounded() {
        let entry = Url::parse("http://127.0.0.1/").unwrap();
        let origins = Arc::new(Origins::new(&entry, []));
        let of = |port: usize| origins.of(&Url::parse(&format!("http://127.0.0.1:{}/", port + 1)).unwrap());
        for port in 0..ORIGINS_MAX {
            assert!(of(port).address().unwrap().is_ok());
        }
        assert!(matches!(of(ORIGINS_MAX).address(), Some(Err(Refusal::TooMany { .. }))));
        assert!(of(0).address().unwrap().is_ok());
    }
}
