/** Subtitle files, byte for byte those of the service: cues as SubRip (srt) and as WebVTT (vtt). */

/**
 * @typedef {{start: number, end: number, text: string, speaker?: string}} Cue A cue as the service sends it; times in
 *   seconds. It has a speaker if speakers were asked for.
 */

/** @param {Cue[]} cues */
export function srt(cues) {
  return cues.map((cue, index) => `${index + 1}\n${timing(cue, ",")}\n${prefix(cue)}${cue.text}\n\n`).join("");
}

/** @param {Cue[]} cues */
export function vtt(cues) {
  return "WEBVTT\n\n" + cues.map((cue) => `${timing(cue, ".")}\n${voice(cue)}${escaped(cue.text)}\n\n`).join("");
}

function prefix({ speaker }) {
  return speaker ? `${withoutArrows(speaker)}: ` : "";
}

function voice({ speaker }) {
  return speaker ? `<v ${escaped(withoutArrows(speaker))}>` : "";
}

/** Both formats would read an arrow as the timing of a cue. */
function withoutArrows(text) {
  return text.replace(/-{2,}>/g, "->");
}

function timing(cue, point) {
  return `${timestamp(cue.start, point)} --> ${timestamp(cue.end, point)}`;
}

function timestamp(time_s, point) {
  const time_ms = Math.round(time_s * 1000);
  const parts = [time_ms / 3_600_000, (time_ms / 60_000) % 60, (time_ms / 1000) % 60];
  const [hours, minutes, seconds] = parts.map((part) => String(Math.floor(part)).padStart(2, "0"));
  return `${hours}:${minutes}:${seconds}${point}${String(time_ms % 1000).padStart(3, "0")}`;
}

/** Markup is text here. WebVTT allows a bare `>`, but FFmpeg drops it. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
