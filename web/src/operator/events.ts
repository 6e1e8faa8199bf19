// What happened: told as it happens, by SSE. The browser comes back by itself and says where it was.

import { clock, h } from './dom';
import type { Happened } from './said';

/** Lines that are shown; the node keeps more. */
const SHOWN = 200;

export class Log {
  readonly element: HTMLElement;
  private readonly list = h('ol', { class: 'events', tabindex: '0', 'aria-label': 'Events, the newest first' });
  private readonly empty = h('p', { class: 'empty' }, 'Nothing has happened yet.');
  private readonly lines = h('input', { type: 'checkbox', id: 'log-lines' }) as HTMLInputElement;
  private newest = 0;

  constructor(showsLines: boolean) {
    this.lines.checked = showsLines;
    this.lines.addEventListener('change', () => this.sift());
    const label = h('label', { for: 'log-lines' }, this.lines, ' lines of the log too');
    this.element = h('section', { 'aria-labelledby': 'events' }, h('div', { class: 'bar' }, h('h2', { id: 'events' }, 'What happened'), label), this.empty, this.list);
    const source = new EventSource('/admin/events');
    source.addEventListener('message', (message) => this.add(JSON.parse(message.data as string) as Happened));
  }

  private add(event: Happened) {
    // A node that was started anew counts from 1 again; what a connection that came back repeats is left out.
    if (event.number <= this.newest && event.number > 1) return;
    this.newest = event.number;
    const line = h('li', { class: event.level, 'data-kind': event.kind }, h('time', { datetime: new Date(event.unix_ms).toISOString() }, clock(event.unix_ms)), ' ', h('span', {}, event.text));
    this.list.prepend(line);
    while (this.list.children.length > SHOWN) this.list.lastElementChild?.remove();
    this.sift();
  }

  private sift() {
    let visible = 0;
    for (const line of this.list.children) {
      const element = line as HTMLElement;
      element.hidden = element.dataset['kind'] === 'log' && !this.lines.checked;
      if (!element.hidden) visible += 1;
    }
    this.empty.hidden = visible > 0;
  }
}
