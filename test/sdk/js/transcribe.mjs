// The clip of the second argument with each of the options of the third, a JSON list or the path of a file with one: the
// answers, a stream's as a list.
import fs from "node:fs";
import { client, print, rest, thrown } from "./client.mjs";

const [clip, options] = rest;
const answers = [];
for (const each of JSON.parse(options.startsWith("[") ? options : fs.readFileSync(options, "utf8"))) {
  const file = fs.createReadStream(clip);
  const answer = await thrown(() => client.audio.transcriptions.create({ file, model: "whisper-1", ...each }));
  if (each.stream && answer.returned) {
    const events = [];
    for await (const event of answer.returned) events.push(event);
    answer.returned = events;
  }
  answers.push(answer);
}
print(answers);
