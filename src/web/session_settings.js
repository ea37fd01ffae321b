/** The settings of a transcription session, as the service wants them ("Realtime API reference", session.update). */

const MAX_WORDS = 100;
const MAX_LENGTH = 100;
/** What the service takes of hot words: so many, each of so many characters. */

/** Split hot words as people write them: by commas, semicolons or line breaks; each once, as many as the service takes. */
export function hotWords(text) {
  return allHotWords(text).filter(isShort).slice(0, MAX_WORDS);
}

/** Return what `hotWords` leaves out, in words; empty if nothing. */
export function hotWordsNote(text) {
  const words = allHotWords(text);
  const long = words.find((each) => !isShort(each));
  if (long) return `“${[...long].slice(0, 20).join("")}…” is left out: a hot word has ${MAX_LENGTH} characters at most.`;
  return words.length > MAX_WORDS ? `Only the first ${MAX_WORDS} of these ${words.length} are used.` : "";
}

function allHotWords(text) {
  const words = text.split(/[,;\n]/).map((each) => each.trim());
  return [...new Set(words.filter(Boolean))];
}

function isShort(word) {
  return [...word].length <= MAX_LENGTH;
}

/**
 * Return the `session` of `session.update`.
 * @param {object} choice
 * @param {number} choice.rate - of the audio, samples a second
 * @param {string} choice.language - a code; empty: the model's choice
 * @param {string} choice.hotWords - as the user wrote them
 * @param {number} choice.pauseMs - the pause that ends a turn
 * @param {boolean} choice.hypothesis - whether provisional words are wanted
 */
export function sessionOf({ rate, language, hotWords: words, pauseMs, hypothesis }) {
  return {
    type: "transcription",
    audio: {
      input: {
        format: { type: "audio/pcm", rate },
        transcription: { language: language || null, keywords: hotWords(words) },
        turn_detection: { type: "server_vad", silence_duration_ms: pauseMs },
      },
    },
    include: hypothesis ? ["item.input_audio_transcription.hypothesis"] : [],
  };
}
