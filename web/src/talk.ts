// The chat beside the player: what is said, a line to say something on, and what whoever keeps order may do.
//
// Does not live here: where it is read from (`said`), and who may what, which the lobby decides (`lobby/api`).

import { h } from './controls';
import type { Edges } from '../builtin/hedge.js';
import { Trouble, type Lobby, type Session } from './lobby/api';
import { restrained } from './lobby/order';
import { Reading, type Said, type State } from './said';

/** Lines that are kept on the page. */
const LINES_KEPT = 200;
/** Within this of its end a log is at its end. */
const AT_END_PX = 40;
/** Characters of a message. */
const TEXT_MAX = 500;

const BADGES: Record<string, string> = { broadcaster: 'host', moderator: 'mod', admin: 'admin' };

export class Talk {
  readonly element: HTMLElement;
  reading: Reading;
  private list = h('ol', {});
  private log = h('div', { class: 'said', role: 'log', 'aria-live': 'polite', 'aria-relevant': 'additions', 'aria-label': 'What is said', tabindex: '0' }, this.list);
  private note = h('p', { class: 'chat-note', role: 'status' });
  private newer = h('button', { type: 'button', class: 'newer', hidden: '' }, 'Newer messages');
  private foot = h('div', { class: 'chat-foot' });
  private lines = new Map<number, { line: HTMLLIElement; said: Said }>();
  private slow = 0;
  private pacing: HTMLSelectElement | null = null;
  private held: ReturnType<typeof restrained> | null = null;
  private answer = '';
  private state: State = 'looking';

  constructor(
    private broadcast: string,
    edges: Edges,
    path: () => string,
    private lobby: Lobby | null,
    private session: Session | null,
  ) {
    const title = h('h2', { id: 'chat-title' }, 'Chat');
    this.element = h('section', { class: 'chat', 'aria-labelledby': 'chat-title', hidden: '' }, title, this.log, this.newer, this.note, this.foot);
    this.newer.addEventListener('click', () => this.toEnd());
    this.log.addEventListener('scroll', () => (this.newer.hidden = this.isAtEnd));
    this.compose();
    this.reading = new Reading(edges, path, {
      said: (said) => this.add(said),
      gone: (n) => this.remove(n),
      goneBy: (account) => this.removeOf(account),
      slow: (seconds) => {
        // What was answered before is old news beside it.
        if (this.slow !== seconds) this.answer = '';
        this.slow = seconds;
        if (this.pacing) this.pacing.value = String(seconds);
        this.tell();
      },
      lost: (from, to) => void this.fill(from, to),
      anew: () => {
        this.lines.clear();
        this.list.replaceChildren();
      },
      state: (state) => {
        this.state = state;
        this.element.hidden = state === 'none';
        this.tell();
      },
    });
  }

  private get isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    return scrollHeight - scrollTop - clientHeight < AT_END_PX;
  }

  private toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.newer.hidden = true;
  }

  private tell() {
    const parts = [];
    if (this.state === 'looking') parts.push('Looking for the chat…');
    if (this.answer) parts.push(this.answer);
    else if (this.slow > 0 && this.session) parts.push(`Slow mode: one message every ${this.slow} s.`);
    const text = parts.join(' ');
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  private say(answer: string) {
    this.answer = answer;
    this.tell();
  }

  private add(said: Said, before?: Node) {
    const isAtEnd = this.isAtEnd;
    const badge = BADGES[said.badge];
    // textContent everywhere: what somebody says is never markup.
    const name = h('b', { class: 'who' }, said.name);
    const line = h('li', {}, name, ...(badge ? [' ', h('span', { class: 'tag' }, badge)] : []), ' ', h('span', { class: 'text' }, said.text));
    const at = new Date(said.at);
    line.title = at.toLocaleTimeString();
    if (this.session?.moderates) line.append(this.order(said));
    this.lines.set(said.n, { line, said });
    if (before) this.list.insertBefore(line, before);
    else this.list.append(line);
    while (this.lines.size > LINES_KEPT) {
      const [oldest] = this.lines.keys();
      if (oldest === undefined) break;
      this.lines.get(oldest)?.line.remove();
      this.lines.delete(oldest);
    }
    if (isAtEnd) this.toEnd();
    else this.newer.hidden = false;
  }

  private remove(n: number) {
    const known = this.lines.get(n);
    if (!known) return;
    if (known.line.contains(document.activeElement)) this.log.focus();
    known.line.replaceChildren(h('i', {}, 'Message removed'));
  }

  private removeOf(account: string) {
    for (const [n, { said }] of this.lines) if (said.by === account) this.remove(n);
  }

  /** What edges have no more, from whoever keeps it. */
  private async fill(from: number, to: number) {
    // Only what would still be shown is asked for.
    from = Math.max(from, to - LINES_KEPT);
    const gap = h('li', { class: 'gap' }, to > from ? `${to - from + 1} messages were missed.` : 'A message was missed.');
    this.list.append(gap);
    if (!this.lobby) return;
    try {
      for (let after = from - 1; after < to; ) {
        const missed = await this.lobby.messages(this.broadcast, after);
        for (const said of missed) if (said.n <= to) this.add(said, gap);
        after = missed.at(-1)?.n ?? to;
      }
      gap.remove();
    } catch {
      // The line stays: it says what is the case.
    }
  }

  private compose() {
    if (!this.lobby) {
      this.foot.replaceChildren();
      return;
    }
    if (!this.session) {
      const back = encodeURIComponent(location.pathname + location.search);
      this.foot.replaceChildren(h('p', {}, h('a', { href: `/sign-in?to=${back}` }, 'Sign in'), ' to say something.'));
      return;
    }
    const text = h('input', { type: 'text', name: 'text', maxlength: String(TEXT_MAX), autocomplete: 'off', required: '', 'aria-label': 'Your message', placeholder: 'Say something' });
    const send = h('button', { type: 'submit' }, 'Send');
    const form = h('form', { class: 'say' }, text, send);
    let nonce = '';
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      // The same message sent twice, because its answer was lost, is said once.
      nonce ||= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
      const said = text.value;
      send.disabled = true;
      this.say('');
      this.lobby
        ?.say(this.broadcast, said, nonce)
        .then(() => {
          nonce = '';
          if (text.value === said) text.value = '';
        })
        .catch((error: unknown) => {
          if (error instanceof Trouble && error.status !== 503) nonce = '';
          this.say(error instanceof Trouble ? error.message : 'That was not sent. Is the network there?');
        })
        .finally(() => {
          send.disabled = false;
          text.focus();
        });
    });
    this.foot.replaceChildren(form);
    if (this.session.moderates && this.lobby) {
      this.held = restrained(this.lobby, this.broadcast);
      this.foot.append(this.pace(), this.held.element);
    }
  }

  /** What may be done about a message. */
  private order(said: Said): HTMLElement {
    const act = (label: string, about: string, what: () => Promise<void>) => {
      const made = h('button', { type: 'button', 'aria-label': `${about} ${said.name}` }, label);
      made.addEventListener('click', () => {
        made.disabled = true;
        what()
          .then(() => {
            this.say(`${about} ${said.name}: done.`);
            void this.held?.load();
          })
          .catch((error: unknown) => this.say(error instanceof Trouble ? error.message : 'That did not work.'))
          .finally(() => (made.disabled = false));
      });
      return made;
    };
    const { lobby, broadcast } = this;
    const buttons = lobby
      ? [
          act('Delete', 'Delete a message of', () => lobby.takeBack(broadcast, said.n)),
          ...(said.by === this.session?.account.id ? [] : this.restraints(said, act)),
        ]
      : [];
    return h('span', { class: 'order', role: 'group', 'aria-label': `About the message of ${said.name}` }, ...buttons);
  }

  /** What may be done about who said it; nobody holds himself. */
  private restraints(said: Said, act: (label: string, about: string, what: () => Promise<void>) => HTMLElement): HTMLElement[] {
    const { lobby, broadcast } = this;
    return lobby
      ? [
          act('Mute', 'Mute for ten minutes', () => lobby.restrain(broadcast, said.by, 'mute', 600)),
          act('Ban', 'Ban', () => lobby.restrain(broadcast, said.by, 'ban', null)),
        ]
      : [];
  }

  private pace(): HTMLElement {
    const choice = h('select', { 'aria-label': 'Slow mode' }, ...[0, 5, 10, 30, 60, 300].map((seconds) => h('option', { value: String(seconds) }, seconds ? `Slow: ${seconds} s` : 'Not slow')));
    choice.addEventListener('change', () => {
      this.lobby
        ?.slow(this.broadcast, Number(choice.value))
        .catch((error: unknown) => this.say(error instanceof Trouble ? error.message : 'That did not work.'));
    });
    choice.value = String(this.slow);
    this.pacing = choice;
    return choice;
  }
}
