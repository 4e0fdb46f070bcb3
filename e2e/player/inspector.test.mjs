// The player in the web page of MCP Inspector, a host that others wrote: from a
// form that is filled in to a video that plays.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { freePort } from '../port.mjs';
import { binary, browse, cleanUp, root, screenshot, temporary, until } from './tools.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const prompt = 'A friendly presenter explains tides in 30 seconds.';
let inspector, browser, page, home;
const refused = []; // by the player's policy
const requested = []; // by the player's page

before(async () => {
  home = temporary('inspector');
  const config = path.join(home, 'mcp.json');
  writeFileSync(config, JSON.stringify({ mcpServers: { pixazo: { command: binary,
    args: ['--sandbox', '--sandbox-duration=6s', '--keeper=false', '--notify=false',
      `--state-dir=${path.join(home, 'state')}`, `--output-dir=${path.join(home, 'videos')}`] } } }));
  inspector = spawn(process.execPath,
    [path.join(root, 'e2e/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js'), '--web', '--config', config],
    { detached: true, stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: home, MCP_STORAGE_DIR: home, MCP_INSPECTOR_SECRET_STORE: 'memory',
        CLIENT_PORT: await freePort(), MCP_SANDBOX_PORT: '0', MCP_AUTO_OPEN_ENABLED: 'false' } });
  let said = '';
  for (const stream of [inspector.stdout, inspector.stderr]) stream.on('data', data => { said += data; });
  const url = await until('MCP Inspector', () => /http:\/\/\S+TOKEN=\w+/.exec(said)?.[0]).catch(error => { throw new Error(`${error.message}:\n${said}`); });

  browser = await browse();
  // The Inspector's page asks for fonts elsewhere; the test needs no network.
  await browser.route(u => u.protocol.startsWith('http') && u.hostname !== '127.0.0.1', route => route.abort());
  // The states that the player has shown, some of which pass before a test looks.
  await browser.addInitScript(() => {
    window.states = [];
    new MutationObserver(() => {
      const state = document.querySelector('#state')?.textContent;
      if (state && state !== window.states.at(-1)) window.states.push(state);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  page = browser.pages()[0];
  page.on('console', message => { if (/Content Security Policy/i.test(message.text())) refused.push(message.text()); });
  page.on('request', request => { if (request.frame().url() === 'about:srcdoc') requested.push(new URL(request.url()).pathname); });
  await page.goto(url);
  await page.getByRole('switch', { name: /connect/i }).click({ force: true });
  await page.getByText('Apps', { exact: true }).click();
  await page.getByText('Generate a video', { exact: true }).first().click();
});

// end ends the Inspector and the server that it started.
function end() {
  if (inspector && inspector.exitCode === null && inspector.signalCode === null) process.kill(-inspector.pid);
}
process.on('exit', end); // when the hook below did not get to it

after(async () => {
  await browser?.close();
  if (inspector) {
    const ended = once(inspector, 'exit');
    end();
    await ended;
  }
  cleanUp();
});

// submit makes the call, and brings the player's frame.
async function submit(prompt) {
  await page.getByRole('textbox', { name: 'prompt', exact: true }).fill(prompt);
  await page.getByRole('button', { name: 'Open App' }).click();
  return until('the player', () => page.frames().find(f => f.url() === 'about:srcdoc'));
}

// accessible has axe look at the player in both themes of the Inspector.
async function accessible(frame) {
  await frame.evaluate(axe);
  const seen = new Set();
  for (let i = 0; i < 2; i++) {
    seen.add(await frame.evaluate(() => document.documentElement.style.colorScheme));
    const found = await frame.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    assert.ok(found.passes.length > 5, 'it looked');
    assert.deepEqual(found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`), [], [...seen].at(-1));
    await page.getByRole('button', { name: 'Toggle color scheme' }).click();
    await until('the other theme', () => frame.evaluate(was => document.documentElement.style.colorScheme !== was, [...seen].at(-1)));
  }
  assert.deepEqual([...seen].sort(), ['dark', 'light']);
}

for (const [orientation, width, height] of [['landscape', 640, 360], ['portrait', 360, 640]]) {
  test(`${orientation}: queued, in progress, playing`, async () => {
    await page.getByRole('textbox', { name: 'orientation' }).click();
    await page.getByRole('option', { name: orientation }).click();
    const frame = await submit(prompt);
    const state = () => frame.locator('#state').textContent();

    await until('the video', async () => {
      const s = await state();
      if (s === 'Processing') await screenshot(page, `inspector-${orientation}-working`);
      return s === 'Your video is ready';
    });
    const states = new Set(await frame.evaluate(() => window.states));
    assert.ok(states.has('Queued') && states.has('Processing'), [...states].join(', '));
    assert.equal(await frame.locator('#prompt').textContent(), prompt);

    await until('the video to load', () => frame.evaluate(() => document.querySelector('video').readyState === 4));
    assert.deepEqual(await frame.evaluate(() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; }), [width, height]);
    await frame.evaluate(() => { const v = document.querySelector('video'); v.muted = true; return v.play(); });
    const time = () => frame.evaluate(() => document.querySelector('video').currentTime);
    await until('the video to play on', async () => await time() > 0.5);
    await screenshot(page, `inspector-${orientation}-ready`);

    assert.equal(await frame.locator('#again').isVisible(), false, 'this host takes no messages');
    if (orientation === 'landscape') await accessible(frame);
    for (const height of [720, 900]) {
      await page.setViewportSize({ width: 1280, height });
      for (const button of ['open', 'copy', 'save']) {
        const { x, y, width, height } = await frame.locator(`#${button}`).evaluate(e => e.getBoundingClientRect().toJSON());
        assert.ok(x >= 0 && x + width <= await frame.evaluate(() => innerWidth) && y + height <= await frame.evaluate(() => innerHeight),
          `${button} is in sight without scrolling, at ${x}, ${y}`);
      }
    }

    await until('where it was saved by itself', async () => (await frame.locator('#where').textContent()).startsWith(`Saved to ${path.join(home, 'videos')}`));

    // The address goes to the host, since the frame may open no window.
    const opened = page.waitForEvent('popup');
    await frame.locator('#open').click();
    const popup = await opened;
    await until('the address to open', () => /\/media\/.*\.mp4$/.test(popup.url()));
    await popup.close();

    assert.deepEqual(refused, []);
    assert.deepEqual(requested.filter(p => !/^\/media\/.*\.mp4$/.test(p) && p !== 'srcdoc'), [], 'nothing but the video is requested');
    await page.getByRole('button', { name: 'Back to Input' }).click();
  });
}

test('the gallery, and the player of one video', async () => {
  await page.getByText('List the videos', { exact: true }).first().click();
  await page.getByRole('button', { name: 'Open App' }).click();
  const frame = await until('the gallery', () => page.frames().find(f => f.url() === 'about:srcdoc'));
  await until('the list', async () => await frame.locator('#count').textContent() === '2 videos');
  await until('the first pictures', () => frame.evaluate(() => [...document.querySelectorAll('.poster')].every(p => p.firstChild?.readyState >= 2)));
  await screenshot(page, 'inspector-gallery');
  await accessible(frame);
  await frame.locator('.card').first().click();
  await until('the video to load', () => frame.evaluate(() => document.querySelector('#video').readyState === 4));
  assert.equal(await frame.locator('#prompt').textContent(), prompt);
  await screenshot(page, 'inspector-gallery-chosen');
  await frame.locator('#back').click();
  await until('the list', () => frame.locator('#gallery').isVisible());
  assert.deepEqual(refused, []);
  assert.deepEqual(requested.filter(p => !/^\/media\/.*\.mp4$/.test(p) && p !== 'srcdoc'), [], 'nothing but videos is requested');
  await page.getByRole('button', { name: 'Back to Input' }).click();
  await page.getByText('Generate a video', { exact: true }).first().click();
});

for (const [script, words] of [['failed', /could not render the storyboard/], ['hostile', /<img src=x onerror=/]]) {
  test(`a job that fails, ${script}`, async () => {
    const frame = await submit(`sandbox:${script} A video about tides.`);
    await until('the end', async () => await frame.locator('#state').textContent() === 'No video was made');
    assert.match(await frame.locator('#words').textContent(), words);
    assert.match(await frame.locator('#todo').textContent(), /another charge/);
    assert.deepEqual(await frame.evaluate(() => [document.images.length, document.scripts.length, document.title]), [0, 1, 'Pixazo video']);
    await accessible(frame);
    await screenshot(page, `inspector-${script}`);
    assert.deepEqual(refused, []);
    await page.getByRole('button', { name: 'Back to Input' }).click();
  });
}
