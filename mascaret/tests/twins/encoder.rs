//! ffmpeg as a publisher, with one connection or two.

use crate::cluster::{Cluster, Running};
use std::process::{Command, Stdio};

const SOURCE: &str = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=s=320x180:r=25 \
                      -f lavfi -i sine=f=440:r=44100";
const ENCODE: &str = "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -keyint_min 25 \
                      -sc_threshold 0 -c:a aac -ac 2 -flags +global_header";

fn ffmpeg(words: &str, output: &[&str]) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(words.split_whitespace()).args(output).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Running(node::program::dies_with_us(&mut command).spawn().expect("ffmpeg is installed"))
}

/// One encoder, both ingests; each connection comes back by itself.
pub(crate) fn publish_to_both(cluster: &Cluster) -> Running {
    let both = format!("[f=flv]{}|[f=flv]{}", cluster.url(0), cluster.url(1));
    let fifo = "attempt_recovery=1:recover_any_error=1:recovery_wait_time=0.5:drop_pkts_on_overflow=1:\
                restart_with_keyframe=1:queue_size=600";
    ffmpeg(
        &format!("{SOURCE} {ENCODE}"),
        &["-f", "tee", "-use_fifo", "1", "-fifo_options", fifo, both.as_str()],
    )
}

pub(crate) fn publish_to(cluster: &Cluster, ingest: usize) -> Running {
    let url = cluster.url(ingest);
    ffmpeg(&format!("{SOURCE} {ENCODE}"), &["-f", "flv", url.as_str()])
}
