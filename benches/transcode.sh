#!/usr/bin/env bash
# CPU of the ladder against the usual command: 1080p30 to 720p, 480p and 360p, x264 veryfast, capped constant quality.
# The same input for both, interleaved, RUNS times (default 3); prints user+sys seconds and the ratio of each pair.
#   benches/transcode.sh            20 s of input
#   RUNS=5 SECONDS_IN=60 benches/transcode.sh
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-3}
seconds=${SECONDS_IN:-20}
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --quiet --release -p transcode --bin mascaret-transcode --example orders
ffmpeg -nostdin -v error -f lavfi -i "mandelbrot=s=1920x1080:r=30,noise=alls=4:allf=t" -f lavfi -i "sine=f=440:r=48000" \
  -t "$seconds" -c:v libx264 -preset veryfast -b:v 6M -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k -ac 2 "$work/in.mp4"
"$target/release/examples/orders" "$work/in.mp4" "720p 2.5M" "480p 1.0M" "360p 0.6M" > "$work/orders"

ours() { "$target/release/mascaret-transcode" < "$work/orders" > "$work/ours"; }
theirs() {
  ffmpeg -nostdin -v error -y -i "$work/in.mp4" -filter_complex \
    "[0:v]split=3[a][b][c];[a]scale=-2:720[x];[b]scale=-2:480[y];[c]scale=-2:360[z]" \
    -map "[x]" -map 0:a -map "[y]" -map 0:a -map "[z]" -map 0:a \
    -c:v libx264 -preset veryfast -crf 23 -g 60 -keyint_min 60 -sc_threshold 0 \
    -maxrate:v:0 2.5M -bufsize:v:0 2.5M -maxrate:v:1 1M -bufsize:v:1 1M -maxrate:v:2 0.6M -bufsize:v:2 0.6M \
    -c:a aac -b:a 128k -f hls -hls_time 2 -hls_list_size 0 \
    -var_stream_map "v:0,a:0 v:1,a:1 v:2,a:2" -hls_segment_filename "$work/%v-%d.ts" "$work/%v.m3u8"
}
cpu() { # seconds of CPU the command took
  local TIMEFORMAT='%U %S'
  { time "$@" 2> "$work/log" >&3; } 3>&1 2>&1 | tail -1 | awk '{ print $1 + $2 }'
}

ours; theirs
echo "input: ${seconds} s of 1080p30; $(nproc) cores; $("$target/release/mascaret-transcode" --version)"
echo "bytes: ours $(stat -c %s "$work/ours"), theirs $(cat "$work"/*.ts | wc -c)"
for run in $(seq "$runs"); do
  o=$(cpu ours); t=$(cpu theirs)
  echo "$o $t" >> "$work/pairs"
  awk -v r="$run" -v o="$o" -v t="$t" 'BEGIN { printf "run %d: ours %.2f s, theirs %.2f s, ratio %.3f\n", r, o, t, o / t }'
done
awk '{ r = $1 / $2; s += r; if (NR == 1 || r < lo) lo = r; if (r > hi) hi = r }
  END { printf "ratio: mean %.3f, min %.3f, max %.3f of %d runs (goal 0.92)\n", s / NR, lo, hi, NR }' "$work/pairs"
