// Signing in and signing up.

import { h } from '../controls';
import { Trouble, type Lobby } from './api';
import { field, form } from './forms';

/** Where to go afterwards: a path of ours, and nothing that leads elsewhere. */
function next(): string {
  const to = new URLSearchParams(location.search).get('to') ?? '';
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(to) ? to : '/studio';
}

function fields(isNew: boolean): [HTMLInputElement, HTMLInputElement] {
  const name = h('input', { name: 'username', autocomplete: 'username', required: '', maxlength: '64', autocapitalize: 'none', spellcheck: 'false' });
  const password = h('input', { type: 'password', name: 'password', autocomplete: isNew ? 'new-password' : 'current-password', required: '', maxlength: '256' });
  return [name, password];
}

export function signIn(main: HTMLElement, lobby: Lobby) {
  document.title = 'Sign in · Mascaret';
  const [name, password] = fields(false);
  const act = async () => {
    await lobby.signIn(name.value, password.value);
    location.assign(next());
  };
  const made = form('Sign in', act, field('Name', name), field('Password', password));
  const other = h('p', {}, 'No account yet? ', h('a', { href: `/sign-up${location.search}` }, 'Sign up'), '.');
  main.replaceChildren(h('h1', {}, 'Sign in'), made, other);
  name.focus();
}

export function signUp(main: HTMLElement, lobby: Lobby) {
  document.title = 'Sign up · Mascaret';
  const [name, password] = fields(true);
  const invite = h('input', { name: 'invite', autocomplete: 'off', maxlength: '64', value: new URLSearchParams(location.search).get('invite') ?? '' });
  const act = async () => {
    await lobby.signUp(name.value, password.value, invite.value.trim());
    // Whether the name was free is only told to whoever knows its password.
    try {
      await lobby.signIn(name.value, password.value);
    } catch (error) {
      if (error instanceof Trouble && error.status === 401) return 'That name is not to be had, or is yours already: sign in, or take another one.';
      throw error;
    }
    location.assign(next());
    return undefined;
  };
  const made = form(
    'Sign up',
    act,
    field('Name', name, 'What others see beside what you say.'),
    field('Password', password, 'At least 10 characters. A few words that only you put together are good ones.'),
    field('Invite', invite, 'Only if you were given one.'),
  );
  const other = h('p', {}, 'You have an account? ', h('a', { href: `/sign-in${location.search}` }, 'Sign in'), '.');
  main.replaceChildren(h('h1', {}, 'Sign up'), made, other);
  name.focus();
}
