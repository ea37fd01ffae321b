// The AI SDK, whose schema takes nothing but the exact shape, with each of the calls of the third argument.
import fs from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";
import { baseURL, print, rest } from "./client.mjs";

const [clip, calls] = rest;
const provider = createOpenAI({ baseURL, apiKey: "none" });
const answers = [];
for (const { model, options } of JSON.parse(calls)) {
  try {
    const { text, segments, language, durationInSeconds, warnings } = await transcribe({
      model: provider.transcription(model),
      audio: fs.readFileSync(clip),
      maxRetries: 0,
      ...(options && { providerOptions: { openai: options } }),
    });
    answers.push({ text, segments, language, durationInSeconds, warnings });
  } catch (error) {
    answers.push({ error: error.name, message: error.message, cause: String(error.cause ?? "") });
  }
}
print(answers);
