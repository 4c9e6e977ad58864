// The official OpenAI SDK for Node against a gateway that serves the quickstart (WEIR_URL, WEIR_KEY).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.WEIR_URL}/v1`,
  apiKey: process.env.WEIR_KEY,
  maxRetries: 0,
  timeout: 20_000,
});
const user = (content) => [{ role: "user", content }];
const tools = [
  {
    type: "function",
    function: {
      name: "send_mail",
      description: "Sends a mail",
      parameters: {
        type: "object",
        properties: { to: { type: "string" }, urgent: { type: "boolean" } },
        required: ["to", "urgent"],
      },
    },
  },
];

/** The error of this kind that the call throws. */
async function thrown(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

const checks = {
  async "answers a chat"() {
    const reply = await client.chat.completions.create({ model: "fast", messages: user("hello node") });
    assert.equal(reply.choices[0].message.content, "echo: hello node");
    assert.equal(reply.choices[0].finish_reason, "stop");
    assert.ok(reply.usage.total_tokens > 0);
    assert.ok(reply._request_id, "no x-request-id");
  },

  async "streams a chat"() {
    const stream = await client.chat.completions.create({ model: "fast", messages: user("one two three"), stream: true });
    let [text, chunks, finish] = ["", 0, null];
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? "";
      finish = chunk.choices[0].finish_reason ?? finish;
      assert.ok(!chunk.usage, "usage that nobody asked for");
      chunks += 1;
    }
    assert.equal(text, "echo: one two three");
    assert.equal(finish, "stop");
    assert.ok(chunks > 3, "the stream came in one piece");
  },

  async "streams usage to those who ask"() {
    const stream = await client.chat.completions.create({
      model: "fast",
      messages: user("how much, node?"),
      stream: true,
      stream_options: { include_usage: true },
    });
    let last;
    for await (const chunk of stream) last = chunk;
    assert.deepEqual(last.choices, []);
    assert.ok(last.usage.total_tokens > 0);
  },

  async "streams with the helper"() {
    const stream = client.chat.completions.stream({ model: "fast", messages: user("with the helper of node") });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const reply = await stream.finalChatCompletion();
    assert.equal(text, "echo: with the helper of node");
    assert.equal(reply.choices[0].message.content, text);
  },

  async "calls a tool and takes its result"() {
    const messages = user("write to ann@example.com");
    const first = await client.chat.completions.create({ model: "fast", messages, tools, tool_choice: "required" });
    assert.equal(first.choices[0].finish_reason, "tool_calls");
    const call = first.choices[0].message.tool_calls[0];
    const called = JSON.parse(call.function.arguments);
    assert.equal(call.function.name, "send_mail");
    assert.ok(called.to.includes("ann@example.com"), "the address did not come back into the arguments");
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sent" });
    const second = await client.chat.completions.create({ model: "fast", messages, tools });
    assert.equal(second.choices[0].finish_reason, "stop");
    assert.ok(second.choices[0].message.content);
  },

  async "streams a tool call"() {
    const stream = await client.chat.completions.create({
      model: "fast",
      messages: user("write to eve@example.com, node"),
      tools,
      tool_choice: "required",
      stream: true,
    });
    let [name, written] = ["", ""];
    for await (const chunk of stream) {
      for (const call of chunk.choices[0].delta.tool_calls ?? []) {
        name += call.function.name ?? "";
        written += call.function.arguments ?? "";
      }
    }
    assert.equal(name, "send_mail");
    assert.ok(JSON.parse(written).to.includes("eve@example.com"), written);
  },

  async "puts personal data back into a stream"() {
    const stream = await client.chat.completions.create({
      model: "fast",
      messages: user("mail carol@example.com or call +49 30 901820"),
      stream: true,
    });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    assert.equal(text, "echo: mail carol@example.com or call +49 30 901820");
  },

  async "tells where a reply came from"() {
    const ask = () => client.chat.completions.create({ model: "fast", messages: user("asked twice in node") }).withResponse();
    const [first, second] = [await ask(), await ask()];
    assert.equal(first.response.headers.get("x-weir-cache"), "miss");
    assert.equal(second.response.headers.get("x-weir-cache"), "hit");
    assert.equal(first.response.headers.get("x-weir-target"), "echo/echo");
    assert.deepEqual(second.data.choices, first.data.choices);
  },

  async "falls back when a model fails"() {
    const { data, response } = await client.chat.completions
      .create({ model: "echo-status-500", messages: user("anyone, node?") })
      .withResponse();
    assert.equal(response.headers.get("x-weir-target"), "echo/echo");
    assert.equal(data.choices[0].message.content, "echo: anyone, node?");
  },

  async "answers a response"() {
    const reply = await client.responses.create({ model: "fast", input: "hello response of node", instructions: "be kind" });
    assert.equal(reply.output_text, "echo: hello response of node");
    assert.equal(reply.status, "completed");
    assert.ok(reply.usage.total_tokens > 0);
  },

  async "streams a response"() {
    const text = "echo: mail dan@example.com or eve@example.com, node";
    const stream = await client.responses.create({ model: "fast", input: text.slice(6), stream: true });
    let [said, last, number] = ["", null, 0];
    for await (const event of stream) {
      assert.equal(event.sequence_number, number++);
      if (event.type === "response.output_text.delta") said += event.delta;
      last = event;
    }
    assert.equal(last.type, "response.completed");
    assert.equal(said, text);
    assert.equal(last.response.output[0].content[0].text, text);
  },

  async "streams a response with the helper"() {
    const stream = client.responses.stream({ model: "fast", input: "with the helper of responses, node" });
    let text = "";
    stream.on("response.output_text.delta", (event) => (text += event.delta));
    const reply = await stream.finalResponse();
    assert.equal(text, "echo: with the helper of responses, node");
    assert.equal(reply.output_text, text);
  },

  async "calls a tool in a response and takes its result"() {
    const offered = [{ type: "function", ...tools[0].function, strict: false }];
    const input = user("write to ann@example.com in a response, node");
    const first = await client.responses.create({ model: "fast", input, tools: offered, tool_choice: "required" });
    const call = first.output.at(-1);
    assert.deepEqual([call.type, call.name], ["function_call", "send_mail"]);
    assert.ok(JSON.parse(call.arguments).to.includes("ann@example.com"), call.arguments);
    const result = { type: "function_call_output", call_id: call.call_id, output: "sent, node" };
    const second = await client.responses.create({ model: "fast", input: [...input, call, result], tools: offered });
    assert.equal(second.output_text, "echo: sent, node");
  },

  async "tells why a guard denies a response"() {
    for (const stream of [false, true]) {
      const error = await thrown(OpenAI.PermissionDeniedError, () =>
        client.responses.create({ model: "fast", input: "this is TOP SECRET", stream }),
      );
      assert.equal(error.code, "top-secret");
    }
  },

  async "throws when the stream of a response is cut"() {
    let seen = 0;
    const error = await thrown(OpenAI.APIError, async () => {
      const stream = await client.responses.create({ model: "echo-cut", input: "one two three four five six", stream: true });
      for await (const _ of stream) seen += 1;
    });
    assert.ok(seen > 0, "nothing came before the cut");
    assert.equal(error.code, "upstream-broken");
  },

  async embeds() {
    for (const extra of [{}, { encoding_format: "float" }]) {
      const reply = await client.embeddings.create({ model: "fast", input: ["one", "two"], ...extra });
      assert.deepEqual(reply.data.map((item) => item.embedding.length), [8, 8]);
      assert.ok(reply.data.every((item) => item.embedding.every((number) => typeof number === "number")));
    }
  },

  async completes() {
    const reply = await client.completions.create({ model: "fast", prompt: "once upon" });
    assert.equal(reply.choices[0].text, "echo: once upon");
    let text = "";
    for await (const chunk of await client.completions.create({ model: "fast", prompt: "a time", stream: true })) {
      text += chunk.choices[0].text;
    }
    assert.equal(text, "echo: a time");
  },

  async draws() {
    const reply = await client.images.generate({ model: "fast", prompt: "a card for bob@example.com, node" });
    assert.equal(reply.data[0].revised_prompt, "echo: a card for bob@example.com, node");
    assert.ok(reply.data[0].b64_json);
  },

  async judges() {
    const reply = await client.moderations.create({ model: "fast", input: ["a kind word", "sheer violence"] });
    assert.deepEqual(reply.results.map((result) => result.flagged), [false, true]);
  },

  async speaks() {
    const reply = await client.audio.speech.create({ model: "fast", voice: "alloy", input: "one two three" });
    assert.equal(Buffer.from(await reply.arrayBuffer()).subarray(0, 4).toString(), "RIFF");
  },

  async hears() {
    const file = await OpenAI.toFile(Buffer.from("RIFF"), "a.wav");
    const reply = await client.audio.transcriptions.create({ model: "fast", file, prompt: "to bob@example.com, node" });
    assert.equal(reply.text, "echo: to bob@example.com, node");
  },

  async "lists models"() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes("fast"), names.join());
    assert.equal((await client.models.retrieve("fast")).id, "fast");
    const error = await thrown(OpenAI.NotFoundError, () => client.models.retrieve("unheard-of"));
    assert.equal(error.code, "unknown-model");
  },

  async "refuses a wrong key"() {
    const stranger = client.withOptions({ apiKey: "wr_wrong" });
    const error = await thrown(OpenAI.AuthenticationError, () =>
      stranger.chat.completions.create({ model: "fast", messages: user("hi") }),
    );
    assert.deepEqual([error.status, error.code, error.type], [401, "invalid-key", "authentication_error"]);
    assert.ok(error.requestID);
  },

  async "refuses a model that nobody knows"() {
    const error = await thrown(OpenAI.NotFoundError, () =>
      client.chat.completions.create({ model: "unheard-of", messages: user("hi") }),
    );
    assert.deepEqual([error.status, error.code, error.type], [404, "unknown-model", "invalid_request_error"]);
  },

  async "tells why a guard denies"() {
    for (const stream of [false, true]) {
      const error = await thrown(OpenAI.PermissionDeniedError, () =>
        client.chat.completions.create({ model: "fast", messages: user("this is TOP SECRET"), stream }),
      );
      assert.deepEqual([error.code, error.type], ["top-secret", "permission_error"]);
      assert.match(error.message, /top secret papers stay in the house/);
    }
  },

  async "tells what is wrong with a request"() {
    const error = await thrown(OpenAI.BadRequestError, () => client.chat.completions.create({ model: "fast", messages: "hello" }));
    assert.deepEqual([error.code, error.param], ["bad-request", "messages"]);
  },

  async "throws when a stream is cut"() {
    let seen = 0;
    const error = await thrown(OpenAI.APIError, async () => {
      const stream = await client.chat.completions.create({
        model: "echo-cut",
        messages: user("one two three four five six"),
        stream: true,
      });
      for await (const _ of stream) seen += 1;
    });
    assert.ok(seen > 0, "nothing came before the cut");
    assert.equal(error.code, "upstream-broken");
  },

  async "leaves a stream early, and the next one works"() {
    const stream = await client.chat.completions.create({
      model: "echo-slow",
      messages: user("a long way to go, word after word after word after word"),
      stream: true,
    });
    for await (const _ of stream) break;
    const reply = await client.chat.completions.create({ model: "fast", messages: user("still there?") });
    assert.equal(reply.choices[0].message.content, "echo: still there?");
  },
};

const about = JSON.parse(readFileSync(new URL("./node_modules/openai/package.json", import.meta.url)));
console.log(`openai for Node ${about.version}, Node ${process.versions.node}`);
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`  PASS  ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAIL  ${name}\n        ${String(error.stack).replaceAll("\n", "\n        ")}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
