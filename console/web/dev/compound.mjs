// The mock's compound: places, plan, devices, people, stories. Development only; nothing here is shipped.
import { randomUUID } from 'node:crypto';

let seed = 7;
export const rnd = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
export const id = () => randomUUID();
export const ago = (s) => new Date(Date.now() - s * 1000).toISOString();
const rect = (x, y, w, h) => [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];

const P = {};
function place(key, parent, kind, name, name_zh, plan) {
  P[key] = { id: id(), key, parent: parent ? P[parent].id : null, kind, name, name_zh, ...(plan && { plan }) };
}
place('site', null, 'site', 'Cedar Court', '雪松苑', {
  width: 180, height: 120,
  shapes: [
    { kind: 'green', points: rect(0, 0, 180, 120) },
    { kind: 'road', points: rect(0, 88, 180, 14) },
    { kind: 'road', points: rect(84, 20, 12, 68) },
    { kind: 'road', points: rect(20, 20, 140, 8) },
    { kind: 'water', points: [[112, 46], [126, 42], [136, 50], [128, 60], [114, 58]], label: 'Pond', label_zh: '景观湖' },
    { kind: 'room', points: rect(22, 34, 40, 22), label: 'Building 1', label_zh: '1 号楼' },
    { kind: 'room', points: rect(22, 62, 40, 20), label: 'Building 2', label_zh: '2 号楼' },
    { kind: 'room', points: rect(116, 66, 42, 16), label: 'Building 3', label_zh: '3 号楼' },
    { kind: 'room', points: rect(100, 90, 12, 9), label: 'Gatehouse', label_zh: '门岗' },
    { kind: 'wall', points: [[4, 4], [176, 4], [176, 86]] },
    { kind: 'wall', points: [[4, 4], [4, 86], [78, 86]] },
    { kind: 'wall', points: [[118, 86], [176, 86]] },
  ],
});
const floor = {
  width: 40, height: 22,
  shapes: [
    { kind: 'room', points: rect(0, 0, 40, 22) },
    { kind: 'room', points: rect(0, 0, 13, 9), label: '101', label_zh: '101 室' },
    { kind: 'room', points: rect(13, 0, 14, 9), label: '102', label_zh: '102 室' },
    { kind: 'room', points: rect(27, 0, 13, 9), label: '103', label_zh: '103 室' },
    { kind: 'room', points: rect(0, 13, 10, 9), label: 'Pump room', label_zh: '水泵房' },
    { kind: 'room', points: rect(16, 13, 8, 9), label: 'Lifts', label_zh: '电梯厅' },
    { kind: 'room', points: rect(30, 13, 10, 9), label: 'Stair', label_zh: '楼梯间' },
    { kind: 'label', points: [[13, 11]], label: 'Corridor', label_zh: '走廊' },
  ],
};
place('b1', 'site', 'building', 'Building 1', '1 号楼');
place('b1-1f', 'b1', 'floor', 'Floor 1', '1 层', floor);
place('b1-12f', 'b1', 'floor', 'Floor 12', '12 层', floor);
place('b2', 'site', 'building', 'Building 2', '2 号楼');
place('b2-1f', 'b2', 'floor', 'Floor 1', '1 层', floor);
place('b3', 'site', 'building', 'Building 3', '3 号楼');
place('gate-n', 'site', 'space', 'South gate', '南大门');
place('wall-e', 'site', 'space', 'East wall', '东侧围墙');
export const places = Object.values(P);

export const devices = [];
const D = {};
function device(key, kind, name, name_zh, at, x, y, state, verbs, points, cameras = [], model = '') {
  const d = {
    id: id(), key, kind, name, name_zh, place: P[at].id, x, y, presence: 'online', state, severity: 0, since: ago(600 + rnd() * 90000),
    points: Object.fromEntries(Object.entries(points).map(([k, [value, unit]]) => [k, { value, unit, at: ago(rnd() * 60) }])),
    cameras: cameras.map((c) => D[c].id), verbs, announced: key.startsWith('ha-'), model,
  };
  D[key] = d;
  devices.push(d);
}
const cam = (key, name, zh, at, x, y) => device(key, 'camera', name, zh, at, x, y, 'live', [], { fps: [15, ''], kbps: [1180, 'kb/s'] }, [], 'Virtual RTSP camera');
cam('cam-gate-in', 'Gate, entry', '南门入口', 'gate-n', 86, 104);
cam('cam-gate-out', 'Gate, exit', '南门出口', 'gate-n', 95, 104);
cam('cam-b1-lobby', 'Building 1 lobby', '1 号楼大堂', 'b1-1f', 20, 11);
cam('cam-b1-12f', 'Building 1 floor 12', '1 号楼 12 层走廊', 'b1-12f', 20, 11);
cam('cam-lift', 'Lift 1 cabin', '1 号梯轿厢', 'b1-1f', 20, 16);
cam('cam-east', 'East wall', '东侧围墙', 'wall-e', 172, 46);
const door = (key, name, zh, at, x, y, c) => device(key, 'door', name, zh, at, x, y, 'secured', ['unlock', 'lock', 'release', 'restore'], { contact: ['closed', ''], lock: ['locked', ''] }, [c], 'OSDP reader');
door('door-b1', 'Building 1 entrance', '1 号楼单元门', 'b1-1f', 20, 21, 'cam-b1-lobby');
door('door-b1-12', 'Building 1 floor 12 stair', '1 号楼 12 层楼梯门', 'b1-12f', 31, 12, 'cam-b1-12f');
door('door-b2', 'Building 2 entrance', '2 号楼单元门', 'b2-1f', 20, 21, 'cam-b1-lobby');
door('door-pump', 'Pump room', '水泵房门', 'b1-1f', 9, 14, 'cam-b1-lobby');
const gate = (key, name, zh, x, c) => device(key, 'barrier', name, zh, 'gate-n', x, 96, 'down', ['open', 'close'], { position: [0, '%'], loop: [false, ''] }, [c], 'Barrier controller');
gate('gate-in', 'Entry barrier', '入口道闸', 86, 'cam-gate-in');
gate('gate-out', 'Exit barrier', '出口道闸', 94, 'cam-gate-out');
device('lift-1', 'elevator', 'Lift 1', '1 号梯', 'b1-1f', 18, 17, 'idle', ['recall', 'resume'], { floor: [1, ''], load: [0, '%'], doors: ['closed', ''] }, ['cam-lift'], 'GB/T 24476');
device('lift-2', 'elevator', 'Lift 2', '2 号梯', 'b1-1f', 22, 17, 'moving', ['recall', 'resume'], { floor: [7, ''], load: [24, '%'], doors: ['closed', ''] }, ['cam-lift'], 'GB/T 24476');
device('fire', 'fire_panel', 'Fire panel', '消防主机', 'b1-1f', 27, 14, 'normal', ['silence', 'reset'], { zones: [6, ''] }, ['cam-b1-12f'], 'GB 26875');
device('fence-e', 'perimeter', 'East fence beam', '东墙红外对射', 'wall-e', 175, 40, 'armed', ['arm', 'disarm'], { tamper: [false, ''] }, ['cam-east'], 'IR beam');
const meters = [
  ['meter-p1', 'Power, building 1', '1 号楼电表', 'b1-1f', 3, 15, { power: [42.6, 'kW'], energy: [128440.2, 'kWh'] }],
  ['meter-p2', 'Power, building 2', '2 号楼电表', 'b2-1f', 3, 15, { power: [38.1, 'kW'], energy: [98212.7, 'kWh'] }],
  ['meter-w1', 'Water, building 1', '1 号楼水表', 'b1-1f', 6, 18, { flow: [1.4, 'm³/h'], volume: [8812.5, 'm³'] }],
  ['meter-w2', 'Water, building 2', '2 号楼水表', 'b2-1f', 6, 18, { flow: [0.9, 'm³/h'], volume: [7402.1, 'm³'] }],
];
for (const [k, n, z, at, x, y, p] of meters) device(k, 'meter', n, z, at, x, y, 'normal', [], p, [], 'DL/T 645');
device('ha-smoke-12', 'sensor', 'Smoke, floor 12', '12 层烟感', 'b1-12f', 14, 10, 'normal', [], { smoke: [false, ''], battery: [94, '%'] }, ['cam-b1-12f'], 'Home Assistant discovery');
device('ha-leak-pump', 'sensor', 'Leak, pump room', '水泵房漏水', 'b1-1f', 4, 19, 'normal', [], { leak: [false, ''], battery: [88, '%'] }, ['cam-b1-lobby'], 'Home Assistant discovery');
device('ha-temp-pump', 'sensor', 'Temperature, pump room', '水泵房温度', 'b1-1f', 7, 21, 'normal', [], { temperature: [23.4, '°C'], humidity: [61, '%'] }, [], 'Home Assistant discovery');
device('ha-press', 'sensor', 'Hydrant pressure', '消火栓水压', 'b2-1f', 8, 19, 'normal', [], { pressure: [0.42, 'MPa'] }, [], 'Modbus');
for (let n = 1; n <= Number(process.env.MOCK_EXTRA ?? 24); n++) {
  device(`env-${String(n).padStart(4, '0')}`, 'sensor', `Flat ${100 + n} smoke`, `${100 + n} 室烟感`, n % 2 ? 'b1-1f' : 'b2-1f', 2 + (n % 12) * 3, 2 + Math.floor(n / 12) * 3, 'normal', [], { smoke: [false, ''], temperature: [20 + rnd() * 6, '°C'] }, [], 'LoRa');
}
D['meter-w2'].presence = 'stale';
export { D, P };

const PEOPLE = [
  ['李静', 'resident', '1-1203', '6621', '京A·12345'], ['王建国', 'resident', '1-0802', '0917', '京N·8Q7K2'], ['陈思远', 'tenant', '2-0501', '4410', '沪AD·12345'],
  ['赵敏', 'staff', '物业中心', '8803', ''], ['孙浩', 'staff', '保安队', '1276', ''], ['周晓彤', 'visitor', '访 1-1203', '3345', '粤B·6688X'],
  ['Marta Novak', 'resident', '3-0301', '7751', ''], ['吴磊', 'resident', '3-1102', '2098', '京Q·77F21'],
];
export const people = PEOPLE.map(([name, kind, unit, tail, plate], n) => ({
  id: id(), name, kind, unit, phone_tail: tail, note: n === 5 ? '每周二保洁' : '', levels: kind === 'staff' ? ['all-doors'] : ['residents'],
  credentials: [
    { id: id(), kind: 'card', value: `••••••${String(4210 + n * 37)}`, valid_from: null, valid_until: kind === 'visitor' ? ago(-86400 * 3) : null, enabled: true },
    ...(plate ? [{ id: id(), kind: 'plate', value: plate.replace('·', ''), valid_from: null, valid_until: null, enabled: true }] : []),
  ],
  face: n < 4 ? face({ enrolled: true, photos: 3, consent_at: ago(86400 * (20 + n)), consent_version: '1.0a1b2c3d', model: 'fr_feature/0.0.1', dimension: 512 }) : face(),
}));
/** What is kept of a face; nothing unless said. */
export function face(kept = {}) {
  return { enrolled: false, photos: 0, model: '', dimension: 0, consent_at: null, consent_version: '', guardian: null, ask_again: null, enrol_again: false, still_at: [], removals: [], ...kept };
}
export const faceNotice = { version: '1.0a1b2c3d', zh: '一、谁处理：演示物业。\n二、目的：仅用于刷脸开门。', en: '1. Who: the mock.\n2. Purpose: only to open doors by face.', renew_days: 365 };
export const levels = [
  { key: 'residents', name: 'Residents', name_zh: '业主通行', doors: ['door-b1', 'door-b2'], schedule: '24/7' },
  { key: 'all-doors', name: 'All doors', name_zh: '全部门', doors: ['door-b1', 'door-b2', 'door-pump', 'door-b1-12'], schedule: '24/7' },
  { key: 'plant', name: 'Plant rooms', name_zh: '设备间', doors: ['door-pump'], schedule: '08:00–18:00' },
];

export const stories = [
  ['fire', 'Fire on floor 12', '12 层起火', 'Smoke, then a confirmed alarm: doors release, lifts recall, the camera comes up.', '烟感报警并确认：门禁释放、电梯迫降、摄像机弹出。', 40],
  ['car_known', 'A resident drives in', '业主开车入园', 'The plate is read and the barrier opens.', '识别车牌，道闸抬起。', 12],
  ['car_unknown', 'An unknown car', '陌生车辆', 'The plate is not registered: the guard decides.', '车牌未登记，由保安决定。', 12],
  ['door_forced', 'A door is forced', '强行开门', 'A door opens with no grant.', '无授权开门。', 10],
  ['lift_trapped', 'Passenger trapped', '电梯困人', 'Lift 1 stops between floors.', '1 号梯停在层间。', 20],
  ['flood', 'Alarm flood', '报警潮', 'Fourteen alarms in a few seconds.', '几秒内十四条报警。', 8],
  ['resident_face', 'A resident at the door', '业主刷脸开门', 'The face is recognised and the door opens.', '人脸识别后开门。', 10],
].map(([key, name, name_zh, about, about_zh, seconds]) => ({ key, name, name_zh, about, about_zh, seconds }));

const en = (e, z) => ({ en: e, zh: z });
export const sops = {
  fire: {
    title: en('Fire: response', '火灾处置程序'), cause: en('Smoke or heat at the detector; cooking, works, or a real fire.', '探测器处有烟或高温：烹饪、施工或真实火情。'),
    consequence: en('Smoke spreads to the stair in about three minutes.', '约三分钟后烟气进入楼梯间。'),
    steps: [['look', 'Look at the linked camera', '查看联动摄像机画面'], ['doors', 'Check that the doors have released', '确认门禁已释放'], ['call', 'Send the nearest guard, call 119', '派最近的保安到场，拨打 119'], ['lift', 'Check that the lifts have recalled', '确认电梯已迫降'], ['verdict', 'Record real, false or test', '记录结论：真实、误报或测试']].map(([k, e, z]) => ({ id: k, text: en(e, z) })),
  },
  other: {
    title: en('Check and report', '核实与上报'), cause: en('The device reports a state outside what is expected.', '设备上报了非预期状态。'), consequence: en('The cause stays unknown and may grow.', '原因不明，可能扩大。'),
    steps: [['look', 'Look at the linked camera', '查看联动摄像机画面'], ['go', 'Send someone to look', '派人到场查看'], ['verdict', 'Record what was found', '记录结果']].map(([k, e, z]) => ({ id: k, text: en(e, z) })),
  },
};
