//! The status codes the house answers with.

use std::fmt;

/// A status code and its reason phrase: its place in the table below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal,)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self::of($code);)*

            /// Every status there is, for counters with one place each.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            const TABLE: &'static [(u16, &'static str)] = &[$(($code, $reason),)*];
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
    /// Not the tag it is wanted under.
    PRECONDITION_FAILED = 412 "Precondition Failed",
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
    /// A method nobody here has heard of.
    NOT_IMPLEMENTED = 501 "Not Implemented",
    /// Not now; Retry-After says when.
    UNAVAILABLE = 503 "Service Unavailable",
    /// Neither 1.0 nor 1.1.
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported",
}

impl Status {
    /// Only of a code that is in the table; refused by the compiler otherwise, as it is only used for constants.
    const fn of(code: u16) -> Self {
        let mut place = 0;
        while Self::TABLE[place].0 != code {
            place += 1;
        }
        Self(place as u8)
    }

    /// Its place in [`Status::ALL`].
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// The three digits.
    pub const fn code(self) -> u16 {
        Self::TABLE[self.place()].0
    }

    /// The reason phrase, for people.
    pub const fn reason(self) -> &'static str {
        Self::TABLE[self.place()].1
    }

    /// Whether such an answer never has a body (RFC 9110, 6.4.1).
    pub const fn is_bodiless(self) -> bool {
        matches!(self.code(), 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_in_its_place() {
        for (place, status) in Status::ALL.iter().enumerate() {
            assert_eq!(status.place(), place);
            assert!(!status.reason().is_empty());
        }
        assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
    }
}
