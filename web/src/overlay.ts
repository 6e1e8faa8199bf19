// The numbers behind the picture, for whoever has to find out why (key d).

import { h } from './controls';
import type { Player } from './player';
import { clock, rate, seconds } from './words';

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
    const { video, hls, edges, stalls, steering } = this.player;
    const level = hls?.levels[hls.currentLevel];
    const change = edges.changes.at(-1);
    const name = (origin: string) => edges.id(origin) ?? new URL(origin).host;
    const age = (performance.now() - (steering?.heardAt ?? NaN)) / 1000;
    const frames = video.getVideoPlaybackQuality?.();
    return {
      edge: edges.answering ?? '–',
      'edges known': String(edges.all.length),
      picture: level ? `${level.width}×${level.height}, ${rate(level.maxBitrate)}` : '–',
      buffer: seconds(this.player.held),
      latency: `${seconds(this.player.latency)}, played at ${video.playbackRate}`,
      throughput: hls ? rate(hls.bandwidthEstimate) : '–',
      'pictures dropped': frames ? `${frames.droppedVideoFrames} of ${frames.totalVideoFrames}` : '–',
      hedges: `${edges.hedges}, ${edges.resumed} of them in the middle of a body`,
      'edge switches': String(edges.switches),
      'last switch': change ? `${clock(change.at)} ${name(change.from)} → ${name(change.to)}: ${change.why}` : '–',
      'edges resting': edges.resting.map(name).join(', ') || '–',
      steering: steering?.order.length ? `${steering.order.join(', ')}, said ${seconds(age)} ago` : '–',
      stalls: `${stalls.length}, ${stalls.reduce((sum, stall) => sum + stall.ms, 0)} ms`,
    };
  }

  show() {
    if (this.element.hidden) return;
    const rows = Object.entries(this.facts()).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
    this.list.replaceChildren(...rows);
  }
}
