// The operator's page: what this node says of itself each second, and of the whole cluster where it is a balancer.

import { cores } from './dom';
import { name, status, type Status } from './said';
import { any, cluster, edge, ingest, type Confirm, type View } from './views';

const LOOK_EVERY_MS = 1000;
const main = document.getElementById('main') as HTMLElement;
const who = document.getElementById('who') as HTMLElement;
const link = document.getElementById('link') as HTMLElement;
const dialog = document.getElementById('confirm') as HTMLDialogElement;

const confirm: Confirm = (question, yes) =>
  new Promise((resolve) => {
    (document.getElementById('question') as HTMLElement).textContent = question;
    (document.getElementById('yes') as HTMLElement).textContent = yes;
    dialog.returnValue = 'no';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
  });

const views: Record<string, () => View> = { lb: () => cluster(confirm), edge: () => edge(confirm), ingest };
const roles: Record<string, string> = { lb: 'the cluster, seen from', edge: 'edge', ingest: 'ingest', source: 'source' };

let view: View | null = null;
let before: { at: number; cpu: number } | null = null;

/** Cores busy since the last look. */
function busy(said: Status): number | null {
  const cpu = said.process?.cpu_seconds;
  if (cpu === undefined) return null;
  const now = performance.now() / 1000;
  const last = before;
  before = { at: now, cpu };
  return last && cpu >= last.cpu && now > last.at ? (cpu - last.cpu) / (now - last.at) : null;
}

async function look() {
  try {
    const said = await status();
    if (said.state === 'starting') {
      link.textContent = 'The node is starting.';
      return;
    }
    const title = `${roles[said.role] ?? said.role} ${name(said)}`;
    who.textContent = title.charAt(0).toUpperCase() + title.slice(1);
    document.title = `${name(said)} · Mascaret`;
    if (!view) {
      view = (views[said.role] ?? any)();
      main.replaceChildren(...view.elements);
    }
    const cpu = busy(said);
    view.show(said, cpu);
    link.textContent = `version ${said.version ?? '?'}${said.role === 'lb' && cpu !== null ? ` · ${cores(cpu)}` : ''}`;
    link.className = '';
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    link.textContent = `The node does not answer (${why}); what you see is old. Trying again.`;
    link.className = 'wrong';
  } finally {
    setTimeout(() => void look(), LOOK_EVERY_MS);
  }
}

void look();
