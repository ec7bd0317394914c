// Stories of faces: enrolment with consent and withdrawal, the screen beside a door. Told by run.mjs.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCREEN_PASSWORD, call, open, signIn, startBrowser, until } from './lib.mjs';

/**
 * A film of a portrait before the camera: straight, then with the nose moved to one side and to the other, as a turned head shows it.
 * The path of the MJPEG file.
 */
async function filmOf(page, portrait) {
  const url = `data:image/png;base64,${readFileSync(portrait).toString('base64')}`;
  const frames = await page.evaluate(async (src) => {
    const image = new Image();
    image.src = src;
    await image.decode();
    // Where the face is in this portrait, and where the film shows it.
    const [fx, fy, fw, fh] = [0.35, 0.123, 0.176, 0.216];
    const [width, height] = [1280, 720];
    const scale = 330 / (fh * image.naturalHeight);
    const [w, h] = [fw * image.naturalWidth * scale, fh * image.naturalHeight * scale];
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    const bump = (d) => Math.max(0, 1 - d * d) ** 2;
    const film = [];
    for (const by of [0, 0.12, -0.12]) {
      pen.fillStyle = '#8a8f94';
      pen.fillRect(0, 0, width, height);
      pen.drawImage(image, width / 2 - (fx + fw / 2) * image.naturalWidth * scale, height / 2 - (fy + fh / 2) * image.naturalHeight * scale, image.naturalWidth * scale, image.naturalHeight * scale);
      if (by) {
        const from = pen.getImageData(0, 0, width, height);
        const to = pen.createImageData(width, height);
        const [nx, ny] = [width / 2, height / 2 + 0.12 * h];
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const at = Math.min(width - 2, Math.max(0, x - by * w * bump((x - nx) / (0.55 * w)) * bump((y - ny) / (0.42 * h))));
            const [left, part] = [Math.floor(at), at - Math.floor(at)];
            for (let c = 0; c < 4; c++) {
              const i = 4 * (y * width + left) + c;
              to.data[4 * (y * width + x) + c] = from.data[i] * (1 - part) + from.data[i + 4] * part;
            }
          }
        }
        pen.putImageData(to, 0, 0);
      }
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 })).arrayBuffer());
      film.push(btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join('')));
    }
    return film;
  }, url);
  const path = join(tmpdir(), `gatehouse-camera-${process.pid}.mjpeg`);
  writeFileSync(path, Buffer.concat(frames.flatMap((frame) => Array(60).fill(Buffer.from(frame, 'base64')))));
  return path;
}

export const faces = {
  async 'enrolment: read and agreed, three poses before the camera, the door named, withdrawn with each device’s word'({ page, server }) {
    const { people } = await call(page, 'GET', '/api/people?limit=500');
    const person = people.find((p) => p.kind === 'resident' && !p.face.enrolled);
    const film = server.mock ? '' : await filmOf(page, join(server.data, 'demo/faces/collins_1.png'));
    const own = await startBrowser({ camera: film });
    try {
      const desk = await signIn(own, server, { lang: 'en', hash: `#/people?person=${person.id}` });
      await desk.click('[data-do=enrol]');
      await desk.waitForSelector('[data-step=consent]');
      assert.ok(await desk.locator('[data-do=agree]').isDisabled(), 'nothing is agreed beforehand');
      assert.ok((await desk.locator('[data-notice]').innerText()).length > 40, 'the text is there');
      // A child's guardian is asked for; then it is a grown person after all.
      await desk.check('input[name=age][value=under]');
      await desk.check('input[name=agree]');
      assert.ok(await desk.locator('[data-do=agree]').isDisabled(), 'the guardian is missing');
      await desk.check('input[name=age][value=over]');
      assert.ok(!(await desk.isChecked('input[name=agree]')), 'another declaration is agreed to anew');
      await desk.check('input[name=agree]');
      await desk.click('[data-do=agree]');
      await desk.waitForSelector('[data-step=pictures]');
      if (!server.mock) {
        await desk.setInputFiles('input[type=file]', [{ name: 'letter.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('not a picture') }]);
        await desk.waitForSelector('[role=alert] >> text=letter.jpg');
      }
      await desk.click('[data-do=camera]');
      await desk.waitForSelector('[data-taken="3"]', { timeout: 60_000 });
      assert.deepEqual((await desk.locator('[data-pose]').evaluateAll((all) => all.map((n) => n.dataset.pose))).sort(), ['left', 'right', 'straight']);
      await desk.click('[data-do=send]');
      await desk.waitForSelector('[data-step=done]', { timeout: 20_000 });
      assert.match(await desk.locator('[data-withdraw]').innerText(), /withdraw/i);
      const kept = await call(desk, 'GET', `/api/people/${person.id}`);
      assert.deepEqual([kept.face.enrolled, kept.face.photos], [true, 3]);
      await desk.click('[data-step=done] a.button');
      await desk.waitForSelector('[data-face=enrolled]');
      await desk.click('[data-do=withdraw]');
      await desk.click('[data-do=withdraw-now]');
      await desk.waitForSelector('[data-face=none]');
      if (!server.mock) {
        const doors = (await call(desk, 'GET', '/api/devices')).devices.filter((d) => d.kind === 'door' && d.methods?.includes('face'));
        await until('every terminal confirms', async () => (await desk.locator('[data-removal=executed]').count()) === doors.length);
        for (const door of doors) {
          await open(desk, `#/devices?device=${door.id}`);
          assert.ok((await desk.locator('[data-methods]').getAttribute('data-methods')).split(' ').length >= 3, `${door.key} has two other ways in`);
        }
      }
      await open(desk, '#/faces');
      await desk.waitForSelector('[data-filing=below]');
      assert.deepEqual(desk.problems, []);
    } finally {
      await own.close();
      if (film) rmSync(film, { force: true });
    }
  },

  async 'door screen: says in both languages what is asked, ends by itself, and its account sees nothing else'({ page, browser, server }) {
    const { devices } = await call(page, 'GET', '/api/devices');
    const door = devices.find((d) => d.kind === 'door');
    const user = server.mock ? 'admin' : `screen-${Date.now()}`;
    if (!server.mock) await call(page, 'POST', '/api/users', { name: user, password: SCREEN_PASSWORD, role: 'screen' });
    // The words as the server spells them (tests/it/wire/screen.json) are put on the page's own line.
    let say = () => {};
    const before = (own) => own.routeWebSocket(/\/ws$/, (line) => {
      const far = line.connectToServer();
      let seq = 0;
      line.onMessage((message) => {
        const { t, id, topic } = JSON.parse(message);
        if (t !== 'sub' || !topic.startsWith('screen/')) return far.send(message);
        assert.equal(topic, `screen/${door.id}`);
        line.send(JSON.stringify({ t: 'snap', id, seq: 0, data: null }));
        say = (data) => line.send(JSON.stringify({ t: 'ev', id, seq: ++seq, data }));
        say({ say: 'idle' });
      });
      far.onMessage((message) => line.send(message));
    });
    const own = await signIn(browser, server, { user, hash: `#/door/${door.id}`, before, viewport: { width: 800, height: 1280 } });
    const now = own.locator('[data-say]');
    await own.waitForSelector('[data-say=idle]');
    assert.equal(await own.locator('nav').count(), 0, 'the screen has no frame');
    say({ say: 'ask', action: 'turn_left', step_of: [1, 3], left_ms: 6000 });
    await own.waitForSelector('[data-action=turn_left]');
    const text = await now.innerText();
    assert.ok(/[\u4e00-\u9fff]/.test(text) && /left/i.test(text), text);
    const size = await own.locator('[role=status] span').first().evaluate((node) => parseFloat(getComputedStyle(node).fontSize));
    assert.ok(size >= 60, `${size} px are read from two metres`);
    say({ say: 'straight', step_of: [1, 3], left_ms: 6000 });
    await own.waitForSelector('[data-say=straight]');
    say({ say: 'failed', why: 'too_late', left_ms: 300 });
    await own.waitForSelector('[data-say=failed]');
    await own.waitForSelector('[data-say=idle]', { timeout: 3_000 });
    if (!server.mock) {
      await own.evaluate(() => (location.hash = '#/people'));
      await until('nothing else is shown', async () => (await own.locator('main').innerText()).length > 10 && (await own.locator('nav a').count()) === 0);
    }
    assert.deepEqual(own.problems, []);
    await own.context().close();
  },
};
