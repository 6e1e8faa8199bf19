// A line over the last minutes, hand-written: one series needs no library.

import { s } from './dom';

/** Points kept: ten minutes of seconds. */
const POINTS = 600;

export class Plot {
  readonly element = s('svg', { viewBox: '0 0 300 60', preserveAspectRatio: 'none', class: 'plot', 'aria-hidden': 'true' });
  private readonly points: number[] = [];
  private readonly raw: number[] = [];
  private readonly area = s('path', { class: 'plot-area' });
  private readonly line = s('path', { class: 'plot-line', 'vector-effect': 'non-scaling-stroke' });

  /** Shown is the mean of so many values: viewers fetch in bursts, a segment at a time. */
  constructor(private readonly over = 1) {
    this.element.append(this.area, this.line);
  }

  add(value: number) {
    this.raw.push(value);
    if (this.raw.length > this.over) this.raw.shift();
    this.points.push(this.raw.reduce((sum, it) => sum + it, 0) / this.raw.length);
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
