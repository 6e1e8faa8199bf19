// Between the browser's own HLS player and the edges: a browser gives up at the first failure, so it is shown one place
// that never fails. What it asks of this page's own origin is fetched from whichever edge has it.
//
// Lives here: the playlist that names only us, and ranges. Does not live here: which edge is asked, and what is done when
// it fails (hedge.js, the same as in the full page), or the page.

import { Edges, Refused, gather } from './hedge.js';

const EDGES_ID = 'com.mascaret.edges';
/** Bodies kept for a player that asks for one in pieces. */
const BODIES_KEPT = 4;
/** All edges are asked once more after this, so many times. */
const ROUND_MS = 500;
const ROUNDS = 12;

const edges = new Edges();
/** @type {Map<string, import('./hedge.js').Gathered>} */
const bodies = new Map();

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => {
  const { current, hedges, resumed, switches, changes } = edges;
  event.source?.postMessage({ current, hedges, resumed, switches, changes });
});
self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== location.origin) return;
  if (/^\/live\/[^/]+\/index\.m3u8$/.test(url.pathname) && event.request.destination === 'video') {
    event.respondWith(enter(url.pathname));
  } else if (/^\/v\/[^/]+\/[^/]+\/./.test(url.pathname)) {
    event.respondWith(media(url, event.request));
  }
});

/** The balancer's playlist: its edges are learned, and what the player sees of them is one place, ours. */
async function enter(path) {
  const answer = await fetch(path, { cache: 'no-store' });
  if (!answer.ok) return answer;
  const text = learn(await answer.text());
  return new Response(text, { headers: { 'content-type': answer.headers.get('content-type') ?? '' } });
}

function learn(text) {
  const lines = [];
  const first = /^https?:\/\/[^/\r\n]+/m.exec(text)?.[0];
  for (const line of text.split(/\r?\n/)) {
    const [, pathway] = /PATHWAY-ID="([^"]*)"/.exec(line) ?? [];
    const [, value] = line.startsWith('#EXT-X-SESSION-DATA:') ? (/VALUE="([^"]*)"/.exec(line) ?? []) : [];
    if (value && line.includes(EDGES_ID)) {
      for (const pair of value.split(' ')) edges.learn(pair.slice(pair.indexOf('=') + 1), pair.slice(0, pair.indexOf('=')));
    } else if (line.startsWith('#EXT-X-CONTENT-STEERING')) {
      continue;
    } else if (/^https?:/.test(line)) {
      const { origin, pathname, search } = new URL(line);
      const named = lines.at(-1);
      edges.learn(origin, /** @type {{ pathway?: string }} */ (named).pathway);
      // The same again at another edge.
      if (origin !== first) lines.pop();
      else lines.push({ text: pathname + search });
    } else {
      lines.push({ text: pathway === undefined ? line : line.replace(/,?PATHWAY-ID="[^"]*"/, ''), pathway });
    }
  }
  return lines.map((line) => line.text).join('\n');
}

async function media(url, request) {
  try {
    const found = await body(url, request.signal);
    const type = { 'content-type': found.headers.get('content-type') ?? '' };
    const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '');
    if (!asked) return new Response(found.body, { headers: type });
    const all = found.body.byteLength;
    const from = Number(asked[1]);
    const to = Math.min(asked[2] ? Number(asked[2]) + 1 : all, all);
    if (from >= to) return new Response(null, { status: 416, headers: { 'content-range': `bytes */${all}` } });
    const headers = { ...type, 'content-range': `bytes ${from}-${to - 1}/${all}` };
    return new Response(found.body.slice(from, to), { status: 206, headers });
  } catch (error) {
    return new Response(null, { status: error instanceof Refused && error.status >= 400 ? error.status : 503 });
  }
}

async function body(url, signal) {
  const isMedia = !url.pathname.endsWith('.m3u8');
  const known = bodies.get(url.pathname);
  if (known && isMedia) return known;
  // A worker that the browser has ended in between knows nothing any more.
  if (edges.all.length === 0) await enter(`/live/${url.pathname.split('/')[3]}/index.m3u8`);
  const [origin] = edges.all;
  const at = (origin ?? location.origin) + url.pathname + url.search;
  const wish = { isMedia, signal };
  let found = await rounds(at, wish);
  if (!isMedia && edges.standsStill(found.url, new TextDecoder().decode(found.body))) {
    edges.failed(found.url, 'stands still');
    found = await gather(edges, at, wish).catch(() => found);
  }
  if (isMedia) {
    bodies.set(url.pathname, found);
    const [oldest] = bodies.keys();
    if (bodies.size > BODIES_KEPT && oldest !== undefined) bodies.delete(oldest);
  }
  return found;
}

async function rounds(url, wish) {
  for (let round = 1; ; round += 1) {
    try {
      return await gather(edges, url, wish);
    } catch (error) {
      if (!(error instanceof Refused) || error.isFinal || wish.signal.aborted || round === ROUNDS) throw error;
      await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
    }
  }
}
