// The numbers behind the picture, for whoever has to find out why (key d).

import { h } from './controls';
import type { Player } from './player';
import { rate, seconds } from './words';

export class Overlay {
  readonly element: HTMLElement;
  private list = h('dl');

  constructor(private player: Player) {
    const copy = h('button', { type: 'button' }, 'Copy as JSON');
    copy.addEventListener('click', () => void navigator.clipboard.writeText(JSON.stringify(this.facts(), null, 2)));
    this.element = h('aside', { class: 'overlay', 'aria-label': 'Playback figures', hidden: '' }, this.list, copy);
  }

  toggle() {
    this.element.hidden = !this.element.hidden;
    this.show();
  }

  facts(): Record<string, string> {
    const { video, hls, edges, stalls } = this.player;
    const ahead = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
    const level = hls?.levels[hls.currentLevel];
    const frames = video.getVideoPlaybackQuality?.();
    return {
      edge: edges.current ?? '–',
      'edges known': String(edges.all.length),
      picture: level ? `${level.width}×${level.height}, ${rate(level.maxBitrate)}` : '–',
      buffer: seconds(ahead),
      latency: seconds(this.player.latency),
      throughput: hls ? rate(hls.bandwidthEstimate) : '–',
      'pictures dropped': frames ? `${frames.droppedVideoFrames} of ${frames.totalVideoFrames}` : '–',
      hedges: String(edges.hedges),
      'edge switches': String(edges.switches),
      stalls: `${stalls.length}, ${stalls.reduce((sum, stall) => sum + stall.ms, 0)} ms`,
    };
  }

  show() {
    if (this.element.hidden) return;
    const rows = Object.entries(this.facts()).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
    this.list.replaceChildren(...rows);
  }
}
