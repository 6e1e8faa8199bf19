//! Commands and their values: the usual ones, those that say too little, and those that are made to hurt.

use crate::visit::{conversation, plain};
use media::Track;
use rtmp::amf0::Writer;
use rtmp::{COMMANDS_BEFORE_PUBLISH, Door, Farewell, HELD_BYTES_UNPUBLISHED, MessageKind, Refusal, script};

suite! { conversation();

/// Hostile input 1: 101 KB of nested arrays in one command, before any authentication.
fn nested_arrays_are_refused_before_they_are_read(visit) {
    let mut body = Writer::new().text("connect").bytes().to_vec();
    body.extend([0x0a, 0, 0, 0, 1].repeat(20_200));
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("message of 101010 bytes, at most 16384"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// … and 15 KB of them, which is read.
fn nested_arrays_that_fit_are_refused_at_depth_17(visit) {
    let mut body = Writer::new().text("connect").number(1.0).bytes().to_vec();
    body.push(0x03);
    body.extend([0, 1, b'a', 0x0a, 0, 0, 0, 1]);
    body.extend([0x0a, 0, 0, 0, 1].repeat(3000));
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("nests deeper than 16"), "{}", visit.fault());
}

/// Hostile input 3: 16 MB of 1-byte nulls.
fn sixteen_megabytes_of_nulls_are_refused_at_the_header(visit) {
    let mut body = Writer::new().text("connect").number(1.0).bytes().to_vec();
    body.resize(16_000_000, 5);
    visit.push(&script::handshake());
    let message = script::message(MessageKind::CommandAmf0, 0, 0, body);
    visit.messages(&plain(), std::slice::from_ref(&message));
    assert!(visit.fault().contains("message of 16000000 bytes"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// … and 64 KiB of them from somebody who publishes.
fn nulls_of_a_publisher_are_counted(visit) {
    let mut body = Writer::new().text("publish").number(1.0).bytes().to_vec();
    body.resize(64 * 1024 + 1, 5);
    visit.publish(&plain()).messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("AMF0 of 65537 bytes"), "{}", visit.fault());
    assert!(visit.most_held < 1 << 20, "{} bytes held", visit.most_held);
}

/// Hostile input 4: commands with fewer than three values, and a lone `@setDataFrame`.
fn commands_with_too_few_values_and_a_lone_set_data_frame(visit) {
    let only = |name: &str| {
        let mut body = Writer::new();
        body.text(name);
        body.into_bytes()
    };
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live")]);
    for name in ["createStream", "releaseStream", "FCPublish", "deleteStream", "nonsense", "@setDataFrame", ""] {
        visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, only(name))]);
        assert_eq!(visit.over, None, "{name}");
    }
    visit.messages(&plain(), &[script::publish("name")]);
    visit.door.accept(visit.now);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, only("@setDataFrame"))]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, vec![])]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, vec![0x11, 0x22])]);
    assert_eq!((visit.over.clone(), visit.metadata), (None, 0));
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, only("publish"))]);
    assert!(matches!(visit.over, Some(Farewell::Refused(_))), "{:?}", visit.over);
}

fn a_publish_without_a_name_is_refused_in_words(visit) {
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live"), script::publish("")]);
    assert!(matches!(visit.over, Some(Farewell::Refused(_))) && visit.was_told("no stream name"), "{:?}", visit.over);
}

/// Hostile input 5: Date, LongString, Reference and XML; neither they nor what stood before them is lost.
fn unusual_values_do_no_harm(visit) {
    let mut odd = vec![0x0b];
    odd.extend(0.0_f64.to_be_bytes());
    odd.extend([0, 0]);
    odd.extend([0x0c, 0, 0, 0, 1, b'l', 0x07, 0, 0, 0x0f, 0, 0, 0, 1, b'x']);
    let mut connect = Writer::new().text("connect").number(1.0).bytes().to_vec();
    connect.push(3);
    for (key, value) in [("date", &odd[..11]), ("long", &odd[11..17]), ("ref", &odd[17..20]), ("xml", &odd[20..])] {
        connect.extend((key.len() as u16).to_be_bytes());
        connect.extend(key.as_bytes());
        connect.extend(value);
    }
    connect.extend([0, 3, b'a', b'p', b'p', 2, 0, 4, b'l', b'i', b'v', b'e', 0, 0, 9]);
    let mut metadata = Writer::new().text("onMetaData").bytes().to_vec();
    metadata.extend([8, 0, 0, 0, 1, 0, 1, b'd']);
    metadata.extend(&odd[..11]);
    metadata.extend([0, 0, 9]);
    visit.push(&script::handshake());
    let connect = script::message(MessageKind::CommandAmf0, 0, 0, connect);
    visit.messages(&plain(), &[connect, script::publish("name")]);
    assert!(visit.asked.is_some(), "{:?}", visit.over);
    visit.door.accept(visit.now);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, metadata)]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, [&[2, 0, 1, b'x'][..], &odd].concat())]);
    visit.messages(&plain(), &[script::media(Track::Audio, 0, script::aac_unit(10))]);
    assert_eq!((visit.over.clone(), visit.metadata, visit.media.len()), (None, 1, 1));
}

/// Hostile input 8: what `connect` says, and that it is answered honestly.
fn connect_fields_surface(visit) {
    let mut body = Writer::new();
    body.text("connect").number(1.0).object().key("app").text("live?user=1").key("tcUrl").text("rtmp://h/live?user=1");
    body.key("fourCcList").array(2).text("hvc1").text("Opus").end();
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::command(body), script::publish("key?key=s3cret&token=t%31")]);
    let asked = visit.asked.take().unwrap();
    assert_eq!((asked.app.name.as_str(), asked.app.query.value("user").unwrap().reveal()), ("live", "1"));
    assert_eq!(asked.query.value("token").unwrap().reveal(), "t1");
    assert_eq!(format!("{:?}", asked.four_cc_list), "Some([hvc1, Opus])");
    assert!(visit.was_told("fourCcList\x0a\0\0\0\0"), "the list of codecs we take by FourCC is empty, and said");
    let told = format!("{asked:?}");
    assert!(!told.contains("s3cret") && !told.contains("rtmp://"), "{told}");
}

fn a_key_of_1_kib_is_handled(visit) {
    let key = "k".repeat(1024);
    visit.push(&script::opening("live", &format!("name?key={key}"), &plain()));
    assert_eq!(visit.asked.as_ref().unwrap().query.value("key").unwrap().reveal(), key);
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

fn a_wrong_key_is_refused_before_any_media(visit) {
    visit.push(&script::opening("live", "name?key=wrong", &plain()));
    visit.door.refuse(Refusal::unauthorized());
    visit.pull();
    assert!(visit.was_told("NetStream.Publish.Unauthorized") && !visit.was_told("wrong"));
    visit.messages(&plain(), &[script::media(Track::Video, 0, vec![1])]);
    assert!(visit.media.is_empty());
    assert_eq!(visit.over, Some(Farewell::Refused(Refusal::unauthorized())));
}

fn a_codec_nobody_takes_is_refused_by_name(visit) {
    visit.publish(&plain());
    visit.door.refuse(Refusal::unsupported_codec("HEVC"));
    visit.pull();
    assert!(visit.was_told("HEVC is not taken here"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn media_before_an_accepted_publish_is_a_fault(visit) {
    visit.push(&script::opening("live", "name", &plain()));
    visit.messages(&plain(), &[script::media(Track::Video, 0, vec![1])]);
    assert_eq!(visit.fault(), "media before a publish was accepted");
    assert!(visit.media.is_empty());
}

fn a_viewer_is_told_where_to_go(visit) {
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live"), script::call("play", 0.0, Some("name"))]);
    assert!(visit.was_told("NetStream.Play.Failed") && visit.was_told("watched over HTTP"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn a_second_publish_on_the_same_connection_is_refused(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::publish("other")]);
    assert!(visit.was_told("NetStream.Publish.BadName"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn a_connect_to_nothing_is_refused(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("/?a=b")]);
    assert!(visit.was_told("NetConnection.Connect.InvalidApp"));
}

fn publish_before_connect_is_a_fault(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::publish("name")]);
    assert!(visit.fault().contains("before connect"), "{}", visit.fault());
}

fn commands_without_end_are_a_fault(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("live")]);
    for _ in 1..COMMANDS_BEFORE_PUBLISH {
        visit.messages(&plain(), &[script::call("createStream", 2.0, None)]);
        assert_eq!(visit.over, None);
    }
    visit.messages(&plain(), &[script::call("createStream", 2.0, None)]);
    assert!(visit.fault().contains("more than 64 commands"), "{}", visit.fault());
}

}
