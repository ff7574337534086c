// Every way to call a model that the official Node.js SDK has; run in the folder whose node_modules has that SDK.
// Settings come as JSON on stdin; each step prints one line of JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { App, Input, Model } = require("clarifai-nodejs");
const { OutputConfig } = require("clarifai-nodejs-grpc/proto/clarifai/api/resources_pb");
const settings = JSON.parse(readFileSync(0, "utf8"));
const CAT = `${settings.samples}/photos/cat.jpg`;
const CAT_URL = `${settings.files}/photos/cat.jpg`;
const REVIEW = `${settings.samples}/texts/good-review.txt`;
const STEP_SECONDS = 60;

const authConfig = { pat: "not-a-credential", userId: "headrace", appId: "local", base: settings.base };

function model(name, options = {}, auth = {}) {
  const url = `https://clarifai.com/headrace/local/models/${name}`;
  return new Model({ url, authConfig: { ...authConfig, ...auth }, ...options });
}

const texts = (outputs) => outputs.map((output) => output.data.text.raw);
const top = (outputs) => outputs[0].data.conceptsList.map((concept) => concept.name);
const typed = (outputs) => Model.getOutputDataFromModelResponse(outputs);
const bytes = (text) => Buffer.from(text);

async function collected(stream, pick) {
  const found = [];
  for await (const outputs of stream) found.push(pick(outputs));
  return found;
}

const steps = {
  // --- predict
  predict_by_bytes: async () =>
    texts(await model("shout").predictByBytes({ inputBytes: bytes("hello"), inputType: "text" })),
  predict_by_filepath: async () =>
    top(await model("efficientnet-lite0").predictByFilepath({ filepath: CAT, inputType: "image" })).slice(0, 3),
  predict_by_url: async () =>
    top(await model("efficientnet-lite0").predictByUrl({ url: CAT_URL, inputType: "image" })).slice(0, 3),
  predict_text_by_url: async () =>
    texts(
      await model("shout").predictByUrl({ url: `${settings.files}/texts/good-review.txt`, inputType: "text" }),
    ),
  predict_text_by_filepath: async () =>
    texts(await model("shout").predictByFilepath({ filepath: REVIEW, inputType: "text" })),
  several_inputs: async () => {
    const inputs = [0, 1, 2].map((n) =>
      Input.getInputFromBytes({ inputId: `i${n}`, textBytes: bytes(`word ${n}`) }),
    );
    const outputs = await model("shout").predict({ inputs });
    return outputs.map((output) => [output.input.id, output.data.text.raw]);
  },
  multimodal: async () => {
    const both = Input.getMultimodalInput({ inputId: "", rawText: "what is it", imageBytes: readFileSync(CAT) });
    return texts(await model("echo").predict({ inputs: [both] }));
  },
  by_ids: async () => {
    const made = new Model({ modelId: "shout", authConfig });
    return texts(await made.predictByBytes({ inputBytes: bytes("ids"), inputType: "text" }));
  },
  with_version: async () =>
    texts(await model("shout/versions/abc").predictByBytes({ inputBytes: bytes("v"), inputType: "text" })),
  deployment: async () => {
    const made = model("shout", { runner: { deployment: { id: "d-1", userId: "somebody" } } });
    const answer = texts(await made.predictByBytes({ inputBytes: bytes("a"), inputType: "text" }));
    return [made.getRunner().deployment.id, made.getRunner().deployment.userId, answer];
  },
  nodepool: async () => {
    const nodepool = { id: "n-1", computeCluster: { id: "c-1", userId: "somebody" } };
    const made = model("shout", { runner: { nodepool } });
    const answer = texts(await made.predictByBytes({ inputBytes: bytes("a"), inputType: "text" }));
    return [made.getRunner().nodepool.id, made.getRunner().nodepool.computeCluster.id, answer];
  },
  large_input_and_answer: async () => {
    const inputBytes = Buffer.alloc(12_000_000, "x");
    const outputs = await model("echo").predictByBytes({ inputBytes, inputType: "text" });
    return [top(await model("sizes").predictByBytes({ inputBytes, inputType: "image" }))[0], texts(outputs)[0].length];
  },
  encrypted_with_credential: async () => {
    const made = model("shout", {}, { base: settings.guarded, pat: "right", rootCertificatesPath: settings.ca });
    return texts(await made.predictByBytes({ inputBytes: bytes("tls"), inputType: "text" }));
  },
  encrypted_with_wrong_credential: async () => {
    const made = model("shout", {}, { base: settings.guarded, pat: "wrong", rootCertificatesPath: settings.ca });
    return texts(await made.predictByBytes({ inputBytes: bytes("tls"), inputType: "text" }));
  },
  warming_up: async () => {
    const made = model("typed", {}, { base: settings.warming });
    return typed(await made.predict({ methodName: "predict", prompt: "warm" })).stringValue;
  },
  inference_params_alone: async () =>
    texts(
      await model("shout").predictByBytes({
        inputBytes: bytes("a"),
        inputType: "text",
        inferenceParams: { marks: 3 },
      }),
    ),
  inference_params_with_output_config: async () => {
    const outputConfig = new OutputConfig();
    outputConfig.setMinValue(0.5);
    const outputs = await model("shout").predictByBytes({
      inputBytes: bytes("a"),
      inputType: "text",
      inferenceParams: { marks: 3 },
      outputConfig,
    });
    return texts(outputs);
  },
  output_config: async () => {
    const outputConfig = new OutputConfig();
    outputConfig.setMaxConcepts(2);
    return top(await model("sizes").predictByFilepath({ filepath: CAT, inputType: "image", outputConfig }));
  },
  video_frames: async () => {
    const outputConfig = new OutputConfig();
    outputConfig.setSampleMs(2000);
    const filepath = `${settings.samples}/videos/photos.mp4`;
    const outputs = await model("yolov3-tiny-video").predictByFilepath({ filepath, inputType: "video", outputConfig });
    const found = outputs[0].data.framesList.filter((frame) => frame.data.regionsList.length);
    return found.map((frame) => [frame.frameInfo.time, frame.data.regionsList[0].data.conceptsList[0].name]);
  },

  // --- failures
  unknown_model: async () =>
    texts(await model("there-is-none").predictByBytes({ inputBytes: bytes("a"), inputType: "text" })),
  unknown_model_info: async () => await model("there-is-none").availableMethods(),
  bad_input: async () => texts(await model("shout").predictByBytes({ inputBytes: bytes("bad"), inputType: "text" })),
  one_bad_input_of_three: async () => {
    const inputs = ["a", "bad", "c"].map((text) => Input.getInputFromBytes({ inputId: "", textBytes: bytes(text) }));
    return texts(await model("shout").predict({ inputs }));
  },

  // --- methods with signatures
  available_methods: async () => (await model("typed").availableMethods()).sort(),
  method_signatures: async () => {
    const found = (await model("typed").methodSignatures()).find((each) => each.name === "predict");
    return found.inputFieldsList.map((each) => [each.name, each.type, each.required]);
  },
  methods_of_all_models: async () => {
    const found = {};
    for await (const page of new App({ authConfig }).listModels()) {
      for (const { id } of page) found[id] = await model(id).availableMethods();
    }
    return found;
  },
  typed_predict: async () => typed(await model("typed").predict({ methodName: "predict", prompt: "hi", times: 3 })).stringValue,
  typed_predict_with_version: async () =>
    typed(await model("typed/versions/abc").predict({ methodName: "predict", prompt: "hi" })).stringValue,
  typed_predict_with_deployment: async () => {
    const made = model("typed", { runner: { deployment: { id: "d-1", userId: "somebody" } } });
    return typed(await made.predict({ methodName: "predict", prompt: "hi" })).stringValue;
  },
  typed_wrong_argument: async () => await model("typed").predict({ methodName: "predict", prompt: "hi", colour: "red" }),
  typed_everything: async () => {
    const text = { flag: true, ratio: 0.5, text: "text", data: { a: [1, { b: null }] } };
    return typed(await model("typed").predict({ methodName: "tell", ...text })).stringValue;
  },
  typed_bytes: async () => await model("typed").predict({ methodName: "size", raw: "some bytes" }),
  typed_params: async () => {
    const outputs = await model("echo").predict({ methodName: "predict", text: "a", params: { repeat: 3 } });
    return typed(outputs).stringValue;
  },
  typed_zeros: async () => {
    const outputs = await model("typed").predict({ methodName: "sum", numbers: [0] });
    const empty = await model("typed").predict({ methodName: "predict", prompt: "", times: 1, mark: "" });
    const none = await model("typed").predict({ methodName: "none", prompt: "x" });
    return [typed(outputs).intValue, typed(empty).stringValue, typed(none).conceptsList];
  },
  typed_json: async () => {
    const outputs = await model("typed").predict({ methodName: "pick", data: { b: 2, a: [1] } });
    return typed(outputs).stringValue;
  },
  typed_whole_float: async () => await model("typed").predict({ methodName: "half", ratio: 3 }),
  typed_float: async () => typed(await model("typed").predict({ methodName: "half", ratio: 2.5 })).floatValue,
  typed_list: async () => typed(await model("typed").predict({ methodName: "sum", numbers: [1, 2, 3] })).intValue,
  typed_bool: async () => typed(await model("typed").predict({ methodName: "negate", flag: true })).boolValue,
  typed_image_by_url: async () => {
    const outputs = await model("typed").predict({ methodName: "label", image: { url: CAT_URL } });
    return typed(outputs).conceptsList.map((concept) => [concept.id, concept.name, concept.value]);
  },
  typed_image_by_bytes: async () => {
    const image = { base64: readFileSync(CAT).toString("base64") };
    const outputs = await model("typed").predict({ methodName: "label", image });
    return typed(outputs).conceptsList.map((concept) => [concept.id, concept.name, concept.value]);
  },
  typed_built_in: async () => {
    const outputs = await model("efficientnet-lite0").predict({ methodName: "predict", image: { url: CAT_URL } });
    return typed(outputs).conceptsList.map((concept) => concept.name).slice(0, 3);
  },
  typed_generate: async () =>
    await collected(model("typed").generate({ methodName: "generate", prompt: "a b c" }), (o) => typed(o).stringValue),
  typed_generate_item_model: async () =>
    await collected(model("shout").generate({ methodName: "generate", prompt: "a b c" }), (o) => typed(o).stringValue),
  typed_generate_empty: async () =>
    await collected(model("typed").generate({ methodName: "nothing", prompt: "x" }), (o) => typed(o).stringValue),
  typed_generate_failing: async () =>
    await collected(model("typed").generate({ methodName: "fails", prompt: "x" }), (o) => typed(o).stringValue),
  typed_generate_failing_at_once: async () =>
    await collected(model("shout").generate({ methodName: "predict", prompt: "bad" }), (o) => typed(o).stringValue),
  language_model: async () => {
    if (!settings.llm) return null;
    const asked = { methodName: "generate", prompt: "What is the capital of France?", top_k: 1, max_tokens: 20 };
    const pieces = await collected(model("smollm2-135m-instruct").generate(asked), (o) => typed(o).stringValue);
    return [pieces.join(""), pieces.length];
  },

  // --- what the SDK keeps private, or lacks
  generate_by_bytes: async () => typeof model("shout").generateByBytes,
  stream_by_bytes: async () => typeof model("shout").streamByBytes,
  private_stream: async () => {
    const stream = await model("typed").stream({ methodName: "stream", numbers: 4 });
    stream.end();
    return await collected(stream.iterator, (outputs) => typed(outputs).intValue);
  },
};

function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${STEP_SECONDS} s`)), STEP_SECONDS * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

for (const [step, run] of Object.entries(steps)) {
  let told;
  try {
    told = { step, value: await limited(run()) };
  } catch (error) {
    told = { step, error: String(error?.message ?? error).slice(0, 2000) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0);
