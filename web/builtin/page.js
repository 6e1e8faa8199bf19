// The built-in page: lists what is on the air, and plays it where the browser itself knows HLS.
"use strict";

const element = (id) => document.getElementById(id);
const say = (text) => { element("message").textContent = text; };
const watched = decodeURIComponent(location.pathname.match(/^\/watch\/([^/]+)\/?$/)?.[1] ?? "");

function describe(broadcast) {
  const heights = broadcast.renditions.map((rendition) => rendition.height ? `${rendition.height}p` : "sound");
  const minutes = Math.max(0, Math.floor((Date.now() - broadcast.live_since_unix_ms) / 60000));
  return `${heights.join(", ")} · live for ${minutes} min`;
}

function list(broadcasts) {
  const items = broadcasts.map((broadcast) => {
    const link = document.createElement("a");
    link.href = broadcast.watch;
    link.textContent = broadcast.id;
    const small = document.createElement("small");
    small.textContent = describe(broadcast);
    link.append(small);
    const item = document.createElement("li");
    item.append(link);
    return item;
  });
  element("broadcasts").replaceChildren(...items);
}

let retry = 1000;

function play() {
  const video = element("video");
  element("player").hidden = false;
  element("title").textContent = watched;
  if (!video.canPlayType("application/vnd.apple.mpegurl")) {
    say("This browser does not play HLS by itself, and this balancer was built without the page that would: "
      + "run `make web` and build again, or open the playlist in a player.");
    return;
  }
  video.addEventListener("playing", () => { retry = 1000; say(""); });
  video.addEventListener("waiting", () => say("Waiting for the picture…"));
  video.addEventListener("error", () => {
    say(`Reconnecting… (${video.error?.message || `code ${video.error?.code}`})`);
    setTimeout(start, retry);
    retry = Math.min(retry * 2, 10000);
  });
  start();
}

function start() {
  const video = element("video");
  video.src = `/live/${encodeURIComponent(watched)}/index.m3u8`;
  video.play().catch(() => say("Press play to start."));
}

async function refresh() {
  try {
    const answer = await fetch("/api/v1/broadcasts", { cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const { broadcasts } = await answer.json();
    list(broadcasts);
    if (!watched) say(broadcasts.length ? "On the air now:" : "Nothing is on the air. This list refreshes by itself.");
  } catch (error) {
    if (!watched) say(`The list cannot be had just now (${error.message}); trying again.`);
  }
  setTimeout(refresh, 3000);
}

if (watched) play();
refresh();
