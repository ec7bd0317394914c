// What the browser stories share: a server (the real binary, or the mock), a browser, the way in.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { WebSocket, WebSocketServer } from 'ws';

const HERE = dirname(fileURLToPath(import.meta.url));

/**
 * Starts what is to be tested and waits for its address.
 * GATEHOUSE_BIN: the binary; without it the mock serves. GATEHOUSE_DATA: its data directory (default: a fresh one).
 * `args`: more of them for the binary. GATEHOUSE_PASSWORD: the admin's password where the data directory is not a first run.
 */
export async function startServer({ args: more = [] } = {}) {
  const bin = process.env.GATEHOUSE_BIN;
  const ownData = bin && !process.env.GATEHOUSE_DATA;
  const data = ownData ? mkdtempSync(join(tmpdir(), 'gatehouse-e2e-')) : process.env.GATEHOUSE_DATA;
  // Ports of its own, and no story that was not asked for.
  const args = bin ? ['serve', '--data', data, '--listen', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', '--quiet', ...more] : [join(HERE, '../dev/mock.mjs')];
  const child = spawn(bin ?? process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let url = '';
  let password = process.env.GATEHOUSE_PASSWORD ?? '';
  const tail = [];
  const ready = new Promise((resolve, reject) => {
    const hear = (line) => {
      tail.push(line);
      if (tail.length > 60) tail.shift();
      password = /first-run admin password: (\S+)/.exec(line)?.[1] ?? password;
      url = /console at (https?:\/\/\S+?)\/?$/.exec(line.trim())?.[1] ?? url;
      // The password may be printed just after the address: give it the next line.
      if (url) setTimeout(() => resolve(undefined), 300);
    };
    createInterface({ input: child.stdout }).on('line', hear);
    createInterface({ input: child.stderr }).on('line', hear);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it was ready:\n${tail.join('\n')}`)));
    const limit = Number(process.env.GATEHOUSE_START_S ?? (bin ? 600 : 20));
    setTimeout(() => reject(new Error(`no address after ${limit} s:\n${tail.join('\n')}`)), limit * 1000).unref();
  });
  await ready;
  if (!password) throw new Error('no password: set GATEHOUSE_PASSWORD, or use a data directory that has not been started yet');
  return {
    url, password, mock: !bin, tail, data,
    async stop() {
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await Promise.race([new Promise((r) => child.once('exit', r)), new Promise((r) => setTimeout(r, 10_000).unref())]);
        if (child.exitCode === null) child.kill('SIGKILL');
      }
      if (ownData) rmSync(data, { recursive: true, force: true });
    },
  };
}

/**
 * The server seen through a line that can be disturbed: `video` is told of each tile's socket, `{ url, socket }`, and every
 * message to the page goes through `change` (bytes or text in, the same out; undefined: lost).
 */
export async function startLine(server, { change = (data) => data, video = () => {} } = {}) {
  const upstream = new URL(server.url);
  const ours = (headers) => ({ ...headers, host: upstream.host, ...(headers.origin && { origin: upstream.origin }) });
  const line = createServer((req, res) => {
    const out = request(upstream.origin + req.url, { method: req.method, headers: ours(req.headers) }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    out.on('error', () => res.destroy());
    req.pipe(out);
  });
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  line.on('upgrade', (req, raw, head) => sockets.handleUpgrade(req, raw, head, (page) => {
    const { cookie, origin } = ours(req.headers);
    const far = new WebSocket(upstream.origin.replace('http', 'ws') + req.url, { headers: { cookie, origin }, perMessageDeflate: false });
    const tile = req.url.startsWith('/ws/video/');
    if (tile) video({ url: req.url, socket: page });
    const waiting = [];
    page.on('message', (data, binary) => (far.readyState === WebSocket.OPEN ? far.send(data, { binary }) : waiting.push([data, binary])));
    far.on('open', () => waiting.splice(0).forEach(([data, binary]) => far.send(data, { binary })));
    far.on('message', (data, binary) => {
      const passed = tile ? change(binary ? data : data.toString(), req.url) : data;
      if (passed !== undefined) page.send(passed, { binary });
    });
    for (const [one, other] of [[page, far], [far, page]]) {
      one.on('close', () => other.terminate());
      one.on('error', () => other.terminate());
    }
  }));
  await new Promise((ready) => line.listen(0, '127.0.0.1', ready));
  return {
    ...server, url: `http://127.0.0.1:${line.address().port}`,
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      line.closeAllConnections();
      await new Promise((done) => line.close(done));
    },
  };
}

/** A browser; `camera`: a film (MJPEG) that its camera shows instead of a test picture. */
export async function startBrowser({ camera = '' } = {}) {
  const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((p) => existsSync(p));
  if (!executablePath) throw new Error('no chromium found: install it, or set CHROMIUM to its path');
  return chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--mute-audio', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', ...(camera ? [`--use-file-for-fake-video-capture=${camera}`] : [])],
  });
}

/** Password of the accounts that stories make. */
export const SCREEN_PASSWORD = 'a password for stories';

/** A page that is signed in; console errors and refused resources are collected in `page.problems`. */
export async function signIn(browser, server, { lang = 'zh', theme = 'dark', viewport = { width: 1366, height: 768 }, hash = '#/desk', search = '', reducedMotion = 'no-preference', user = 'admin', before = async () => {} } = {}) {
  const context = await browser.newContext({ viewport, reducedMotion, acceptDownloads: true });
  await context.addInitScript(([l, th]) => {
    if (!localStorage.getItem('gatehouse.lang')) localStorage.setItem('gatehouse.lang', l);
    if (!localStorage.getItem('gatehouse.theme')) localStorage.setItem('gatehouse.theme', th);
    if (!localStorage.getItem('gatehouse.sound')) localStorage.setItem('gatehouse.sound', 'off');
  }, [lang, theme]);
  const page = await context.newPage();
  page.problems = [];
  page.on('console', (m) => {
    if (m.type() === 'error' && !/status of (401|403|404|409|422|503)/.test(m.text())) page.problems.push(m.text());
  });
  page.on('pageerror', (e) => page.problems.push(String(e)));
  await before(page);
  await page.goto(`${server.url}/${search}${hash}`);
  await page.fill('input[name=username]', user);
  await page.fill('input[name=password]', user === 'admin' ? server.password : SCREEN_PASSWORD);
  await page.click('button[type=submit]');
  await page.waitForSelector('main#main');
  return page;
}

/** Goes to a page of the console and waits until it is no longer loading. */
export async function open(page, hash) {
  await page.evaluate((h) => (location.hash = h), hash);
  await page.waitForFunction(() => !document.querySelector('main#main .spin'), undefined, { timeout: 20_000 });
  await page.waitForTimeout(150);
}

/** Calls the server from inside the page, with its session. */
export async function call(page, method, path, body) {
  return page.evaluate(async ([m, p, b]) => {
    const r = await fetch(p, { method: m, headers: { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID() }, body: b === undefined ? undefined : JSON.stringify(b) });
    const text = await r.text();
    if (!r.ok) throw new Error(`${m} ${p}: ${r.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }, [method, path, body]);
}

/** Plays a story, as soon as an earlier playing of it is over. */
export const play = (page, story) => until(`${story} is not being played`, () => call(page, 'POST', '/api/demo/play', { story }).catch((error) => {
  if (!error.message.includes('story_busy')) throw error;
}), 90_000);

/** Tries until `fn` gives something true. */
export async function until(what, fn, ms = 20_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const got = await fn();
      if (got) return got;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}${last ? ` (${last.message})` : ''}`);
    await new Promise((r) => setTimeout(r, 200));
  }
}
