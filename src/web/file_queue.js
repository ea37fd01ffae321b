/** The queue of files: which is checked, waits, is sent or has ended. It knows neither network nor page nor clock. */

/** Files that are sent or transcribed at a time. */
const MOST_ACTIVE = 2;

/** What may follow each state. Every change goes through `#move`. */
const FOLLOWING = {
  checking: ["waiting", "refused", "cancelled"],
  waiting: ["active", "cancelled"],
  active: ["waiting", "done", "failed", "cancelled"],
  refused: ["waiting"],
  failed: ["waiting"],
  cancelled: ["waiting"],
  done: [],
};

export class FileQueue {
  /** @type {Map<*, string>} */
  #states = new Map();
  #fullUntil_s = -Infinity;

  /** The state of a file: a key of `FOLLOWING`; undefined for one that is not in the queue. */
  state(file) {
    return this.#states.get(file);
  }

  /** Takes a file at the end; its size and length are to be checked. */
  add(file) {
    this.#states.set(file, "checking");
  }

  /** Takes the result of the check. */
  checked(file, isRefused) {
    this.#move(file, isRefused ? "refused" : "waiting");
  }

  /**
   * Returns the files to send now, in order, and counts them as active. While the service is full there are none.
   *
   * @param {number} now_s Seconds on any clock that only goes forward.
   */
  start(now_s) {
    if (now_s < this.#fullUntil_s) return [];
    const active = this.#count("active");
    const waiting = [...this.#states.keys()].filter((file) => this.#states.get(file) === "waiting");
    const started = waiting.slice(0, MOST_ACTIVE - active);
    for (const file of started) this.#move(file, "active");
    return started;
  }

  /** Seconds until files are sent again; 0 if the service is not full. */
  wait_s(now_s) {
    return Math.max(0, this.#fullUntil_s - now_s);
  }

  /** Takes back a file that the service was too full for. It keeps its place, and no other is sent before it. */
  full(file, now_s, retryAfter_s) {
    this.#move(file, "waiting");
    this.#fullUntil_s = Math.max(this.#fullUntil_s, now_s + retryAfter_s);
  }

  done(file) {
    this.#move(file, "done");
  }

  fail(file) {
    this.#move(file, "failed");
  }

  cancel(file) {
    this.#move(file, "cancelled");
  }

  /** Lets a file that failed, was refused or cancelled wait again, behind the others; or ends the wait of one that waits. */
  retry(file) {
    if (this.state(file) === "waiting") {
      this.#fullUntil_s = -Infinity;
      return;
    }
    this.#move(file, "waiting");
    this.#states.delete(file);
    this.#states.set(file, "waiting");
  }

  remove(file) {
    this.#states.delete(file);
  }

  /** Whether something would be lost if the page were left now. */
  get isBusy() {
    return this.#count("checking") + this.#count("waiting") + this.#count("active") > 0;
  }

  #count(state) {
    return [...this.#states.values()].filter((each) => each === state).length;
  }

  #move(file, state) {
    const before = this.#states.get(file);
    if (!FOLLOWING[before]?.includes(state)) throw new Error(`a file cannot be ${state} after ${before}`);
    this.#states.set(file, state);
  }
}
