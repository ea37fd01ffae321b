/** The settings of a transcription session, as the service wants them ("Realtime API reference", session.update). */

/** Split hot words as people write them: by commas, semicolons or line breaks; each once. */
export function hotWords(text) {
  const words = text.split(/[,;\n]/).map((each) => each.trim());
  return [...new Set(words.filter(Boolean))];
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
