// One's own account: another password, signing out everywhere, going for good.

import { h } from '../controls';
import type { Account, Lobby } from './api';
import { field, form } from './forms';

function password(name: string, autocomplete: string): HTMLInputElement {
  return h('input', { type: 'password', name, autocomplete, required: '', maxlength: '256' });
}

/** Keeps the browser's own store of passwords from guessing whose it is. */
function whose(account: Account): HTMLElement {
  return h('input', { type: 'text', name: 'username', autocomplete: 'username', value: account.name, hidden: '', readonly: '' });
}

function part(id: string, title: string, ...children: Node[]): HTMLElement {
  return h('section', { class: 'owned', 'aria-labelledby': id }, h('h2', { id }, title), ...children);
}

export function self(main: HTMLElement, lobby: Lobby, account: Account) {
  document.title = 'My account · Mascaret';
  const [old, fresh] = [password('old', 'current-password'), password('new', 'new-password')];
  fresh.minLength = 10;
  const change = form(
    'Change it',
    async () => {
      await lobby.changePassword(old.value, fresh.value);
      old.value = fresh.value = '';
      return 'Changed. Wherever else you were signed in, you are not any more.';
    },
    whose(account),
    field('Password now', old),
    field('New password', fresh, 'At least 10 characters. A few words that only you put together are good ones.'),
  );

  const leave = form('Sign out everywhere', async () => {
    await lobby.signOutEverywhere();
    location.assign('/sign-in');
  });

  const name = h('input', { name: 'confirm', required: '', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
  const known = password('known', 'current-password');
  const remove = form(
    'Delete my account',
    async () => {
      if (name.value !== account.name) {
        name.focus();
        return `That is not your name: it is ${account.name}.`;
      }
      await lobby.removeMe(known.value);
      location.assign('/sign-up');
      return undefined;
    },
    field('Your name', name, `Write ${account.name}, so that it does not happen by mistake.`),
    field('Password', known),
  );
  remove.classList.add('is-final');

  main.replaceChildren(
    h('h1', {}, 'My account'),
    h('p', { class: 'about' }, 'Signed in as ', h('b', {}, account.name), `, ${account.role}.`),
    h(
      'div',
      { class: 'owned-all' },
      part('password', 'Password', change),
      part('everywhere', 'Signed in', h('p', {}, 'Here and wherever else you are signed in: all of it ends.'), leave),
      part('farewell', 'Going for good', h('p', {}, 'Your broadcasts, their keys and links, and everything you said in chats are gone with it. Nothing is kept and nobody can bring it back.'), remove),
    ),
  );
}
