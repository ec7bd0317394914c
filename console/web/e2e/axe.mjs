// axe on every page, in both languages and both themes, wide and on a phone: no violation is allowed.
// Against GATEHOUSE_BIN when it is set, else against the mock.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { call, open, play, signIn, startBrowser, startServer } from './lib.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function check(page) {
  // Through the debugger, not a script tag: the console's own policy forbids those, as it should.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => `${n.target.join(' ')} :: ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`) }));
}

/** Every state worth checking: the pages, and what opens on them. */
export async function pagesToCheck(page) {
  const { alarms } = await call(page, 'GET', '/api/alarms?state=open&limit=50');
  const { devices } = await call(page, 'GET', '/api/devices');
  const { people } = await call(page, 'GET', '/api/people?limit=1');
  const { work_orders } = await call(page, 'GET', '/api/work-orders?state=all&limit=1');
  const { passages } = await call(page, 'GET', '/api/passages?limit=1');
  const session = await call(page, 'GET', '/api/session');
  const alarm = alarms.sort((a, b) => a.priority - b.priority)[0];
  const door = devices.find((d) => d.kind === 'door') ?? devices[0];
  const camera = devices.find((d) => d.kind === 'camera');
  // One without a head, one with: the pad says why it is not there, or is.
  const onHead = devices.find((d) => d.key === 'fence-east.camera');
  return [
    'desk', alarm && `desk?alarm=${alarm.id}`, 'desk?as=list', 'desk?queue=all&layout=9', 'wall', 'wall?list=1&layout=9', 'wall?window=axe&layout=16&by=places&every=10', 'replay', camera && `replay?camera=${camera.id}&at=${new Date(Date.now() - 10_000).toISOString()}`, 'devices', door && `devices?device=${door.id}`, door && `door/${door.id}`, camera && `devices?device=${camera.id}`, onHead && `devices?device=${onHead.id}`, 'events', 'passages', passages[0] && `passages?passage=${passages[0].id}`, 'passages?q=1&match=exact', 'watch', 'access', session.permissions.includes('patrol.walk') && 'patrol',
    'people', 'people?person=new', people[0] && `people?person=${people[0].id}`, session.permissions.includes('people.write') && 'faces', session.permissions.includes('people.write') && people[0] && `enrol?person=${people[0].id}`, 'orders', 'orders?view=list', session.permissions.includes('rule.read') && 'rules', session.permissions.includes('rule.read') && 'rules?rule=new', work_orders[0] && `orders?order=${work_orders[0].id}`, 'health', session.permissions.includes('system.operate') && 'discover', 'integrations',
    session.site.demo && 'demo', session.user.role === 'admin' && 'users', session.user.role === 'admin' && 'users?tab=audit', 'account', 'nowhere',
  ].filter(Boolean);
}

export async function axeAll(browser, server, { langs = ['zh', 'en'], themes = ['dark', 'light'], sizes = [{ width: 1366, height: 768 }, { width: 390, height: 844 }], log = () => {} } = {}) {
  const found = [];
  let checked = 0;
  for (const viewport of sizes) {
    for (const lang of langs) {
      for (const theme of themes) {
        const note = (where, violations) => {
          checked++;
          for (const v of violations) {
            found.push({ where, lang, theme, width: viewport.width, ...v });
            log(`${where} ${lang} ${theme} ${viewport.width}: ${v.id} (${v.impact})\n    ${v.nodes.slice(0, 4).join('\n    ')}`);
          }
        };
        // Blinking and half-transparent moments are no state to measure contrast in.
        const page = await signIn(browser, server, { lang, theme, viewport, reducedMotion: 'reduce' });
        for (const hash of await pagesToCheck(page)) {
          await open(page, `#/${hash}`);
          await page.waitForTimeout(250);
          note(hash, await check(page));
        }
        await open(page, '#/desk');
        await page.keyboard.press('?');
        note('help', await check(page));
        await page.context().close();
        const context = await browser.newContext({ viewport, reducedMotion: 'reduce' });
        await context.addInitScript(([l, th]) => (localStorage.setItem('gatehouse.lang', l), localStorage.setItem('gatehouse.theme', th)), [lang, theme]);
        const out = await context.newPage();
        await out.goto(server.url);
        await out.waitForSelector('input[name=password]');
        await out.click('details summary');
        note('sign-in', await check(out));
        await context.close();
      }
    }
  }
  return { found, checked };
}

if (process.argv[1]?.endsWith('axe.mjs')) {
  const server = await startServer();
  const browser = await startBrowser();
  try {
    if (server.mock) {
      const page = await signIn(browser, server);
      for (const story of ['fire', 'car_unknown', 'door_forced']) await play(page, story);
      await page.waitForTimeout(1_500);
      await page.context().close();
    }
    const { found, checked } = await axeAll(browser, server, { log: console.log });
    console.log(`axe: ${checked} page states, ${found.length} violations`);
    process.exitCode = found.length ? 1 : 0;
  } finally {
    await browser.close();
    await server.stop();
  }
}
