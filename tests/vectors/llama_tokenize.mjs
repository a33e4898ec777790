// Tokenizes texts with llama.cpp's own tokenizer, straight from a GGUF file.
//
//   NODE_PATH_LLAMA=/folder/with/node_modules node llama_tokenize.mjs MODEL.gguf < cases.json
//
// stdin:  [{"text": "...", "special": true|false}, ...]
// stdout: {"version": "<node-llama-cpp> / llama.cpp <release>", "ids": [[...], ...]}
//
// `special` decides whether the text of a control token (such as <|im_start|>) becomes that token.
// No beginning-of-sequence token is added. The prebuilt CPU binary of node-llama-cpp is used; nothing
// is downloaded or compiled.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const root = process.env.NODE_PATH_LLAMA ?? process.cwd();
const require = createRequire(pathToFileURL(`${root}/anchor.js`));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));
const dir = `${root}/node_modules/node-llama-cpp`;
const { version } = JSON.parse(readFileSync(`${dir}/package.json`, "utf8"));

const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, progressLogs: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2], vocabOnly: true });
const cases = JSON.parse(readFileSync(0, "utf8"));
const ids = cases.map(({ text, special }) => model.tokenize(text, special));
process.stdout.write(JSON.stringify({ version: `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease?.release ?? ""}`, ids }));
await model.dispose();
await llama.dispose();
