// A canned H.264 stream for the mock, drawn by ffmpeg when the machine has it; without it every camera says "stalled".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FPS = 10;
let made;
function make() {
  if (made) return made;
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-mock-'));
  const file = join(dir, 'live.h264');
  const clip = join(dir, 'clip.mp4');
  const scene = `testsrc2=size=640x360:rate=${FPS},hue=s=0.25,eq=brightness=-0.12`;
  const x264 = ['-c:v', 'libx264', '-profile:v', 'main', '-preset', 'veryfast', '-bf', '0', '-g', String(FPS * 2), '-pix_fmt', 'yuv420p'];
  spawnSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', scene, '-t', '8', ...x264, '-bsf:v', 'h264_mp4toannexb', file]);
  spawnSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', scene, '-t', '30', ...x264, '-movflags', '+faststart', clip]);
  made = { units: existsSync(file) ? accessUnits(readFileSync(file)) : [], clip: existsSync(clip) ? clip : '' };
  return made;
}
export const clipFile = () => make().clip;

function nals(data) {
  const out = [];
  let start = -1;
  for (let i = 0; i + 2 < data.length; i++) {
    if (data[i] === 0 && data[i + 1] === 0 && data[i + 2] === 1) {
      if (start >= 0) out.push(data.subarray(start, data[i - 1] === 0 ? i - 1 : i));
      start = i + 3;
      i += 2;
    }
  }
  if (start >= 0) out.push(data.subarray(start));
  return out;
}
function accessUnits(data) {
  const units = [];
  let sps, pps;
  for (const nal of nals(data)) {
    const type = nal[0] & 31;
    if (type === 7) sps = nal;
    else if (type === 8) pps = nal;
    else if (type === 5 || type === 1) {
      if (nal[1] & 0x80) units.push({ key: type === 5, nals: [nal] });
      else units.at(-1)?.nals.push(nal);
    }
  }
  units.sps = sps;
  units.pps = pps;
  return units;
}

export class Stream {
  serve(ws, camera) {
    const { units } = make();
    if (!units.length) return ws.send(JSON.stringify({ t: 'error', code: 'stalled' }));
    const { sps, pps } = units;
    const avcC = Buffer.concat([Buffer.from([1, sps[1], sps[2], sps[3], 0xff, 0xe1, sps.length >> 8, sps.length & 255]), sps, Buffer.from([1, pps.length >> 8, pps.length & 255]), pps]);
    const hex = (n) => n.toString(16).padStart(2, '0');
    ws.send(JSON.stringify({ t: 'config', codec: `avc1.${hex(sps[1])}${hex(sps[2])}${hex(sps[3])}`, description: avcC.toString('base64'), width: 640, height: 360, timescale: 90000 }));
    let n = [...camera].reduce((a, c) => a + c.charCodeAt(0), 0) % 4 * 20;
    while (!units[n % units.length].key) n++;
    const t0 = Date.now();
    let k = 0;
    const timer = setInterval(() => {
      while (k / FPS <= (Date.now() - t0) / 1000) {
        const unit = units[n++ % units.length];
        const head = Buffer.alloc(24);
        head[0] = unit.key ? 1 : 0;
        head.writeBigInt64BE(BigInt(t0 + Math.round((k * 1000) / FPS) - 60) * 1000n, 8);
        head.writeBigInt64BE(BigInt(Math.round((k * 90000) / FPS)), 16);
        const body = unit.nals.flatMap((nal) => { const len = Buffer.alloc(4); len.writeUInt32BE(nal.length); return [len, nal]; });
        ws.send(Buffer.concat([head, ...body]));
        k++;
      }
    }, 1000 / FPS);
    ws.on('close', () => clearInterval(timer));
  }
}
