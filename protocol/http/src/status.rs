//! The status codes the house answers with.

use std::fmt;

/// A status code and its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal,)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every status there is, for counters with one place each.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason phrase, for people.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    /// Here it is.
    OK = 200 "OK",
    /// Done, nothing to show.
    NO_CONTENT = 204 "No Content",
    /// Here is the range.
    PARTIAL_CONTENT = 206 "Partial Content",
    /// What you have is still right.
    NOT_MODIFIED = 304 "Not Modified",
    /// There, this time; the method stays.
    TEMPORARY_REDIRECT = 307 "Temporary Redirect",
    /// There, always; the method stays.
    PERMANENT_REDIRECT = 308 "Permanent Redirect",
    /// Not HTTP, or not what a directive may say.
    BAD_REQUEST = 400 "Bad Request",
    /// Needs a credential.
    UNAUTHORIZED = 401 "Unauthorized",
    /// The token does not open this.
    FORBIDDEN = 403 "Forbidden",
    /// Nothing here by that name.
    NOT_FOUND = 404 "Not Found",
    /// Only GET, HEAD and OPTIONS are taken.
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed",
    /// The head took too long to arrive.
    REQUEST_TIMEOUT = 408 "Request Timeout",
    /// Requests have no bodies here.
    CONTENT_TOO_LARGE = 413 "Content Too Large",
    /// Target over its bound.
    URI_TOO_LONG = 414 "URI Too Long",
    /// The range lies outside.
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable",
    /// Too often.
    TOO_MANY_REQUESTS = 429 "Too Many Requests",
    /// Head over one of its bounds.
    HEAD_TOO_LARGE = 431 "Request Header Fields Too Large",
    /// Our fault.
    INTERNAL = 500 "Internal Server Error",
    /// Not now; Retry-After says when.
    UNAVAILABLE = 503 "Service Unavailable",
    /// Neither 1.0 nor 1.1.
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported",
}

impl Status {
    /// The three digits.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether such an answer never has a body (RFC 9110, 6.4.1).
    pub const fn is_bodiless(self) -> bool {
        matches!(self.0, 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}
