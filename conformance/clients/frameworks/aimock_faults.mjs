// What goes wrong at a provider, by @copilotkit/aimock, told to the SDKs for Node of OpenAI, Anthropic and Google: rate limits,
// errors, connections that drop, JSON that is none, streams that are cut off. Each fault for each SDK, from providers of the two other
// dialects, plain and streamed; and that the provider is asked again afterwards.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { LLMock } from "@copilotkit/aimock";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { KEY, URL, version } from "./table.mjs";

const WORDS = "A weir is a low dam across a river, built to raise the water.";
const openai = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0, timeout: 20_000 });
const anthropic = new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 0, timeout: 20_000 });
const google = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: URL, timeout: 20_000, retryOptions: { attempts: 1 } } });

const clients = {
  openai: {
    async ask(model, content, stream) {
      const said = { model, messages: [{ role: "user", content }] };
      if (!stream) return (await openai.chat.completions.create(said)).choices[0].message.content;
      const chunks = await Array.fromAsync(await openai.chat.completions.create({ ...said, stream: true }));
      return chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    },
    told: (error) => [error.status, error.code],
  },
  anthropic: {
    async ask(model, content, stream) {
      const said = { model, max_tokens: 100, messages: [{ role: "user", content }] };
      if (!stream) return (await anthropic.messages.create(said)).content[0].text;
      return anthropic.messages.stream(said).finalText();
    },
    told: (error) => [error.status, error.error?.error?.details?.error_code],
  },
  gemini: {
    async ask(model, contents, stream) {
      if (!stream) return (await google.models.generateContent({ model, contents })).text;
      const chunks = await Array.fromAsync(await google.models.generateContentStream({ model, contents }));
      return chunks.map((chunk) => chunk.text ?? "").join("");
    },
    told: (error) => [error.status, /"reason":\s*"([a-z-]+)"/.exec(error.message.replaceAll("\\", ""))?.[1]],
  },
};

// What the mock does, and what a client is told: status and code. A stream that has begun has a code alone.
const faults = {
  // It says when to come back, and is not asked before.
  "rate limit": { chaos: { rateLimitRate: 1 }, tells: [429, "upstream-rate-limited"], rests: true },
  "an error of its own": { chaos: { dropRate: 1 }, tells: [502, "upstream-error"] },
  "JSON that is none": { chaos: { malformedRate: 1 }, tells: [502, "upstream-invalid"] },
  "a connection that drops": { chaos: { disconnectRate: 1 }, tells: [502, "upstream-broken"] },
  "a stream cut off": { truncateAfterChunks: 3, streams: true, tells: [undefined, "upstream-broken"] },
};

const mock = new LLMock({ port: Number(process.env.WEIR_AIMOCK_PORT), host: "127.0.0.1", chunkSize: 8 });
mock.onMessage("fine", { content: WORDS });
for (const [name, { chaos, truncateAfterChunks }] of Object.entries(faults)) {
  mock.onMessage(name, { content: WORDS }, { chaos, truncateAfterChunks });
}
await mock.start();

const checks = {};
for (const [who, client] of Object.entries(clients)) {
  for (const dialect of Object.keys(clients).filter((one) => one !== who)) {
    const model = (what) => `${{ openai: "gpt", anthropic: "claude", gemini: "gemini" }[dialect]}-mock-${who}-${what}`;
    for (const [fault, { streams, tells, rests }] of Object.entries(faults)) {
      checks[`${fault}: ${who}, by ${dialect}`] = async () => {
        for (const stream of streams ? [true] : [false, true]) {
          const error = await client.ask(model(`${fault}-${stream}`), fault, stream).then(
            (said) => assert.fail(`no error, but ${said}`),
            (error) => error,
          );
          const [status, code] = client.told(error);
          assert.equal(code, tells[1], error.stack);
          if (tells[0]) assert.equal(status, tells[0]);
          const again = client.ask(model(`${fault}-${stream}`), "fine", stream).catch((error) => client.told(error));
          assert.deepEqual(await again, rests ? [503, "no-target"] : WORDS);
        }
      };
    }
  }
}

console.log(`@copilotkit/aimock ${version("@copilotkit/aimock")}`);
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
await mock.stop();
process.exit(failed ? 1 : 0);
