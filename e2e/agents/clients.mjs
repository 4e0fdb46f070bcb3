// How each application is set up and started without a person, in an empty home.
//
// settings are its own, without our server, which "pixazo-mcp install NAME" puts
// into the same file, or prints. start(text) is the command line, env what it
// needs in its environment. prefix is in front of our tools' names. add is its
// own command to add a server.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from './scenarios.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const modules = (client, ...path) => join(here, client, 'node_modules', ...path);
const native = `${process.platform}-${process.arch}`; // as npm names packages
const json = (value) => JSON.stringify(value, null, 2) + '\n';

// The name of the entry that "install --sandbox" makes.
export const name = 'pixazo-sandbox';

// prompted is a scenario in which a person takes our prompt video_brief from the
// application's menu.
const prompted = (...start) => ({
  flags: [], start,
  script: () => ({ text: 'Whom is it for?' }),
  check(run) {
    const said = run.record.seen[0].first;
    must(/I want a video made by the Pixazo video agent/.test(said) && /topic: .*tides/.test(said) && /5\. Call wait_for_video only/.test(said), said);
  },
});

const claude = (text) => ['-p', text, '--output-format', 'stream-json', '--verbose', '--allowedTools', `mcp__${name}`];
const gemini = (text) => ['-p', text, '-m', 'gemini-2.5-flash', '-o', 'stream-json'];

export const clients = {
  claude: {
    title: 'Claude Code', install: 'claude-code', package: '@anthropic-ai/claude-code', prefix: `mcp__${name}__`,
    command: [modules('claude', '@anthropic-ai', `claude-code-${native}`, 'claude')],
    start: claude,
    file: '.claude.json', settings: () => json({ hasCompletedOnboarding: true }),
    scenarios: { 'a prompt of ours': prompted(...claude(`/mcp__${name}__video_brief tides`)) },
    // It asks the model before a server is connected, on a busy computer, unless it is told not to.
    env: (url) => ({ MCP_CONNECTION_NONBLOCKING: 'false', ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'none', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1', DISABLE_TELEMETRY: '1' }),
    add: (command, args) => ['mcp', 'add', '--scope', 'user', name, '--', command, ...args],
  },

  codex: {
    title: 'Codex', install: 'codex', package: '@openai/codex', prefix: `mcp__${name}__`,
    command: [process.execPath, modules('codex', '@openai/codex', 'bin', 'codex.js')],
    start: (text) => ['exec', '--skip-git-repo-check', '--json', text],
    file: '.codex/config.toml',
    settings: (url) => `model = "model"
model_provider = "scripted"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.scripted]
name = "scripted"
base_url = "${url}/v1"
wire_api = "responses"
env_key = "SCRIPTED_KEY"
`,
    env: () => ({ SCRIPTED_KEY: 'none' }),
    add: (command, args) => ['mcp', 'add', name, '--', command, ...args],
  },

  gemini: {
    title: 'Gemini CLI', install: 'gemini', package: '@google/gemini-cli', prefix: `mcp_${name}_`,
    command: [process.execPath, modules('gemini', '@google/gemini-cli', 'bundle', 'gemini.js')],
    start: gemini,
    file: '.gemini/settings.json',
    settings: () => json({
      security: { auth: { selectedType: 'gemini-api-key' } }, privacy: { usageStatisticsEnabled: false }, general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
    }),
    scenarios: { 'a prompt of ours': prompted(...gemini('/video_brief tides')) },
    env: (url) => ({ GOOGLE_GEMINI_BASE_URL: url, GEMINI_API_KEY: 'none', GEMINI_CLI_TRUST_WORKSPACE: 'true' }),
    add: (command, args) => ['mcp', 'add', '-s', 'user', name, command, '--', ...args],
  },

  opencode: {
    title: 'opencode', install: 'opencode', package: 'opencode-ai', prefix: `${name}_`,
    command: [modules('opencode', `opencode-${native}`, 'bin', 'opencode')],
    start: (text) => ['run', '--format', 'json', text],
    file: '.config/opencode/opencode.json',
    settings: (url) => json({
      provider: { scripted: { npm: '@ai-sdk/openai-compatible', options: { baseURL: url + '/v1', apiKey: 'none' }, models: { model: {} } } },
      model: 'scripted/model', small_model: 'scripted/model', autoupdate: false, share: 'disabled',
    }),
    scenarios: { 'a prompt of ours': prompted('run', '--format', 'json', '--command', `${name}:video_brief`, 'tides') },
    env: () => ({ OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1' }),
  },

  qwen: {
    title: 'Qwen Code', install: 'qwen', package: '@qwen-code/qwen-code', prefix: `mcp__${name}__`,
    command: [process.execPath, modules('qwen', '@qwen-code/qwen-code', 'cli.js')],
    start: (text) => ['-p', text, '--auth-type', 'openai', '-o', 'stream-json'],
    file: '.qwen/settings.json', settings: () => json({ privacy: { usageStatisticsEnabled: false }, general: { enableAutoUpdate: false } }),
    env: (url) => ({ OPENAI_BASE_URL: url + '/v1', OPENAI_API_KEY: 'none', OPENAI_MODEL: 'model' }),
    add: (command, args) => ['mcp', 'add', '-s', 'user', name, command, '--', ...args],
  },
};
