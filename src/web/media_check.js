/** What can be known of a file before it is sent: its size and, if the browser can play it, its length. */

import { mediaTime } from "./media_time.js";

/** Bytes of a form around its file: boundaries, names, options. */
const FORM_BYTES = 2048;
/** Seconds by which the length in a file's index may be wrong. */
const TOLERANCE_S = 1;
/** Seconds after which a browser that says nothing about a file counts as one that cannot play it. */
const PATIENCE_MS = 10_000;

/**
 * Return why the service would refuse a file, and the setting that says so; null if it would not.
 *
 * @param {{size: number, duration: number | null}} file Bytes, and seconds where they are known.
 * @param {{maxAudioSeconds: number, maxUploadMb: number}} limits
 * @returns {{sentence: string, remedy: string} | null}
 */
export function refusalOf({ size, duration }, { maxAudioSeconds, maxUploadMb }) {
  if (size === 0) return { sentence: "The file is empty.", remedy: "Choose another file." };
  if (size + FORM_BYTES > maxUploadMb * 1024 * 1024) {
    return tooLarge(`The file has ${fileSize(size)}; this service takes ${maxUploadMb} MB.`, "PARAKEET_MAX_UPLOAD_MB");
  }
  if (duration !== null && duration > maxAudioSeconds + TOLERANCE_S) {
    const lengths = `${mediaTime(duration)} long; this service takes ${mediaTime(maxAudioSeconds)}`;
    return tooLarge(`The file is ${lengths}.`, "PARAKEET_MAX_AUDIO_SECONDS");
  }
  return null;
}

function tooLarge(sentence, setting) {
  return { sentence, remedy: `Whoever runs the service can allow more with ${setting}.` };
}

/** Return a size in words: "12 kB", "3.4 MB", of 1024 bytes each, as in the service's settings. */
export function fileSize(bytes) {
  const [unit, size] = bytes < 1024 * 1000 ? ["kB", bytes / 1024] : ["MB", bytes / 1024 ** 2];
  return `${size < 10 ? Math.max(0.1, size).toFixed(1).replace(".0", "") : Math.round(size)} ${unit}`;
}

/**
 * Return what the browser knows of a file: its length in seconds (null if unknown), whether it has a picture, and
 * whether it can be played. Reads only the file's index.
 *
 * @param {File} file
 * @returns {Promise<{duration: number | null, hasPicture: boolean, isPlayable: boolean}>}
 */
export function mediaFacts(file) {
  const address = URL.createObjectURL(file);
  const media = document.createElement("video");
  return new Promise((resolve) => {
    const end = (facts) => {
      clearTimeout(patience);
      media.removeAttribute("src");
      media.load(); // frees the browser's player, of which it has only some tens
      URL.revokeObjectURL(address);
      resolve(facts);
    };
    const unknown = { duration: null, hasPicture: false, isPlayable: false };
    const patience = setTimeout(() => end(unknown), PATIENCE_MS);
    media.addEventListener("error", () => end(unknown), { once: true });
    media.addEventListener("loadedmetadata", () => end(factsOf(media)), { once: true });
    media.preload = "metadata";
    media.src = address;
  });
}

/** Recordings of a browser have no length in their index: it is infinite there. */
function factsOf(media) {
  const duration = Number.isFinite(media.duration) ? media.duration : null;
  return { duration, hasPicture: media.videoWidth > 0, isPlayable: true };
}
