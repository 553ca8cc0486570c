// undici reads the variables by its EnvHttpProxyAgent. proxyTunnel: false, because it would tunnel plain HTTP too, and
// what is in a tunnel the agent can neither balance by request nor try again. The argument is where undici is installed.
const { createInterface } = require("node:readline");
const { createRequire } = require("node:module");
const { EnvHttpProxyAgent, fetch } = createRequire(process.argv[2] + "/")("undici");

const dispatcher = new EnvHttpProxyAgent({ proxyTunnel: false });

async function ask(url, options = {}) {
  const response = await fetch(url, { dispatcher, ...options });
  return {
    status: response.status,
    via: response.headers.get("via") ?? "",
    error: response.headers.get("proxy-status") ?? "",
    body: Buffer.from(await response.arrayBuffer()),
  };
}

function tell({ status, via, error, body }) {
  process.stdout.write(`${status}\t${via}\t${error}\t${body.length}\n`);
  process.stdout.write(body);
}

function stream(size) {
  let left = size / 10_000;
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(Buffer.from("0123456789".repeat(1000)));
      else controller.close();
    },
  });
}

async function events(url) {
  const response = await fetch(url, { dispatcher });
  for await (const chunk of response.body) process.stdout.write(chunk);
  process.stdout.write("end\n");
}

async function obey(command, url, size) {
  switch (command) {
    case "get":
      return tell(await ask(url));
    case "post":
      return tell(await ask(url, { method: "POST", body: "0123456789".repeat(size / 10) }));
    case "stream":
      return tell(await ask(url, { method: "POST", body: stream(Number(size)), duplex: "half" }));
    case "pair":
      return (await Promise.all([ask(url), ask(url)])).forEach(tell);
    case "events":
      return events(url);
  }
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await obey(...line.split(" "));
    } catch (error) {
      tell({ status: 0, via: "", error: "", body: Buffer.from(`${error}: ${error.cause}`) });
    }
  }
  await dispatcher.destroy();
})();
