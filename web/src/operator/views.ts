// The three views: the cluster (at a balancer), an edge, an ingest; anything else gets what all have.

import { bytes, clock, cores, h, millis, rate, rows, s, seconds, some, whole } from './dom';
import { Log } from './events';
import { Plot } from './plot';
import { intakes, lanes, name, told, turn, type EdgeTold, type IntakeSaid, type NodeTold, type Status } from './said';
import { topology, type Scene, type Spot } from './topology';

export interface View {
  elements: HTMLElement[];
  show(said: Status, cpu: number | null): void;
}

export type Confirm = (question: string, yes: string) => Promise<boolean>;

const STALE_MS = 6000;

function tile(label: string): { element: HTMLElement; value: HTMLElement } {
  const value = h('dd', {}, '–');
  return { element: h('div', { class: 'tile' }, h('dt', {}, label), value), value };
}

function tiles(labels: string[]): { element: HTMLElement; set(values: (string | Node)[]): void } {
  const made = labels.map(tile);
  return {
    element: h('dl', { class: 'tiles' }, ...made.map((it) => it.element)),
    set: (values) =>
      values.forEach((value, at) => {
        const element = made[at]?.value;
        if (element && (typeof value !== 'string' || element.textContent !== value)) element.replaceChildren(value);
      }),
  };
}

function table(caption: string, heads: string[]): { element: HTMLElement; body: HTMLElement; empty: HTMLElement } {
  const body = h('tbody');
  const head = h('thead', {}, h('tr', {}, ...heads.map((text) => h('th', { scope: 'col' }, text))));
  const empty = h('p', { class: 'empty' });
  const id = caption.toLowerCase().replace(/\W+/g, '-');
  // Wider than a telephone: it scrolls by itself, and by keyboard.
  const scroll = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-labelledby': id }, h('table', {}, head, body));
  return { element: h('section', {}, h('h2', { id }, caption), empty, scroll), body, empty };
}

const cell = (label: string, content: string | Node, kind = ''): HTMLElement => h('td', { 'data-label': label, class: kind }, content);
const nameCell = (text: string): HTMLElement => h('th', { scope: 'row' }, text);

function state(word: string): HTMLElement {
  const kind = word.startsWith('ready') || word === 'fed' ? 'well' : ['silent', 'left', 'unreachable'].includes(word) ? 'gone' : 'poor';
  return h('span', { class: `state ${kind}` }, word);
}

function bar(part: number | null): Node {
  if (part === null) return document.createTextNode('–');
  const width = Math.min(1, Math.max(0, part)) * 80;
  const kind = part > 0.85 ? 'poor' : 'well';
  return s('svg', { width: 80, height: 10, class: `fill ${kind}`, role: 'img', 'aria-label': `${Math.round(part * 100)} % of its capacity` }, s('rect', { width: 80, height: 10, rx: 3, class: 'fill-all' }), s('rect', { width: width.toFixed(0), height: 10, rx: 3, class: 'fill-part' }));
}

/** Says what came of a switch, next to the table. */
function outcome(): { element: HTMLElement; run(what: () => Promise<string>): Promise<void> } {
  const element = h('p', { class: 'outcome', role: 'status', 'aria-live': 'polite' });
  return {
    element,
    async run(what) {
      try {
        element.className = 'outcome';
        element.textContent = await what();
      } catch (error) {
        element.className = 'outcome wrong';
        element.textContent = `Not done: ${error instanceof Error ? error.message : String(error)}`;
      }
    },
  };
}

export function cluster(confirm: Confirm): View {
  const summary = tiles(['Viewers', 'To viewers', 'Edges ready', 'Broadcasts', 'Fleet']);
  const [viewers, egress] = [new Plot(), new Plot(6)];
  const plots = h('div', { class: 'plots' }, h('figure', {}, h('figcaption', {}, 'Viewers, ten minutes'), viewers.element), h('figure', {}, h('figcaption', {}, 'To viewers, ten minutes'), egress.element));
  const drawing = h('div', { class: 'drawing' });
  const drawn = h('section', { 'aria-labelledby': 'flows' }, h('h2', { id: 'flows' }, 'Who feeds whom'), drawing);
  const edges = table('Edges', ['Edge', 'State', 'Viewers', 'To viewers', 'Filled', 'CPU', '99 of 100 within', 'Newest segment', 'Late by', '']);
  const done = outcome();
  edges.element.append(done.element);
  const broadcasts = table('Broadcasts', ['Broadcast', 'Viewers', 'Codec', 'Ladder', 'Picture group', 'Input', 'Newest segment', 'Ingests']);
  const nodes = table('Nodes', ['Node', 'Role', 'Operator', 'State', 'CPU', 'Memory', 'Version']);
  const log = new Log(false);

  const show = (said: Status) => {
    const all = said.edges ?? [];
    const known = said.nodes ?? [];
    for (const edge of all) latest.set(edge.id, edge);
    const ready = all.filter((edge) => edge.state === 'ready').length;
    const sent = all.reduce((sum, edge) => sum + (edge.egress_bits ?? 0), 0);
    const live = told(said);
    summary.set([whole(said.viewers), all.some((edge) => typeof edge.egress_bits === 'number') ? rate(sent) : '–', `${ready} of ${all.length}`, whole(live.length), said.saturation ?? '–']);
    // A balancer that has just begun knows of nobody yet: no figure is no zero.
    if (typeof said.viewers === 'number') {
      viewers.add(said.viewers);
      egress.add(sent);
    }
    drawing.replaceChildren(topology(scene(said), Math.max(300, Math.floor(drawing.clientWidth))));
    edges.empty.textContent = all.length > 0 ? '' : 'No edge has joined. An edge dials its balancers as soon as it is started (edge.lbs).';
    rows(edges.body, all, (edge) => edge.id, (edge) => edgeRow(edge, own(known, 'edge', edge.id), confirm, done));
    broadcasts.empty.textContent = live.length > 0 ? '' : 'Nothing is on the air. Publish with OBS or ffmpeg and it appears here.';
    rows(broadcasts.body, live, (it) => it.id, (it) => {
      const ingests = known.filter((node) => node.status?.role === 'ingest').flatMap((node) => (node.status ? intakes(node.status) : []).filter(([id]) => id === it.id).map(([, intake]): [string, IntakeSaid] => [node.status ? name(node.status) : '', intake]));
      const ages = known.flatMap((node) => (node.status ? lanes(node.status) : [])).filter((lane) => lane.id === it.id && lane.listed && !lane.ended);
      const age = ages.length > 0 ? Math.max(...ages.map((lane) => lane.newest_segment_age_ms)) : null;
      const input = ingests.find(([, intake]) => intake.input_bits)?.[1];
      return h('tr', {}, nameCell(it.id), cell('Viewers', whole(it.viewers), 'number'), cell('Codec', it.renditions[0]?.codecs ?? '–'), cell('Ladder', it.renditions.map((rung) => `${rung.id} ${rate(rung.bandwidth_bits)}`).join(', ')), cell('Picture group', seconds(input?.picture_group_ms)), cell('Input', rate(input?.input_bits)), cell('Newest segment', age === null ? '–' : `${seconds(age)} ago`, age !== null && age > STALE_MS ? 'wrong' : ''), cell('Ingests', ingests.map(([ingest, intake]) => `${ingest}: ${intakeSays(intake)}`).join('; ') || '–'));
    });
    nodes.empty.textContent = known.length > 0 ? '' : 'This balancer is told of no other operator listeners (lb.nodes), so CPU and input are missing here, and drain buttons need a directory (lb.directory).';
    rows(nodes.body, known, (node) => node.operator, nodeRow);
  };
  return { elements: [summary.element, drawn, edges.element, broadcasts.element, plots, nodes.element, log.element], show };
}

function own(nodes: NodeTold[], role: string, id: string): NodeTold | undefined {
  return nodes.find((node) => node.status?.role === role && name(node.status) === id);
}

/** Edges as last told: a row that has not changed keeps its button. */
const latest = new Map<string, EdgeTold>();

function edgeRow(edge: EdgeTold, node: NodeTold | undefined, confirm: Confirm, done: ReturnType<typeof outcome>): HTMLElement {
  // By its own switch, or by the operator's word in the directory.
  const drains = edge.state === 'draining' || (edge.standing ?? 'active') !== 'active' || (node?.status?.draining ?? false);
  const button = h('button', { type: 'button' }, drains ? 'Take viewers' : 'Drain');
  button.setAttribute('aria-label', `${drains ? 'Let take viewers again:' : 'Drain'} ${edge.id}`);
  button.addEventListener('click', async () => {
    const viewers = latest.get(edge.id)?.viewers;
    const who = typeof viewers === 'number' ? some(viewers, 'viewer goes', 'viewers go') : 'its viewers go';
    const question = drains ? `Shall ${edge.id} take viewers again?` : `Drain ${edge.id}? It takes nobody new, and ${who} to other edges.`;
    if (await confirm(question, drains ? 'Take viewers' : 'Drain')) await done.run(() => turn(`/admin/edges/${encodeURIComponent(edge.id)}/${drains ? 'ready' : 'drain'}`));
  });
  const filled = edge.capacity_bits && edge.egress_bits !== null && edge.egress_bits !== undefined ? edge.egress_bits / edge.capacity_bits : null;
  const standing = edge.standing && edge.standing !== 'active' && !edge.state.startsWith(edge.standing) ? ` (${edge.standing})` : '';
  const age = edge.newest_segment_age_ms;
  return h('tr', {}, nameCell(edge.id), cell('State', state(edge.state + standing)), cell('Viewers', whole(edge.viewers), 'number'), cell('To viewers', rate(edge.egress_bits), 'number'), cell('Filled', bar(filled)), cell('CPU', cores(node?.cpu_cores), 'number'), cell('99 of 100 within', millis(node?.status?.p99_ms), 'number'), cell('Newest segment', age === null || age === undefined ? '–' : `${seconds(age)} ago`, (age ?? 0) > STALE_MS ? 'number wrong' : 'number'), cell('Late by', millis(edge.lag_ms), edge.state === 'lagging' ? 'number wrong' : 'number'), cell('', node?.answers ? button : ''));
}

function nodeRow(node: NodeTold): HTMLElement {
  const said = node.status;
  const how = node.answers ? (said?.why ?? 'answers') : 'silent';
  return h('tr', {}, nameCell(said ? name(said) : node.operator), cell('Role', said?.role ?? '–'), cell('Operator', h('a', { href: `http://${node.operator}/` }, node.operator)), cell('State', state(how === 'answers' ? 'ready' : how)), cell('CPU', cores(node.cpu_cores), 'number'), cell('Memory', bytes(said?.process?.resident_bytes), 'number'), cell('Version', said?.version ?? '–'));
}

function intakeSays(intake: IntakeSaid): string {
  const parts = [intake.part, intake.publisher ? `from ${intake.publisher}` : 'no publisher'];
  if ((intake.behind_ms ?? 0) >= 1000) parts.push(`encoder ${seconds(intake.behind_ms)} behind`);
  if (intake.shed && intake.shed !== 'None') parts.push(`given up: ${intake.shed}`);
  if (intake.gaps) parts.push(some(intake.gaps, 'gap', 'gaps'));
  return parts.filter(Boolean).join(', ');
}

/** What a balancer says, as it is drawn. */
export function scene(said: Status): Scene {
  const nodes = said.nodes ?? [];
  const ingests = nodes.filter((node) => node.status?.role === 'ingest');
  const spot = (node: NodeTold): Spot => ({ id: node.status ? name(node.status) : node.operator, state: node.answers ? 'well' : 'gone', says: node.answers ? cores(node.cpu_cores) : 'silent' });
  const publishers = ingests.flatMap((node) => (node.status && node.answers ? intakes(node.status) : []).filter(([, intake]) => intake.publisher).map(([id, intake]) => ({ id, to: node.status ? name(node.status) : '', bits: intake.input_bits ?? null })));
  const edges = (said.edges ?? []).map((edge) => {
    const gone = ['silent', 'left', 'unreachable'].includes(edge.state);
    const age = edge.newest_segment_age_ms ?? null;
    return { id: edge.id, state: gone ? ('gone' as const) : edge.state === 'ready' ? ('well' as const) : ('poor' as const), says: edge.state, bits: gone ? 0 : (edge.egress_bits ?? 0), viewers: gone ? 0 : (edge.viewers ?? null), ageMs: age, fed: !gone && age !== null && age < STALE_MS };
  });
  return { publishers, ingests: ingests.map(spot), edges, balancers: [] };
}

export function edge(confirm: Confirm): View {
  const summary = tiles(['State', 'Viewers', 'To viewers', '99 of 100 within', 'CPU', 'Memory', 'Windows', 'Driver']);
  const [viewers, egress] = [new Plot(), new Plot(6)];
  const plots = h('div', { class: 'plots' }, h('figure', {}, h('figcaption', {}, 'Viewers, ten minutes'), viewers.element), h('figure', {}, h('figcaption', {}, 'To viewers, ten minutes'), egress.element));
  const links = h('p', { class: 'about' });
  const button = h('button', { type: 'button' }, 'Drain');
  const done = outcome();
  let now: Status | null = null;
  button.addEventListener('click', async () => {
    const drains = now?.draining ?? false;
    const question = drains ? 'Shall this edge take viewers again?' : `Drain this edge? It takes nobody new, and ${some(now?.viewers ?? 0, 'viewer goes', 'viewers go')} to other edges.`;
    if (await confirm(question, drains ? 'Take viewers' : 'Drain')) await done.run(() => turn(drains ? '/admin/ready' : '/admin/drain'));
  });
  const broadcasts = table('Broadcasts', ['Broadcast', 'State', 'Renditions', 'Newest segment', 'Late by', 'Held']);
  const log = new Log(true);
  const show = (said: Status, cpu: number | null) => {
    now = said;
    summary.set([state(said.state ?? '–'), whole(said.viewers), rate(said.egress_bits), millis(said.p99_ms), cores(cpu), bytes(said.process?.resident_bytes), bytes(said.bytes_held), said.driver ?? '–']);
    viewers.add(said.viewers ?? 0);
    egress.add(said.egress_bits ?? 0);
    const from = said.ingests?.length ? `Fed by ${said.ingests.join(', ')}` : 'No ingest is linked';
    links.textContent = `${from}; ${some(said.balancers_up ?? 0, 'balancer', 'balancers')} linked. ${said.why && said.why !== 'ready' ? `Not ready: ${said.why}.` : ''}`;
    button.textContent = said.draining ? 'Take viewers' : 'Drain';
    const all = lanes(said);
    broadcasts.empty.textContent = all.length > 0 ? '' : 'No broadcast is here.';
    rows(broadcasts.body, all, (lane) => lane.id, (lane) =>
      h('tr', {}, nameCell(lane.id), cell('State', state(lane.ended ? 'ended' : lane.lags ? 'lagging' : lane.fed ? 'fed' : lane.listed ? 'not fed' : 'filling')), cell('Renditions', lane.renditions.join(', ')), cell('Newest segment', `${seconds(lane.newest_segment_age_ms)} ago`, !lane.ended && lane.newest_segment_age_ms > STALE_MS ? 'number wrong' : 'number'), cell('Late by', millis(lane.lag_ms), lane.lags ? 'number wrong' : 'number'), cell('Held', bytes(lane.bytes_held), 'number')),
    );
  };
  return { elements: [summary.element, h('div', { class: 'bar' }, links, button), done.element, broadcasts.element, plots, log.element], show };
}

export function ingest(): View {
  const summary = tiles(['Broadcasts', 'Publishers', 'Input', 'CPU', 'Memory']);
  const input = new Plot();
  const plots = h('div', { class: 'plots' }, h('figure', {}, h('figcaption', {}, 'Input, ten minutes'), input.element));
  const broadcasts = table('Broadcasts', ['Broadcast', 'Publisher', 'Input', 'Picture group', 'Renditions', 'Encoder', 'Segments', 'Gaps']);
  const log = new Log(true);
  const show = (said: Status, cpu: number | null) => {
    const all = intakes(said);
    const sum = all.reduce((bits, [, intake]) => bits + (intake.input_bits ?? 0), 0);
    summary.set([whole(all.length), whole(all.filter(([, intake]) => intake.publisher).length), rate(sum), cores(cpu), bytes(said.process?.resident_bytes)]);
    input.add(sum);
    broadcasts.empty.textContent = all.length > 0 ? '' : 'Nobody publishes here. In OBS: server rtmp://<this ingest>:1935/live, stream key <broadcast>?key=<publish key>.';
    rows(broadcasts.body, all, ([id]) => id, ([id, it]) => {
      const group = it.picture_group_ms ?? null;
      const behind = it.behind_ms ?? 0;
      const encoder = [behind >= 1000 ? `${seconds(behind)} behind` : 'keeps up', it.shed && it.shed !== 'None' ? `given up: ${it.shed}` : '', (it.transcode_starts ?? 0) > 1 ? `${it.transcode_starts} starts` : ''].filter(Boolean).join(', ');
      return h('tr', {}, nameCell(id), cell('Publisher', [it.part, it.publisher ?? 'none'].filter(Boolean).join(': ')), cell('Input', rate(it.input_bits), 'number'), cell('Picture group', seconds(group), group !== null && group > 4100 ? 'number wrong' : 'number'), cell('Renditions', (it.renditions ?? []).join(', ')), cell('Encoder', encoder, behind >= 1000 ? 'wrong' : ''), cell('Segments', whole(it.segments), 'number'), cell('Gaps', whole(it.gaps), it.gaps ? 'number wrong' : 'number'));
    });
  };
  return { elements: [summary.element, broadcasts.element, plots, log.element], show };
}

export function any(): View {
  const summary = tiles(['CPU', 'Memory', 'Since']);
  const log = new Log(true);
  const since = Date.now();
  return { elements: [summary.element, log.element], show: (said, cpu) => summary.set([cores(cpu), bytes(said.process?.resident_bytes), clock(since)]) };
}
