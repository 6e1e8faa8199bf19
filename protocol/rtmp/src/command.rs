//! Commands a publisher sends (7.2), typed.
//!
//! Lives here: which values of an AMF0 command we read, and as what. Does not live here: what is done about them
//! (`conversation`).

use crate::amf0::{Amf0Error, Reader, Token};
use crate::limits::NAME_BYTES;
use crate::name::{App, Query, Secret, cut};
use std::fmt;

/// Which answer belongs to which command; 0 wants none.
pub type Transaction = f64;

/// Why this is not a command we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not AMF0.
    #[error(transparent)]
    Amf0(#[from] Amf0Error),
    /// The first value is not a text.
    #[error("a command begins with its name, this one with something else")]
    Nameless,
    /// A name that is longer than a name.
    #[error("the {what} has {len} bytes, at most {limit} are taken")]
    TooLong {
        /// Which.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A name that is not UTF-8 (AMF0 1.3.1).
    #[error("the {what} is not UTF-8")]
    NotUtf8 {
        /// Which.
        what: &'static str,
    },
}

/// One of the codes Enhanced RTMP names codecs by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What `connect` says (7.2.1.1).
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// The application. Empty if it was left out.
    pub app: App,
    /// The whole URL the publisher was given, if it says; keys have been seen in it.
    pub tc_url: Option<Secret>,
    /// What the publisher calls itself, e.g. `FMLE/3.0 (compatible; FMSc/1.0)`.
    pub flash_version: Option<String>,
    /// The codecs it could send by Enhanced RTMP; `None` if it has not heard of it.
    pub four_cc_list: Option<Vec<FourCc>>,
}

impl Connect {
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.app.name.capacity()
            + self.app.query.held_bytes()
            + self.tc_url.as_ref().map_or(0, Secret::held_bytes)
            + self.flash_version.as_ref().map_or(0, String::capacity)
            + self.four_cc_list.as_ref().map_or(0, |codes| codes.capacity() * size_of::<FourCc>())
    }
}

/// What a publisher, or someone who takes us for something else, may ask.
#[derive(Clone, Debug)]
pub enum Command {
    /// `connect`
    Connect(Box<Connect>),
    /// `releaseStream`: drop whoever else is on this name. Nobody is dropped for a stranger's asking.
    ReleaseStream,
    /// `FCPublish`: a publish is near.
    FcPublish,
    /// `createStream`
    CreateStream,
    /// `publish`
    Publish {
        /// The stream name, without its query. It is a secret: many put the key here.
        name: Secret,
        /// Its query.
        query: Query,
    },
    /// `FCUnpublish`, `closeStream` or `deleteStream`: the publish is over.
    Unpublish,
    /// `play` and its kin: a viewer at the wrong door.
    Play,
    /// Anything else.
    Other,
}

/// Codecs a `connect` may list. Enhanced RTMP knows about ten; the rest is dropped unread.
const FOUR_CCS: usize = 16;

/// Bytes of a self-description that are kept; it is only for the log.
const DESCRIPTION_BYTES: usize = 128;

impl Command {
    /// Reads a command message's body.
    pub fn parse(body: &[u8]) -> Result<(Transaction, Self), CommandError> {
        let mut reader = Reader::new(body)?;
        let Some(Token::Text(name)) = reader.next_token()? else { return Err(CommandError::Nameless) };
        let transaction = match reader.next_token()? {
            Some(Token::Number(transaction)) => transaction,
            _ => 0.0,
        };
        let command = match name {
            b"connect" => Self::Connect(Box::new(connect(&mut reader)?)),
            b"releaseStream" => Self::ReleaseStream,
            b"FCPublish" => Self::FcPublish,
            b"createStream" => Self::CreateStream,
            b"publish" => publish(&mut reader)?,
            b"FCUnpublish" | b"closeStream" | b"deleteStream" => Self::Unpublish,
            b"play" | b"play2" | b"FCSubscribe" | b"getStreamLength" | b"pause" | b"seek" => Self::Play,
            _ => Self::Other,
        };
        Ok((transaction, command))
    }
}

fn connect(reader: &mut Reader<'_>) -> Result<Connect, CommandError> {
    let mut connect = Connect::default();
    if reader.next_token()? != Some(Token::Object) {
        return Ok(connect);
    }
    while let Some(Token::Key(key)) = reader.next_token()? {
        let Some(value) = reader.next_token()? else { break };
        match (key, value) {
            (b"app", Token::Text(app)) => connect.app = App::parse(text("app", app)?),
            (b"tcUrl", Token::Text(url)) => connect.tc_url = Some(Secret::new(text("tcUrl", url)?)),
            (b"flashVer", Token::Text(version)) => connect.flash_version = Some(describe(version)),
            (b"fourCcList", Token::Array(_)) => connect.four_cc_list = Some(four_ccs(reader)?),
            (_, value) => reader.skip(value)?,
        }
    }
    Ok(connect)
}

/// The rest of an open array of texts. A star stands for all there are.
fn four_ccs(reader: &mut Reader<'_>) -> Result<Vec<FourCc>, Amf0Error> {
    let mut codes = Vec::new();
    loop {
        match reader.next_token()? {
            Some(Token::End) | None => return Ok(codes),
            Some(Token::Text(text)) if codes.len() < FOUR_CCS => codes.extend(text.try_into().map(FourCc)),
            Some(other) => reader.skip(other)?,
        }
    }
}

fn publish(reader: &mut Reader<'_>) -> Result<Command, CommandError> {
    // The command object, null for all but `connect`; an object does no harm.
    if let Some(object) = reader.next_token()? {
        reader.skip(object)?;
    }
    let name = match reader.next_token()? {
        Some(Token::Text(name)) => text("stream name", name)?,
        _ => "",
    };
    let (name, query) = cut(name);
    Ok(Command::Publish { name: Secret::new(name), query })
}

fn text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, CommandError> {
    if bytes.len() > NAME_BYTES {
        return Err(CommandError::TooLong { what, len: bytes.len(), limit: NAME_BYTES });
    }
    std::str::from_utf8(bytes).map_err(|_| CommandError::NotUtf8 { what })
}

/// A text for the log: short, and without control characters.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(DESCRIPTION_BYTES)]);
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf0::Writer;

    #[test]
    fn a_command_with_fewer_than_three_values_is_read_as_far_as_it_goes() {
        let mut name_only = Writer::new();
        name_only.text("createStream");
        let (transaction, command) = Command::parse(name_only.bytes()).unwrap();
        assert!(transaction == 0.0 && matches!(command, Command::CreateStream));
        let mut two = Writer::new();
        two.text("publish").number(5.0);
        let (_, command) = Command::parse(two.bytes()).unwrap();
        assert!(matches!(command, Command::Publish { name, .. } if name.reveal().is_empty()));
        assert_eq!(Command::parse(&[]).unwrap_err(), CommandError::Nameless);
    }

    #[test]
    fn connect_tells_its_url_and_its_codecs_among_things_nobody_expects() {
        let mut writer = Writer::new();
        writer.text("connect").number(1.0).object();
        writer.key("nested").object().key("app").text("not this").end();
        writer.key("app").text("live?user=1").key("tcUrl").text("rtmp://h/live");
        writer.key("fourCcList").array(4).text("hvc1").number(4.0).text("*").text("av01").end();
        writer.key("flashVer").text("OBS\r\n");
        let (_, command) = Command::parse(writer.bytes()).unwrap();
        let Command::Connect(connect) = command else { panic!("{command:?}") };
        assert_eq!(connect.app.name, "live");
        assert_eq!(connect.tc_url.unwrap().reveal(), "rtmp://h/live");
        assert_eq!(connect.four_cc_list.unwrap(), [FourCc(*b"hvc1"), FourCc(*b"av01")]);
        assert_eq!(connect.flash_version.unwrap(), "OBS");
    }

    #[test]
    fn a_name_of_1_kib_is_taken_and_of_a_megabyte_is_not() {
        let publish = |len| {
            let mut writer = Writer::new();
            writer.text("publish").number(0.0).null().text(&"k".repeat(len));
            Command::parse(writer.bytes()).map(|_| ())
        };
        assert_eq!(publish(1024), Ok(()));
        assert!(matches!(publish(NAME_BYTES + 1), Err(CommandError::TooLong { what: "stream name", .. })));
    }
}
