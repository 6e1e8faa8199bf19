// One broadcast: the player, and its chat beside it.

import { Controls, h } from './controls';
import type { Lobby, Session } from './lobby/api';
import { Overlay } from './overlay';
import { Player } from './player';
import { Talk } from './talk';
import { behind } from './words';

/** Where somebody may be signed in; nowhere on a balancer's page, whose chat is to be read only. */
export interface Signed {
  lobby: Lobby;
  session: Session | null;
  /** Where the playlist is. */
  source: string;
}

export function watch(main: HTMLElement, id: string, signed: Signed | null) {
  document.title = `${id} · Mascaret`;
  const video = h('video', { playsinline: '', 'aria-label': `Broadcast ${id}` });
  const note = h('p', { class: 'note', role: 'status', 'aria-live': 'polite' });
  const retry = h('button', { type: 'button' }, 'Try again');
  retry.addEventListener('click', () => location.reload());
  // A balancer's page, wherever this one is of.
  const list = h('a', { href: signed ? new URL('/', new URL(signed.source, location.href)).href : '/' }, 'What is on the air');
  const ways = h('div', { class: 'ways' }, retry, list);
  const sound = h('button', { type: 'button', class: 'unmute', hidden: '' }, 'Turn on the sound');
  sound.addEventListener('click', () => (video.muted = false));
  const trouble = h('div', { class: 'trouble', role: 'alert', hidden: '' });
  const frame = h('div', { class: 'frame' }, video);
  const title = h('h1', {}, id);
  const about = h('p', { class: 'about' });
  const stage = h('div', { class: 'stage' }, h('div', {}, frame, h('div', { class: 'under' }, title, about), note));
  main.replaceChildren(stage);
  const player = new Player(video, id, signed?.source);
  const overlay = new Overlay(player);
  const controls = new Controls(player, frame, () => overlay.toggle());
  frame.append(trouble, sound, overlay.element, controls.element);
  const talk = new Talk(id, player.edges, () => player.path, signed?.lobby ?? null, signed?.session ?? null);
  stage.append(talk.element);
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
  Object.assign(window, { mascaret: { player, talk, facts: () => overlay.facts() } });
}
