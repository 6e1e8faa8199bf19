// What the balancer tells of the cluster (docs/HLS.md, "The page's questions").

export interface Rendition {
  id: string;
  width?: number;
  height?: number;
  frame_rate?: number;
  peak?: number;
}

export interface Broadcast {
  id: string;
  renditions: Rendition[];
  viewers?: number;
}

async function json<T>(path: string): Promise<T> {
  const answer = await fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as T;
}

export async function broadcasts(): Promise<Broadcast[]> {
  const answer = await json<{ broadcasts: Broadcast[] }>('/api/v1/broadcasts');
  return answer.broadcasts;
}
