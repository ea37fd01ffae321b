// A call that prints the status of each try as a line, and goes on after a 429 once a line comes back.
import fs from "node:fs";
import readline from "node:readline";
import OpenAI, { toFile } from "openai";
import { baseURL, print, rest } from "./client.mjs";

const lines = readline.createInterface({ input: process.stdin });
const answered = async (...request) => {
  const response = await fetch(...request);
  console.log(response.status);
  if (response.status === 429) await new Promise((resolve) => lines.once("line", resolve));
  return response;
};
answered.Response = Response; // or the SDK would fetch "data:," to find it
const client = new OpenAI({ baseURL, apiKey: "none", fetch: answered });
const file = await toFile(fs.readFileSync(rest[0]), "clip.wav"); // of a stream the SDK sends no second copy
print(await client.audio.transcriptions.create({ file, model: "whisper-1" }));
lines.close();
