// Bundles the page into dist/: script and style with their hash in the name (immutable), and an index that names them.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';

const bundle = async (entry, define = {}) => {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome110', 'firefox115', 'safari16'],
    legalComments: 'eof',
    write: false,
    define,
  });
  return result.outputFiles[0].contents;
};

const named = (name, ending, bytes) =>
  `${name}-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}.${ending}`;

await rm('dist', { recursive: true, force: true });
await mkdir('dist/assets', { recursive: true });
// hls.js takes TS apart in a worker of its own; as a file of ours it needs no `blob:` in the page's policy.
const worker = await readFile('node_modules/hls.js/dist/hls.worker.js');
const workerName = named('worker', 'js', worker);
await writeFile(`dist/assets/${workerName}`, worker);
const style = await bundle('src/style.css');
const styleName = named('page', 'css', style);
await writeFile(`dist/assets/${styleName}`, style);
// The balancers' page, and the lobby's.
for (const [page, entry, name] of [
  ['index.html', 'src/main.ts', 'page'],
  ['lobby.html', 'src/lobby/main.ts', 'lobby'],
]) {
  const script = await bundle(entry, { WORKER_PATH: JSON.stringify(`/assets/${workerName}`) });
  const scriptName = named(name, 'js', script);
  await writeFile(`dist/assets/${scriptName}`, script);
  const html = (await readFile(`src/${page}`, 'utf8'))
    .replace('{{style}}', `/assets/${styleName}`)
    .replace('{{script}}', `/assets/${scriptName}`);
  await writeFile(`dist/${page}`, html);
  console.log(`web: ${scriptName} ${(script.length / 1000).toFixed(0)} kB`);
}
