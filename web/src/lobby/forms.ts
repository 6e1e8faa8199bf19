// Pieces that the lobby's pages are made of: a labelled field, a form that says how it went, a copy button.

import { h } from '../controls';
import { Trouble } from './api';

let fields = 0;

/** A field with its label above it. */
export function field(label: string, input: HTMLInputElement | HTMLSelectElement, hint = ''): HTMLElement {
  fields += 1;
  input.id = `field-${fields}`;
  const parts: (Node | string)[] = [h('label', { for: input.id }, label), input];
  if (hint) {
    input.setAttribute('aria-describedby', `hint-${fields}`);
    parts.push(h('p', { class: 'hint', id: `hint-${fields}` }, hint));
  }
  return h('div', { class: 'field' }, ...parts);
}

/** A form that cannot be sent twice at once, and says in a sentence what went wrong. */
export function form(button: string, act: () => Promise<string | void>, ...children: Node[]): HTMLFormElement {
  const note = h('p', { class: 'form-note', role: 'alert' });
  const send = h('button', { type: 'submit', class: 'primary' }, button);
  const made = h('form', { class: 'form' }, ...children, send, note);
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    send.disabled = true;
    note.textContent = '';
    act()
      .then((said) => (note.textContent = said ?? ''))
      .catch((error: unknown) => (note.textContent = words(error)))
      .finally(() => (send.disabled = false));
  });
  return made;
}

/** What went wrong, for people. */
export function words(error: unknown): string {
  if (!(error instanceof Trouble)) return 'That did not work.';
  const again = Number.isFinite(error.again) ? ` Try again in ${error.again} s.` : '';
  return error.message + again;
}

/** Text to take along, with a button that does it. */
export function copied(label: string, text: string): HTMLElement {
  const code = h('code', { tabindex: '0' }, text);
  const button = h('button', { type: 'button', 'aria-label': `Copy ${label}` }, 'Copy');
  const told = h('span', { class: 'told', role: 'status' });
  button.addEventListener('click', () => {
    navigator.clipboard
      .writeText(text)
      .then(() => (told.textContent = 'Copied'))
      .catch(() => {
        // Not in plain HTTP from afar: selected, so that the keyboard can.
        getSelection()?.selectAllChildren(code);
        told.textContent = 'Selected: press Ctrl+C';
      });
  });
  return h('div', { class: 'copied' }, h('span', { class: 'copied-label' }, label), code, button, told);
}
