// Who is muted or banned in a broadcast's room, and letting him speak again.

import type { Lobby, Restraint } from './api';
import { List, moment, opens } from './parts';

/** Opens beside the chat and in the studio. */
export function restrained(lobby: Lobby, broadcast: string): { element: HTMLDetailsElement; load(): Promise<void> } {
  const kinds = { mute: 'muted', ban: 'banned' } as const;
  const until = (it: Restraint) => (it.until_ms === null ? 'until you lift it' : `until ${moment(it.until_ms)}`);
  const list = new List<Restraint>(
    {
      label: 'Muted and banned',
      load: () => lobby.restraints(broadcast),
      says: (it) => [`${it.name} is ${kinds[it.kind]}, ${until(it)}`],
      away: {
        button: 'Lift',
        about: (it) => `Lift the ${it.kind} of ${it.name}`,
        act: (it) => lobby.lift(broadcast, it.account, it.kind),
        done: (it) => `${it.name} is not ${kinds[it.kind]} any more.`,
      },
      none: 'Nobody is.',
    },
    'keys held',
  );
  const element = opens('Muted and banned', 'order-part', () => list.load(), list.element);
  return { element, load: async () => (element.open ? list.load() : undefined) };
}
