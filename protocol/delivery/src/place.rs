//! What a path names.
//!
//! ```text
//! /live/<broadcast>/index.m3u8                      multivariant playlist
//! /live/<broadcast>/<rendition>/index.m3u8          media playlist
//! /live/<broadcast>/<rendition>/<sequence>.ts       media segment
//! /live/<broadcast>/thumb.jpg                       still picture
//! /live/<broadcast>/chat                            what is said, as it is said (server-sent events)
//! /live/<broadcast>/chat/history                    what was said last
//! /v/<token>/<broadcast>/…                          the same with a ticket
//! ```

use media::MediaSequence;

/// A path that has one of the forms above. The names are as the viewer wrote them, not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) broadcast: &'a str,
    pub(crate) what: What<'a>,
}

/// What of the broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Multivariant,
    Thumb,
    Chat,
    ChatHistory,
    Media { rendition: &'a str },
    Segment { rendition: &'a str, sequence: MediaSequence },
}

impl<'a> Place<'a> {
    /// `None` for every path that can name nothing here.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let (token, rest) = match path.strip_prefix("/live/") {
            Some(rest) => (None, rest),
            None => {
                let (token, rest) = path.strip_prefix("/v/")?.split_once('/')?;
                (Some(token), rest)
            }
        };
        let (broadcast, rest) = rest.split_once('/')?;
        let what = match rest.split_once('/') {
            None => match rest {
                "index.m3u8" => What::Multivariant,
                "thumb.jpg" => What::Thumb,
                "chat" => What::Chat,
                _ => return None,
            },
            Some(("chat", "history")) => What::ChatHistory,
            Some((rendition, "index.m3u8")) => What::Media { rendition },
            Some((rendition, file)) => {
                What::Segment { rendition, sequence: sequence(file.strip_suffix(".ts")?)? }
            }
        };
        Some(Self { token, broadcast, what })
    }
}

/// One spelling per number, so that a number has one path (rule T14): no sign, no leading zero.
fn sequence(digits: &str) -> Option<MediaSequence> {
    let is_plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if !is_plain {
        return None;
    }
    digits.parse().ok().map(MediaSequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_known_open_and_with_a_token() {
        let what = |path| Place::parse(path).map(|place| (place.token, place.broadcast, place.what));
        let rendition = "720p";
        assert_eq!(what("/live/tide/index.m3u8"), Some((None, "tide", What::Multivariant)));
        assert_eq!(what("/live/tide/720p/index.m3u8"), Some((None, "tide", What::Media { rendition })));
        let sequence = MediaSequence(17);
        assert_eq!(
            what("/live/tide/720p/17.ts"),
            Some((None, "tide", What::Segment { rendition, sequence }))
        );
        assert_eq!(
            what("/v/t0k/tide/720p/17.ts"),
            Some((Some("t0k"), "tide", What::Segment { rendition, sequence }))
        );
        assert_eq!(what("/v/t0k/tide/chat"), Some((Some("t0k"), "tide", What::Chat)));
        assert_eq!(what("/live/tide/chat/history"), Some((None, "tide", What::ChatHistory)));
        let rendition = "chat";
        assert_eq!(what("/live/tide/chat/index.m3u8"), Some((None, "tide", What::Media { rendition })));
        assert_eq!(what("/v/t0k/tide/thumb.jpg"), Some((Some("t0k"), "tide", What::Thumb)));
    }

    #[test]
    fn everything_else_names_nothing() {
        for path in [
            "/",
            "*",
            "/live",
            "/live/",
            "/live/tide",
            "/live/tide/",
            "/live/tide/720p",
            "/live/tide/720p/",
            "/live/tide/720p/017.ts",
            "/live/tide/720p/+17.ts",
            "/live/tide/720p/.ts",
            "/live/tide/720p/17.TS",
            "/live/tide/720p/99999999999999999999.ts",
            "/live/tide/720p/a/17.ts",
            "/v/t0k",
            "/v/t0k/tide",
            "/live/tide/720p/17.ts/",
            "live/tide/index.m3u8",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/(live|v|\\.\\.|index\\.m3u8|[0-9]{1,22}\\.ts|[^ ]{0,5})){0,6}") {
            let _ = Place::parse(&path);
        }
    }
}
