//! What a source can be told.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use node::settings::{Kbps, Millis, Number, Parsed, SecretFile};
use serde::{Deserialize, Serialize};

/// Settings of `mascaret source`; table `[source]`, variables `MASCARET_SOURCE_…`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to publish, in order; when one ends or refuses, the next is tried.
    /// Default `["rtmp://127.0.0.1:1935/live/pattern"]`.
    pub urls: Vec<Parsed<PublishUrl>>,
    /// A file with the publish key; sent as `?key=…` behind the broadcast's name. Default: none.
    pub key_file: Option<SecretFile>,
    /// The name in the picture. Default: the broadcast of the first URL.
    pub name: Option<String>,
    /// Pixels across, even, 160 to 2560. Default 640.
    pub width: Number<160, 2_560>,
    /// Pixels down, even, 90 to 1440. Default 360.
    pub height: Number<90, 1_440>,
    /// Pictures per second, 5 to 60. Default 25.
    pub frame_rate: Number<5, 60>,
    /// Of the pictures, 50 kbit/s to 20 Mbit/s. Default 800 kbit/s.
    pub bitrate: Kbps<50, 20_000>,
    /// From one sync unit to the next, 200 ms to 10 s, a whole number of pictures. Default 2 s.
    pub sync_distance: Millis<200, 10_000>,
    /// At most so many B pictures between others, 0 to 4. Default 0.
    pub b_pictures: Number<0, 4>,
    /// Whether there is sound: a beep each second. Default `true`.
    pub sound: bool,
    /// Of the sound, 32 to 320 kbit/s. Default 96 kbit/s.
    pub audio_bitrate: Kbps<32, 320>,
    /// The `mascaret-transcode` program. Default: beside this program, or by `MASCARET_TRANSCODE`.
    pub transcode: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        let url = PublishUrl {
            is_tls: false,
            host: "127.0.0.1".into(),
            port: 1935,
            app: "live".into(),
            stream: "pattern".into(),
        };
        Self {
            urls: vec![Parsed(url)],
            key_file: None,
            name: None,
            width: Number::new(640),
            height: Number::new(360),
            frame_rate: Number::new(25),
            bitrate: Kbps::new(800),
            sync_distance: Millis::new(2_000),
            b_pictures: Number::new(0),
            sound: true,
            audio_bitrate: Kbps::new(96),
            transcode: None,
        }
    }
}

impl Settings {
    /// Every how many pictures there is a sync unit; `None` if that is no whole number.
    pub fn gop(&self) -> Option<u32> {
        let thousandths = self.sync_distance.value() * self.frame_rate.value();
        (thousandths.is_multiple_of(1_000) && thousandths >= 1_000).then_some((thousandths / 1_000) as u32)
    }

    /// What the picture calls itself.
    pub fn shown_name(&self) -> String {
        let broadcast = || self.urls.first().map(|url| url.0.broadcast().to_owned());
        self.name.clone().or_else(broadcast).unwrap_or_default()
    }
}

/// `rtmp://host[:1935]/app/broadcast`, or `rtmps://` with 1936. Shown without what follows a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishUrl {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) app: String,
    pub(crate) stream: String,
}

/// Why a text is no [`PublishUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not allowed, expected a URL such as \"rtmp://127.0.0.1:1935/live/tide\" or \"rtmps://…\""
)]
pub struct UrlError {
    found: String,
}

impl PublishUrl {
    /// What is published, without a key.
    pub fn broadcast(&self) -> &str {
        self.stream.split('?').next().unwrap_or_default()
    }

    /// As a publisher's `connect` names it.
    pub(crate) fn tc_url(&self) -> String {
        format!("{}://{}:{}/{}", self.scheme(), self.host, self.port, self.app)
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls { "rtmps" } else { "rtmp" }
    }
}

impl fmt::Display for PublishUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tc_url(), self.broadcast())
    }
}

impl FromStr for PublishUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // What follows a `?` may be a key, and is not to be read in a log.
        let refused = || UrlError { found: text.split('?').next().unwrap_or_default().to_owned() };
        let (is_tls, rest) = match text.split_once("://") {
            Some(("rtmp", rest)) => (false, rest),
            Some(("rtmps", rest)) => (true, rest),
            _ => return Err(refused()),
        };
        let (authority, path) = rest.split_once('/').ok_or_else(refused)?;
        let (app, stream) = path.split_once('/').ok_or_else(refused)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| refused())?),
            _ => (authority, if is_tls { 1936 } else { 1935 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || app.is_empty() || stream.split('?').next().is_none_or(str::is_empty) {
            return Err(refused());
        }
        Ok(Self { is_tls, host: host.into(), port, app: app.into(), stream: stream.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_their_usual_ports_and_hide_their_keys() {
        let url: PublishUrl = "rtmp://127.0.0.11/live/tide?key=secret".parse().unwrap();
        assert_eq!((url.port, url.app.as_str(), url.stream.as_str()), (1935, "live", "tide?key=secret"));
        assert_eq!(url.to_string(), "rtmp://127.0.0.11:1935/live/tide");
        let url: PublishUrl = "rtmps://[::1]/live/tide".parse().unwrap();
        assert_eq!((url.is_tls, url.host.as_str(), url.port), (true, "::1", 1936));
    }

    #[test]
    fn what_is_no_publish_url_is_told_how_one_looks() {
        for text in
            ["http://x/live/a", "rtmp://x", "rtmp://x/live", "rtmp://x/live/", "rtmp://x:99999/live/a", ""]
        {
            let error = text.parse::<PublishUrl>().unwrap_err().to_string();
            assert!(error.contains("rtmp://127.0.0.1:1935/live/tide"), "{error}");
        }
        let error = "http://x/live/a?key=secret".parse::<PublishUrl>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_distance_of_sync_units_is_whole_pictures() {
        let settings = Settings::default();
        assert_eq!(settings.gop(), Some(50));
        let odd = Settings { frame_rate: Number::new(24), sync_distance: Millis::new(1_010), ..settings };
        assert_eq!(odd.gop(), None);
    }
}
