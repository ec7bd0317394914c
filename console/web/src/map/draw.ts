// Paints a plan: grey rooms, a glyph per device, colour only where there is an alarm.
import type { Device, Plan, Priority, Shape } from '../api/types';
import { abnormal, type View } from './plan';

export interface Ink {
  ground: string;
  room: string;
  line: string;
  road: string;
  green: string;
  water: string;
  text: string;
  bright: string;
  muted: string;
  glyph: string;
  focus: string;
  alarm: Record<Priority, string>;
  onAlarm: string;
}

export function inkFrom(style: CSSStyleDeclaration, light: boolean): Ink {
  const v = (name: string) => style.getPropertyValue(name).trim();
  return {
    ground: v('--sunk'), room: v('--panel'), line: v('--strong'), road: light ? '#dde2e7' : '#2a2f36',
    green: light ? '#e3e8e2' : '#242a28', water: light ? '#dfe6ec' : '#222a31', text: v('--text'), bright: v('--bright'),
    muted: v('--muted'), glyph: v('--raised'), focus: v('--focus'),
    alarm: { 1: v('--p1'), 2: v('--p2'), 3: v('--p3'), 4: v('--p4') }, onAlarm: v('--on-p'),
  };
}

// Each kind's sign, drawn in a box from −5 to 5.
const SIGNS: Record<Device['kind'], string> = {
  door: 'M-3 5V-5H3V5M1 0V1',
  barrier: 'M-4 5V-2M-4 -1L5 -4M-6 5H-2',
  camera: 'M-5 -3H2V3H-5ZM2 -1L5 -3V3L2 1',
  elevator: 'M-4 -5H4V5H-4ZM0 -5V5M-2.500 -1V1M2.500 -1V1',
  fire_panel: 'M0 -5C4 -1 4 5 0 5C-4 5 -3.500 1 -2 -1C-1 1 0 0 0 -5',
  perimeter: 'M-5 -4V5M0 -4V5M5 -4V5M-5 -1H5M-5 3H5',
  meter: 'M-5 3A5 5 0 1 1 5 3M0 2L3 -2',
  sensor: 'M-1.500 0A1.500 1.500 0 1 0 1.500 0A1.500 1.500 0 1 0 -1.500 0M-4 -4A6 6 0 0 0 -4 4M4 -4A6 6 0 0 1 4 4',
};
const signs = new Map<string, Path2D>();
const sign = (kind: Device['kind']): Path2D => {
  let path = signs.get(kind);
  if (!path) signs.set(kind, (path = new Path2D(SIGNS[kind])));
  return path;
};

export interface Scene {
  plan: Plan;
  view: View;
  devices: readonly Device[];
  selected: string | null;
  unacked: ReadonlySet<string>;
  zh: boolean;
  beat: number; // 0–1 through the blink; 0 when nothing should move
  name: (d: Device) => string;
}

export function drawScene(c: CanvasRenderingContext2D, width: number, height: number, ink: Ink, s: Scene): void {
  c.fillStyle = ink.ground;
  c.fillRect(0, 0, width, height);
  for (const shape of s.plan.shapes) drawShape(c, ink, s, shape);
  const order = [...s.devices].sort((a, b) => weight(a) - weight(b));
  for (const d of order) if (d.x !== undefined && d.y !== undefined) drawDevice(c, width, ink, s, d);
}

const weight = (d: Device): number => (d.severity > 0 ? 10 - d.severity : 0);

function drawShape(c: CanvasRenderingContext2D, ink: Ink, s: Scene, shape: Shape): void {
  const { view } = s;
  const at = ([x, y]: [number, number]): [number, number] => [view.x + x * view.scale, view.y + y * view.scale];
  const label = s.zh ? shape.label_zh || shape.label : shape.label || shape.label_zh;
  if (shape.kind !== 'label' && shape.points.length > 1) {
    c.beginPath();
    shape.points.forEach((p, n) => (n ? c.lineTo(...at(p)) : c.moveTo(...at(p))));
    if (shape.kind === 'wall') {
      c.strokeStyle = ink.line;
      c.lineWidth = Math.max(1.5, view.scale * 0.2);
      c.stroke();
    } else {
      c.closePath();
      c.fillStyle = { room: ink.room, road: ink.road, green: ink.green, water: ink.water }[shape.kind];
      c.fill();
      if (shape.kind === 'room') {
        c.strokeStyle = ink.line;
        c.lineWidth = 1;
        c.stroke();
      }
    }
  }
  if (label && shape.points.length) {
    let x = 0;
    let y = 0;
    for (const p of shape.points) {
      x += p[0] / shape.points.length;
      y += p[1] / shape.points.length;
    }
    const [px, py] = at([x, y]);
    c.font = '12px system-ui, sans-serif';
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.fillStyle = ink.muted;
    c.fillText(label, px, py);
  }
}

function drawDevice(c: CanvasRenderingContext2D, width: number, ink: Ink, s: Scene, d: Device): void {
  const x = s.view.x + d.x! * s.view.scale;
  const y = s.view.y + d.y! * s.view.scale;
  const r = 11;
  c.save();
  c.translate(x, y);
  if (d.severity > 0) {
    const colour = ink.alarm[d.severity as Priority];
    const waiting = s.unacked.has(d.id);
    c.globalAlpha = waiting ? 0.28 + 0.3 * (1 - s.beat) : 0.25;
    c.fillStyle = colour;
    c.beginPath();
    c.arc(0, 0, r + 7 + (waiting ? s.beat * 8 : 0), 0, Math.PI * 2);
    c.fill();
    c.globalAlpha = 1;
  }
  c.beginPath();
  outline(c, d.severity, r);
  c.fillStyle = d.severity > 0 ? ink.alarm[d.severity as Priority] : ink.glyph;
  c.fill();
  c.strokeStyle = d.id === s.selected ? ink.focus : abnormal(d) ? ink.bright : ink.line;
  c.lineWidth = d.id === s.selected ? 3 : abnormal(d) ? 2 : 1;
  if (d.presence === 'offline' || d.presence === 'unknown') c.setLineDash([3, 3]);
  c.stroke();
  c.setLineDash([]);
  c.strokeStyle = d.severity > 0 ? ink.onAlarm : d.presence === 'online' ? ink.text : ink.muted;
  c.lineWidth = 1.3;
  c.lineJoin = 'round';
  c.stroke(sign(d.kind));
  if (d.severity > 0 || d.id === s.selected || s.view.scale > 14) {
    const text = s.name(d);
    c.font = '12px system-ui, sans-serif';
    const half = c.measureText(text).width / 2 + 5;
    // A label at the edge is moved in, so that it can be read whole.
    const aside = Math.max(half + 4 - x, 0) - Math.max(x + half + 4 - width, 0);
    c.globalAlpha = 0.88;
    c.fillStyle = ink.ground;
    c.fillRect(aside - half, r + 4, half * 2, 17);
    c.globalAlpha = 1;
    c.fillStyle = ink.bright;
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.fillText(text, aside, r + 13);
  }
  c.restore();
}

/** The outline says the priority too: square, triangles, diamond; a circle has no alarm. */
function outline(c: CanvasRenderingContext2D, severity: Device['severity'], r: number): void {
  switch (severity) {
    case 0:
      c.arc(0, 0, r, 0, Math.PI * 2);
      break;
    case 1:
      c.rect(-r, -r, 2 * r, 2 * r);
      break;
    case 2:
      c.moveTo(0, -r * 1.5);
      c.lineTo(r * 1.5, r * 1.05);
      c.lineTo(-r * 1.5, r * 1.05);
      c.closePath();
      break;
    case 3:
      c.moveTo(0, r * 1.5);
      c.lineTo(r * 1.5, -r * 1.05);
      c.lineTo(-r * 1.5, -r * 1.05);
      c.closePath();
      break;
    case 4:
      c.moveTo(0, -r * 1.4);
      c.lineTo(r * 1.4, 0);
      c.lineTo(0, r * 1.4);
      c.lineTo(-r * 1.4, 0);
      c.closePath();
      break;
  }
}
