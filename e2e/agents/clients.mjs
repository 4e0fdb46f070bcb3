// How each application is set up and started without a person.
//
// configure(home, entry, url) writes the application's files into an empty home;
// entry is { command, args } of the server. start(text) is the command line, env
// what it needs in its environment. prefix is in front of our tools' names.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from './scenarios.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const modules = (client, ...path) => join(here, client, 'node_modules', ...path);
const native = `${process.platform}-${process.arch}`; // as npm names packages

function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
}

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

export const clients = {
  opencode: {
    title: 'opencode', package: 'opencode-ai', prefix: 'pixazo_',
    command: [modules('opencode', `opencode-${native}`, 'bin', 'opencode')],
    start: (text) => ['run', '--format', 'json', text],
    configure(home, { command, args }, url) {
      write(join(home, '.config/opencode/opencode.json'), {
        mcp: { pixazo: { type: 'local', command: [command, ...args] } },
        provider: { scripted: { npm: '@ai-sdk/openai-compatible', options: { baseURL: url + '/v1', apiKey: 'none' }, models: { model: {} } } },
        model: 'scripted/model', small_model: 'scripted/model', autoupdate: false, share: 'disabled',
      });
    },
    scenarios: { 'a prompt of ours': prompted('run', '--format', 'json', '--command', 'pixazo:video_brief', 'tides') },
    env: () => ({ OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1' }),
  },
};
