// Pictures of the pages, to look at: node dev/shots.mjs OUT [page …] [--lang=en] [--theme=light] [--size=390x844] [--story=fire]
import { mkdirSync } from 'node:fs';
import { call, open, play, signIn, startBrowser, startServer } from '../e2e/lib.mjs';

const args = process.argv.slice(2);
const option = (name, fallback) => args.find((a) => a.startsWith(`--${name}=`))?.split('=')[1] ?? fallback;
const [out, ...pages] = args.filter((a) => !a.startsWith('--'));
const [width, height] = option('size', '1366x768').split('x').map(Number);
const lang = option('lang', 'zh');
const theme = option('theme', 'dark');
mkdirSync(out, { recursive: true });
const server = await startServer();
const browser = await startBrowser();
try {
  const page = await signIn(browser, server, { lang, theme, viewport: { width, height }, search: option('search', '') });
  const story = option('story', '');
  if (story) {
    await play(page, story);
    await page.waitForTimeout(1500);
    if (story === 'fire' || story === 'lift_trapped') {
      const { alarms } = await call(page, 'GET', '/api/alarms?state=open');
      const first = alarms.filter((a) => !a.acked).sort((a, b) => a.priority - b.priority)[0];
      await page.evaluate((id) => (location.hash = `#/desk?alarm=${id}`), first.id);
      await page.waitForTimeout(5000);
    }
  }
  for (const hash of pages.length ? pages : ['desk']) {
    if (!story || hash !== 'desk') await open(page, `#/${hash}`);
    await page.waitForTimeout(Number(option('wait', 1800)));
    await page.screenshot({ path: `${out}/${hash.replace(/[^a-z0-9]+/gi, '_')}-${lang}-${theme}-${width}${story ? `-${story}` : ''}.png` });
  }
  if (page.problems.length) console.log('problems:', page.problems);
} finally {
  await browser.close();
  await server.stop();
}
