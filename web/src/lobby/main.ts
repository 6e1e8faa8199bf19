// The lobby's pages: signing in, my broadcasts, my account, everybody's, and a broadcast with its chat.

import { h } from '../controls';
import { watch } from '../watch';
import { signIn, signUp } from './account';
import { admin } from './admin';
import { Lobby, type Session } from './api';
import { self } from './self';
import { studio } from './studio';

const main = document.getElementById('main') as HTMLElement;
const ways = document.getElementById('ways') as HTMLElement;
const lobby = new Lobby();

function nav(session: Session | null) {
  const link = (href: string, text: string) => {
    const made = h('a', { href }, text);
    if (location.pathname === href) made.setAttribute('aria-current', 'page');
    return made;
  };
  if (!session) {
    // Back to what one came to see.
    const to = location.pathname.startsWith('/watch/') ? `?to=${encodeURIComponent(location.pathname)}` : '';
    ways.replaceChildren(link(`/sign-in${to}`, 'Sign in'), link(`/sign-up${to}`, 'Sign up'));
    return;
  }
  const { name, role } = session.account;
  const out = h('button', { type: 'button' }, 'Sign out');
  out.addEventListener('click', () => void lobby.signOut().finally(() => location.assign('/sign-in')));
  const me = link('/account', name);
  me.classList.add('me');
  me.setAttribute('aria-label', `My account: ${name}`);
  const parts: Node[] = [me];
  if (role === 'broadcaster' || role === 'admin') parts.push(link('/studio', 'Studio'));
  if (role === 'admin') parts.push(link('/admin', 'Accounts'));
  ways.replaceChildren(...parts, out);
}

function signInFirst() {
  location.replace(`/sign-in?to=${encodeURIComponent(location.pathname)}`);
}

async function show() {
  const watched = /^\/watch\/([A-Za-z0-9_-]{1,64})\/?$/.exec(location.pathname)?.[1];
  const session = await lobby.session(watched);
  nav(session ?? null);
  if (session === undefined) {
    main.replaceChildren(h('h1', {}, 'One moment'), h('p', { role: 'status' }, 'What is kept cannot be reached right now. This page tries again by itself.'));
    setTimeout(() => void show(), 2000);
    return;
  }
  if (watched) {
    const { watch: at } = await lobby.place();
    // What is private opens to a ticket only; for everything else none is needed.
    const path = await lobby.ticket(watched).catch(() => `/live/${watched}/index.m3u8`);
    watch(main, watched, { lobby, session, source: at + path });
    return;
  }
  switch (location.pathname) {
    case '/sign-in':
      signIn(main, lobby);
      return;
    case '/sign-up':
      signUp(main, lobby);
      return;
    case '/account':
      if (!session) signInFirst();
      else self(main, lobby, session.account);
      return;
    case '/admin':
      if (!session) signInFirst();
      else if (session.account.role === 'admin') await admin(main, lobby);
      else main.replaceChildren(h('h1', {}, 'Accounts'), h('p', {}, 'Only administrators see this page.'));
      return;
    default:
      if (!session) signInFirst();
      else if (session.account.role === 'broadcaster' || session.account.role === 'admin') await studio(main, lobby);
      else main.replaceChildren(h('h1', {}, 'Welcome'), h('p', {}, 'You may take part in chats. To publish, ask an administrator.'));
  }
}

void show();
