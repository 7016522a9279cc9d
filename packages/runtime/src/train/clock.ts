/** Rates over the last steps, and the time left. */
export class Clock {
  readonly #start = performance.now();
  readonly #first: number;
  readonly #total: number;
  #last = performance.now();
  #rate = 0;

  /** @param first step of this process; @param total steps of the whole run */
  constructor(first: number, total: number) {
    this.#first = first;
    this.#total = total;
  }

  /** @returns `seconds` since this process began to train */
  tick(step: number, tokens: number): { seconds: number; tokensPerSecond: number; secondsLeft: number } {
    const now = performance.now();
    const rate = tokens / Math.max(1e-3, (now - this.#last) / 1000);
    this.#rate = this.#rate === 0 ? rate : 0.9 * this.#rate + 0.1 * rate;
    this.#last = now;
    const seconds = (now - this.#start) / 1000;
    const done = step + 1 - this.#first;
    return { seconds, tokensPerSecond: this.#rate, secondsLeft: (seconds / done) * (this.#total - step - 1) };
  }
}
