// Installs a bundle and starts its server as a desktop client would: settings
// filled in by the reference implementation of the format, in the root folder,
// with next to no environment, to a video where the sandbox is set. Usage: node start.mjs BUNDLE VERSION
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { getMcpConfigForManifest, unpackExtension } from "@anthropic-ai/mcpb";

const [bundle, version] = process.argv.slice(2);
const dir = mkdtempSync(join(tmpdir(), "pixazo-mcp-bundle-"));
// A keeper that has just saved a video may write there for a moment more.
process.on("exit", () => rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }));

const extensionPath = join(dir, "extension");
if (!(await unpackExtension({ mcpbPath: bundle, outputDir: extensionPath, silent: true }))) throw new Error(`cannot unpack ${bundle}`);
const manifest = JSON.parse(readFileSync(join(extensionPath, "manifest.json"), "utf8"));

// start runs the server and returns a function that sends a request.
function start({ command, args, env }, passEnv) {
  const server = spawn(command, args, {
    cwd: "/",
    env: { HOME: dir, PATH: "/usr/bin:/bin", ...(passEnv ? env : {}) },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let log = "", id = 0;
  server.stderr.on("data", (chunk) => (log += chunk));
  const waiting = new Map();
  createInterface({ input: server.stdout }).on("line", (line) => {
    const answer = JSON.parse(line);
    waiting.get(answer.id)?.resolve(answer.result);
  });
  const failed = (why) => waiting.forEach(({ reject }) => reject(new Error(`${why}\n${log}`)));
  server.on("error", (err) => failed(err.message));
  const ended = new Promise((resolve) => server.on("exit", (code) => (failed(`the server ended with ${code}`), resolve(code))));
  return {
    request: (method, params = {}) =>
      new Promise((resolve, reject) => {
        waiting.set(++id, { resolve, reject });
        server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
      }),
    end: () => (server.stdin.end(), ended),
  };
}

const settings = {
  "nothing set": {},
  "all set": { api_key: "none", output_dir: join(dir, "videos"), files_dir: join(dir, "a b"), max_videos_per_hour: 3, sandbox: true },
};
for (const [name, userConfig] of Object.entries(settings)) {
  const systemDirs = { HOME: dir, DESKTOP: join(dir, "Desktop"), DOCUMENTS: join(dir, "Documents") };
  const config = await getMcpConfigForManifest({ manifest, extensionPath, systemDirs, userConfig, pathSeparator: "/" });
  for (const passEnv of [true, false]) {
    const server = start(config, passEnv);
    const { serverInfo } = await server.request("initialize", {
      protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "desktop", version: "1" },
    });
    const { tools } = await server.request("tools/list");
    const call = (tool, args) => server.request("tools/call", { name: tool, arguments: args });
    const { content, structuredContent } = await call("generate_video", { prompt: `tides, ${passEnv}` });
    const video = structuredContent?.request_id;
    const waited = video && (await call("wait_for_video", { request_id: video })).structuredContent;
    const saved = video && (await call("download_video", { request_id: video })).structuredContent;
    const code = await server.end();
    const want = userConfig.sandbox ? "heygen-video-agent_" : "missing_api_key: ";
    const wrong = [
      serverInfo.version.includes(version) || `version ${serverInfo.version}`,
      JSON.stringify(tools.map((t) => t.name)) === JSON.stringify(manifest.tools.map((t) => t.name)) || `tools ${tools.map((t) => t.name)}`,
      content[0].text.includes(want) || `generate_video: ${content[0].text}`,
      !video || waited?.status === "COMPLETED" || `wait_for_video: ${JSON.stringify(waited)}`,
      !video || (saved?.saved_path?.startsWith(userConfig.output_dir) && statSync(saved.saved_path).size > 0) || `download_video: ${JSON.stringify(saved)}`,
      code === 0 || `exit ${code}`,
    ].filter((w) => w !== true);
    console.log(`${wrong.length ? "FAIL" : "ok  "}  the bundle's server, ${name}, env ${passEnv ? "passed" : "left out"}`, ...wrong);
    if (wrong.length) process.exitCode = 1;
  }
}
