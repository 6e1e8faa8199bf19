// One broadcast in one video element: hls.js over the hedged loader, and what can be said about it at any moment.
//
// Does not live here: buttons (`controls`), the numbers' overlay (`overlay`), or the list of broadcasts (`main`).

import Hls from 'hls.js/light';
import type { ErrorData, ManifestLoadedData } from 'hls.js';
import { Edges, hedgedLoader } from './hedge';
import { NO_MSE, ofHls, type Trouble } from './words';

/** The id under which a multivariant playlist lists the edges as `id=origin` pairs (EXT-X-SESSION-DATA). */
const EDGES_ID = 'com.mascaret.edges';
/** How long until a broadcast that cannot be loaded is tried again. */
const RETRY_MS = 2000;
/** A player that has not moved for so long is taken up again at the live edge. */
const STUCK_MS = 8000;

export interface Stall {
  at: number;
  ms: number;
}

export type State = 'starting' | 'playing' | 'paused' | 'reconnecting' | 'stopped';

export class Player {
  readonly edges = new Edges();
  readonly stalls: Stall[] = [];
  trouble: Trouble | null = null;
  state: State = 'starting';
  onchange: () => void = () => {};
  hls: Hls | null = null;
  /** The browser did not let it play with sound. */
  isMutedUnasked = false;
  private waitingSince = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private moved = { time: 0, at: performance.now() };

  constructor(
    readonly video: HTMLVideoElement,
    readonly broadcast: string,
  ) {
    video.addEventListener('waiting', () => this.waits());
    video.addEventListener('playing', () => this.plays());
    video.addEventListener('pause', () => this.turn('paused'));
    this.start();
    setInterval(() => this.look(), 1000);
  }

  get url(): string {
    return `/live/${this.broadcast}/index.m3u8`;
  }

  /** Seconds between what is shown and the newest there is. */
  get latency(): number {
    return this.hls?.latency ?? NaN;
  }

  get isAtLiveEdge(): boolean {
    const { hls, video } = this;
    const sync = hls?.liveSyncPosition;
    return sync === null || sync === undefined || video.currentTime >= sync - 3;
  }

  goLive() {
    const sync = this.hls?.liveSyncPosition;
    if (sync) this.video.currentTime = sync;
    void this.play();
  }

  async play() {
    try {
      await this.video.play();
    } catch (error) {
      // Anything else is a load that took this one's place, and that one plays.
      if ((error as DOMException).name !== 'NotAllowedError') return;
      // Sound needs a gesture in most browsers: play without it, and offer it.
      if (!this.video.muted) {
        this.isMutedUnasked = true;
        this.video.muted = true;
        await this.video.play().catch(() => this.turn('paused'));
      }
    }
  }

  private start() {
    this.hls?.destroy();
    if (!Hls.isSupported()) {
      if (this.video.canPlayType('application/vnd.apple.mpegurl')) {
        // Native HLS: no failover between edges, better than nothing.
        this.video.src = this.url;
        void this.play();
        return;
      }
      this.trouble = NO_MSE;
      this.turn('stopped');
      return;
    }
    const hls = new Hls({
      loader: hedgedLoader(this.edges),
      liveSyncDurationCount: 3,
      liveMaxLatencyDurationCount: 12,
      maxLiveSyncPlaybackRate: 1.1,
      liveMaxUnchangedPlaylistRefresh: 3,
      backBufferLength: 30,
      workerPath: WORKER_PATH,
    });
    this.hls = hls;
    hls.on(Hls.Events.MANIFEST_LOADED, (_, data) => this.learn(data));
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.trouble = null;
      void this.play();
      this.onchange();
    });
    hls.on(Hls.Events.LEVEL_SWITCHED, () => this.onchange());
    hls.on(Hls.Events.FRAG_BUFFERED, () => {
      if (this.trouble && this.state !== 'stopped') {
        this.trouble = null;
        this.onchange();
      }
    });
    hls.on(Hls.Events.ERROR, (_, data) => this.fails(data));
    hls.loadSource(this.url);
    hls.attachMedia(this.video);
  }

  private learn(data: ManifestLoadedData) {
    const origins = data.levels.map((level) => new URL(level.url).origin);
    const listed = data.sessionData?.[EDGES_ID]?.['VALUE'];
    if (listed) origins.push(...listed.split(' ').map((pair: string) => pair.slice(pair.indexOf('=') + 1)));
    this.edges.learn(origins);
  }

  private fails(data: ErrorData) {
    if (!data.fatal) return;
    this.trouble = ofHls(data.details, data.response?.code);
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      this.hls?.recoverMediaError();
      this.onchange();
      return;
    }
    this.turn('reconnecting');
    this.again();
  }

  private again() {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.start(), RETRY_MS);
  }

  private look() {
    const { video } = this;
    const now = performance.now();
    if (video.paused || video.currentTime !== this.moved.time) {
      this.moved = { time: video.currentTime, at: now };
    } else if (now - this.moved.at > STUCK_MS && this.state !== 'stopped') {
      this.moved.at = now;
      this.trouble ??= { code: 'W1', text: 'Waiting for the broadcast.' };
      this.turn('reconnecting');
      this.start();
    }
    this.onchange();
  }

  private waits() {
    if (this.state === 'playing') this.waitingSince = performance.now();
    this.turn('reconnecting');
  }

  private plays() {
    if (this.waitingSince > 0) {
      this.stalls.push({ at: Date.now(), ms: Math.round(performance.now() - this.waitingSince) });
      if (this.stalls.length > 100) this.stalls.shift();
      this.waitingSince = 0;
    }
    this.trouble = null;
    this.turn('playing');
  }

  private turn(state: State) {
    this.state = state;
    this.onchange();
  }
}
