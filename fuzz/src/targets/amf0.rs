//! AMF0, and the commands and metadata written in it.

use crate::Chance;
use rtmp::amf0::{MAX_DEPTH, MAX_VALUES, Reader, Token, Writer};
use rtmp::{Command, Metadata};

/// Reading ends, within its bounds, and whatever was opened is closed at the end.
pub fn amf0(bytes: &[u8]) {
    let _ = Command::parse(bytes);
    let _ = Metadata::parse(bytes);
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let (mut open, mut values) = (0_usize, 0_usize);
    loop {
        match reader.next_token() {
            Ok(Some(Token::Object | Token::Array(_))) => (open, values) = (open + 1, values + 1),
            Ok(Some(Token::End)) => open = open.checked_sub(1).expect("an end of something open"),
            Ok(Some(Token::Key(_))) => assert!(open > 0, "a key outside of any object"),
            Ok(Some(_)) => values += 1,
            Ok(None) => {
                assert_eq!(open, 0, "the end, with something open");
                break;
            }
            Err(_) => break,
        }
        assert!(open <= MAX_DEPTH && values <= MAX_VALUES, "{open} deep, {values} values");
        assert_eq!(open, reader.depth());
    }
}

/// A command of some values, nested here and there.
pub fn good_command(chance: &mut Chance) -> Vec<u8> {
    let mut writer = Writer::new();
    let name =
        chance.pick(&["connect", "publish", "createStream", "@setDataFrame", "onMetaData", "nonsense"]);
    writer.text(name);
    if name == "@setDataFrame" {
        writer.text("onMetaData");
    } else {
        writer.number(1.0);
    }
    for _ in 0..chance.below(6) {
        value(&mut writer, chance, 0);
    }
    writer.into_bytes()
}

const KEYS: [&str; 10] =
    ["app", "tcUrl", "flashVer", "fourCcList", "width", "height", "encoder", "videocodecid", "", "other"];

fn value(writer: &mut Writer, chance: &mut Chance, depth: usize) {
    match chance.below(if depth < 20 { 8 } else { 5 }) {
        0 => writer.number(f64::from_bits(chance.bits())),
        1 => writer.boolean(chance.one_in(2)),
        2 => writer.null(),
        3 => writer.undefined(),
        4 => writer.text(chance.pick(&["", "live?user=1", "name?key=%41&b", "hvc1", "*"])),
        5 | 6 => {
            writer.object();
            for _ in 0..chance.below(5) {
                writer.key(chance.pick(&KEYS));
                value(writer, chance, depth + 1);
            }
            writer.end()
        }
        _ => {
            let count = chance.below(4);
            writer.array(count as u32);
            (0..count).for_each(|_| value(writer, chance, depth + 1));
            writer.end()
        }
    };
}
