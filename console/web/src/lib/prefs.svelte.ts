// What this browser remembers of its user's taste. Nothing here is a secret and nothing depends on it.
import { choiceOf, type Choice } from '../video/choice';

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
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

class Prefs {
  theme = $state<'dark' | 'light'>(read('theme') === 'light' ? 'light' : 'dark');
  sound = $state(read('sound') !== 'off');
  /** What the wall of this workplace shows: it goes with the monitors, not with who is signed in. */
  wall = $state.raw<Choice>(choiceOf(parsed(read('wall'))));

  setTheme(theme: 'dark' | 'light'): void {
    this.theme = theme;
    write('theme', theme);
  }
  setSound(on: boolean): void {
    this.sound = on;
    write('sound', on ? 'on' : 'off');
  }
  setWall(wall: Choice): void {
    this.wall = wall;
    write('wall', JSON.stringify(wall));
  }
}

export const prefs = new Prefs();
