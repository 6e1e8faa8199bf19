// The page: the list of broadcasts at `/`, one of them at `/watch/<broadcast>`.

import { broadcasts, type Broadcast } from './api';
import { Controls, h } from './controls';
import { Overlay } from './overlay';
import { Player } from './player';
import { behind } from './words';

const LIST_EVERY_MS = 2000;
const main = document.getElementById('main') as HTMLElement;
const cluster = document.getElementById('cluster') as HTMLElement;

function sizes(broadcast: Broadcast): string {
  const heights = broadcast.renditions.map((rendition) => (rendition.height ? `${rendition.height}p` : 'sound'));
  return heights.join(', ');
}

function card(broadcast: Broadcast): HTMLElement {
  const name = h('span', { class: 'card-name' }, broadcast.id);
  const edges = broadcast.edges === 1 ? 'on one edge' : `on ${broadcast.edges} edges`;
  const about = h('span', { class: 'card-about' }, `${sizes(broadcast)} · ${edges}`);
  const badge = h('span', { class: 'badge' }, 'Live');
  return h('li', {}, h('a', { class: 'card', href: `/watch/${broadcast.id}` }, badge, name, about));
}

function list() {
  document.title = 'Mascaret';
  const title = h('h1', {}, 'On the air');
  const items = h('ul', { class: 'cards' });
  const empty = h('p', { class: 'empty' }, 'Looking…');
  main.replaceChildren(title, empty, items);
  let shown = '';
  const look = async () => {
    try {
      const found = await broadcasts();
      cluster.textContent = '';
      empty.textContent = found.length > 0 ? '' : 'Nothing is on the air. Publish with OBS or ffmpeg and it appears here.';
      const now = JSON.stringify(found.map((broadcast) => [broadcast.id, sizes(broadcast), broadcast.edges]));
      if (now !== shown) items.replaceChildren(...found.map(card));
      shown = now;
    } catch {
      cluster.textContent = 'The balancer does not answer; trying again.';
    }
  };
  void look();
  setInterval(() => void look(), LIST_EVERY_MS);
}

function watch(id: string) {
  document.title = `${id} · Mascaret`;
  const video = h('video', { playsinline: '', 'aria-label': `Broadcast ${id}` });
  const note = h('p', { class: 'note', role: 'status', 'aria-live': 'polite' });
  const retry = h('button', { type: 'button' }, 'Try again');
  retry.addEventListener('click', () => location.reload());
  const list = h('a', { href: '/' }, 'What is on the air');
  const ways = h('div', { class: 'ways' }, retry, list);
  const sound = h('button', { type: 'button', class: 'unmute', hidden: '' }, 'Turn on the sound');
  sound.addEventListener('click', () => (video.muted = false));
  const trouble = h('div', { class: 'trouble', role: 'alert', hidden: '' });
  const frame = h('div', { class: 'frame' }, video);
  const title = h('h1', {}, id);
  const about = h('p', { class: 'about' });
  main.replaceChildren(frame, h('div', { class: 'under' }, title, about), note);
  const player = new Player(video, id);
  const overlay = new Overlay(player);
  const controls = new Controls(player, frame, () => overlay.toggle());
  frame.append(trouble, sound, overlay.element, controls.element);
  player.onchange = () => {
    controls.show();
    overlay.show();
    sound.hidden = !player.isMutedUnasked || !video.muted || player.state !== 'playing';
    about.textContent = player.trouble ? '' : behind(player.latency);
    note.textContent = player.state === 'reconnecting' && !player.trouble ? 'Reconnecting…' : '';
    const { trouble: what } = player;
    const text = what ? `${what.text} (${what.code})` : '';
    if (trouble.dataset['text'] !== text) {
      trouble.dataset['text'] = text;
      trouble.hidden = !what;
      trouble.replaceChildren(...(what ? [h('p', {}, text), ways] : []));
    }
  };
  let hide: ReturnType<typeof setTimeout> | undefined;
  const wake = () => {
    frame.classList.remove('quiet');
    clearTimeout(hide);
    hide = setTimeout(() => frame.classList.toggle('quiet', !video.paused), 3000);
  };
  for (const kind of ['pointermove', 'pointerdown', 'keydown', 'focusin']) document.addEventListener(kind, wake);
  wake();
  // For whoever drives the page from outside: tests, and people with the console open.
  Object.assign(window, { mascaret: { player, facts: () => overlay.facts() } });
}

const watched = /^\/watch\/([A-Za-z0-9_-]{1,64})\/?$/.exec(location.pathname);
if (watched?.[1]) watch(watched[1]);
else list();
