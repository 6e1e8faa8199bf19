//! Memory for connections has a ceiling: who has held us up the longest goes, the others are served on.

mod common;

use std::io::{Read, Write};

use common::*;
use percore::rustls::version::TLS13;
use percore::{Config, Inode, Limits, TLS_BYTES};

const KIB: u64 = 1024;

#[test]
fn when_kept_input_fills_the_memory_the_oldest_are_cut() {
    on_each_driver(|config| {
        let limits = Limits { memory_per_core: 180 * KIB, ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let mut peers = Vec::new();
        while lit.running.counters().total.cut_memory == 0 {
            let mut peer = lit.connect();
            // Never a line's end.
            peer.write_all(&[b'x'; 15_000]).unwrap();
            peers.push(peer);
            lit.until("it is read", |it| it.bytes_received == peers.len() as u64 * 15_000);
            assert!(peers.len() < 13, "13 × 15 KB are more than 180 KiB");
        }
        assert!(peers.len() > 8, "8 × 15 KB are not, whatever the buffers' sizes");
        let counts = lit.running.counters().total;
        assert!(counts.held_bytes <= 180 * KIB, "{counts:?}");
        assert!((1..=4).contains(&counts.cut_memory), "an eighth is made free, not all: {counts:?}");
        let cut = counts.cut_memory as usize;
        for (nth, peer) in peers.iter_mut().enumerate() {
            let _ = peer.write_all(b"\n");
            assert_eq!(is_closed_after_an_answer(peer), nth >= cut, "{nth}, {cut} cut");
        }
        ask(&mut lit.connect(), "echo on\n", "on\n");
        drop(peers);
        let counts = lit.until("all have left", |it| it.open == 0);
        assert_eq!(counts.held_bytes, 0, "nothing is charged to nobody");
        lit.stop();
    });
}

/// Whether it is answered ("what?", since the line is no verb) before it is closed.
fn is_closed_after_an_answer(peer: &mut std::net::TcpStream) -> bool {
    let mut heard = [0; 6];
    peer.read_exact(&mut heard).is_ok() && &heard == b"what?\n"
}

#[test]
fn stuck_tls_readers_are_cut_when_their_records_fill_the_memory_and_a_good_one_is_not() {
    let body = pattern(4 << 20);
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let limits = Limits { memory_per_core: 2 << 20, ..limits() };
        let lit = lines_with(Config { cores: 1, limits, ..config }, Inode::write(b"HEAD\n", &body).unwrap());
        let client = tls_client(&trusted, &TLS13);
        let mut good = tls_connect(lit.plain, &client);
        let mut stuck = Vec::new();
        for _ in 0..60 {
            let mut peer = tls_connect(lit.plain, &client);
            if peer.write_all(b"inode\n").is_ok() {
                stuck.push(peer);
            }
            good.write_all(b"inode\n").unwrap();
            assert_eq!(hear(&mut good, 5), b"HEAD\n");
            assert!(hear(&mut good, body.len()) == body);
            let counts = lit.running.counters().total;
            assert!(counts.held_bytes <= 2 << 20, "{counts:?}");
        }
        let counts = lit.running.counters().total;
        assert!(counts.cut_memory > 0, "60 readers that hold 64 KB and more each: {counts:?}");
        assert_eq!(counts.cut_slow, 0, "it was not the drain rate");
        drop((stuck, good));
        let counts = lit.until("all have left", |it| it.open == 0);
        assert_eq!(counts.held_bytes, 0);
        lit.stop();
    });
}

#[test]
fn who_comes_when_not_even_a_share_is_left_is_closed_at_once() {
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let limits = Limits { memory_per_core: 3 * TLS_BYTES, ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let client = tls_client(&trusted, &TLS13);
        let mut kept: Vec<_> = (0..3).map(|_| tls_connect(lit.plain, &client)).collect();
        kept.iter_mut().for_each(|it| ask(it, "echo in\n", "in\n"));
        assert!(is_closed(&mut lit.connect()));
        let counts = lit.until("it is counted", |it| it.refused_memory == 1);
        assert_eq!((counts.open, counts.cut_memory), (3, 0));
        drop(kept.pop());
        lit.until("one has left", |it| it.open == 2);
        ask(&mut tls_connect(lit.plain, &client), "echo room again\n", "room again\n");
        lit.stop();
    });
}

#[test]
fn the_share_of_a_tls_connection_is_about_what_it_costs() {
    // In a process of its own: the other tests of this file would be measured with it.
    const MARK: &str = "PERCORE_TEST_SHARE";
    if std::env::var_os(MARK).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "the_share_of_a_tls_connection_is_about_what_it_costs";
        let mut command = std::process::Command::new(this);
        let output = command.args(["--exact", name, "--nocapture"]).env(MARK, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines(Config { cores: 1, ..config });
        let client = tls_client(&trusted, &TLS13);
        let connect = |count: usize| -> Vec<_> {
            let peers = (0..count).map(|_| tls_connect(lit.plain, &client));
            peers
                .map(|mut it| {
                    ask(&mut it, "echo in\n", "in\n");
                    // Only the descriptor stays on our side.
                    it.sock
                })
                .collect()
        };
        let _warm = connect(100);
        let (before, peers) = (resident_bytes(), connect(1000));
        let each = (resident_bytes() - before) / peers.len() as u64;
        println!("{each} bytes resident for each idle TLS connection");
        assert!(each < 2 * TLS_BYTES, "{each} bytes each, charged with {TLS_BYTES}");
        lit.stop();
    });
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').nth(1).expect("a second number").parse().expect("a number");
    pages * 4096
}
