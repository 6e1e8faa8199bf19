//! Answers that are the same for everybody: refusals in a sentence, and what OPTIONS says.

use crate::page::Form;
use crate::{Kind, Reply};
use http::{Cors, HttpDate, Stamped, Status};

/// Why an ask is answered with a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    NotFed,
    Leaving,
    Forbidden,
    BadDirective,
    HeldTooLong,
    TooManyWait,
    OtherTag,
    TooManyRead,
}

/// The answers that are the same for everybody.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) options: Sentence,
    /// In the order of [`Refused`].
    refusals: [Sentence; 9],
}

#[derive(Debug)]
pub(crate) struct Sentence(Stamped);

impl Fixed {
    pub(crate) fn new(cors: &Cors) -> Self {
        let say = |status, fields: &[(&str, &str)], text| {
            Sentence(Stamped::new(http::sentence(status, cors, fields, text)))
        };
        let allow = [
            ("Allow", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Headers", "Range, If-Match, If-None-Match, If-Range"),
            ("Access-Control-Max-Age", "86400"),
        ];
        let again = [("Retry-After", "1")];
        Self {
            options: say(Status::NO_CONTENT, &allow, ""),
            refusals: [
                say(Status::NOT_FOUND, &[], "nothing here by that name"),
                // 404 and not 503: players leave for another edge at once (hls.js retries a 503 for 7 s).
                say(
                    Status::NOT_FOUND,
                    &[],
                    "nothing fresh of this broadcast reaches this edge now; ask another",
                ),
                say(Status::NOT_FOUND, &[], "this edge is about to stop; ask another"),
                say(Status::FORBIDDEN, &[], "this ticket does not open this broadcast; load the page again"),
                say(
                    Status::BAD_REQUEST,
                    &[],
                    "a delivery directive (_HLS_msn, _HLS_part) is out of its bounds",
                ),
                say(Status::UNAVAILABLE, &again, "that segment did not come in time"),
                say(Status::UNAVAILABLE, &again, "too many wait for a playlist here"),
                say(Status::PRECONDITION_FAILED, &[], "it has another tag than If-Match names"),
                say(
                    Status::UNAVAILABLE,
                    &[("Retry-After", "5")],
                    "too many read chat here; ask another edge",
                ),
            ],
        }
    }

    pub(crate) fn refusal(&mut self, why: Refused) -> &mut Sentence {
        &mut self.refusals[why as usize]
    }
}

impl Sentence {
    pub(crate) fn reply<B>(&mut self, form: Form, kind: Kind, date: &HttpDate) -> Reply<B> {
        let status = self.0.answer().status();
        let bytes = self.0.at(date, form.connection, form.is_head);
        Reply { status, kind, bytes, more: Vec::new(), stored: None, keep_alive: form.keeps_alive() }
    }
}
