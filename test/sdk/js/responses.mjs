// What lies around an answer: headers, request ids, an empty file, a translation.
import fs from "node:fs";
import { toFile } from "openai";
import { client, print, rest, thrown } from "./client.mjs";

const [clip] = rest;
const request = async (bytes) => ({ file: await toFile(bytes, "a.flac"), model: "whisper-1" });
const speech = await request(fs.readFileSync(clip));
const nothing = await request(Buffer.alloc(0));

const { data, response, request_id } = await client.audio.transcriptions.create(speech).withResponse();
const headers = Object.fromEntries(["content-type", "x-request-id", "openai-processing-ms"].map((name) => [name, response.headers.get(name)]));
print({
  data,
  headers,
  requestId: request_id,
  empty: await thrown(() => client.audio.transcriptions.create(nothing)),
  emptyStream: await thrown(() => client.audio.transcriptions.create({ ...nothing, stream: true })),
  translation: await thrown(() => client.audio.translations.create(speech)),
});
