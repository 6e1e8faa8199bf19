// How fast to play: a little faster when further behind the live edge than wanted, a little slower when nearer.
//
// hls.js only knows faster. But whoever opens a broadcast that has just begun finds one segment, begins at it, and would
// for ever hold one segment less than it takes to get over an edge that dies. Nobody hears 5 %.

/** Nearer than wanted by so much, seconds: slower, until it is made up for. */
const NEAR = 0.8;
/** Further than wanted by so much: faster. */
const FAR = 0.3;
const VERY_FAR = 1.5;
const SLOWER = 0.95;
const FASTER = 1.05;
const FASTEST = 1.1;
/** Who holds less does not play faster, seconds. */
const HELD_MIN = 1;

export interface Standing {
  /** Behind the live edge, seconds. */
  latency: number;
  /** What is wanted. */
  target: number;
  /** Held ahead. */
  held: number;
  /** Played at now. */
  rate: number;
}

export function pace({ latency, target, held, rate }: Standing): number {
  const behind = latency - target;
  // Further than twice as far is somebody who watches what was before.
  if (!Number.isFinite(behind) || latency <= 0 || behind > target) return 1;
  if (behind < -NEAR || (rate < 1 && behind < 0)) return SLOWER;
  if (behind > FAR && held > HELD_MIN) return behind > VERY_FAR ? FASTEST : FASTER;
  return 1;
}
