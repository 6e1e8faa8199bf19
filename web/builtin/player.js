// A small player for browsers whose Media Source Extensions take MPEG-TS as it is (Chromium's since 2025): it asks by the
// hedged requests of the full page, so an edge may fail and the picture goes on.
//
// Lives here: playlists read as far as playing needs, which rendition, what is appended where. Does not live here: which
// edge is asked (hedge.js), what is said to people (page.js).

import { Edges, Refused, gather } from './hedge.js';

const EDGES_ID = 'com.mascaret.edges';
/** So many target durations behind the end playing begins. */
const BEHIND_TARGETS = 3;
/** Of what the line carries so much may be asked of it. */
const USABLE = 0.7;
/** What was played is kept for so long, seconds. */
const KEPT_S = 30;
/** A hole of so much in front of the playhead is stepped over, seconds. */
const HOLE_S = 0.5;
/** What differs by more from where the playlist has it is put there, seconds. */
const ASTRAY_S = 0.5;
/** All edges are asked once more after this. */
const ROUND_MS = 250;
/** For so long everything may be refused before it is said; milliseconds. */
const GIVE_UP_MS = 15_000;
/** PTS are of 90 kHz. */
const HZ = 90_000;

/**
 * @typedef {{ url: string, bandwidth: number, codecs: string }} Rung
 * @typedef {{ sequence: number, start: number, duration: number, isGap: boolean, url: string }} Listed
 */

/** What a variant stream of these codecs is to MSE. */
const kind = (/** @type {string} */ codecs) => `video/mp2t; codecs="${codecs}"`;

/** Whether this browser can. */
export const canPlay = () => globalThis.MediaSource?.isTypeSupported(kind('avc1.64001f,mp4a.40.2')) ?? false;

const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {string} line @param {string} name */
const attribute = (line, name) => new RegExp(`[:,]${name}=(?:"([^"]*)"|([^,]*))`).exec(line)?.slice(1).find(Boolean);

/**
 * The multivariant playlist: edges are learned, each rendition is named once.
 * @param {string} text @param {string} from @param {Edges} edges
 */
export function multivariant(text, from, edges) {
  /** @type {Map<string, Rung>} */
  const rungs = new Map();
  let steering;
  let variant = '';
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#EXT-X-STREAM-INF:')) variant = line;
    else if (line.startsWith('#EXT-X-CONTENT-STEERING:')) steering = attribute(line, 'SERVER-URI');
    else if (line.startsWith('#EXT-X-SESSION-DATA:') && attribute(line, 'DATA-ID') === EDGES_ID) {
      for (const pair of (attribute(line, 'VALUE') ?? '').split(' ').filter(Boolean)) {
        edges.learn(pair.slice(pair.indexOf('=') + 1), pair.slice(0, pair.indexOf('=')));
      }
    } else if (line && !line.startsWith('#') && variant) {
      const url = new URL(line, from);
      edges.learn(url.origin, attribute(variant, 'PATHWAY-ID'));
      const path = url.pathname.split('/').slice(-2).join('/');
      const bandwidth = Number(attribute(variant, 'BANDWIDTH')) || 0;
      const codecs = attribute(variant, 'CODECS') ?? '';
      if (!rungs.has(path)) rungs.set(path, { url: url.href, bandwidth, codecs });
      variant = '';
    }
  }
  const order = [...rungs.values()].sort((one, other) => one.bandwidth - other.bandwidth);
  return { rungs: order, steering: steering && new URL(steering, from).href };
}

/**
 * A media playlist; a segment's start is seconds of the calendar.
 * @param {string} text @param {string} from
 */
export function media(text, from) {
  /** @type {Listed[]} */
  const segments = [];
  const target = Number(/#EXT-X-TARGETDURATION:(\d+)/.exec(text)?.[1]) || 2;
  let sequence = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]) || 0;
  let [start, duration, isGap] = [0, 0, false];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#EXTINF:')) duration = parseFloat(line.slice(8));
    else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) start = Date.parse(line.slice(25)) / 1000;
    else if (line === '#EXT-X-GAP') isGap = true;
    else if (line && !line.startsWith('#')) {
      segments.push({ sequence, start, duration, isGap, url: new URL(line, from).href });
      [sequence, start, isGap] = [sequence + 1, start + duration, false];
    }
  }
  return { target, segments, hasEnded: text.includes('#EXT-X-ENDLIST') };
}

/**
 * The least presentation time among the first pictures and sounds of a segment, seconds of its own clock.
 * @param {Uint8Array} bytes
 */
export function firstTime(bytes) {
  /** @type {Map<number, number>} by PID */
  const first = new Map();
  for (let at = 0; at + 188 <= bytes.length && first.size < 2; at += 188) {
    const [, high = 0, low = 0, flags = 0] = bytes.subarray(at, at + 4);
    const pid = ((high & 0x1f) << 8) | low;
    const payload = at + 4 + (flags & 0x20 ? 1 + (bytes[at + 4] ?? 0) : 0);
    const [zero, nought, one, id = 0] = bytes.subarray(payload, payload + 4);
    const isPes = high & 0x40 && flags & 0x10 && zero === 0 && nought === 0 && one === 1 && id >= 0xc0;
    if (!isPes || first.has(pid) || payload + 14 > at + 188 || !((bytes[payload + 7] ?? 0) & 0x80)) continue;
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = bytes.subarray(payload + 9, payload + 14);
    first.set(pid, ((a >> 1) & 7) * 2 ** 30 + (b << 22) + ((c >> 1) << 15) + (d << 7) + (e >> 1));
  }
  return first.size === 0 ? undefined : Math.min(...first.values()) / HZ;
}

/** One broadcast in one video element. */
export class Player {
  edges = new Edges();
  stalls = 0;
  /** @type {Rung[]} */
  #rungs = [];
  /** @type {SourceBuffer | undefined} */
  #buffer;
  #codecs = '';
  /** What is added to the stream's own clock, seconds. */
  #offset = NaN;
  /** The calendar's second at which the element's time is 0. */
  #zero = NaN;
  #next = -1;
  /** Bits a second. */
  #carries = 0;
  #gone = new AbortController();

  /**
   * @param {HTMLVideoElement} video
   * @param {string} entry
   */
  constructor(video, entry) {
    this.video = video;
    this.entry = new URL(entry, location.href).href;
  }

  /** Plays until it ends (true), or nobody has it any more (it throws). */
  async play() {
    const source = new MediaSource();
    const isOpen = new Promise((resolve) => source.addEventListener('sourceopen', resolve, { once: true }));
    this.video.src = URL.createObjectURL(source);
    await isOpen;
    URL.revokeObjectURL(this.video.src);
    const answer = await fetch(this.entry, { cache: 'no-store' });
    if (!answer.ok) throw new Refused(answer.status, `the balancer answers ${answer.status}`, true);
    const { rungs, steering } = multivariant(await answer.text(), this.entry, this.edges);
    if (rungs.length === 0) throw new Refused(0, 'the playlist names nothing', true);
    this.#rungs = rungs;
    if (steering) void this.#follow(steering);
    const stalled = () => (this.stalls += Number(this.video.currentTime > 0 && !this.video.seeking));
    this.video.addEventListener('waiting', stalled, { signal: this.#gone.signal });
    return this.#run(source);
  }

  stop() {
    this.#gone.abort();
  }

  /** @param {MediaSource} source */
  async #run(source) {
    let well = performance.now();
    while (!this.#gone.signal.aborted) {
      const rung = this.#rung();
      try {
        const list = await this.#list(rung);
        const isNew = await this.#take(source, rung, list);
        well = performance.now();
        if (list.hasEnded && !isNew) {
          source.endOfStream();
          return true;
        }
        this.#mind(list);
        if (!isNew) await pause((list.target * 1000) / 4);
      } catch (error) {
        if (!(error instanceof Refused) || performance.now() - well > GIVE_UP_MS) throw error;
        await pause(ROUND_MS);
      }
    }
    return false;
  }

  #rung() {
    const fits = this.#rungs.filter(({ bandwidth }) => bandwidth <= this.#carries * USABLE);
    return /** @type {Rung} */ (fits.at(-1) ?? this.#rungs[0]);
  }

  /** @param {Rung} rung */
  async #list(rung) {
    const wish = { isMedia: false, signal: this.#gone.signal };
    const text = (/** @type {import('./hedge.js').Gathered} */ found) => new TextDecoder().decode(found.body);
    let found = await gather(this.edges, rung.url, wish);
    if (this.edges.standsStill(found.url, text(found))) {
      this.edges.failed(found.url, 'stands still');
      found = await gather(this.edges, rung.url, wish).catch(() => found);
    }
    return media(text(found), rung.url);
  }

  /**
   * Fetches what is new, one after the other; whether there was anything.
   * @param {MediaSource} source @param {Rung} rung @param {ReturnType<typeof media>} list
   */
  async #take(source, rung, { target, segments }) {
    const [first, last] = [segments[0], segments.at(-1)];
    if (!first || !last) return false;
    if (this.#next < first.sequence) {
      // At the beginning, or long away: a hold-back behind the end.
      const back = segments.filter((one) => last.start + last.duration - one.start >= BEHIND_TARGETS * target).at(-1) ?? first;
      const isAnew = this.#next < 0;
      this.#next = back.sequence;
      if (isAnew) this.#zero = back.start;
      else this.video.currentTime = back.start - this.#zero;
    }
    const one = segments.find((it) => it.sequence >= this.#next);
    if (!one) return false;
    if (!one.isGap) {
      const asked = performance.now();
      const { body } = await gather(this.edges, one.url, { isMedia: true, signal: this.#gone.signal });
      const carries = (body.byteLength * 8000) / Math.max(1, performance.now() - asked);
      this.#carries = this.#carries ? this.#carries * 0.7 + carries * 0.3 : carries;
      await this.#append(source, rung, one, body);
    }
    this.#next = one.sequence + 1;
    return true;
  }

  /**
   * @param {MediaSource} source @param {Rung} rung @param {Listed} one @param {Uint8Array<ArrayBuffer>} body
   */
  async #append(source, rung, one, body) {
    const buffer = (this.#buffer ??= source.addSourceBuffer(kind(rung.codecs)));
    if (this.#codecs && this.#codecs !== rung.codecs) {
      buffer.abort();
      buffer.changeType(kind(rung.codecs));
      this.#offset = NaN;
    }
    this.#codecs = rung.codecs;
    const [own, wanted] = [firstTime(body), one.start - this.#zero];
    if (own === undefined) return;
    // The stream's clock goes on over segments, and begins anew every 26 hours and where a feed was broken.
    if (!(Math.abs(own + this.#offset - wanted) < ASTRAY_S)) {
      buffer.abort();
      this.#offset = wanted - own;
      buffer.timestampOffset = this.#offset;
    }
    await this.#done(buffer, () => buffer.appendBuffer(body));
    const old = this.video.currentTime - KEPT_S;
    if (buffer.buffered.length > 0 && buffer.buffered.start(0) < old) await this.#done(buffer, () => buffer.remove(0, old));
  }

  /** @param {SourceBuffer} buffer @param {() => void} change */
  #done(buffer, change) {
    return new Promise((resolve, reject) => {
      const failed = () => reject(new Error('the browser cannot take this stream apart'));
      buffer.addEventListener('error', failed, { once: true });
      buffer.addEventListener('updateend', () => (buffer.removeEventListener('error', failed), resolve(undefined)), { once: true });
      change();
    });
  }

  /** Holes are stepped over, and who has fallen out of the window comes back into it. @param {ReturnType<typeof media>} list */
  #mind({ target }) {
    const { video } = this;
    const { buffered, currentTime: at } = video;
    if (buffered.length === 0) return;
    const end = buffered.end(buffered.length - 1);
    for (let range = 0; range < buffered.length; range += 1) {
      const begin = buffered.start(range);
      const isHole = begin > at && (range === 0 || buffered.end(range - 1) <= at + 0.1);
      if (isHole && (begin - at < HOLE_S || video.readyState < video.HAVE_FUTURE_DATA)) video.currentTime = begin + 0.01;
    }
    if (!video.paused && end - at > (BEHIND_TARGETS + 3) * target) video.currentTime = end - BEHIND_TARGETS * target;
  }

  /** Content steering: the balancer says which edge it would like us at. @param {string} uri */
  async #follow(uri) {
    for (let ttl = 0; !this.#gone.signal.aborted; ) {
      await pause(ttl * 1000);
      ttl = 5;
      const url = new URL(uri);
      const id = this.edges.current && this.edges.id(this.edges.current);
      if (id) url.searchParams.set('_HLS_pathway', `"${id}"`);
      if (this.#carries) url.searchParams.set('_HLS_throughput', String(Math.round(this.#carries)));
      try {
        const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(2500) });
        if (!answer.ok) continue;
        const said = await answer.json();
        ttl = Math.min(Math.max(Number(said.TTL) || 5, 1), 3600);
        if (said['RELOAD-URI']) uri = new URL(said['RELOAD-URI'], url).href;
        if (Array.isArray(said['PATHWAY-PRIORITY'])) this.edges.prefer(said['PATHWAY-PRIORITY'].map(String));
      } catch {
        // Away: the last order stays.
      }
    }
  }
}
