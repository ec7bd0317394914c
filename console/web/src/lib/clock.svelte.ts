// The time, once a second, for clocks and ages.
import { live } from '../live/stores.svelte';

class Ticker {
  /** Server time in milliseconds, renewed every second. */
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = live.now()), 1000);
  }
}

export const ticker = new Ticker();
