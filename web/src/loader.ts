// The loader that hls.js is given: what it asks for comes from whichever edge has it.
//
// Lives here: rounds over the edges while none has it, playlists that stand still, and hls.js' own forms. Does not
// live here: one round (`gather` of hedge.js), or when something is asked for (hls.js).

import type { Loader, LoaderCallbacks, LoaderConfiguration, LoaderContext, LoaderStats, PlaylistLoaderContext } from 'hls.js';
import { gather, Refused, type Edges, type Gathered, type Wish } from '../builtin/hedge.js';

/** Until media is whole, over all edges and rounds; a playlist. hls.js is told of a time-out then. */
const MEDIA_LIMIT_MS = 20_000;
const PLAYLIST_LIMIT_MS = 10_000;
/** Before all edges are asked once more; twice as long each time. */
const ROUND_MS = 250;
const ROUND_MAX_MS = 2_000;

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

/** How long an answer may be held back because it was asked to be: for a part, or a segment where there are none. */
function heldMs(context: LoaderContext): number {
  const { deliveryDirectives, levelDetails } = context as PlaylistLoaderContext;
  if (!deliveryDirectives || !levelDetails || !context.url.includes('_HLS_msn')) return 0;
  return 1000 * (levelDetails.partTarget || levelDetails.targetduration);
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

/** Rounds until an edge gives it, or all say that there is no such thing, or nobody wants it any more. */
async function rounds(edges: Edges, url: string, wish: Wish, stats: LoaderStats): Promise<Gathered> {
  for (let wait = ROUND_MS; ; wait = Math.min(wait * 2, ROUND_MAX_MS)) {
    try {
      return await gather(edges, url, wish);
    } catch (error) {
      if (!(error instanceof Refused) || error.isFinal || wish.signal.aborted) throw error;
      stats.retry += 1;
      await pause(wait, wish.signal);
    }
  }
}

/** A playlist; where it stands still, what another edge has, if that is there. */
async function playlist(edges: Edges, url: string, wish: Wish, stats: LoaderStats): Promise<[Gathered, string]> {
  const read = ({ body }: Gathered) => new TextDecoder().decode(body);
  const found = await rounds(edges, url, wish, stats);
  const text = read(found);
  if (!edges.standsStill(found.url, text)) return [found, text];
  edges.failed(found.url, 'stands still');
  try {
    const other = await gather(edges, url, { ...wish, heldMs: 0 });
    return [other, read(other)];
  } catch {
    return [found, text];
  }
}

/** A loader for hls.js that asks these edges. */
export function hedgedLoader(edges: Edges) {
  return class HedgedLoader implements Loader<LoaderContext> {
    context: LoaderContext | null = null;
    stats = noStats();
    private gone = new AbortController();
    private timer: ReturnType<typeof setTimeout> | undefined;
    private headers: Headers | null = null;
    private callbacks: LoaderCallbacks<LoaderContext> | null = null;

    destroy() {
      this.stop();
    }

    abort() {
      this.stats.aborted = true;
      const { context } = this;
      const callbacks = this.stop();
      if (callbacks?.onAbort && context) callbacks.onAbort(this.stats, context, null);
    }

    getCacheAge() {
      const age = this.headers?.get('age');
      return age ? parseFloat(age) : null;
    }

    getResponseHeader(name: string) {
      return this.headers?.get(name) ?? null;
    }

    load(context: LoaderContext, _: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>) {
      this.context = context;
      this.callbacks = callbacks;
      this.stats.loading.start = performance.now();
      const isMedia = context.responseType === 'arraybuffer';
      const held = heldMs(context);
      this.timer = setTimeout(
        () => this.stop()?.onTimeout(this.stats, context, null),
        (isMedia ? MEDIA_LIMIT_MS : PLAYLIST_LIMIT_MS) + held,
      );
      void this.run(context, isMedia, held);
    }

    private async run(context: LoaderContext, isMedia: boolean, held: number) {
      const wish: Wish = { isMedia, heldMs: held, headers: new Headers(context.headers), signal: this.gone.signal };
      if (context.rangeEnd) Object.assign(wish, { from: context.rangeStart ?? 0, to: context.rangeEnd });
      const { stats } = this;
      try {
        let data: ArrayBuffer | string;
        let found: Gathered;
        if (isMedia) {
          found = await rounds(edges, context.url, wish, stats);
          data = found.body.buffer;
        } else {
          [found, data] = await playlist(edges, context.url, wish, stats);
        }
        this.headers = found.headers;
        stats.loading.first = found.first;
        stats.loading.end = performance.now();
        stats.loaded = stats.total = found.body.byteLength;
        stats.bwEstimate = (stats.loaded * 8000) / Math.max(1, stats.loading.end - stats.loading.first);
        // As if it had come from where it was asked for: to hls.js there is one edge, and it never fails.
        const url = edges.all.includes(new URL(found.url).origin) ? context.url : found.url;
        this.stop()?.onSuccess({ url, data, code: found.status }, stats, context, null);
      } catch (error) {
        const { status, message } = error as Refused;
        this.stop()?.onError({ code: status ?? 0, text: message }, context, null, stats);
      }
    }

    /** Nothing more is said after it; who was to be told. */
    private stop() {
      const { callbacks } = this;
      this.callbacks = null;
      clearTimeout(this.timer);
      this.gone.abort();
      return callbacks;
    }
  };
}
