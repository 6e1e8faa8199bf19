//! A small origin with a live broadcast: a segment a second, numbered by the calendar, so that two origins agree.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Segments listed.
const LISTED: u64 = 8;

/// What is odd about an origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oddity {
    /// Every other viewer is sent there.
    pub(crate) redirects_to: Option<String>,
    /// One byte of every segment is another one.
    pub(crate) is_forged: bool,
    /// Segments end in the middle.
    pub(crate) truncates: bool,
}

/// An origin under way; its threads end with the test.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) fn start(segment_bytes: usize, oddity: Oddity) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let answered = Arc::new(AtomicU64::new(0));
        let count = answered.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (count, oddity) = (count.clone(), oddity.clone());
                std::thread::spawn(move || serve(connection, segment_bytes, &oddity, &count));
            }
        });
        Self { address, answered }
    }

    pub(crate) fn entry(&self) -> String {
        format!("http://{}/live/tide/index.m3u8", self.address)
    }

    /// Requests it has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}

fn serve(connection: TcpStream, segment_bytes: usize, oddity: &Oddity, answered: &AtomicU64) {
    let Ok(mut writer) = connection.try_clone() else { return };
    let mut lines = BufReader::new(connection).lines();
    while let Some(Ok(first)) = lines.next() {
        // The rest of the head says nothing that matters here.
        for line in lines.by_ref().map_while(Result::ok) {
            if line.is_empty() {
                break;
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let number = answered.fetch_add(1, Relaxed);
        let answer = answer(&target, number, segment_bytes, oddity);
        let is_cut = oddity.truncates && target.ends_with(".ts");
        let sent = if is_cut { &answer[..answer.len() / 2] } else { &answer };
        if writer.write_all(sent).is_err() || is_cut {
            return;
        }
    }
}

fn answer(target: &str, number: u64, segment_bytes: usize, oddity: &Oddity) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    match (target, &oddity.redirects_to) {
        ("/live/tide/index.m3u8", Some(elsewhere)) if number.is_multiple_of(2) => {
            let head = format!("HTTP/1.1 307 T\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
            return head.into_bytes();
        }
        ("/live/tide/index.m3u8", _) => {
            return whole("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=400000\n360p/index.m3u8\n".into());
        }
        _ => {}
    }
    if target.ends_with("/index.m3u8") {
        let first = now - LISTED;
        let mut text =
            format!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for sequence in first..now {
            text += &format!("#EXTINF:1.00000,\n{sequence}.ts\n");
        }
        return whole(text.into_bytes());
    }
    let sequence = target.rsplit('/').next().and_then(|name| name.strip_suffix(".ts")?.parse::<u64>().ok());
    let Some(sequence) = sequence.filter(|sequence| (now - 2 * LISTED..now).contains(sequence)) else {
        return b"HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let mut body = vec![sequence as u8; segment_bytes];
    body[segment_bytes / 2] ^= u8::from(oddity.is_forged);
    whole(body)
}

fn whole(body: Vec<u8>) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}
