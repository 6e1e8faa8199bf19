// Accounts, for administrators: what each may do, and invites for those who have none.

import { h } from '../controls';
import type { Account, Invite, Lobby, Role } from './api';
import { copied, field, form, words } from './forms';
import { Fresh, List, moment, sure } from './parts';
import { lasting } from './shares';

const ROLES: Role[] = ['viewer', 'moderator', 'broadcaster', 'admin'];
/** As many as the lobby gives at once. */
const PAGE = 100;

function choice(chosen: Role, more: Record<string, string>): HTMLSelectElement {
  return h('select', more, ...ROLES.map((value) => h('option', { value, ...(value === chosen ? { selected: '' } : {}) }, value)));
}

function invites(lobby: Lobby): HTMLElement {
  const fresh = new Fresh();
  const [role, hours] = [choice('viewer', { name: 'role' }), lasting()];
  const list = new List<Invite>(
    {
      label: 'Invites that were not used',
      load: () => lobby.invites(),
      says: (it) => [`For one ${it.role}, good until ${moment(it.expires_ms)}`],
      away: {
        button: 'Revoke',
        about: (it) => `Revoke the invite for one ${it.role} that is good until ${moment(it.expires_ms)}`,
        act: (it) => lobby.removeInvite(it.id).then(() => fresh.forget(it.id)),
        done: () => 'Revoked: nobody can sign up with it.',
      },
      none: 'None that was not used.',
    },
    'keys invites',
  );
  const act = async () => {
    const { id, invite } = await lobby.makeInvite(role.value as Role, Number(hours.value));
    const url = `${location.origin}/sign-up?invite=${encodeURIComponent(invite)}`;
    fresh.show(id, 'Whoever opens this link may sign up, once. It is not shown again.', copied('Invite', url));
    await list.load();
  };
  const make = form('Make an invite', act, field('Who signs up with it may be a', role), field('Good for', hours));
  void list.load();
  return h('section', { class: 'owned', 'aria-labelledby': 'invites' }, h('h2', { id: 'invites' }, 'Invites'), fresh.element, list.element, make);
}

export async function admin(main: HTMLElement, lobby: Lobby) {
  document.title = 'Accounts · Mascaret';
  const note = h('p', { class: 'form-note', role: 'status' });
  const rows = h('tbody', {});
  const head = h('tr', {}, ...['Name', 'May', ''].map((text) => h('th', { scope: 'col' }, text || 'Delete')));
  const table = h('table', { class: 'accounts' }, h('caption', { class: 'hidden-words' }, 'Accounts'), h('thead', {}, head), rows);
  const more = h('button', { type: 'button', hidden: '' }, 'More');
  const act = (what: Promise<unknown>, done: string) => {
    note.textContent = '';
    what.then(() => (note.textContent = done)).catch((error: unknown) => (note.textContent = words(error)));
  };
  const row = (account: Account): HTMLTableRowElement => {
    const role = choice(account.role, { 'aria-label': `What ${account.name} may do` });
    role.addEventListener('change', () => act(lobby.setRole(account.id, role.value as Role), `${account.name} is ${role.value} now.`));
    const remove = h('button', { type: 'button', 'aria-label': `Delete ${account.name}` }, 'Delete');
    const made = h('tr', {}, h('th', { scope: 'row' }, account.name), h('td', {}, role), h('td', {}, remove));
    remove.addEventListener('click', async () => {
      if (!(await sure(`Delete ${account.name}, with every broadcast and everything said?`, 'Delete it'))) return;
      act(lobby.removeAccount(account.id).then(() => made.remove()), `${account.name} is deleted.`);
    });
    return made;
  };
  let after = '';
  const load = async () => {
    const accounts = await lobby.accounts(after);
    rows.append(...accounts.map(row));
    after = accounts.at(-1)?.name.toLowerCase() ?? after;
    more.hidden = accounts.length < PAGE;
  };
  more.addEventListener('click', () => act(load(), ''));
  main.replaceChildren(h('h1', {}, 'Accounts'), note, table, more, invites(lobby));
  act(load(), '');
}
