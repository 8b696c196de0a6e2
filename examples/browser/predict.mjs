// Asks an exported graph about one row, with onnxruntime-web: in a browser as it is, in Node as
//   npm install onnxruntime-web && node predict.mjs model.onnx '{"RM": 6.5, "TAX": 300}'
// The graph has one named [N, 1] input a column; a value that is missing has a mark by its type.
import * as ort from "onnxruntime-web";

const MISSING = { float64: NaN, string: "\ue000", int64: -(2n ** 63n) };

export async function load(bytes) {
  return await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
}

export async function predict(session, row) {
  const feeds = {};
  for (const { name, type } of session.inputMetadata) {
    const value = row[name] ?? MISSING[type];
    const data =
      type === "string"
        ? [String(value).normalize("NFC")]
        : type === "int64"
          ? BigInt64Array.of(BigInt(value)) // microseconds since 1970 UTC
          : Float64Array.of(Number(value));
    feeds[name] = new ort.Tensor(type, data, [1, 1]);
  }
  const outputs = await session.run(feeds);
  return Object.fromEntries(session.outputNames.map((name) => [name, Array.from(outputs[name].data)]));
}

if (typeof process !== "undefined" && process.argv[1]?.endsWith("predict.mjs")) {
  const { readFile } = await import("node:fs/promises");
  const session = await load(await readFile(process.argv[2]));
  const answer = await predict(session, JSON.parse(process.argv[3]));
  console.log(JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
}
