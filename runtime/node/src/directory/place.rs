//! Where a directory is, as one text; and the settings beside it.

use super::{Directory, DirectoryError, Etcd, File};
use crate::settings::Parsed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Under which keys etcd keeps what is ours, unless the place says otherwise.
const PREFIX: &str = "/mascaret/";

/// `[lb.directory]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectorySettings {
    /// Where edges' standings, weights and capacities are kept: a TOML file (`/etc/mascaret/edges.toml`), or the endpoints
    /// of an etcd cluster, with a prefix if it is not `/mascaret`
    /// (`http://10.0.0.7:2379,http://10.0.0.8:2379/live`). Default: nowhere; every edge is active.
    pub at: Option<Parsed<Place>>,
    /// The CA that signed etcd's certificates, for `https://` endpoints. Default: none.
    pub ca: Option<PathBuf>,
    /// The chain shown to etcd where it asks for one; needs `key`. Default: none.
    pub certificate: Option<PathBuf>,
    /// Its key. Default: none.
    pub key: Option<PathBuf>,
}

impl DirectorySettings {
    /// The directory, if one is named. Nothing is asked of it yet.
    pub fn open(&self) -> Result<Option<Box<dyn Directory>>, DirectoryError> {
        Ok(match self.at.as_ref().map(|at| &at.0) {
            None => None,
            Some(Place::File(path)) => Some(Box::new(File::new(path.clone()))),
            Some(Place::Etcd { endpoints, prefix }) => {
                Some(Box::new(Etcd::new(endpoints.clone(), prefix.clone(), self)?))
            }
        })
    }
}

/// Where a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a TOML file.
    File(PathBuf),
    /// In etcd.
    Etcd {
        /// `http://host:port` each, tried in turn.
        endpoints: Vec<String>,
        /// Begins and ends with `/`.
        prefix: String,
    },
}

const ALLOWED: &str = "the path of a TOML file, or `http://host:port`, several with commas between them, the last with \
                       a prefix such as `/mascaret` if wanted";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is no directory; allowed is {ALLOWED}");
        if !text.contains("://") {
            let path = text.strip_prefix("file:").unwrap_or(text);
            return if path.is_empty() { Err(refused()) } else { Ok(Self::File(path.into())) };
        }
        let mut endpoints = Vec::new();
        let mut prefix = PREFIX.to_owned();
        let mut parts = text.split(',').map(str::trim).peekable();
        while let Some(part) = parts.next() {
            let (scheme, rest) = part.split_once("://").ok_or_else(refused)?;
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let plain =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
            let is_last = parts.peek().is_none();
            let path = path.trim_end_matches('/');
            if !matches!(scheme, "http" | "https")
                || host.is_empty()
                || !host.bytes().all(plain)
                || (!path.is_empty() && !is_last)
            {
                return Err(refused());
            }
            endpoints.push(format!("{scheme}://{host}"));
            if !path.is_empty() {
                prefix = format!("/{path}/");
            }
        }
        Ok(Self::Etcd { endpoints, prefix })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Etcd { endpoints, prefix } => {
                write!(f, "{}{}", endpoints.join(","), prefix.trim_end_matches('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_endpoints_with_a_prefix() {
        assert_eq!("/etc/edges.toml".parse(), Ok(Place::File("/etc/edges.toml".into())));
        assert_eq!("file:edges.toml".parse(), Ok(Place::File("edges.toml".into())));
        let place: Place = "http://10.0.0.7:2379, https://e2:2379/live/".parse().unwrap();
        let endpoints = vec!["http://10.0.0.7:2379".to_owned(), "https://e2:2379".to_owned()];
        assert_eq!(place, Place::Etcd { endpoints, prefix: "/live/".into() });
        assert_eq!(place.to_string().parse(), Ok(place));
        let Ok(Place::Etcd { prefix, .. }) = "http://e:1".parse() else { panic!("an endpoint") };
        assert_eq!(prefix, PREFIX);
        for wrong in ["", "etcd://e:1", "http://", "http://e/one,http://f", "http://e,edges.toml"] {
            let why = wrong.parse::<Place>().unwrap_err();
            assert!(why.contains("allowed is"), "{wrong}: {why}");
        }
    }
}
