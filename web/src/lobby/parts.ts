// Larger pieces of the lobby's pages: a list whose entries can be taken away, a part that opens, a question before what
// cannot be undone.
//
// Does not live here: fields and forms (`forms`), what any list is of.

import { h } from '../controls';
import { words } from './forms';

/** A day and an hour, as people write them. */
export function moment(ms: number): string {
  return new Date(ms).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

/** Asks before something that cannot be undone, in a window over the page. Escape is no. */
export function sure(question: string, yes: string): Promise<boolean> {
  const no = h('button', { type: 'button' }, 'Cancel');
  const go = h('button', { type: 'button', class: 'primary' }, yes);
  const text = h('p', { id: 'question' }, question);
  const box = h('dialog', { class: 'sure', 'aria-labelledby': 'question' }, text, h('div', { class: 'choices' }, no, go));
  const before = document.activeElement;
  document.body.append(box);
  return new Promise((resolve) => {
    no.addEventListener('click', () => box.close());
    go.addEventListener('click', () => box.close('yes'));
    box.addEventListener('close', () => {
      box.remove();
      if (before instanceof HTMLElement) before.focus();
      resolve(box.returnValue === 'yes');
    });
    box.showModal();
    no.focus();
  });
}

/** What is shown once, when it is made; it goes when what it is of does. */
export class Fresh {
  readonly element = h('div', { class: 'fresh' });
  private of = '';

  show(of: string, says: string, ...children: Node[]) {
    this.of = of;
    this.element.replaceChildren(h('p', { role: 'status' }, says), ...children);
  }

  forget(of: string) {
    if (of === this.of) this.element.replaceChildren();
  }
}

export interface ListOf<T> {
  /** For whoever hears the page. */
  label: string;
  load(): Promise<T[]>;
  says(it: T): (Node | string)[];
  /** What takes an entry away: on its button, about it, and afterwards. */
  away: { button: string; about(it: T): string; act(it: T): Promise<unknown>; done(it: T): string };
  /** Where there is none. */
  none: string;
}

/** Entries with a button each, and a line that says how it went. */
export class List<T> {
  readonly element: HTMLElement;
  private rows: HTMLUListElement;
  private note = h('p', { class: 'form-note', role: 'status' });

  constructor(
    private of: ListOf<T>,
    kind = 'keys',
  ) {
    this.rows = h('ul', { class: kind, 'aria-label': of.label, tabindex: '-1' });
    this.element = h('div', { class: 'list' }, this.rows, this.note);
  }

  async load(): Promise<void> {
    try {
      const all = await this.of.load();
      // A button that goes away takes the focus with it.
      const isIn = this.rows.contains(document.activeElement);
      this.rows.replaceChildren(...(all.length ? all.map((it) => this.row(it)) : [h('li', {}, this.of.none)]));
      if (isIn) this.rows.focus();
    } catch (error) {
      this.note.textContent = words(error);
    }
  }

  private row(it: T): HTMLLIElement {
    const { away, says } = this.of;
    const button = h('button', { type: 'button', 'aria-label': away.about(it) }, away.button);
    button.addEventListener('click', () => {
      button.setAttribute('aria-disabled', 'true');
      this.note.textContent = '';
      away
        .act(it)
        .then(async () => {
          await this.load();
          this.note.textContent = away.done(it);
        })
        .catch((error: unknown) => (this.note.textContent = words(error)))
        .finally(() => button.removeAttribute('aria-disabled'));
    });
    return h('li', {}, h('span', {}, ...says(it)), button);
  }
}

/** A part of a page that is closed until somebody wants it, and is asked for when it opens. */
export function opens(title: string, kind: string, load: () => Promise<void>, ...children: Node[]): HTMLDetailsElement {
  const part = h('details', { class: `part ${kind}` }, h('summary', {}, title), h('div', { class: 'part-body' }, ...children));
  part.addEventListener('toggle', () => {
    if (part.open) void load();
  });
  return part;
}
