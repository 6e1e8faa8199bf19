// Small discontinuity sequence numbers for hls.js, whatever the playlists count from.
//
// hls.js keeps an array indexed by them and copies it whenever it meets a new timestamp origin: with a number near
// 10^9 that held the page for ten seconds a segment (measured with 1.7.4 in Chromium 156), with one near 10^3 for none.

/** Left below the first number that was seen: an edge may list a little of what came before. */
const ROOM = 1000;

/** What was first seen; the same for all renditions, whose numbers have to match. */
export class Discontinuities {
  private base: number | undefined;

  /** The same playlist, counted from near the first number seen. */
  rebase(playlist: string): string {
    return playlist.replace(/^#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)/m, (_, digits: string) => {
      const number = Number(digits);
      this.base ??= Math.max(0, number - ROOM);
      return `#EXT-X-DISCONTINUITY-SEQUENCE:${Math.max(0, number - this.base)}`;
    });
  }
}
