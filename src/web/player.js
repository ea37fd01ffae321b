/** The player of a file: sound or film, the ribbon of its words as the bar to seek in, and its speed. */

import { button, element, svgElement } from "./element.js";
import { mediaTime, spokenTime } from "./media_time.js";
import { ribbonPath } from "./ribbon.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3];
const COLUMNS = 240;
const HEIGHT = 40;
const ICONS = { play: "M5 3v14l12-7z", pause: "M5 3h3.5v14H5zM11.5 3H15v14h-3.5z" };

export class Player {
  #media;
  #address;
  #duration_s;
  #subtitles = "";
  #frame = 0;
  #second = -1;
  #onTime;

  /**
   * @param {File} file
   * @param {{duration: number | null, hasPicture: boolean}} facts
   * @param {{get: Function, set: Function}} settings Keeps the speed.
   * @param {{onTime: (time_s: number, isPlaying: boolean) => void, onUnplayable: () => void}} calls `onTime` is called
   *   at each frame while it plays, and after a jump.
   */
  constructor(file, facts, settings, { onTime, onUnplayable }) {
    this.#onTime = onTime;
    this.#duration_s = facts.duration;
    this.#address = URL.createObjectURL(file);
    this.#media = this.#newMedia(facts);
    this.#speed = this.#newSpeed(settings);
    this.#build(facts);
    this.#listen(onUnplayable);
  }

  #speed;
  #toggle;
  #icon;
  #time;
  #position;
  #bars;

  /** Length of the file in seconds, or null as long as it is unknown. */
  get duration_s() {
    return this.#duration_s;
  }

  /** Seconds of the file where the sound is. */
  get time_s() {
    return this.#media.currentTime;
  }

  /** Play from a time; null plays or pauses where the sound is. */
  play(time_s) {
    if (time_s === null && !this.#media.paused) return this.#media.pause();
    if (time_s !== null) this.#media.currentTime = time_s;
    this.#media.play().catch(() => {}); // paused at once, or unplayable, which is an event of its own
  }

  /** Draw the words so far; `duration_s` is the length as the service counts it, if it has said so. */
  draw(words, duration_s) {
    this.#duration_s = duration_s ?? this.#duration_s;
    if (!this.#duration_s) return;
    this.#position.max = String(this.#duration_s);
    this.#second = -1;
    const path = ribbonPath(words, this.#duration_s, COLUMNS, HEIGHT);
    for (const bar of this.#bars) bar.setAttribute("d", path);
    this.#update();
  }

  /** Show subtitles over the picture. */
  addSubtitles(vtt, language) {
    if (!(this.#media instanceof HTMLVideoElement)) return;
    this.#subtitles = URL.createObjectURL(new Blob([vtt], { type: "text/vtt" }));
    const track = element("track", { kind: "subtitles", label: "Transcript", srclang: language, src: this.#subtitles });
    this.#media.append(track);
    track.track.mode = "showing";
  }

  /** Let go of the file. */
  close() {
    cancelAnimationFrame(this.#frame);
    this.#media.pause();
    this.#media.removeAttribute("src");
    this.#media.load();
    URL.revokeObjectURL(this.#address);
    if (this.#subtitles) URL.revokeObjectURL(this.#subtitles);
    this.element.remove();
  }

  #newMedia({ hasPicture }) {
    const attributes = { src: this.#address, preload: hasPicture ? "metadata" : "none" };
    return hasPicture
      ? element("video", { ...attributes, controls: true, playsinline: true })
      : element("audio", attributes);
  }

  #newSpeed(settings) {
    const chosen = settings.get("files-speed", 1);
    const options = SPEEDS.map((speed) => element("option", { value: String(speed), selected: speed === chosen }, `${speed}\u00d7`));
    const speed = element("select", { class: "speed", "aria-label": "Playback speed" }, ...options);
    const apply = () => (this.#media.playbackRate = this.#media.defaultPlaybackRate = Number(speed.value));
    speed.addEventListener("change", () => {
      settings.set("files-speed", Number(speed.value));
      apply();
    });
    apply();
    return speed;
  }

  #build({ hasPicture }) {
    this.#icon = svgElement("path", { d: ICONS.play });
    const icon = svgElement("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, this.#icon);
    this.#toggle = button("", () => this.play(null), { class: "play", "aria-label": "Play" });
    this.#toggle.append(icon);
    this.#time = element("span", { class: "player-time" });
    const range = { type: "range", min: "0", max: String(this.#duration_s ?? 0), step: "any", value: "0" };
    this.#position = element("input", { ...range, "aria-label": "Position" });
    this.#bars = ["", "heard-bars"].map((kind) => svgElement("path", { class: kind, d: "" }));
    const box = { viewBox: `0 0 ${COLUMNS} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    const ribbon = element("div", { class: "ribbon" }, svgElement("svg", box, ...this.#bars), this.#position);
    const bar = element("div", { class: "player-bar" }, this.#toggle, ribbon, this.#time, this.#speed);
    this.element = element("div", { class: hasPicture ? "player film" : "player" }, this.#media, bar);
    this.#update();
  }

  #listen(onUnplayable) {
    const media = this.#media;
    media.addEventListener("play", () => this.#playing());
    media.addEventListener("pause", () => this.#showIcon());
    media.addEventListener("seeked", () => this.#update());
    media.addEventListener("error", onUnplayable, { once: true });
    media.addEventListener("durationchange", () => {
      if (Number.isFinite(media.duration)) this.#duration_s ??= media.duration;
      this.#update();
    });
    this.#position.addEventListener("input", () => this.#jump(Number(this.#position.value)));
    this.#position.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** Arrow keys go 5 s, in a short file 1 s: a tenth of a percent, as browsers have it, is no use in hours. */
  #pressed(event) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 6, PageDown: -6 };
    const step_s = (steps[event.key] ?? 0) * ((this.#duration_s ?? 0) < 60 ? 1 : 5);
    if (!step_s) return;
    event.preventDefault();
    this.#jump(Math.min(Math.max(0, this.time_s + step_s), this.#duration_s));
  }

  /** Go to a time. The bar goes there at once, also while the file is not loaded. */
  #jump(time_s) {
    this.#media.currentTime = time_s;
    this.#update();
  }

  #playing() {
    this.#showIcon();
    cancelAnimationFrame(this.#frame);
    const next = () => {
      this.#update();
      if (!this.#media.paused) this.#frame = requestAnimationFrame(next);
    };
    next();
  }

  #showIcon() {
    const isPaused = this.#media.paused;
    this.#toggle.setAttribute("aria-label", isPaused ? "Play" : "Pause");
    this.#icon.setAttribute("d", isPaused ? ICONS.play : ICONS.pause);
  }

  #update() {
    const { time_s } = this;
    const share = this.#duration_s ? Math.min(1, time_s / this.#duration_s) : 0;
    this.#bars[1].style.clipPath = `inset(0 ${((1 - share) * 100).toFixed(3)}% 0 0)`;
    this.#position.value = String(time_s);
    if (Math.floor(time_s) !== this.#second) this.#showTime(time_s);
    this.#onTime(time_s, !this.#media.paused);
  }

  #showTime(time_s) {
    this.#second = Math.floor(time_s);
    const length = this.#duration_s;
    this.#time.textContent = length ? `${mediaTime(time_s)} / ${mediaTime(length)}` : mediaTime(time_s);
    this.#position.setAttribute("aria-valuetext", length ? `${spokenTime(time_s)} of ${spokenTime(length)}` : spokenTime(time_s));
  }
}
