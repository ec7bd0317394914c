// What this browser remembers of its user's taste. Nothing here is a secret and nothing depends on it.
function read(key: string): string {
  try {
    return localStorage.getItem(`gatehouse.${key}`) ?? '';
  } catch {
    return '';
  }
}
function write(key: string, value: string): void {
  try {
    localStorage.setItem(`gatehouse.${key}`, value);
  } catch {
    // Forgotten at reload, no more.
  }
}

class Prefs {
  theme = $state<'dark' | 'light'>(read('theme') === 'light' ? 'light' : 'dark');
  sound = $state(read('sound') !== 'off');
  wall = $state.raw<(string | null)[]>(parseWall(read('wall')));

  setTheme(theme: 'dark' | 'light'): void {
    this.theme = theme;
    write('theme', theme);
  }
  setSound(on: boolean): void {
    this.sound = on;
    write('sound', on ? 'on' : 'off');
  }
  setWall(wall: (string | null)[]): void {
    this.wall = wall;
    write('wall', JSON.stringify(wall));
  }
}

function parseWall(text: string): (string | null)[] {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.map((x) => (typeof x === 'string' ? x : null)).slice(0, 16) : [];
  } catch {
    return [];
  }
}

export const prefs = new Prefs();
