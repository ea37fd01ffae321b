// The list of models, each of them alone, and what becomes of one that is not there.
import { client, print, thrown } from "./client.mjs";

const listed = [];
for await (const model of client.models.list()) listed.push(model);
const retrieved = [];
for (const { id } of listed) retrieved.push(await client.models.retrieve(id));
const unknown = await thrown(() => client.models.retrieve("openai/gpt-9000"));
print({ listed, retrieved, unknown });
