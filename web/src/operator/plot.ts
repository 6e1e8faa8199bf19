// A line over the last minutes, hand-written: one series needs no library.

import { s } from './dom';

/** Points kept: ten minutes of seconds. */
const POINTS = 600;

export class Plot {
  readonly element = s('svg', { viewBox: '0 0 300 60', preserveAspectRatio: 'none', class: 'plot', 'aria-hidden': 'true' });
  private readonly points: number[] = [];
  private readonly area = s('path', { class: 'plot-area' });
  private readonly line = s('path', { class: 'plot-line', 'vector-effect': 'non-scaling-stroke' });

  constructor() {
    this.element.append(this.area, this.line);
  }

  add(value: number) {
    this.points.push(value);
    if (this.points.length > POINTS) this.points.shift();
    const top = Math.max(1, ...this.points) * 1.1;
    const shown = Math.max(60, this.points.length);
    const from = shown - this.points.length;
    const at = (point: number, place: number) => `${(((place + from) / (shown - 1)) * 300).toFixed(1)} ${(60 - (point / top) * 58).toFixed(1)}`;
    const d = `M${this.points.map(at).join('L')}`;
    this.line.setAttribute('d', d);
    this.area.setAttribute('d', `${d}L300 60L${((from / (shown - 1)) * 300).toFixed(1)} 60Z`);
  }
}
