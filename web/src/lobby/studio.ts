// My broadcasts: how to publish each of them, and whether it arrives.

import { broadcasts as onAir, type Broadcast } from '../api';
import { h } from '../controls';
import type { Health, Lobby, Owned, PublishKey, Visibility } from './api';
import { copied, field, form, words } from './forms';
import { restrained } from './order';
import { Fresh, List, sure } from './parts';
import { links, webhooks } from './shares';

const LOOK_EVERY_MS = 2000;
const VISIBILITIES: [Visibility, string][] = [
  ['public', 'Public: listed, for everybody'],
  ['unlisted', 'Unlisted: for whoever has the link'],
  ['private', 'Private: for whom you let in'],
];

function choice(chosen: Visibility): HTMLSelectElement {
  const options = VISIBILITIES.map(([value, text]) => h('option', { value, ...(value === chosen ? { selected: '' } : {}) }, text));
  return h('select', {}, ...options);
}

class Card {
  readonly element: HTMLElement;
  private state = h('p', { class: 'state', role: 'status' });
  private advice = h('ul', { class: 'advice', 'aria-label': 'What to mend' });
  private keys: List<PublishKey>;
  private fresh = new Fresh();
  private note = h('p', { class: 'form-note', role: 'alert' });
  private said = '';

  constructor(
    private lobby: Lobby,
    readonly of: Owned,
    private server: string,
    again: () => void,
  ) {
    const title = h('h2', {}, of.title || of.name);
    const watch = h('a', { href: `/watch/${of.name}` }, 'Watch');
    const visibility = choice(of.visibility);
    visibility.addEventListener('change', () => this.act(lobby.change(of.name, { visibility: visibility.value as Visibility })));
    const remove = h('button', { type: 'button' }, 'Delete this broadcast');
    remove.addEventListener('click', async () => {
      const question = `Delete ${of.name}, its keys and everything that was said in its chat?`;
      if (await sure(question, 'Delete it')) this.act(lobby.remove(of.name).then(again));
    });
    this.keys = new List({
      label: 'Keys',
      load: () => lobby.keys(of.name),
      says: (key) => [`${key.label}, since ${new Date(key.made_ms).toLocaleDateString()}`],
      away: {
        button: 'Revoke',
        about: (key) => `Revoke ${key.label}`,
        act: (key) => lobby.revoke(of.name, key.id).then(() => this.fresh.forget(key.id)),
        done: (key) => `${key.label} is revoked: whoever publishes with it is let go.`,
      },
      none: 'None yet.',
    });
    const label = h('input', { name: 'label', maxlength: '64', required: '', value: 'OBS' });
    const make = form('Make a key', () => this.make(label.value), field('A key for', label, 'Who or what publishes with it.'));
    this.element = h(
      'section',
      { class: 'owned', 'aria-label': `Broadcast ${of.name}` },
      h('div', { class: 'owned-head' }, title, watch),
      this.state,
      h('div', { role: 'status' }, this.advice),
      field('Who may watch', visibility),
      copied('OBS: server', this.server),
      this.fresh.element,
      h('h3', {}, 'Keys'),
      this.keys.element,
      make,
      links(lobby, of.name),
      webhooks(lobby, of.name),
      restrained(lobby, of.name).element,
      remove,
      this.note,
    );
    this.show(undefined, null);
    void this.keys.load();
  }

  /** Green when it arrives. */
  show(live: Broadcast | undefined, health: Health | null) {
    const sizes = live?.renditions.map((rendition) => (rendition.height ? `${rendition.height}p` : 'sound')).join(', ');
    const rate = health?.bits ? ` ${(health.bits / 1e6).toFixed(1)} Mbit/s arrive.` : '';
    const isLive = health?.on_air ?? !!live;
    const shown = live ? `On the air: ${sizes}, on ${live.edges === 1 ? 'one edge' : `${live.edges} edges`}.` : 'It arrives, and will be on the air in a moment.';
    const text = isLive ? shown + rate : 'Nothing arrives. Start publishing and this turns green.';
    this.state.classList.toggle('is-live', isLive);
    const advice = isLive ? (health?.advice ?? []).map((it) => it.says) : [];
    if (this.said !== advice.join()) {
      this.said = advice.join();
      this.advice.replaceChildren(...advice.map((says) => h('li', {}, says)));
    }
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  private act(what: Promise<unknown>) {
    this.note.textContent = '';
    what.catch((error: unknown) => (this.note.textContent = words(error)));
  }

  private async make(label: string) {
    const made = await this.lobby.makeKey(this.of.name, label);
    const key = made.stream_key;
    const line = `ffmpeg -re -i film.mp4 -c:v libx264 -g 60 -c:a aac -f flv '${this.server}/${key}'`;
    this.fresh.show(
      made.id,
      'Take the key along now: it is not shown again.',
      copied('OBS: stream key', key),
      copied('ffmpeg', line),
    );
    await this.keys.load();
  }
}

export async function studio(main: HTMLElement, lobby: Lobby) {
  document.title = 'Studio · Mascaret';
  const cards = h('div', { class: 'owned-all' });
  let shown: Card[] = [];
  const place = await lobby.place().catch(() => ({ watch: '', publish: '' }));
  const server = place.publish || `rtmp://${location.hostname}:1935/live`;
  const load = async () => {
    const owned = await lobby.broadcasts();
    shown = owned.map((of) => new Card(lobby, of, server, () => void load()));
    cards.replaceChildren(...(shown.length ? shown.map((card) => card.element) : [h('p', { class: 'empty' }, 'You have no broadcast yet. Make one below.')]));
  };
  const name = h('input', { name: 'name', required: '', maxlength: '64', pattern: '[A-Za-z0-9_\\-]+', autocapitalize: 'none', spellcheck: 'false' });
  const title = h('input', { name: 'title', maxlength: '200' });
  const visibility = choice('public');
  const act = async () => {
    await lobby.make(name.value, title.value, visibility.value as Visibility);
    name.value = title.value = '';
    await load();
    return 'Made. Make a key for it next.';
  };
  const make = form(
    'Make it',
    act,
    field('Name', name, 'In its link: letters, digits, - and _.'),
    field('Title', title),
    field('Who may watch', visibility),
  );
  main.replaceChildren(h('h1', {}, 'My broadcasts'), cards, h('section', { 'aria-labelledby': 'new' }, h('h2', { id: 'new' }, 'A new broadcast'), make));
  try {
    await load();
  } catch (error) {
    cards.replaceChildren(h('p', { class: 'form-note', role: 'alert' }, words(error)));
  }
  const look = async () => {
    // Where the balancer is away, the ingests' word is left, and the other way round.
    const live = await onAir(place.watch).catch(() => null);
    await Promise.all(
      shown.map(async (card) => {
        const health = await lobby.health(card.of.name).catch(() => null);
        if (live || health) card.show(live?.find((broadcast) => broadcast.id === card.of.name), health);
      }),
    );
  };
  void look();
  setInterval(() => void look(), LOOK_EVERY_MS);
}
