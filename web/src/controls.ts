// The player's buttons: by mouse, touch and keyboard.
//
// Does not live here: what they do to the broadcast (`player`).

import type { Player } from './player';
import { rate } from './words';

const h = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
export { h };

const ICONS: Record<string, string> = {
  play: 'M7 4v16l13-8z',
  pause: 'M6 4h4v16H6zM14 4h4v16h-4z',
  sound: 'M3 9v6h4l6 5V4L7 9zM16 8a5 5 0 0 1 0 8M18.5 5a9 9 0 0 1 0 14',
  muted: 'M3 9v6h4l6 5V4L7 9zM16 9l6 6M22 9l-6 6',
  pip: 'M3 5h18v14H3zM12 12h7v5h-7z',
  full: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
};

function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add(name);
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name] ?? '');
  svg.append(path);
  return svg;
}

function button(label: string, key: string, name: string, act: () => void): HTMLButtonElement {
  const made = h('button', { type: 'button', 'aria-label': label, title: `${label} (${key})`, 'aria-keyshortcuts': key });
  made.append(icon(name));
  made.addEventListener('click', act);
  return made;
}

function relabel(made: HTMLButtonElement, label: string, name: string) {
  if (made.getAttribute('aria-label') === label) return;
  made.setAttribute('aria-label', label);
  made.title = `${label} (${made.getAttribute('aria-keyshortcuts')})`;
  made.replaceChildren(icon(name));
}

export class Controls {
  readonly element: HTMLElement;
  private play: HTMLButtonElement;
  private mute: HTMLButtonElement;
  private volume: HTMLInputElement;
  private live: HTMLButtonElement;
  private choice: HTMLSelectElement;

  constructor(
    private player: Player,
    private frame: HTMLElement,
    toggleOverlay: () => void,
  ) {
    const { video } = player;
    this.play = button('Play', 'k', 'play', () => this.togglePlay());
    this.mute = button('Mute', 'm', 'sound', () => this.toggleMute());
    this.volume = h('input', { type: 'range', min: '0', max: '1', step: '0.05', 'aria-label': 'Volume' });
    this.volume.addEventListener('input', () => {
      video.volume = Number(this.volume.value);
      video.muted = video.volume === 0;
    });
    this.live = h('button', { type: 'button', class: 'live', title: 'Go to the live edge (l)', 'aria-keyshortcuts': 'l' }, 'Live');
    this.live.addEventListener('click', () => player.goLive());
    this.choice = h('select', { 'aria-label': 'Picture size', title: 'Picture size (q)' });
    this.choice.addEventListener('change', () => {
      if (player.hls) player.hls.nextLevel = Number(this.choice.value);
    });
    const children: HTMLElement[] = [this.play, this.mute, this.volume, this.live, h('span', { class: 'space' }), this.choice];
    if (document.pictureInPictureEnabled) {
      children.push(button('Picture in picture', 'i', 'pip', () => void this.togglePip()));
    }
    children.push(button('Full screen', 'f', 'full', () => void this.toggleFull()));
    this.element = h('div', { class: 'controls', role: 'group', 'aria-label': 'Player' }, ...children);
    const keys: Record<string, () => void> = {
      ' ': () => this.togglePlay(),
      k: () => this.togglePlay(),
      m: () => this.toggleMute(),
      f: () => void this.toggleFull(),
      i: () => void this.togglePip(),
      l: () => player.goLive(),
      q: () => this.choice.focus(),
      d: toggleOverlay,
      ArrowUp: () => this.louder(0.1),
      ArrowDown: () => this.louder(-0.1),
      ArrowLeft: () => (video.currentTime -= 5),
      ArrowRight: () => (video.currentTime += 5),
    };
    document.addEventListener('keydown', (event) => {
      const on = event.target as HTMLElement;
      const hasOwnKeys = on.matches('select, input') || on.closest('.chat') !== null || (on.matches('button, a') && event.key === ' ');
      if (event.ctrlKey || event.metaKey || event.altKey || hasOwnKeys) return;
      const act = keys[event.key];
      if (act) {
        event.preventDefault();
        act();
      }
    });
    // A finger has no way to point: its first touch brings the buttons back.
    let hasOnlyWoken = false;
    video.addEventListener('pointerdown', (event) => {
      hasOnlyWoken = event.pointerType === 'touch' && frame.classList.contains('quiet');
    });
    video.addEventListener('click', () => {
      if (!hasOnlyWoken) this.togglePlay();
    });
    video.addEventListener('volumechange', () => this.show());
  }

  show() {
    const { video, hls } = this.player;
    relabel(this.play, video.paused ? 'Play' : 'Pause', video.paused ? 'play' : 'pause');
    relabel(this.mute, video.muted ? 'Unmute' : 'Mute', video.muted ? 'muted' : 'sound');
    this.volume.value = String(video.muted ? 0 : video.volume);
    this.live.setAttribute('aria-pressed', String(this.player.isAtLiveEdge && !video.paused));
    if (!hls) return;
    const options = [{ value: '-1', text: 'Auto' }];
    const seen = new Set<string>();
    hls.levels.forEach((level, at) => {
      const name = level.height ? `${level.height}p` : 'Sound';
      const text = `${name} · ${rate(level.maxBitrate)}`;
      if (!seen.has(text)) options.push({ value: String(at), text });
      seen.add(text);
    });
    const isAuto = hls.autoLevelEnabled;
    const current = hls.levels[hls.currentLevel];
    if (options[0] && isAuto && current?.height) options[0].text = `Auto · ${current.height}p`;
    const wanted = options.map((option) => option.value + option.text).join();
    if (this.choice.dataset['shown'] !== wanted && document.activeElement !== this.choice) {
      this.choice.dataset['shown'] = wanted;
      this.choice.replaceChildren(...options.map((option) => h('option', { value: option.value }, option.text)));
      this.choice.value = isAuto ? '-1' : String(hls.loadLevel);
    }
  }

  private togglePlay() {
    const { video } = this.player;
    if (video.paused) void this.player.play();
    else video.pause();
  }

  private toggleMute() {
    const { video } = this.player;
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 0.5;
  }

  private louder(by: number) {
    const { video } = this.player;
    video.volume = Math.min(1, Math.max(0, video.volume + by));
    video.muted = video.volume === 0;
  }

  private async togglePip() {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await this.player.video.requestPictureInPicture().catch(() => {});
  }

  private async toggleFull() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.frame.requestFullscreen().catch(() => {});
  }
}
