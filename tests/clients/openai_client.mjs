// The official JavaScript client of OpenAI against a node: each function is one promise.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { NODE_HTTP, MODEL: model } = process.env;
const client = new OpenAI({ baseURL: `${NODE_HTTP}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
// An answer that goes on for long unless something ends it.
const endless = { max_tokens: 4000, understudy: { constraint: { regex: "[a-z ]{2000}" } } };
const parameters = {
  type: "object",
  properties: { city: { enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};
const weather = { type: "function", function: { name: "weather", strict: true, parameters } };

async function becomesIdle() {
  for (let tries = 0; tries < 500; tries++) {
    const status = await (await fetch(`${NODE_HTTP}/understudy/status`)).json();
    if (status.requests.running === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("a request goes on that nobody waits for");
}

const promises = {
  async models() {
    const names = [];
    for await (const entry of client.models.list()) names.push(entry.id);
    assert(names.includes("understudy/auto"), names.join());
  },

  async chat() {
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 16 });
    assert(["stop", "length"].includes(answer.choices[0].finish_reason));
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.equal(answer.understudy.policy, "direct");
    const stream = await client.chat.completions.create({
      model, messages, max_tokens: 16, stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, answer.choices[0].message.content);
    assert.equal(usage.completion_tokens, answer.usage.completion_tokens);
  },

  async structured() {
    const schema = { name: "place", strict: true, schema: parameters };
    const answer = await client.chat.completions.parse({
      model, messages, max_tokens: 100, response_format: { type: "json_schema", json_schema: schema },
    });
    assert(["Paris", "Rome"].includes(JSON.parse(answer.choices[0].message.content).city));
  },

  async tools() {
    const asked = { model, messages, tools: [weather], tool_choice: "required", parallel_tool_calls: false, max_tokens: 200 };
    const answer = await client.chat.completions.create(asked);
    const [call] = answer.choices[0].message.tool_calls;
    assert(["Paris", "Rome"].includes(JSON.parse(call.function.arguments).city));
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
  },

  async embeddings() {
    const { data } = await client.embeddings.create({ model, input: ["a cat", "a dog"] });
    const length = data[1].embedding.reduce((sum, x) => sum + x * x, 0);
    assert(data.length === 2 && Math.abs(length - 1) < 1e-3, `${length}`);
  },

  async responses() {
    const first = await client.responses.create({ model, input: "Say hello.", max_output_tokens: 16 });
    const stream = await client.responses.create({
      model, input: "Again.", previous_response_id: first.id, max_output_tokens: 16, stream: true,
    });
    const kinds = [];
    let text = "", last;
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    assert.equal(kinds[0], "response.created");
    assert.equal(text, last.response.output[0].content[0].text);
    assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },

  async errors() {
    const ask = (more) => client.chat.completions.create({ model, messages, ...more });
    await assert.rejects(ask({ model: "nobody" }), { status: 404, code: "model_not_found" });
    await assert.rejects(ask({ audio: { voice: "x" } }), { status: 400, param: "audio" });
    await assert.rejects(ask({ stream: true, model: "nobody" }), OpenAI.NotFoundError);
  },

  async cancellation() {
    const stream = await client.chat.completions.create({ model, messages, stream: true, ...endless });
    for await (const _ of stream) break;
    await becomesIdle();
    const controller = new AbortController();
    const whole = client.chat.completions.create({ model, messages, ...endless }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    await assert.rejects(whole, OpenAI.APIUserAbortError);
    await becomesIdle();
  },
};

for (const [name, promise] of Object.entries(promises)) {
  await promise();
  console.log("ok", name);
}
