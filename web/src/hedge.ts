// The hedged loader. Every edge has the same names and bytes, so any request can be answered by any edge: one that
// refuses, or says nothing in time, is passed over before the viewer notices.
//
// Does not live here: which edges there are (`Edges.learn` is told), or when something is asked for (hls.js).

import type { Loader, LoaderCallbacks, LoaderConfiguration, LoaderContext, LoaderStats } from 'hls.js';

/** After this without a first byte a second edge is asked too: a whole round trip on a poor line. */
const MEDIA_PATIENCE_MS = 300;
/** A playlist may be held back for one part. */
const PLAYLIST_PATIENCE_MS = 500;
/** An edge that lost is not asked first again for so long. */
const REST_MS = 30_000;
/** Edges asked for one request, at most. */
const EDGES_ASKED_MAX = 4;

/** The edges' origins, the one that answers best first. */
export class Edges {
  private origins: string[] = [];
  private resting = new Map<string, number>();
  /** Who answered last. */
  private last: string | undefined;
  hedges = 0;
  switches = 0;
  /** Called when another edge answers than the one before. */
  onswitch: (from: string, to: string) => void = () => {};

  learn(origins: string[]) {
    for (const origin of origins) if (!this.origins.includes(origin)) this.origins.push(origin);
  }

  get current(): string | undefined {
    return this.order()[0];
  }

  get all(): readonly string[] {
    return this.origins;
  }

  /** The same path at every edge, best first; an address that is not an edge's is left alone. */
  candidates(url: string): string[] {
    const asked = new URL(url, location.href);
    if (!this.origins.includes(asked.origin)) return [asked.href];
    return this.order()
      .slice(0, EDGES_ASKED_MAX)
      .map((origin) => origin + asked.pathname + asked.search);
  }

  answered(url: string) {
    const { origin } = new URL(url);
    const at = this.origins.indexOf(origin);
    if (at < 0) return;
    this.resting.delete(origin);
    const { last } = this;
    this.last = origin;
    if (last !== undefined && last !== origin) {
      this.switches += 1;
      this.onswitch(last, origin);
    }
    this.origins.splice(at, 1);
    this.origins.unshift(origin);
  }

  failed(url: string) {
    this.resting.set(new URL(url).origin, performance.now() + REST_MS);
  }

  private order(): string[] {
    const now = performance.now();
    const rests = (origin: string) => (this.resting.get(origin) ?? 0) > now;
    return [...this.origins.filter((o) => !rests(o)), ...this.origins.filter(rests)];
  }
}

interface Answer {
  url: string;
  response: Response;
  first: number;
}

/** Asks one edge after another; the first answer that is one wins, the others are given up. */
async function ask(
  edges: Edges,
  url: string,
  patience: number,
  request: RequestInit,
  gone: AbortSignal,
): Promise<Answer> {
  const waiting = edges.candidates(url);
  const controllers = new Map<string, AbortController>();
  return new Promise<Answer>((resolve, reject) => {
    let open = 0;
    let isOver = false;
    let last: { status: number; text: string } = { status: 0, text: 'no edge answers' };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (winner?: string) => {
      isOver = true;
      clearTimeout(timer);
      for (const [candidate, controller] of controllers) if (candidate !== winner) controller.abort();
    };
    gone.addEventListener('abort', () => {
      end();
      // The winner's body is read under the same controller.
      for (const controller of controllers.values()) controller.abort();
    });
    const next = () => {
      clearTimeout(timer);
      const candidate = waiting.shift();
      if (candidate === undefined) {
        if (open === 0 && !isOver) {
          end();
          reject(last);
        }
        return;
      }
      open += 1;
      const controller = new AbortController();
      controllers.set(candidate, controller);
      timer = setTimeout(() => {
        if (waiting.length > 0) {
          edges.hedges += 1;
          next();
        }
      }, patience);
      fetch(candidate, { ...request, signal: controller.signal }).then(
        (response) => {
          open -= 1;
          if (isOver) return;
          if (response.ok) {
            for (const slow of controllers.keys()) if (slow !== candidate) edges.failed(slow);
            end(candidate);
            edges.answered(candidate);
            resolve({ url: candidate, response, first: performance.now() });
          } else {
            last = { status: response.status, text: response.statusText };
            controllers.delete(candidate);
            edges.failed(candidate);
            next();
          }
        },
        (error: unknown) => {
          open -= 1;
          if (isOver) return;
          last = { status: 0, text: String(error) };
          controllers.delete(candidate);
          edges.failed(candidate);
          next();
        },
      );
    };
    next();
  });
}

const noStats = (): LoaderStats => ({
  aborted: false,
  loaded: 0,
  retry: 0,
  total: 0,
  chunkCount: 0,
  bwEstimate: 0,
  loading: { start: 0, first: 0, end: 0 },
  parsing: { start: 0, end: 0 },
  buffering: { start: 0, first: 0, end: 0 },
});

/** A loader for hls.js that asks these edges. */
export function hedgedLoader(edges: Edges) {
  return class HedgedLoader implements Loader<LoaderContext> {
    context: LoaderContext | null = null;
    stats = noStats();
    private gone = new AbortController();
    private timer: ReturnType<typeof setTimeout> | undefined;
    private response: Response | null = null;
    private callbacks: LoaderCallbacks<LoaderContext> | null = null;

    destroy() {
      this.callbacks = null;
      this.stop();
    }

    abort() {
      this.stats.aborted = true;
      const { callbacks, context } = this;
      this.callbacks = null;
      this.stop();
      if (callbacks?.onAbort && context) callbacks.onAbort(this.stats, context, this.response);
    }

    getCacheAge() {
      const age = this.response?.headers.get('age');
      return age ? parseFloat(age) : null;
    }

    getResponseHeader(name: string) {
      return this.response?.headers.get(name) ?? null;
    }

    load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>) {
      this.context = context;
      this.callbacks = callbacks;
      this.stats.loading.start = performance.now();
      const isMedia = context.responseType === 'arraybuffer';
      const headers = new Headers(context.headers);
      if (context.rangeEnd) headers.set('range', `bytes=${context.rangeStart}-${context.rangeEnd - 1}`);
      const patience = isMedia ? MEDIA_PATIENCE_MS : PLAYLIST_PATIENCE_MS;
      const limit = config.loadPolicy.maxLoadTimeMs;
      this.timer = setTimeout(() => {
        const { callbacks } = this;
        this.callbacks = null;
        this.stop();
        callbacks?.onTimeout(this.stats, context, this.response);
      }, limit);
      void this.run(context, patience, headers, isMedia);
    }

    private async run(context: LoaderContext, patience: number, headers: Headers, isMedia: boolean) {
      try {
        const answer = await ask(edges, context.url, patience, { headers, mode: 'cors' }, this.gone.signal);
        this.response = answer.response;
        const { stats } = this;
        stats.loading.first = answer.first;
        const data = isMedia ? await answer.response.arrayBuffer() : await answer.response.text();
        stats.loaded = stats.total = typeof data === 'string' ? data.length : data.byteLength;
        stats.loading.end = performance.now();
        const took = Math.max(1, stats.loading.end - stats.loading.first);
        stats.bwEstimate = (stats.loaded * 8000) / took;
        const { callbacks } = this;
        this.callbacks = null;
        this.stop();
        callbacks?.onSuccess({ url: answer.response.url, data, code: answer.response.status }, stats, context, answer.response);
      } catch (error) {
        const { callbacks } = this;
        this.callbacks = null;
        this.stop();
        const { status, text } = error as { status?: number; text?: string };
        callbacks?.onError({ code: status ?? 0, text: text ?? String(error) }, context, this.response, this.stats);
      }
    }

    private stop() {
      clearTimeout(this.timer);
      this.gone.abort();
    }
  };
}
