// What the programs share. Each is run with the service's base URL as its first argument, and prints one JSON value.
import OpenAI from "openai";

export const [baseURL, ...rest] = process.argv.slice(2);

export const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

export const print = (value) => console.log(JSON.stringify(value));

/** Returns the error that `call` throws, as what the SDK's user sees of it. */
export async function thrown(call) {
  try {
    return { returned: await call() };
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status,
      code: error.code,
      param: error.param,
      type: error.type,
      message: error.error?.message,
      retryAfter: error.headers?.get("retry-after"),
      requestId: error.requestID,
    };
  }
}
