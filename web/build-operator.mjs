// Bundles the operator's page into dist-operator/, as build.mjs does the viewers': names with a hash, and an index.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';

const bundle = async (entry) => {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome110', 'firefox121', 'safari16'],
    write: false,
  });
  return result.outputFiles[0].contents;
};

const named = (ending, bytes) => `operator-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}.${ending}`;

// Only what has changed is written: the program that has these files in it is then not built anew for nothing.
const script = await bundle('src/operator/main.ts');
const style = await bundle('src/operator/style.css');
const names = { script: named('js', script), style: named('css', style) };
const index = (await readFile('src/operator/index.html', 'utf8'))
  .replace('{{style}}', `/assets/${names.style}`)
  .replace('{{script}}', `/assets/${names.script}`);
const files = { [names.script]: script, [names.style]: style, 'index.html': Buffer.from(index) };
await mkdir('dist-operator', { recursive: true });
for (const old of await readdir('dist-operator')) if (!(old in files)) await rm(`dist-operator/${old}`);
for (const [name, bytes] of Object.entries(files)) {
  const before = await readFile(`dist-operator/${name}`).catch(() => null);
  if (!before?.equals(bytes)) await writeFile(`dist-operator/${name}`, bytes);
}
console.log(`web: ${names.script} ${(script.length / 1000).toFixed(0)} kB, ${names.style} ${(style.length / 1000).toFixed(0)} kB`);
