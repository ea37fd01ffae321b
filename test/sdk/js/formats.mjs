// The clip of the second argument in every format from every kind of file: {file: {format: answer}}.
import fs from "node:fs";
import { toFile } from "openai";
import { client, print, rest } from "./client.mjs";

const [clip] = rest;
const files = {
  "fs stream": () => fs.createReadStream(clip),
  "toFile of a Buffer": () => toFile(fs.readFileSync(clip), "a.wav"),
  "toFile of a stream": () => toFile(fs.createReadStream(clip)),
  File: () => new File([fs.readFileSync(clip)], "a.ogg", { type: "audio/ogg" }),
  Response: () => new Response(fs.readFileSync(clip)),
};

const answers = {};
for (const [name, file] of Object.entries(files)) {
  answers[name] = {};
  for (const response_format of ["json", "text", "srt", "vtt", "verbose_json"]) {
    answers[name][response_format] = await client.audio.transcriptions.create({
      file: await file(),
      model: "whisper-1",
      response_format,
    });
  }
}
print(answers);
