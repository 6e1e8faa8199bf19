// The lobby's API (`/api/v1/…`; `/api/openapi.json` is its description): who is signed in, broadcasts, keys, chat.
//
// Does not live here: any element of a page.

import type { Badge, Said } from '../said';

export type Role = 'viewer' | 'moderator' | 'broadcaster' | 'admin';
export type Visibility = 'public' | 'unlisted' | 'private';

export interface Account {
  id: string;
  name: string;
  role: Role;
}

/** Who is signed in. */
export interface Session {
  account: Account;
  /** Whether he may take messages back and hold somebody from posting in the room it was asked for. */
  moderates: boolean;
}

export interface Place {
  /** A balancer's origin; empty where it is not set. */
  watch: string;
  /** Where encoders go: `rtmp://…/live`. */
  publish: string;
}

export interface Owned {
  name: string;
  title: string;
  visibility: Visibility;
}

export interface PublishKey {
  id: string;
  label: string;
  made_ms: number;
}

export interface ShareLink {
  id: string;
  made_ms: number;
  expires_ms: number;
}

export interface Webhook {
  id: string;
  url: string;
  /** How it was told last; `null` where it never was. */
  last: { at_ms: number; taken: boolean; says: string | null } | null;
}

export interface Invite {
  id: string;
  role: Role;
  expires_ms: number;
}

export interface Restraint {
  account: string;
  name: string;
  kind: 'mute' | 'ban';
  /** `null`: for good. */
  until_ms: number | null;
}

/** Whether a broadcast arrives, and what its publisher might mend. */
export interface Health {
  on_air: boolean;
  bits: number | null;
  picture_group_ms: number | null;
  advice: { code: string; says: string }[];
}

/** What the lobby says instead of doing it, in a sentence for whoever asked. */
export class Trouble extends Error {
  constructor(
    readonly status: number,
    text: string,
    /** Seconds until it may do it. */
    readonly again = NaN,
  ) {
    super(text);
  }
}

const AWAY = 'That cannot be done right now. Please try again in a moment.';

/** Shown with everything that changes something, so that only a page of the lobby's own can. */
let token = '';

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method !== 'GET' && token) headers['x-mascaret-token'] = token;
  let answer: Response;
  try {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    answer = await fetch(`/api/v1${path}`, { method, cache: 'no-store', credentials: 'same-origin', headers, ...sent });
  } catch {
    throw new Trouble(0, 'There is no answer. Is the network there?');
  }
  const said: unknown = await answer.json().catch(() => null);
  if (answer.ok) return said as T;
  const again = answer.headers.get('retry-after');
  const says = (said as { error?: { says?: string } } | null)?.error?.says;
  const text = says ? `${says.charAt(0).toUpperCase()}${says.slice(1)}.` : answer.status >= 500 ? AWAY : `That was refused (${answer.status}).`;
  throw new Trouble(answer.status, text, again === null ? NaN : Number(again));
}

type Me = Account & { token: string };

/** A line of a room's log, as the lobby keeps it. */
interface Kept {
  sequence: number;
  kind: string;
  author: string | null;
  name: string;
  badge: Badge;
  text: string;
  at_ms: number;
}

const part = encodeURIComponent;

export class Lobby {
  /** Who is signed in here; nobody, or `undefined` where this is no lobby. */
  async session(broadcast?: string): Promise<Session | null | undefined> {
    try {
      const me = await ask<Me>('GET', '/me');
      token = me.token;
      let moderates = me.role === 'admin' || me.role === 'moderator';
      // Of one's own broadcast one is told more than others.
      if (!moderates && broadcast && me.role === 'broadcaster') {
        const of = await ask<Owned & { owner?: string }>('GET', `/broadcasts/${part(broadcast)}`).catch(() => null);
        moderates = of?.owner === me.id;
      }
      return { account: me, moderates };
    } catch (error) {
      if (error instanceof Trouble && error.status === 401) return null;
      return undefined;
    }
  }

  async signIn(name: string, password: string): Promise<void> {
    token = (await ask<Me>('POST', '/session', { name, password })).token;
  }

  /** What is said to whoever asked; it never tells whether a name was free. */
  async signUp(name: string, password: string, invite: string): Promise<string> {
    return (await ask<{ says: string }>('POST', '/accounts', { name, password, ...(invite ? { invite } : {}) })).says;
  }

  signOut(): Promise<void> {
    return ask('DELETE', '/session');
  }

  async broadcasts(): Promise<Owned[]> {
    return (await ask<{ broadcasts: Owned[] }>('GET', '/broadcasts?mine=true')).broadcasts;
  }

  make(name: string, title: string, visibility: Visibility): Promise<Owned> {
    return ask('POST', '/broadcasts', { name, title, visibility });
  }

  change(name: string, what: Partial<Pick<Owned, 'title' | 'visibility'>>): Promise<void> {
    return ask('PATCH', `/broadcasts/${part(name)}`, what);
  }

  remove(name: string): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(name)}`);
  }

  health(broadcast: string): Promise<Health> {
    return ask('GET', `/broadcasts/${part(broadcast)}/health`);
  }

  async keys(broadcast: string): Promise<PublishKey[]> {
    return (await ask<{ keys: PublishKey[] }>('GET', `/broadcasts/${part(broadcast)}/keys`)).keys;
  }

  /** A new key, which is shown this once. */
  makeKey(broadcast: string, label: string): Promise<PublishKey & { stream_key: string }> {
    return ask('POST', `/broadcasts/${part(broadcast)}/keys`, { label });
  }

  revoke(broadcast: string, id: string): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(broadcast)}/keys/${part(id)}`);
  }

  async links(broadcast: string): Promise<ShareLink[]> {
    return (await ask<{ links: ShareLink[] }>('GET', `/broadcasts/${part(broadcast)}/links`)).links;
  }

  /** A word to watch with, which is shown this once. */
  makeLink(broadcast: string, hours: number): Promise<{ id: string; link: string }> {
    return ask('POST', `/broadcasts/${part(broadcast)}/links`, { hours });
  }

  removeLink(broadcast: string, id: string): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(broadcast)}/links/${part(id)}`);
  }

  async webhooks(broadcast: string): Promise<Webhook[]> {
    return (await ask<{ webhooks: Webhook[] }>('GET', `/broadcasts/${part(broadcast)}/webhooks`)).webhooks;
  }

  addWebhook(broadcast: string, url: string): Promise<{ id: string; secret: string }> {
    return ask('POST', `/broadcasts/${part(broadcast)}/webhooks`, { url });
  }

  removeWebhook(broadcast: string, id: string): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(broadcast)}/webhooks/${part(id)}`);
  }

  async invites(): Promise<Invite[]> {
    return (await ask<{ invites: Invite[] }>('GET', '/invites')).invites;
  }

  /** A word to sign up with, once, which is shown this once. */
  makeInvite(role: Role, hours: number): Promise<{ id: string; invite: string }> {
    return ask('POST', '/invites', { role, hours });
  }

  removeInvite(id: string): Promise<void> {
    return ask('DELETE', `/invites/${part(id)}`);
  }

  /** Every other session is over; this one goes on. */
  async changePassword(old: string, fresh: string): Promise<void> {
    token = (await ask<Me>('PUT', '/me/password', { old, new: fresh })).token;
  }

  signOutEverywhere(): Promise<void> {
    return ask('DELETE', '/me/sessions');
  }

  removeMe(password: string): Promise<void> {
    return ask('DELETE', '/me', { password });
  }

  async accounts(after: string): Promise<Account[]> {
    return (await ask<{ accounts: Account[] }>('GET', `/accounts?after=${part(after)}`)).accounts;
  }

  setRole(id: string, role: Role): Promise<void> {
    return ask('PATCH', `/accounts/${part(id)}`, { role });
  }

  removeAccount(id: string): Promise<void> {
    return ask('DELETE', `/accounts/${part(id)}`);
  }

  say(broadcast: string, text: string, nonce: string): Promise<void> {
    return ask('POST', `/broadcasts/${part(broadcast)}/messages`, { text, nonce });
  }

  /** What was said after a number, oldest first; taken back or not a message left out. */
  async messages(broadcast: string, after: number): Promise<Said[]> {
    const answer = await ask<{ messages: Kept[] }>('GET', `/broadcasts/${part(broadcast)}/messages?after=${after}`);
    const said = answer.messages.filter((kept) => kept.kind === 'message');
    return said.map(({ sequence, at_ms, author, name, badge, text }) => ({ n: sequence, at: at_ms, by: author ?? '', name, badge, text }));
  }

  takeBack(broadcast: string, n: number): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(broadcast)}/messages/${n}`);
  }

  /** For so many seconds, or for good. */
  restrain(broadcast: string, account: string, kind: 'mute' | 'ban', seconds: number | null): Promise<void> {
    return ask('PUT', `/broadcasts/${part(broadcast)}/restraints/${part(account)}/${kind}`, { ...(seconds === null ? {} : { seconds }), clear: kind === 'ban' });
  }

  async restraints(broadcast: string): Promise<Restraint[]> {
    return (await ask<{ restraints: Restraint[] }>('GET', `/broadcasts/${part(broadcast)}/restraints`)).restraints;
  }

  lift(broadcast: string, account: string, kind: 'mute' | 'ban'): Promise<void> {
    return ask('DELETE', `/broadcasts/${part(broadcast)}/restraints/${part(account)}/${kind}`);
  }

  /** Where this cluster is watched and published to. */
  place(): Promise<Place> {
    return ask('GET', '/place');
  }

  /** A path with a ticket to a broadcast that not everybody may watch. */
  async ticket(broadcast: string): Promise<string> {
    const link = new URLSearchParams(location.search).get('link');
    return (await ask<{ path: string }>('POST', `/broadcasts/${part(broadcast)}/ticket`, link ? { link } : {})).path;
  }

  slow(broadcast: string, seconds: number): Promise<void> {
    return ask('PUT', `/broadcasts/${part(broadcast)}/slow`, { seconds });
  }
}

export type { Badge, Said };
