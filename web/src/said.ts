// What is said in a room, read from any edge: numbered entries, each once and in order, whichever edge it is read from.
//
// The edge is told how far this page has come (`?after=`), so going to another one misses nothing and repeats nothing. Does not
// live here: what it looks like (`talk`), saying something (`lobby/api`).

import type { Edges } from '../builtin/hedge.js';

export type Badge = 'viewer' | 'broadcaster' | 'moderator' | 'admin';

export interface Said {
  n: number;
  /** Milliseconds since 1970, by the lobby's clock. */
  at: number;
  /** The author's account. */
  by: string;
  name: string;
  badge: Badge;
  text: string;
}

export interface Hears {
  said(said: Said): void;
  /** Nobody is to show this entry any more. */
  gone(n: number): void;
  /** Nor anything of this account's. */
  goneBy(account: string): void;
  /** Seconds between two messages of a viewer. */
  slow(seconds: number): void;
  /** These numbers are not at edges any more. */
  lost(from: number, to: number): void;
  /** It is another log: nothing that was shown is of it. */
  anew(): void;
  /** Whether it is read now; `none` where no edge has a chat. */
  state(state: State): void;
}

export type State = 'reading' | 'looking' | 'none';

/** The longest pause before edges are tried again. */
const PAUSE_MAX_MS = 10_000;
/** The same where no edge has ever had a chat. */
const NONE_PAUSE_MS = 60_000;
/** So long after the video has gone to another edge, so does this. */
const FOLLOW_MS = 3000;

export class Reading {
  /** The edge it is read from. */
  origin = '';
  moves = 0;
  private source: EventSource | null = null;
  private last = '';
  private log = '';
  private newest = 0;
  private failed = 0;
  private hasRead = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private strayed = 0;
  private readonly watch: ReturnType<typeof setInterval>;

  constructor(
    private edges: Edges,
    /** The broadcast's path at every edge: `/live/<broadcast>`, or `/v/<token>/<broadcast>`; empty while it is not known. */
    private path: () => string,
    private hears: Hears,
  ) {
    this.hears.state('looking');
    this.open();
    this.watch = setInterval(() => this.follow(), 1000);
  }

  stop() {
    clearInterval(this.watch);
    clearTimeout(this.timer);
    this.source?.close();
  }

  private open() {
    clearTimeout(this.timer);
    this.source?.close();
    const [origin, path] = [this.choose(), this.path()];
    if (!origin || !path) {
      this.timer = setTimeout(() => this.open(), 250);
      return;
    }
    if (this.origin && this.origin !== origin) this.moves += 1;
    this.origin = origin;
    const after = this.last ? `?after=${encodeURIComponent(this.last)}` : '';
    const source = new EventSource(`${origin}${path}/chat${after}`);
    this.source = source;
    source.addEventListener('error', () => this.fails(source));
    source.addEventListener('room', (event) => this.room(source, event));
    for (const kind of ['message', 'gone', 'slow', 'lost'] as const) {
      source.addEventListener(kind, (event) => this.take(source, kind, event));
    }
  }

  /** The edge the video comes from; after a failure each of the others in turn. */
  private choose(): string | undefined {
    const all: readonly string[] = this.edges.all;
    const first = this.edges.current ?? all[0];
    if (this.failed === 0 || !first) return first;
    const others = all.filter((origin) => origin !== this.origin);
    return others[(this.failed - 1) % Math.max(others.length, 1)] ?? first;
  }

  private fails(source: EventSource) {
    if (source !== this.source) return;
    // An edge that ends, or one without a chat: the browser would ask the same one again.
    source.close();
    this.failed += 1;
    const round = Math.max(this.edges.all.length, 1);
    if (this.failed >= round) this.hears.state(this.hasRead ? 'looking' : 'none');
    const rounds = Math.floor(this.failed / round);
    const usual = Math.min(500 * 2 ** rounds, PAUSE_MAX_MS);
    const pause = rounds === 0 ? 0 : this.hasRead ? usual : NONE_PAUSE_MS;
    // Thousands whose edge ends do not come to the next one in the same moment.
    this.timer = setTimeout(() => this.open(), pause + Math.random() * 300);
  }

  /** An edge that hangs closes nothing, and the video has noticed. */
  private follow() {
    const { current } = this.edges;
    if (!current || current === this.origin || this.failed > 0) {
      this.strayed = 0;
      return;
    }
    this.strayed += 1000;
    if (this.strayed >= FOLLOW_MS) {
      this.strayed = 0;
      this.open();
    }
  }

  private room(source: EventSource, event: MessageEvent<string>) {
    if (source !== this.source) return;
    const { log, slow } = JSON.parse(event.data) as { log: string; slow: number };
    this.failed = 0;
    this.hasRead = true;
    if (this.log && this.log !== log) {
      this.newest = 0;
      this.hears.anew();
    }
    this.log = log;
    this.hears.slow(slow);
    this.hears.state('reading');
  }

  private take(source: EventSource, kind: 'message' | 'gone' | 'slow' | 'lost', event: MessageEvent<string>) {
    if (source !== this.source) return;
    this.last = event.lastEventId || this.last;
    const data = JSON.parse(event.data) as Said & { of?: number; seconds?: number; from?: number; to?: number };
    if (kind === 'lost') {
      this.newest = Math.max(this.newest, data.to ?? 0);
      this.hears.lost(data.from ?? 0, data.to ?? 0);
      return;
    }
    if (data.n <= this.newest) return;
    this.newest = data.n;
    if (kind === 'message') this.hears.said(data);
    else if (kind === 'slow') this.hears.slow(data.seconds ?? 0);
    else if (data.of !== undefined) this.hears.gone(data.of);
    else this.hears.goneBy(data.by);
  }
}
