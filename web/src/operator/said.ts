// What nodes say of themselves at /status, as far as this page reads it; and how it is asked.

export interface Process {
  cpu_seconds: number;
  resident_bytes: number;
  open_descriptors: number;
  threads: number;
}

export interface Rendition {
  id: string;
  codecs?: string;
  width?: number;
  height?: number;
  bandwidth_bits?: number;
}

/** An edge by a balancer's word. */
export interface EdgeTold {
  id: string;
  state: string;
  standing?: string;
  viewers?: number | null;
  egress_bits?: number | null;
  promised_bits?: number | null;
  capacity_bits?: number | null;
  newest_segment_age_ms?: number | null;
  /** Of its last segments the worst: from when it was made until it was complete there. */
  lag_ms?: number | null;
  weight?: number;
}

export interface BroadcastTold {
  id: string;
  segment_ms: number;
  live_since_unix_ms: number;
  /** Who asked for steering of late. */
  viewers?: number;
  edges: number;
  renditions: Rendition[];
}

/** A broadcast as an ingest shows it. */
export interface IntakeSaid {
  publisher?: string | null;
  part?: string;
  renditions?: string[];
  input_bits?: number | null;
  picture_group_ms?: number | null;
  behind_ms?: number;
  segments?: number;
  gaps?: number;
  shed?: string;
  transcode_starts?: number;
}

/** A broadcast as an edge shows it. */
export interface LaneSaid {
  id: string;
  renditions: string[];
  fed: boolean;
  listed: boolean;
  ended: boolean;
  newest_segment_age_ms: number;
  lag_ms?: number | null;
  lags?: boolean;
  bytes_held: number;
}

export interface NodeTold {
  operator: string;
  answers: boolean;
  cpu_cores?: number | null;
  status?: Status | null;
}

export interface Status {
  role: string;
  id?: string;
  balancer?: string;
  version?: string;
  state?: string;
  why?: string;
  draining?: boolean;
  process?: Process;
  /** Null while a balancer has not heard of every edge that is there. */
  viewers?: number | null;
  egress_bits?: number;
  p99_ms?: number | null;
  driver?: string;
  saturation?: string;
  newest_segment_age_ms?: number | null;
  bytes_held?: number;
  ingests?: string[];
  balancers_up?: number;
  edges?: EdgeTold[];
  nodes?: NodeTold[];
  broadcasts?: BroadcastTold[] | LaneSaid[] | Record<string, IntakeSaid>;
}

export interface Happened {
  number: number;
  unix_ms: number;
  level: string;
  kind: string;
  node?: string;
  broadcast?: string;
  viewers?: number;
  text: string;
}

export async function status(): Promise<Status> {
  const answer = await fetch('/status', { cache: 'no-store', signal: AbortSignal.timeout(3000) });
  if (!answer.ok) throw new Error(`/status answered ${answer.status}`);
  return (await answer.json()) as Status;
}

/** Turns a switch; the node's own sentence, or an error with it. */
export async function turn(path: string): Promise<string> {
  const answer = await fetch(path, { method: 'POST', signal: AbortSignal.timeout(5000) });
  const said = (await answer.text()).trim();
  if (!answer.ok) throw new Error(said || `${path} answered ${answer.status}`);
  return said;
}

export const name = (said: Status): string => said.id ?? said.balancer ?? said.role;

export const lanes = (said: Status): LaneSaid[] =>
  Array.isArray(said.broadcasts) && said.role === 'edge' ? (said.broadcasts as LaneSaid[]) : [];
export const told = (said: Status): BroadcastTold[] =>
  Array.isArray(said.broadcasts) && said.role === 'lb' ? (said.broadcasts as BroadcastTold[]) : [];
export const intakes = (said: Status): [string, IntakeSaid][] =>
  said.role === 'ingest' && said.broadcasts && !Array.isArray(said.broadcasts) ? Object.entries(said.broadcasts) : [];
