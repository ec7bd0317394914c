// What the desk costs before it can be used: every script and style its first page loads, brotli, against the gate of 150 kB.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

const DIST = join(dirname(fileURLToPath(import.meta.url)), '../../dist');
const GATE_KB = 150;
const seen = new Set();
const visit = (file) => {
  if (seen.has(file)) return;
  seen.add(file);
  const text = readFileSync(join(DIST, file), 'utf8');
  if (!file.endsWith('.js')) return;
  // Static imports only: what is imported lazily is paid for by the page that wants it.
  for (const m of text.matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[^"'()]*?from\s*)?["']\.\/([\w.-]+)["']/g)) visit(`assets/${m[1]}`);
};
for (const m of readFileSync(join(DIST, 'index.html'), 'utf8').matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)) visit(m[1]);
for (const file of ['assets/DeskPage.js', 'assets/DeskPage.css', 'assets/DevicePanel.css', 'assets/decode.worker.js']) visit(file);
let total = 0;
for (const file of seen) {
  const size = brotliCompressSync(readFileSync(join(DIST, file))).length;
  total += size;
  console.log(`${(size / 1000).toFixed(1).padStart(7)} kB  ${file}`);
}
console.log(`${(total / 1000).toFixed(1).padStart(7)} kB  brotli, gate ${GATE_KB} kB`);
if (total / 1000 > GATE_KB) process.exit(1);
