// Who feeds whom, drawn: publishers, ingests, edges, and what flows between them. Columns where there is width for them,
// rows on a telephone. Hand-written SVG; a line's width is its rate, on a logarithmic scale.

import { rate, s, seconds, some } from './dom';

export interface Spot {
  id: string;
  state: 'well' | 'poor' | 'gone' | 'quiet';
  /** In a word or two. */
  says: string;
}

export interface Scene {
  publishers: { id: string; to: string; bits: number | null }[];
  ingests: Spot[];
  edges: (Spot & { bits: number; viewers: number | null; ageMs: number | null; fed: boolean })[];
  balancers: Spot[];
}

/** Edges that are drawn; a fleet's others are in the table. */
const EDGES_DRAWN = 16;
const NARROW = 640;

interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

export function topology(scene: Scene, width: number): SVGElement {
  const narrow = width < NARROW;
  const edges = scene.edges.slice(0, EDGES_DRAWN);
  const more = scene.edges.length - edges.length;
  const columns: { id: string; says: string; state: string; kind: string }[][] = [
    scene.publishers.map((it) => ({ id: it.id, says: it.bits ? rate(it.bits) : 'publisher', state: 'well', kind: 'publisher' })),
    scene.ingests.map((it) => ({ ...it, kind: 'ingest' })),
    edges.map((it) => ({ ...it, kind: 'edge' })),
    edges.map((it) => ({ id: some(it.viewers, 'viewer', 'viewers'), says: rate(it.bits), state: it.bits > 0 ? 'well' : 'quiet', kind: 'viewers' })),
  ];
  const boxes: Box[][] = [];
  let height: number;
  if (narrow) {
    // Rows: an edge and its viewers share one place, so that names fit.
    const [rowHeight, gap] = [46, 34];
    const perRow = 3;
    let y = 4;
    for (const [at, column] of columns.entries()) {
      if (at === 3) {
        boxes.push([]);
        continue;
      }
      const w = (width - 8 * (perRow - 1)) / perRow;
      boxes.push(column.map((_, place) => ({ x: (place % perRow) * (w + 8), y: y + Math.floor(place / perRow) * (rowHeight + 8), w, h: rowHeight })));
      const lines = Math.ceil(column.length / perRow);
      y += lines * (rowHeight + 8) + (lines > 0 ? gap : 0);
    }
    height = y - gap;
  } else {
    const most = Math.max(1, ...columns.map((column) => column.length));
    const [rowHeight, gap] = [44, 12];
    height = most * (rowHeight + gap) + 8;
    const w = Math.min(170, (width - 3 * 60) / 4);
    const step = (width - w) / 3;
    columns.forEach((column, at) => {
      const begin = (height - column.length * (rowHeight + gap) + gap) / 2;
      boxes.push(column.map((_, place) => ({ x: at * step, y: begin + place * (rowHeight + gap), w, h: rowHeight })));
    });
  }
  const drawing = s('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': described(scene), class: 'topology' });
  const lines = s('g', { fill: 'none' });
  const at = (column: number, id: string) => boxes[column]?.[columns[column]?.findIndex((it) => it.id === id) ?? -1];
  const flow = (from: Box | undefined, to: Box | undefined, bits: number | null, state: string) => {
    if (!from || !to) return;
    const [x1, y1, x2, y2] = narrow
      ? [from.x + from.w / 2, from.y + from.h, to.x + to.w / 2, to.y]
      : [from.x + from.w, from.y + from.h / 2, to.x, to.y + to.h / 2];
    const d = narrow ? `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}` : `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;
    const thick = bits && bits > 0 ? Math.min(8, Math.max(1.5, Math.log10(bits / 1e5) * 1.6)) : 1;
    lines.append(s('path', { d, class: `flow ${state}`, 'stroke-width': thick.toFixed(1) }));
  };
  for (const publisher of scene.publishers) flow(at(0, publisher.id), at(1, publisher.to), publisher.bits, 'well');
  for (const ingest of scene.ingests) {
    const goes = ingest.state !== 'gone' && scene.publishers.some((publisher) => publisher.to === ingest.id);
    for (const edge of edges) flow(at(1, ingest.id), at(2, edge.id), null, edge.state === 'gone' || !goes ? 'quiet' : edge.fed ? 'well' : 'poor');
  }
  if (!narrow) edges.forEach((edge, place) => flow(boxes[2]?.[place], boxes[3]?.[place], edge.bits, edge.bits > 0 ? 'well' : 'quiet'));
  drawing.append(lines);
  columns.forEach((column, place) =>
    column.forEach((it, row) => {
      const box = boxes[place]?.[row];
      if (!box) return;
      const says = narrow && it.kind === 'edge' ? `${columns[3]?.[row]?.id ?? ''}` : it.says;
      const g = s('g', { class: `spot ${it.kind} ${it.state}`, transform: `translate(${box.x} ${box.y})` });
      g.append(
        s('rect', { width: box.w, height: box.h, rx: 8 }),
        s('circle', { cx: 14, cy: box.h / 2, r: 5 }),
        s('text', { x: 26, y: box.h / 2 - 3, class: 'spot-name' }, cut(it.id, box.w - 30)),
        s('text', { x: 26, y: box.h / 2 + 13, class: 'spot-says' }, cut(says, box.w - 30)),
        s('title', {}, `${it.id}: ${it.says}`),
      );
      drawing.append(g);
    }),
  );
  if (more > 0) drawing.append(s('text', { x: width / 2, y: height - 2, class: 'spot-says', 'text-anchor': 'middle' }, `and ${more} edges more, in the table`));
  return drawing;
}

/** For whoever does not see it. */
function described(scene: Scene): string {
  const edges = scene.edges.map((edge) => `${edge.id} ${edge.says}, ${some(edge.viewers, 'viewer', 'viewers')}, ${rate(edge.bits)}, newest segment ${seconds(edge.ageMs)} ago`);
  const publishers = scene.publishers.map((it) => `${it.id} to ${it.to}`);
  return `Published: ${publishers.join(', ') || 'nothing'}. Ingests: ${scene.ingests.map((it) => `${it.id} ${it.says}`).join(', ') || 'none known'}. Edges: ${edges.join('; ') || 'none'}.`;
}

/** About seven units a letter at this size. */
const cut = (text: string, width: number): string => {
  const letters = Math.max(3, Math.floor(width / 7));
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
};
