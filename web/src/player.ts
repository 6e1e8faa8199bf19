// One broadcast in one video element: hls.js over the hedged loader, and what can be said about it at any moment.
//
// Does not live here: buttons (`controls`), the numbers' overlay (`overlay`), or the list of broadcasts (`main`).

import Hls from 'hls.js/light';
import type { ErrorData, ManifestLoadedData } from 'hls.js';
import { Edges } from '../builtin/hedge.js';
import { hedgedLoader } from './loader';
import { pace } from './pace';
import { Steering } from './steering';
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
  steering: Steering | null = null;
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
    /** Where its playlist is, if that is not beside this page. */
    private source = '',
  ) {
    video.addEventListener('waiting', () => this.waits());
    video.addEventListener('playing', () => this.plays());
    video.addEventListener('pause', () => this.turn('paused'));
    video.addEventListener('timeupdate', () => this.keepPace());
    this.start();
    setInterval(() => this.look(), 1000);
  }

  get url(): string {
    return this.source || `/live/${this.broadcast}/index.m3u8`;
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
    this.steering?.stop();
    this.steering = null;
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
      // Ours is slower too where that is needed.
      maxLiveSyncPlaybackRate: 1,
      liveMaxUnchangedPlaylistRefresh: 3,
      backBufferLength: 30,
      workerPath: WORKER_PATH,
    });
    this.hls = hls;
    hls.on(Hls.Events.MANIFEST_LOADED, (_, data) => this.learn(data));
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.keepOnePathway(hls);
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

  /** Where everything of this broadcast is at any edge, with the viewer's token; empty before a playlist was there. */
  path = '';

  private learn(data: ManifestLoadedData) {
    // Two names up from a media playlist: the rendition's, and the broadcast's.
    const [first] = data.levels;
    if (first) this.path = new URL(first.url).pathname.split('/').slice(0, -2).join('/');
    for (const level of data.levels) this.edges.learn(new URL(level.url).origin, level.attrs['PATHWAY-ID']);
    const listed = data.sessionData?.[EDGES_ID]?.['VALUE'];
    for (const pair of listed?.split(' ') ?? []) {
      const at = pair.indexOf('=');
      this.edges.learn(pair.slice(at + 1), pair.slice(0, at));
    }
    const server = data.contentSteering?.uri;
    if (server) this.steering = new Steering(this.edges, () => this.hls?.bandwidthEstimate ?? NaN, server);
  }

  /** To hls.js there is one place for everything, the first listed: whichever edge has it is the loader's business. */
  private keepOnePathway(hls: Hls) {
    const place = (level: { attrs: Record<string, string> }) => level.attrs['PATHWAY-ID'];
    const origin = this.edges.all[0];
    const first = hls.levels.find((level) => new URL(level.url[0] ?? '', location.href).origin === origin);
    if (!first) return;
    for (let at = hls.levels.length - 1; at >= 0; at -= 1) {
      const level = hls.levels[at];
      if (level && place(level) !== place(first)) hls.removeLevel(at);
    }
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

  /** Seconds held ahead of what is shown. */
  get held(): number {
    const { buffered, currentTime } = this.video;
    return buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
  }

  private keepPace() {
    const { hls, video, held } = this;
    const rate = pace({ latency: hls?.latency ?? NaN, target: hls?.targetLatency ?? NaN, held, rate: video.playbackRate });
    if (video.playbackRate !== rate) video.playbackRate = rate;
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
    // Before the first picture nothing is lost that could be found again.
    if (this.state !== 'starting') this.turn('reconnecting');
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
