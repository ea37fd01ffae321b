// One session of the realtime client of the second argument with the model of the third. Does the steps of stdin, a JSON
// list of events to send and of `wait`s for events; prints the events, the errors and how the connection ended.
import { text } from "node:stream/consumers";
import { OpenAIRealtimeWS as BetaWS } from "openai/beta/realtime/ws";
import { OpenAIRealtimeWebSocket as BetaWebSocket } from "openai/beta/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { client, print, rest } from "./client.mjs";

const clients = {
  "ga ws": OpenAIRealtimeWS,
  "ga WebSocket": OpenAIRealtimeWebSocket,
  "beta ws": BetaWS,
  "beta WebSocket": BetaWebSocket,
};
const [kind, model] = rest;
const steps = JSON.parse(await text(process.stdin));

const events = [];
const errors = [];
let notice = () => {};
const connection = new clients[kind]({ model }, client);
connection.on("event", (event) => {
  events.push(event);
  notice();
});
connection.on("error", (error) => {
  errors.push(error.error ?? { message: error.message });
  notice();
});
const once = (name) => new Promise((resolve) => connection.socket.addEventListener(name, resolve, { once: true }));
const closed = once("close");

const seen = ({ wait, times }) => events.filter(({ type }) => type === wait).length >= times;
/** Does the steps, as far as the connection lives. */
async function converse() {
  await once("open");
  for (const step of steps) {
    if (!step.wait) connection.send(step);
    else while (!seen(step)) await new Promise((resolve) => (notice = resolve));
  }
  connection.close();
}
converse();
const { code, wasClean } = await closed;
print({ events, errors, code, wasClean, protocol: connection.socket.protocol });
