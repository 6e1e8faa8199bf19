// One request, any edge: all edges have the same bytes under the same names, so whoever gives a thing first gives the
// right thing. One that refuses is passed over at once; beside one that says nothing, or stops in the middle, another
// one is asked.
//
// Lives here: which edge is asked first (`Edges`), and what is done until one of them has given all of it (`gather`).
// Does not live here: who wants it (the page's loader, the plain page's player), and what is in it. Plain JavaScript,
// because it is in both pages: the plain one is served as it stands.

/** A second edge is asked after so long without a first byte of media: a whole round trip on a poor line. */
export const MEDIA_PATIENCE_MS = 300;
/** The same for a playlist. One that is held back on purpose has as much more as it may be held. */
export const PLAYLIST_PATIENCE_MS = 500;
/** A body that stops for so long is fetched from there on at a second edge. */
export const PROGRESS_PATIENCE_MS = 500;
/** An edge that has been silent for so long is given up, whether there is another one or not. */
export const SILENCE_MS = 2500;
/** An edge that lost is not asked first again for so long. */
export const REST_MS = 30_000;
/** Edges asked for one request, at most. */
const EDGES_ASKED_MAX = 4;
/** A playlist that has brought nothing new for so many target durations stands still (rule T06). */
const STALE_TARGETS = 1.5;
/** Changes of the edge that are remembered, for whoever asks why. */
const CHANGES_KEPT = 20;
/** Playlists whose progress is remembered: the rungs of a broadcast. */
const PLAYLISTS_KEPT = 16;

/**
 * @typedef {{ at: number, from: string, to: string, why: string }} Change
 * @typedef {{ url: string, status: number, headers: Headers, body: Uint8Array<ArrayBuffer>, first: number }} Gathered
 * @typedef {{ isMedia: boolean, heldMs?: number, from?: number, to?: number | undefined, headers?: Headers, signal: AbortSignal }} Wish
 */

/** Nobody gave it. */
export class Refused extends Error {
  /**
   * @param {number} status of the last answer; 0 if there was none
   * @param {string} text
   * @param {boolean} isFinal every edge says that it does not have it: to ask again is of no use
   */
  constructor(status, text, isFinal) {
    super(text);
    this.status = status;
    this.isFinal = isFinal;
  }
}

/** The edges' origins, the one that is asked first in front. */
export class Edges {
  hedges = 0;
  /** Bodies that stopped at one edge and were fetched on from another. */
  resumed = 0;
  switches = 0;
  /** @type {Change[]} the newest last */
  changes = [];
  /** Called when another edge answers than the one before. */
  onswitch = () => {};
  /** @type {string[]} */
  #origins = [];
  /** @type {Map<string, string>} by the id that steering has for them */
  #ids = new Map();
  /** @type {Map<string, { until: number, why: string }>} */
  #resting = new Map();
  /** @type {string | undefined} who answered last */
  #last;
  /** @type {Map<string, { newest: number, at: number }>} by path */
  #playlists = new Map();

  /**
   * @param {string} origin
   * @param {string} [id]
   */
  learn(origin, id) {
    if (!this.#origins.includes(origin)) this.#origins.push(origin);
    if (id) this.#ids.set(id, origin);
  }

  /** The one that is asked first. */
  get current() {
    return this.#order()[0];
  }

  /** The one that answered last: the viewer is at this one. One that is only preferred has yet to give anything. */
  get answering() {
    return this.#last ?? this.current;
  }

  /** @returns {readonly string[]} */
  get all() {
    return this.#origins;
  }

  get resting() {
    return this.#origins.filter((origin) => this.#rests(origin));
  }

  /** @param {string} origin */
  id(origin) {
    for (const [id, known] of this.#ids) if (known === origin) return id;
    return undefined;
  }

  /**
   * Takes an order of preference: ids that steering named, the best first. Who has failed rests all the same.
   * @param {string[]} ids
   */
  prefer(ids) {
    const named = ids.map((id) => this.#ids.get(id)).filter((origin) => origin !== undefined);
    this.#origins = [...new Set([...named, ...this.#origins])];
  }

  /**
   * The same path at every edge, best first; an address that is not an edge's is left alone.
   * @param {string} url
   */
  candidates(url) {
    const asked = new URL(url, location.href);
    if (!this.#origins.includes(asked.origin)) return [asked.href];
    return this.#order()
      .slice(0, EDGES_ASKED_MAX)
      .map((origin) => origin + asked.pathname + asked.search);
  }

  /**
   * It gave what it was asked for. Whoever answers late, having lost its place, does not get it back by that.
   * @param {string} url
   */
  answered(url) {
    const { origin } = new URL(url);
    const at = this.#origins.indexOf(origin);
    const { current } = this;
    if (at < 0 || (current !== undefined && origin !== current && !this.#rests(current))) return;
    this.#resting.delete(origin);
    this.#origins.splice(at, 1);
    this.#origins.unshift(origin);
    const from = this.#last;
    this.#last = origin;
    if (from === undefined || from === origin) return;
    this.switches += 1;
    const why = this.#rests(from) ? (this.#resting.get(from)?.why ?? '') : 'steered';
    this.changes.push({ at: Date.now(), from, to: origin, why });
    if (this.changes.length > CHANGES_KEPT) this.changes.shift();
    this.onswitch();
  }

  /**
   * @param {string} url
   * @param {string} why
   */
  failed(url, why) {
    this.#resting.set(new URL(url).origin, { until: performance.now() + REST_MS, why });
  }

  /**
   * Whether a playlist stands still, at an edge beside which there are others.
   * @param {string} url
   * @param {string} text
   */
  standsStill(url, text) {
    const { origin, pathname } = new URL(url);
    const target = Number(/#EXT-X-TARGETDURATION:(\d+)/.exec(text)?.[1]);
    if (!target || !this.#origins.includes(origin) || text.includes('#EXT-X-ENDLIST')) return false;
    const newest = newestOf(text);
    const now = performance.now();
    const known = this.#playlists.get(pathname);
    if (!known || newest > known.newest) {
      this.#playlists.delete(pathname);
      this.#playlists.set(pathname, { newest, at: now });
      const [oldest] = this.#playlists.keys();
      if (this.#playlists.size > PLAYLISTS_KEPT && oldest !== undefined) this.#playlists.delete(oldest);
      return false;
    }
    if (now - known.at <= target * STALE_TARGETS * 1000) return false;
    // Once in so long: where all stand still it is not the edge.
    known.at = now;
    return this.#origins.some((other) => other !== origin && !this.#rests(other));
  }

  /** @param {string} origin */
  #rests(origin) {
    return (this.#resting.get(origin)?.until ?? 0) > performance.now();
  }

  #order() {
    const awake = this.#origins.filter((origin) => !this.#rests(origin));
    return [...awake, ...this.#origins.filter((origin) => this.#rests(origin))];
  }
}

/**
 * How far a playlist goes: segments count, and the parts of the next one in between.
 * @param {string} text
 */
function newestOf(text) {
  const first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
  const segments = text.split('#EXTINF:').length - 1;
  const parts = text.slice(text.lastIndexOf('#EXTINF:') + 1).split('#EXT-X-PART:').length - 1;
  return first + segments + Math.min(parts, 999) / 1000;
}

/**
 * Asks one edge after another, or beside another, until one has given all of it.
 * @param {Edges} edges
 * @param {string} url
 * @param {Wish} wish
 * @returns {Promise<Gathered>}
 */
export function gather(edges, url, wish) {
  return new Promise((resolve, reject) => new Race(edges, url, wish, resolve, reject).next());
}

/** One edge, asked for one thing. */
class Try {
  controller = new AbortController();
  /** @type {Response | undefined} */
  response;
  /** @type {number | undefined} */
  first;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  /** Another edge is asked because of this one. */
  isDoubted = false;

  /**
   * @param {string} url
   * @param {number} order
   * @param {Uint8Array<ArrayBuffer>[]} chunks what is there already, from another edge
   */
  constructor(url, order, chunks) {
    this.url = url;
    this.order = order;
    this.chunks = chunks;
  }

  get length() {
    return this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  end() {
    clearTimeout(this.timer);
    this.controller.abort();
  }
}

class Race {
  /** @type {Set<Try>} */
  #tries = new Set();
  #isOver = false;
  #count = 0;
  /** @type {Uint8Array<ArrayBuffer>[]} the longest beginning that any edge has given of what is not whole */
  #beginning = [];
  /** @type {number[]} */
  #statuses = [];
  #text = 'no edge answers';

  /**
   * @param {Edges} edges
   * @param {string} url
   * @param {Wish} wish
   * @param {(gathered: Gathered) => void} resolve
   * @param {(why: Refused) => void} reject
   */
  constructor(edges, url, wish, resolve, reject) {
    this.edges = edges;
    this.wish = wish;
    this.resolve = resolve;
    this.reject = reject;
    this.waiting = edges.candidates(url);
    this.patience = (wish.isMedia ? MEDIA_PATIENCE_MS : PLAYLIST_PATIENCE_MS) + (wish.heldMs ?? 0);
    this.silence = SILENCE_MS + (wish.heldMs ?? 0);
    const gone = () => this.#end(new Refused(0, 'not wanted any more', true));
    if (wish.signal.aborted) gone();
    else wish.signal.addEventListener('abort', gone, { once: true });
  }

  /** Asks the next edge, if there is one. */
  next() {
    if (this.#isOver) return;
    const url = this.waiting.shift();
    if (url === undefined) {
      if (this.#tries.size > 0) return;
      const isFinal = this.#statuses.length > 0 && this.#statuses.every((status) => status >= 400 && status < 500);
      this.#end(new Refused(this.#statuses.at(-1) ?? 0, this.#text, isFinal));
      return;
    }
    // Playlists are small and change: only media is fetched on from where it stopped.
    const one = new Try(url, this.#count++, this.wish.isMedia ? [...this.#beginning] : []);
    this.#tries.add(one);
    this.#watch(one, this.patience, this.silence, 'no first byte');
    void this.#run(one);
  }

  /** @param {Try} one */
  async #run(one) {
    try {
      const headers = new Headers(this.wish.headers);
      const begun = one.length;
      const from = (this.wish.from ?? 0) + begun;
      if (from > 0 || this.wish.to !== undefined) {
        headers.set('range', `bytes=${from}-${this.wish.to === undefined ? '' : this.wish.to - 1}`);
      }
      const response = await fetch(one.url, { headers, mode: 'cors', signal: one.controller.signal });
      if (!this.#tries.has(one)) return;
      if (!response.ok) {
        this.#statuses.push(response.status);
        return this.#fail(one, `status ${response.status}`);
      }
      // An edge that sends all of it although a part was asked for begins anew.
      if (begun > 0 && response.status !== 206) one.chunks = [];
      one.response = response;
      one.first ??= performance.now();
      this.#won(one);
      if (begun > 0) this.edges.resumed += 1;
      this.#watch(one, PROGRESS_PATIENCE_MS, SILENCE_MS, 'stopped in the middle');
      const already = one.length;
      const encoded = response.headers.get('content-encoding');
      const announced = encoded ? NaN : Number(response.headers.get('content-length') ?? NaN);
      const reader = response.body?.getReader();
      for (;;) {
        const piece = await reader?.read();
        if (!this.#tries.has(one)) return;
        if (!piece || piece.done) break;
        one.chunks.push(/** @type {Uint8Array<ArrayBuffer>} */ (piece.value));
        this.#watch(one, PROGRESS_PATIENCE_MS, SILENCE_MS, 'stopped in the middle');
      }
      if (announced > one.length - already) return this.#fail(one, 'ended too early');
      this.#whole(one, response);
    } catch (error) {
      if (this.#tries.has(one)) this.#fail(one, String(/** @type {Error} */ (error).message ?? error));
    }
  }

  /**
   * Another edge is asked after `patience`, and this one is given up after `silence`.
   * @param {Try} one
   * @param {number} patience
   * @param {number} silence
   * @param {string} why
   */
  #watch(one, patience, silence, why) {
    clearTimeout(one.timer);
    one.timer = setTimeout(() => {
      if (!one.isDoubted && this.waiting.length > 0) {
        one.isDoubted = true;
        this.edges.hedges += 1;
        this.#keep(one);
        this.next();
      }
      one.timer = setTimeout(() => this.#fail(one, why), silence - patience);
    }, patience);
  }

  /**
   * It answers: who was asked before it and does not has lost. Who was asked after it is innocent.
   * @param {Try} one
   */
  #won(one) {
    for (const other of this.#tries) {
      if (other === one) continue;
      this.#tries.delete(other);
      if (other.order < one.order) this.edges.failed(other.url, other.response ? 'stopped in the middle' : 'no first byte');
      other.end();
    }
    this.edges.answered(one.url);
  }

  /**
   * @param {Try} one
   * @param {string} why
   */
  #fail(one, why) {
    if (!this.#tries.delete(one)) return;
    one.end();
    this.#keep(one);
    this.#text = why;
    this.edges.failed(one.url, why);
    this.next();
  }

  /** @param {Try} one */
  #keep(one) {
    const length = this.#beginning.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (one.length > length) this.#beginning = [...one.chunks];
  }

  /**
   * @param {Try} one
   * @param {Response} response
   */
  #whole(one, response) {
    const body = new Uint8Array(one.length);
    let at = 0;
    for (const chunk of one.chunks) {
      body.set(chunk, at);
      at += chunk.byteLength;
    }
    this.#tries.delete(one);
    clearTimeout(one.timer);
    this.#end();
    const { status, headers } = response;
    this.resolve({ url: one.url, status, headers, body, first: one.first ?? performance.now() });
  }

  /** @param {Refused} [why] */
  #end(why) {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const one of this.#tries) one.end();
    this.#tries.clear();
    if (why) this.reject(why);
  }
}
