// The echo server on @grpc/grpc-js; see tests/stacks/servers/__init__.py.
"use strict";
const grpc = require("@grpc/grpc-js");

let cancelled = 0;
const raw = (value) => value;

function metadataOf(call, name) {
  const [value] = call.metadata.get(name);
  return Buffer.from(value === undefined ? "" : value);
}

// Calls done(error, answer) with what a message asks for, or with the message.
function obey(message, call, done) {
  const words = message.subarray(0, 1000).toString().split(" ");
  if (words[0] === "fail") {
    done({ code: Number(words[1]), details: words.slice(2).join(" ") });
  } else if (words[0] === "wait") {
    call.on("cancelled", () => { cancelled += 1; });
    setTimeout(() => done(null, message), 30000).unref();
  } else if (words[0] === "cancelled") {
    done(null, Buffer.from(String(cancelled)));
  } else if (words[0] === "metadata") {
    done(null, metadataOf(call, words[1]));
  } else {
    done(null, message);
  }
}

const method = (name, requestStream, responseStream) => ({
  path: `/stack.Echo/${name}`, requestStream, responseStream,
  requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw,
});

const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
server.addService(
  {
    unary: method("Unary", false, false),
    count: method("Count", false, true),
    total: method("Total", true, false),
    duplex: method("Duplex", true, true),
  },
  {
    unary: (call, done) => obey(call.request, call, done),
    count: async (call) => {
      const [number, size] = call.request.toString().split(" ").map(Number);
      for (let n = 0; n < number; n += 1) {
        const message = Buffer.alloc(size, ".");
        message.write(String(n));
        if (!call.write(message)) await new Promise((resolve) => call.once("drain", resolve));
      }
      call.end();
    },
    total: (call, done) => {
      let sum = 0;
      call.on("data", (message) => { sum += message.length; });
      call.on("end", () => done(null, Buffer.from(String(sum))));
    },
    duplex: (call) => {
      call.on("data", (message) => obey(message, call, (error, answer) => {
        if (error) call.emit("error", error);
        else call.write(answer);
      }));
      call.on("end", () => call.end());
    },
  },
);
server.bindAsync(`127.0.0.1:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  process.on("SIGTERM", () => server.tryShutdown(() => process.exit(0)));
  process.stdin.on("end", () => process.exit(0)).resume();
});
