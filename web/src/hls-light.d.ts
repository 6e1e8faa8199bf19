// The light build has the full build's shape; hls.js ships types for the full one only.
declare module 'hls.js/light' {
  export { default } from 'hls.js';
}

/** Address of hls.js' worker script, put in by the build. */
declare const WORKER_PATH: string;
