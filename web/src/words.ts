// What goes wrong, in sentences. Each has a short code, so that a viewer can say it on the telephone.

export interface Trouble {
  code: string;
  text: string;
}

export function ofHls(details: string, status: number | undefined): Trouble {
  if (status === 403) {
    const code = details.startsWith('manifest') ? 'M403' : 'L403';
    return { code, text: 'This broadcast is not open to you, or not any more. Sign in, or ask whoever runs it for a link.' };
  }
  if (details.startsWith('manifest')) {
    if (status === 404) return { code: 'M404', text: 'This broadcast is not on the air. It starts here by itself when it is.' };
    if (status === 503) return { code: 'M503', text: 'Every edge is busy. Please try again in a moment.' };
    return { code: `M${status ?? 0}`, text: 'The broadcast cannot be reached. Is the network there?' };
  }
  if (details.startsWith('level') || details.startsWith('frag')) {
    return { code: `L${status ?? 0}`, text: 'The broadcast does not arrive any more. Waiting for it to come back.' };
  }
  if (details.includes('Codec') || details.includes('Append')) {
    return { code: 'C1', text: 'This browser cannot play what the broadcast is coded in.' };
  }
  return { code: details, text: 'Playback stopped unexpectedly.' };
}

export const NO_MSE: Trouble = { code: 'B1', text: 'This browser cannot play live video. A current one can.' };

export function rate(bits: number): string {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}

export function seconds(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(1)} s` : '–';
}

/** What a viewer is told of the latency; nothing while it is not known. */
export function behind(latency: number): string {
  if (!Number.isFinite(latency) || latency <= 0) return '';
  return latency < 100 ? `${Math.round(latency)} s behind live` : `${Math.round(latency / 60)} min behind live`;
}

/** A moment of the day. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour12: false });
}
