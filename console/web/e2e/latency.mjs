// How late the wall is: the moment each virtual camera draws into its pictures is read back from the tiles' own pixels.
//   GATEHOUSE_BIN=… node e2e/latency.mjs [--minutes 5 | --seconds 60] [--tiles 1,16] [--video mse] [--out figures.json]
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { open, signIn, startBrowser, startServer, until } from './lib.mjs';
import { figures, sampler } from './strip.mjs';

const args = process.argv.slice(2);
const option = (name, usual) => {
  const at = args.indexOf(`--${name}`);
  return at >= 0 ? args[at + 1] : usual;
};
const seconds = option('minutes') ? Number(option('minutes')) * 60 : Number(option('seconds', 60));
const walls = option('tiles', '1,16').split(',').map(Number);
const player = option('video', '');
const LAYOUTS = [1, 4, 6, 9, 16];
/** Connecting and filling up are told by the first picture; the rest is what a wall does from then on. */
const SETTLE_MS = 3_000;
/** What is said of a long run besides: sixteen software decoders are behind for some seconds after they began together. */
const STEADY_MS = 30_000;
if (!(seconds > 0) || walls.some((n) => !LAYOUTS.includes(n))) throw new Error(`--seconds or --minutes: a time; --tiles: of ${LAYOUTS.join(', ')}`);
if (!process.env.GATEHOUSE_BIN) throw new Error('set GATEHOUSE_BIN: the stand-in server draws no moments into its pictures');

async function measure(browser, server, tiles) {
  const page = await signIn(browser, server, { lang: 'en', hash: '#/devices', search: player ? `?video=${player}` : '', viewport: { width: 1920, height: 1080 } });
  // Everything the wall needs is in the browser's cache, and the clock is known, before the first picture is timed.
  await open(page, `#/wall?layout=${tiles}`);
  await page.waitForSelector('[data-said=latency]', { timeout: 60_000 });
  await open(page, '#/devices');
  await until('the tiles are gone', async () => (await page.locator('[data-camera]').count()) === 0);
  await page.evaluate(sampler);
  const load = loadavg()[0];
  await page.evaluate((n) => {
    window.strips.began = Date.now();
    location.hash = `#/wall?layout=${n}`;
  }, tiles);
  await until(`${tiles} tiles`, async () => (await page.locator('[data-camera][data-state]').count()) === tiles, 30_000);
  await page.waitForTimeout(seconds * 1000 + SETTLE_MS);
  const { reads, kept } = await page.evaluate(() => ({ reads: window.strips.reads, kept: [...window.strips.tiles.values()] }));
  await page.context().close();
  const steady = figures(kept, Math.min(STEADY_MS, (seconds * 1000) / 2));
  return { ...figures(kept, SETTLE_MS), steady_p50_ms: steady.p50_ms, steady_p99_ms: steady.p99_ms, steady_dropped_percent: steady.dropped_percent, reads_per_second: reads / (seconds + SETTLE_MS / 1000), load_before: load, load_after: loadavg()[0] };
}

const server = await startServer({ args: ['--cameras', String(Math.max(...walls))] });
const browser = await startBrowser();
try {
  const result = {
    at: new Date().toISOString(), seconds, player: player || 'webcodecs', browser: browser.version(), cores: cpus().length, cpu: cpus()[0]?.model ?? '', walls: [],
  };
  for (const tiles of walls) result.walls.push(await measure(browser, server, tiles));
  const columns = [
    ['tiles', (w) => w.tiles], ['p50 ms', (w) => w.p50_ms], ['p99 ms', (w) => w.p99_ms], ['max ms', (w) => w.max_ms],
    ['first picture ms p50/max', (w) => `${w.first_picture_p50_ms}/${w.first_picture_max_ms}`], ['pictures', (w) => w.pictures],
    ['dropped', (w) => `${w.dropped} (${w.dropped_percent.toFixed(2)} %)`], ['drift ms', (w) => w.drift_ms],
    ['steady p50/p99 ms, dropped', (w) => `${w.steady_p50_ms}/${w.steady_p99_ms}, ${w.steady_dropped_percent.toFixed(2)} %`], ['degraded', (w) => `${w.degraded_percent.toFixed(1)} %`], ['reads/s', (w) => w.reads_per_second.toFixed(0)], ['load', (w) => `${w.load_before.toFixed(1)}→${w.load_after.toFixed(1)}`],
  ];
  console.log(`${result.player}, Chromium ${result.browser}, ${result.cores} cores, ${seconds} s each`);
  console.log(`| ${columns.map(([name]) => name).join(' | ')} |\n|${columns.map(() => '---').join('|')}|`);
  for (const wall of result.walls) console.log(`| ${columns.map(([, of]) => of(wall)).join(' | ')} |`);
  console.log(JSON.stringify(result));
  if (option('out')) writeFileSync(option('out'), `${JSON.stringify(result, null, 2)}\n`);
  for (const [n, wall] of result.walls.entries()) {
    if (wall.tiles_read === walls[n]) continue;
    console.error(`only ${wall.tiles_read} of ${walls[n]} tiles showed pictures whose moment could be read`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
  await server.stop();
}
