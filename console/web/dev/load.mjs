// What the desk and the device table cost the browser at 10 000 devices and 2 000 changes a second: share of one core
// of the page's main thread, without video. Gate: 10 %.
import { open, signIn, startBrowser, startServer } from '../e2e/lib.mjs';

process.env.MOCK_EXTRA ??= '10000';
process.env.MOCK_RATE ??= '2000';
const server = await startServer();
const browser = await startBrowser();
try {
  const page = await signIn(browser, server, { hash: '#/devices' });
  await page.evaluate(() => localStorage.setItem('gatehouse.wall', JSON.stringify(Array(16).fill(''))));
  await page.reload();
  await page.waitForSelector('main#main');
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  const read = async () => Object.fromEntries((await cdp.send('Performance.getMetrics')).metrics.map((m) => [m.name, m.value]));
  for (const hash of ['#/devices', '#/devices?kind=sensor&q=烟感', '#/desk', '#/events']) {
    await open(page, hash);
    await page.waitForTimeout(3_000);
    const a = await read();
    await page.waitForTimeout(8_000);
    const b = await read();
    const share = (name) => (((b[name] - a[name]) / (b.Timestamp - a.Timestamp)) * 100).toFixed(1);
    console.log(`${hash.padEnd(36)} tasks ${share('TaskDuration')} %  script ${share('ScriptDuration')} %  layout ${share('LayoutDuration')} %  style ${share('RecalcStyleDuration')} %`);
  }
} finally {
  await browser.close();
  await server.stop();
}
