// The built-in page: lists what is on the air, and plays it.
//
// Where the browser takes MPEG-TS from a script (player.js) an edge may fail and the picture goes on. Elsewhere the
// browser's own HLS plays, which gives up at the first failure and is started anew by us.

import { Player, canPlay } from "./player.js";

const LIST_EVERY_MS = 3000;
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 10_000;

const element = (id) => document.getElementById(id);
const say = (text) => {
  if (element("message").textContent !== text) element("message").textContent = text;
};
const watched = location.pathname.match(/^\/watch\/([A-Za-z0-9_-]+)\/?$/)?.[1];
const playlist = `/live/${watched}/index.m3u8`;
const video = element("video");

function item(broadcast) {
  const make = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });
  const heights = broadcast.renditions.map(({ height }) => (height ? `${height}p` : "sound"));
  const minutes = Math.max(0, Math.floor((Date.now() - broadcast.live_since_unix_ms) / 60_000));
  const link = make("a");
  link.href = broadcast.watch;
  link.append(make("strong", broadcast.id), make("small", `${heights.join(", ")} · live for ${minutes} min`));
  const made = make("li");
  made.append(link);
  return made;
}

let shown = "";

async function list() {
  try {
    const answer = await fetch("/api/v1/broadcasts", { cache: "no-store" });
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    const { broadcasts } = await answer.json();
    const others = broadcasts.filter((broadcast) => broadcast.id !== watched);
    const items = others.map(item);
    // Only what has changed is put in anew: whoever has a link focused keeps it.
    const now = items.map((made) => made.textContent).join("\n");
    if (now !== shown) element("broadcasts").replaceChildren(...items);
    shown = now;
    if (!watched) say(broadcasts.length ? "" : "Nothing is on the air. Publish with OBS or ffmpeg and it appears here.");
  } catch (error) {
    if (!watched) say(`The balancer does not answer (${error.message}); trying again.`);
  }
  setTimeout(list, LIST_EVERY_MS);
}

let retry = RETRY_FIRST_MS;
const isOurs = canPlay();
/** @type {Player | undefined} */
let player;

/** Asks for the playlist first: the element's own error does not say why. */
async function start() {
  let status = 0;
  try {
    status = (await fetch(playlist, { cache: "no-store" })).status;
  } catch {
    // Told below as what it is: no answer.
  }
  if (status !== 200) {
    if (status === 404) again("This broadcast is not on the air. It starts here by itself when it is.");
    else again(status ? `The balancer refuses just now (${status}); trying again.` : "The balancer does not answer; trying again.");
    return;
  }
  video.hidden = false;
  if (isOurs) {
    player?.stop();
    player = new Player(video, playlist);
    globalThis.mascaret = player;
    player.play().then(
      (hasEnded) => hasEnded && again("This broadcast has ended. It starts here by itself when it is back."),
      (error) => {
        console.warn(error);
        again("The picture has stopped; asking for it anew.");
      },
    );
  } else {
    video.src = playlist;
  }
  video.play().catch((error) => {
    if (error.name === "NotAllowedError") say("Press play to start.");
  });
}

function again(why) {
  say(why);
  setTimeout(start, retry);
  retry = Math.min(retry * 2, RETRY_MAX_MS);
}

function watch() {
  document.title = `${watched} · Mascaret`;
  element("title").textContent = watched;
  if (!isOurs && !video.canPlayType("application/vnd.apple.mpegurl")) {
    say(`This browser does not play HLS by itself. A balancer that was built with node has a page that does ` +
      `(make web, then build again); VLC, mpv and ffplay open ${location.origin}${playlist}.`);
    return;
  }
  video.addEventListener("playing", () => {
    retry = RETRY_FIRST_MS;
    say("");
  });
  video.addEventListener("waiting", () => say("Waiting for the picture…"));
  video.addEventListener("error", () => {
    if (isOurs) player?.stop();
    again("The picture has stopped; asking for it anew.");
  });
  start();
}

if (watched) watch();
list();
