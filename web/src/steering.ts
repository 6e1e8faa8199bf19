// Content steering (RFC 8216bis, 7): the balancer says which edge it would like this viewer to use, and is asked again
// and again.
//
// Our own few lines instead of hls.js' full build: docs/decisions/0012-steering-in-the-page.md.

import type { Edges } from '../builtin/hedge.js';

/** Until a TTL was said, and where one is absurd; seconds. */
const TTL_S = 5;
const TTL_MIN_S = 1;
const TTL_MAX_S = 3600;
/** A balancer that is silent for so long is away. */
const ANSWER_MAX_MS = 2500;

interface Order {
  VERSION: number;
  TTL?: number;
  'RELOAD-URI'?: string;
  'PATHWAY-PRIORITY'?: string[];
}

export class Steering {
  /** The order that was said last; empty before. */
  order: string[] = [];
  /** When that was, by the page's clock. */
  heardAt = NaN;
  private ttl = TTL_S;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = new AbortController();
  private isOver = false;

  constructor(
    private edges: Edges,
    /** What the line carries, bits a second. */
    private throughput: () => number,
    private uri: string,
  ) {
    void this.ask();
  }

  stop() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.asking.abort();
  }

  private async ask() {
    const url = new URL(this.uri);
    const { current } = this.edges;
    const id = current === undefined ? undefined : this.edges.id(current);
    if (id) url.searchParams.set('_HLS_pathway', `"${id}"`);
    const throughput = Math.round(this.throughput());
    if (throughput > 0) url.searchParams.set('_HLS_throughput', String(throughput));
    this.asking = new AbortController();
    this.timer = setTimeout(() => this.asking.abort(), ANSWER_MAX_MS);
    try {
      const answer = await fetch(url, { cache: 'no-store', signal: this.asking.signal });
      // Not to be asked any more.
      if (answer.status === 410) return;
      if (answer.status === 429) this.wait(Number(answer.headers.get('retry-after')) || this.ttl);
      else if (answer.ok) this.take((await answer.json()) as Order, url);
    } catch {
      // Away, or not to be understood: the last order stays.
    }
    clearTimeout(this.timer);
    if (!this.isOver) this.timer = setTimeout(() => void this.ask(), this.ttl * 1000);
  }

  private take(said: Order, from: URL) {
    if (said.VERSION !== 1) return;
    this.wait(Number(said.TTL) || TTL_S);
    if (said['RELOAD-URI']) this.uri = new URL(said['RELOAD-URI'], from).href;
    const order = said['PATHWAY-PRIORITY'];
    if (!Array.isArray(order)) return;
    this.order = order.map(String);
    this.heardAt = performance.now();
    this.edges.prefer(this.order);
  }

  private wait(seconds: number) {
    this.ttl = Math.min(Math.max(seconds, TTL_MIN_S), TTL_MAX_S);
  }
}
