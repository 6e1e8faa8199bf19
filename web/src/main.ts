// The page: the list of broadcasts at `/`, one of them at `/watch/<broadcast>`.

import { broadcasts, type Broadcast } from './api';
import { h } from './controls';
import { watch } from './watch';

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

const watched = /^\/watch\/([A-Za-z0-9_-]{1,64})\/?$/.exec(location.pathname);
if (watched?.[1]) watch(main, watched[1], null);
else list();
