// Elements without a library; and numbers as people read them.

type Child = Node | string | null | undefined | false;

export function h(tag: string, attributes: Record<string, string> = {}, ...children: Child[]): HTMLElement {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child): child is Node | string => !!child));
  return made;
}

export function s(tag: string, attributes: Record<string, string | number> = {}, ...children: Child[]): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children.filter((child): child is Node | string => !!child));
  return made;
}

/** Puts rows into a body, keeping those that have not changed: whoever has a button focused keeps it. */
export function rows<T>(body: HTMLElement, items: T[], key: (item: T) => string, make: (item: T) => HTMLElement) {
  const known = new Map([...body.children].map((row) => [(row as HTMLElement).dataset['key'] ?? '', row as HTMLElement]));
  const wanted = items.map((item) => {
    const made = make(item);
    made.dataset['key'] = key(item);
    const old = known.get(key(item));
    if (old && old.outerHTML === made.outerHTML) return old;
    if (old?.contains(document.activeElement)) {
      // The row that is being worked in changes cell by cell, and the focus stays on what was focused.
      [...made.children].forEach((cell, at) => {
        const before = old.children[at];
        if (!before || before.outerHTML === cell.outerHTML) return;
        const had = before.contains(document.activeElement);
        before.replaceWith(cell);
        if (had) cell.querySelector<HTMLElement>('button, a')?.focus();
      });
      return old;
    }
    return made;
  });
  if (wanted.length !== body.children.length || wanted.some((row, at) => body.children[at] !== row)) {
    const focused = document.activeElement;
    wanted.forEach((row, at) => {
      if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
    });
    while (body.children.length > wanted.length) body.lastElementChild?.remove();
    if (focused instanceof HTMLElement && focused.isConnected && document.activeElement !== focused) focused.focus();
  }
}

export function rate(bits: number | null | undefined): string {
  if (bits === null || bits === undefined) return '–';
  if (bits >= 1e9) return `${(bits / 1e9).toFixed(2)} Gbit/s`;
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

export const whole = (number: number | null | undefined): string =>
  number === null || number === undefined ? '–' : number.toLocaleString('en');
export const seconds = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? '–' : `${(ms / 1000).toFixed(1)} s`;
export const millis = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? '–' : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
export const cores = (number: number | null | undefined): string =>
  number === null || number === undefined ? '–' : `${number.toFixed(2)} cores`;
export const bytes = (number: number | null | undefined): string =>
  number === null || number === undefined ? '–' : number >= 1e9 ? `${(number / 1e9).toFixed(1)} GB` : `${(number / 1e6).toFixed(0)} MB`;
export const clock = (unixMs: number): string => new Date(unixMs).toLocaleTimeString('en-GB');
export const some = (count: number | null, one: string, more: string): string => `${whole(count)} ${count === 1 ? one : more}`;
