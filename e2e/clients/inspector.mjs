// The job through MCP Inspector's command line, which starts a new server for
// every call, or a new session. Usage: node inspector.mjs VERSION ERA PROGRAM OUTPUT_DIR SERVER...
// (place of report.mjs). VERSION is 0.15 or 2, ERA is legacy or modern (2 only).
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { promisify } from 'node:util';
import { check, headers, leave, must, note, place } from './report.mjs';

const [version, era, program, ...behind] = process.argv.slice(2);
const { outputDir, url, token, command, args } = place(behind);
const two = version === '2';
const run = promisify(execFile);
const tmp = mkdtempSync(join(tmpdir(), 'inspector-'));
process.on('exit', () => rmSync(tmp, { recursive: true, force: true }));
const config = join(tmp, 'mcp.json');
writeFileSync(config, JSON.stringify({ mcpServers: { pixazo: url ? { type: 'streamable-http', url, headers: headers(token) } : { type: 'stdio', command, args } } }));
// The old one takes no URL from a file.
const server = url && !two ? [url.href, '--transport', 'http'] : ['--config', config, '--server', 'pixazo'];

// inspect makes one call; the Inspector has to exit with this status.
async function inspect(status, ...call) {
  const options = ['--cli', ...server, ...two ? ['--protocol-era', era, '--format', 'json'] : []];
  let got;
  try {
    const { stdout, stderr } = await run(process.execPath, [program, ...options, ...call], { timeout: 120_000, maxBuffer: 1 << 24, env: { ...process.env, HOME: tmp } });
    got = { code: 0, stdout, stderr };
  } catch (error) {
    got = error;
  }
  must(got.code === status, `exit ${got.code}, want ${status}: ${got.stdout}${got.stderr}`);
  if (status !== 0 && !got.stdout.trim()) return { result: undefined, stderr: got.stderr };
  const answer = JSON.parse(got.stdout);
  return { result: two ? answer.result : answer, answer, stderr: got.stderr };
}

// tool makes a tools/call.
async function tool(status, name, given) {
  const pairs = Object.entries(given).flatMap(([key, value]) => ['--tool-arg', `${key}=${value}`]);
  const { result } = await inspect(status, '--method', 'tools/call', '--tool-name', name, ...pairs);
  return result;
}

await check('the tools are listed, and their schemas draw no warning', async () => {
  const { result, answer, stderr } = await inspect(0, '--method', 'tools/list', ...two ? ['--strict'] : []);
  for (const name of ['download_video', 'generate_video', 'get_status', 'list_videos', 'wait_for_video']) must(result.tools.some((t) => t.name === name), result.tools);
  must(answer.schemaFindings === undefined && !/warn/i.test(stderr), answer.schemaFindings ?? stderr);
});
const id = await check('generate_video answers with a request_id', async () => {
  const { structuredContent: made } = await tool(0, 'generate_video', { prompt: 'A presenter explains tides in 30 seconds.', orientation: 'portrait' });
  must(/^heygen-video-agent_/.test(made.request_id), made);
  return made.request_id;
});
await check('get_status knows it in another process', async () => {
  const { structuredContent: status } = await tool(0, 'get_status', { request_id: id });
  must(status.request_id === id && status.status, status);
});
await check('wait_for_video brings the video', async () => {
  const { structuredContent: done } = await tool(0, 'wait_for_video', { request_id: id, timeout_seconds: 30 });
  must(done.status === 'COMPLETED' && done.video_urls?.length === 1, done);
});
await check('download_video saves it', async () => {
  const { structuredContent: saved } = await tool(0, 'download_video', { request_id: id, filename: 'tides.mp4' });
  if (url) must((await fetch(saved.saved_url)).ok, saved);
  else must(saved.saved_path.startsWith(outputDir + sep) && existsSync(saved.saved_path), saved);
});
await check('list_videos has it', async () => {
  const { structuredContent: list } = await tool(0, 'list_videos', { limit: 5 });
  must(list.videos.some((v) => v.request_id === id && v.status === 'COMPLETED'), list);
});
await check('a wrong argument is an error result', async () => {
  const result = await tool(two ? 5 : 0, 'generate_video', { prompt: 'A presenter.', orientatoin: 'portrait' });
  must(result.isError && result.content[0].text.startsWith('invalid_argument: '), result);
});
await check('the resources and the template are listed', async () => {
  const { result } = await inspect(0, '--method', 'resources/list');
  must(result.resources.some((r) => r.uri === 'pixazo://guide/prompting'), result);
  const { result: more } = await inspect(0, '--method', 'resources/templates/list');
  must(more.resourceTemplates.some((t) => t.uriTemplate === 'pixazo://videos/{request_id}'), more);
});
await check('the resources can be read', async () => {
  const { result } = await inspect(0, '--method', 'resources/read', '--uri', 'pixazo://guide/prompting');
  must(result.contents[0].mimeType === 'text/markdown', result);
  const { result: one } = await inspect(0, '--method', 'resources/read', '--uri', `pixazo://videos/${id}`);
  must(JSON.parse(one.contents[0].text).status === 'COMPLETED', one);
});
const prompts = await (async () => {
  try {
    return (await inspect(0, '--method', 'prompts/list')).result.prompts;
  } catch (error) {
    // Not declared: each version says so in words of its own.
    must(/-32601|not support|no prompts/i.test(String(error)), error);
    return [];
  }
})().catch((error) => check('the prompts are listed', () => { throw error; }));
if (prompts?.length > 0) {
  await check('a prompt can be had', async () => {
    const [{ name, arguments: wanted = [] }] = prompts;
    const pairs = wanted.filter((a) => a.required).flatMap((a) => ['--prompt-args', `${a.name}=${a.name === 'request_id' ? id : 'tides'}`]);
    const { result } = await inspect(0, '--method', 'prompts/get', '--prompt-name', name, ...pairs);
    must(result.messages.length > 0, result);
  });
} else {
  note('prompts', 'skipped: the server does not declare them');
}
leave();
