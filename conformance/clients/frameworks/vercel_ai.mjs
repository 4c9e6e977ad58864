// Vercel's AI SDK with three of its providers, each before a provider of another dialect: plain, streamed, with a tool and its result,
// and in a form. The provider's model does what it is asked (providers/obedient.py).
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, URL, version } from "./table.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [gpt, claude, gemini, nova, command] = [
  "gpt-4.1",
  "claude-sonnet-4-5",
  "gemini-2.5-flash",
  "anthropic.claude-sonnet-4-5",
  "command-a",
];
const openai = createOpenAI({ baseURL: `${URL}/v1`, apiKey: KEY });
const anthropic = createAnthropic({ baseURL: `${URL}/v1`, apiKey: KEY });
const google = createGoogleGenerativeAI({ baseURL: `${URL}/v1beta`, apiKey: KEY });
const cases = {
  "OpenAI's chats, by Anthropic": openai.chat(claude),
  "OpenAI's chats, by Gemini": openai.chat(gemini),
  "OpenAI's chats, by Bedrock": openai.chat(nova),
  "OpenAI's responses, by Gemini": openai(gemini),
  "OpenAI's responses, by Cohere": openai(command),
  "Anthropic's, by OpenAI": anthropic(gpt),
  "Anthropic's, by Gemini": anthropic(gemini),
  "Anthropic's, by Cohere": anthropic(command),
  "Google's, by OpenAI": google(gpt),
  "Google's, by Anthropic": google(claude),
  "Google's, by Bedrock": google(nova),
};
const weather = tool({
  description: "Tells the weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `It rains in ${city}.`,
});

const checks = {
  async "answers and tells usage"(model) {
    const reply = await generateText({ model, system: "Be brief.", prompt: "What is a weir?", maxRetries: 0 });
    assert.equal(reply.text, "It says: What is a weir?");
    assert.equal(reply.finishReason, "stop");
    assert.ok(reply.usage.inputTokens > 0 && reply.usage.outputTokens > 0, JSON.stringify(reply.usage));
  },

  async streams(model) {
    const reply = streamText({ model, prompt: "What is a weir?", maxRetries: 0 });
    const pieces = await Array.fromAsync(reply.textStream);
    assert.ok(pieces.length > 1, "the stream came in one piece");
    assert.equal(pieces.join(""), "It says: What is a weir?");
    assert.equal(await reply.finishReason, "stop");
    assert.ok((await reply.usage).outputTokens > 0);
  },

  async "calls a tool and goes on with its result"(model) {
    const asked = { model, prompt: "How is it in 'Paris'?", tools: { weather }, stopWhen: stepCountIs(3), maxRetries: 0 };
    const reply = await generateText(asked);
    assert.deepEqual(reply.steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
    assert.deepEqual(reply.steps[0].toolCalls[0].input, { city: "Paris" });
    assert.match(reply.text, /^It says: .*It rains in Paris\./);
    const streamed = streamText(asked);
    assert.match((await Array.fromAsync(streamed.textStream)).join(""), /^It says: .*It rains in Paris\./);
    assert.equal((await streamed.steps).length, 2);
  },

  async "fills a form"(model) {
    const output = Output.object({ schema: z.object({ name: z.string(), age: z.number() }) });
    const asked = { model, prompt: "Who is 'Ann', 41?", output, maxRetries: 0 };
    assert.deepEqual((await generateText(asked)).output, { name: "Ann", age: 41 });
    assert.deepEqual(await streamText(asked).output, { name: "Ann", age: 41 });
  },
};

console.log(`ai ${version("ai")}, @ai-sdk/openai ${version("@ai-sdk/openai")}, anthropic and google`);
let [passed, failed] = [0, 0];
async function count(name, check) {
  try {
    await check();
    passed += 1;
    console.log(`  PASS  ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAIL  ${name}\n        ${String(error.stack).replaceAll("\n", "\n        ")}`);
  }
}
for (const [who, model] of Object.entries(cases)) {
  for (const [name, check] of Object.entries(checks)) await count(`${name}: ${who}`, () => check(model));
}
for (const dialect of ["gemini", "cohere"]) {
  await count(`embeds: OpenAI's, by ${dialect}`, async () => {
    const model = openai.embedding(`vectors-of-${dialect}`);
    const { embeddings } = await embedMany({ model, values: ["one", "three"], maxRetries: 0 });
    assert.deepEqual(embeddings, [[0.03, 0.25, -0.5], [0.05, 0.25, -0.5]]);
  });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
