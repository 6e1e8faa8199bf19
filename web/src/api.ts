// What the balancer tells of the cluster (`/api/v1/…`, lb/src/api.rs).

export interface Rendition {
  id: string;
  width?: number;
  height?: number;
  frame_rate?: number;
  bandwidth_bits?: number;
}

export interface Broadcast {
  id: string;
  renditions: Rendition[];
  /** How many edges carry it. */
  edges: number;
  live_since_unix_ms: number;
}

async function json<T>(path: string): Promise<T> {
  const answer = await fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as T;
}

/** What is on the air, by this balancer or the one whose page this is. */
export async function broadcasts(balancer = ''): Promise<Broadcast[]> {
  const answer = await json<{ broadcasts: Broadcast[] }>(`${balancer}/api/v1/broadcasts`);
  return answer.broadcasts;
}
