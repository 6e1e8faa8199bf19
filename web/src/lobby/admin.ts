// Accounts, for administrators: what each may do.

import { h } from '../controls';
import type { Account, Lobby, Role } from './api';
import { words } from './forms';

const ROLES: Role[] = ['viewer', 'moderator', 'broadcaster', 'admin'];
/** As many as the lobby gives at once. */
const PAGE = 100;

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
    const role = h('select', { 'aria-label': `What ${account.name} may do` }, ...ROLES.map((value) => h('option', { value, ...(value === account.role ? { selected: '' } : {}) }, value)));
    role.addEventListener('change', () => act(lobby.setRole(account.id, role.value as Role), `${account.name} is ${role.value} now.`));
    const remove = h('button', { type: 'button', 'aria-label': `Delete ${account.name}` }, 'Delete');
    const made = h('tr', {}, h('th', { scope: 'row' }, account.name), h('td', {}, role), h('td', {}, remove));
    remove.addEventListener('click', () => {
      if (!confirm(`Delete ${account.name}, with every broadcast and everything said?`)) return;
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
  main.replaceChildren(h('h1', {}, 'Accounts'), note, table, more);
  act(load(), '');
}
