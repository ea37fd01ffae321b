// The Azure clients, with the service's address as the argument and the rest as a JSON object on stdin. Prints the text of
// the file `clip`, and the events up to the one of the type `last` of sessions to which the events `steps` were sent.
import fs from "node:fs";
import { text } from "node:stream/consumers";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS as BetaWS } from "openai/beta/realtime/ws";
import { OpenAIRealtimeWebSocket as BetaWebSocket } from "openai/beta/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

const [endpoint] = process.argv.slice(2);
const { clip, key, deployment, steps, last } = JSON.parse(await text(process.stdin));
const options = { endpoint, deployment, apiVersion: "2024-10-21", maxRetries: 0 };
const clients = {
  key: new AzureOpenAI({ ...options, apiKey: key }),
  token: new AzureOpenAI({ ...options, azureADTokenProvider: async () => key }),
};
const sockets = {
  "ga ws": OpenAIRealtimeWS,
  "ga WebSocket": OpenAIRealtimeWebSocket,
  "beta ws": BetaWS,
  "beta WebSocket": BetaWebSocket,
};

/** Does the steps on a connection of its own, and returns its events up to the one of the type `last`. */
async function talk(kind, client) {
  const connection = await kind.azure(client, { dangerouslyAllowBrowser: true });
  const events = [];
  await new Promise((resolve, reject) => {
    connection.on("event", (event) => events.push(event) && event.type === last && resolve());
    connection.on("error", reject);
    connection.socket.addEventListener("open", () => steps.forEach((step) => connection.send(step)));
  });
  connection.close();
  return events;
}

const seen = {};
for (const [name, client] of Object.entries(clients)) {
  const file = fs.createReadStream(clip);
  seen[name] = { text: (await client.audio.transcriptions.create({ file, model: "another" })).text };
  for (const [kind, socket] of Object.entries(sockets)) seen[name][kind] = await talk(socket, client);
}
console.log(JSON.stringify(seen));
