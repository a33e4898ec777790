// One answer over gRPC: PROTOS=proto/proto npx tsx ask.ts ADDRESS MODEL QUESTION (npm install @grpc/grpc-js @grpc/proto-loader)
import { loadPackageDefinition, credentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, model, prompt] = process.argv.slice(2);
const { understudy } = loadPackageDefinition(loadSync(`${process.env.PROTOS}/understudy/v1/inference.proto`)) as any;
const node = new understudy.v1.Inference(address, credentials.createInsecure());
const events = node.Generate({ prompt, model, maxTokens: 16 }, { deadline: Date.now() + 60_000 });
events.on("data", (event: any) => event.delta && process.stdout.write(event.delta.text));
events.on("error", (error: Error) => { console.error(error.message); process.exit(1); });
