// What a broadcaster gives others: links to what is private, and addresses that are told when it begins and ends.

import { h } from '../controls';
import type { Lobby, ShareLink, Webhook } from './api';
import { copied, field, form } from './forms';
import { Fresh, List, moment, opens } from './parts';

const DAY_H = 24;
/** Hours a link or an invite is good for, and how people say it. */
const GOOD_FOR: [number, string][] = [
  [1, 'An hour'],
  [DAY_H, 'A day'],
  [7 * DAY_H, 'A week'],
  [30 * DAY_H, 'A month'],
];

/** For how long. */
export function lasting(): HTMLSelectElement {
  return h('select', { name: 'hours' }, ...GOOD_FOR.map(([hours, text]) => h('option', { value: String(hours), ...(hours === DAY_H ? { selected: '' } : {}) }, text)));
}

export function links(lobby: Lobby, broadcast: string): HTMLElement {
  const fresh = new Fresh();
  const hours = lasting();
  const list = new List<ShareLink>(
    {
      label: 'Links that are shared',
      load: () => lobby.links(broadcast),
      says: (it) => [it.expires_ms < Date.now() ? `Over since ${moment(it.expires_ms)}` : `Good until ${moment(it.expires_ms)}, made ${moment(it.made_ms)}`],
      away: {
        button: 'Revoke',
        about: (it) => `Revoke the link that is good until ${moment(it.expires_ms)}`,
        act: (it) => lobby.removeLink(broadcast, it.id).then(() => fresh.forget(it.id)),
        done: () => 'Revoked: whoever watches by it is turned away.',
      },
      none: 'None yet.',
    },
    'keys links',
  );
  const act = async () => {
    const { id, link } = await lobby.makeLink(broadcast, Number(hours.value));
    const url = `${location.origin}/watch/${broadcast}?link=${encodeURIComponent(link)}`;
    fresh.show(id, 'Take the link along now: it is not shown again.', copied('Link', url));
    await list.load();
  };
  const make = form('Make a link', act, field('Good for', hours, 'Whoever has it may watch without an account, until then or until you revoke it.'));
  return opens('Share links', 'links-part', () => list.load(), fresh.element, list.element, make);
}

/** How the last telling went. */
function last({ last }: Webhook): string {
  if (!last) return 'not told yet';
  const says = last.says ? `: ${last.says}` : '';
  return last.taken ? `told ${moment(last.at_ms)}` : `not taken ${moment(last.at_ms)}${says}`;
}

export function webhooks(lobby: Lobby, broadcast: string): HTMLElement {
  const fresh = new Fresh();
  const url = h('input', { type: 'url', name: 'url', required: '', maxlength: '512', placeholder: 'https://', autocomplete: 'off', spellcheck: 'false' });
  const list = new List<Webhook>(
    {
      label: 'Webhooks',
      load: () => lobby.webhooks(broadcast),
      says: (it) => [h('span', { class: 'address' }, it.url), ' ', h('span', { class: it.last?.taken === false ? 'hint is-wrong' : 'hint' }, last(it))],
      away: {
        button: 'Remove',
        about: (it) => `Remove the webhook ${it.url}`,
        act: (it) => lobby.removeWebhook(broadcast, it.id).then(() => fresh.forget(it.id)),
        done: () => 'Removed: it is not told any more.',
      },
      none: 'None yet.',
    },
    'keys hooks',
  );
  const act = async () => {
    const made = await lobby.addWebhook(broadcast, url.value);
    url.value = '';
    fresh.show(made.id, 'Whoever is told checks the signature with this secret. It is not shown again.', copied('Secret', made.secret));
    await list.load();
  };
  const make = form('Add it', act, field('Address', url, 'It is told when the broadcast begins and ends.'));
  return opens('Webhooks', 'hooks-part', () => list.load(), fresh.element, list.element, make);
}
