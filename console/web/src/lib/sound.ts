// The alarm tones: made, not fetched. One pattern per priority, repeated while something is unacknowledged.
import type { Priority } from '../api/types';

let context: AudioContext | null = null;

const PATTERN: Record<Priority, { hz: number[]; every: number }> = {
  1: { hz: [880, 660, 880, 660], every: 3_000 },
  2: { hz: [740, 740], every: 8_000 },
  3: { hz: [590], every: 30_000 },
  4: { hz: [], every: 0 },
};

export const repeatMs = (priority: Priority): number => PATTERN[priority].every;

export function beep(priority: Priority): void {
  try {
    context ??= new AudioContext();
    if (context.state === 'suspended') void context.resume();
    PATTERN[priority].hz.forEach((hz, n) => tone(context!, hz, context!.currentTime + n * 0.2));
  } catch {
    // No audio device: the blinking remains.
  }
}

function tone(audio: AudioContext, hz: number, at: number): void {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = 'triangle';
  oscillator.frequency.value = hz;
  gain.gain.setValueAtTime(0.0001, at);
  gain.gain.exponentialRampToValueAtTime(0.25, at + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.17);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(at);
  oscillator.stop(at + 0.18);
}
