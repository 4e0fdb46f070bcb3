// The player in a host of our own, which can do what no real one would.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Host, everything, serve } from './host.mjs';
import { Server, browse, cleanUp, root, screenshot, until } from './tools.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const picture = path.join(root, 'docs/player.png');
const id = 'heygen-video-agent_0';
let server, site, browser;

before(async () => {
  server = await new Server('--sandbox-duration=6s').start();
  site = await serve(server);
  browser = await browse();
});

after(async () => {
  await browser?.close();
  site?.close();
  await server?.stop();
  cleanUp();
});

const open = (t, options) => Host.show(t, browser, site, options);

const structured = s => ({ content: [{ type: 'text', text: JSON.stringify(s) }], structuredContent: s });
const failure = text => ({ isError: true, content: [{ type: 'text', text }] });
const working = more => structured({ request_id: id, status: 'PROCESSING', done: false, next_step: 'Wait.', elapsed_seconds: 0, ...more });
const finished = (url, more) => structured({ request_id: id, status: 'COMPLETED', done: true, video_urls: [url], media_type: 'video/mp4', elapsed_seconds: 95, next_step: 'Show it.', ...more });
const broken = structured({ request_id: id, status: 'FAILED', done: true, error: 'the storyboard could not be rendered', next_step: 'Tell the user.' });

// shown are the sandbox's videos, made once.
const videos = {};
async function made(orientation) {
  videos[orientation] ??= (async () => {
    const { request_id } = (await server.call('generate_video', { prompt: `A ${orientation} video about tides.`, orientation })).structuredContent;
    return (await server.call('wait_for_video', { request_id })).structuredContent;
  })();
  return videos[orientation];
}

// plays plays the video in the player and wants it to go on.
async function plays(host, width, height) {
  await until('the video to load', () => host.frame.evaluate(() => document.querySelector('video').readyState === 4));
  assert.deepEqual(await host.frame.evaluate(() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; }), [width, height]);
  await host.frame.evaluate(() => { const v = document.querySelector('video'); v.muted = true; return v.play(); });
  await until('the video to play on', () => host.frame.evaluate(() => document.querySelector('video').currentTime > 0.5));
  await host.frame.evaluate(() => { const v = document.querySelector('video'); v.pause(); v.currentTime = 2; });
  await until('the picture at 2 s', () => host.frame.evaluate(() => !document.querySelector('video').seeking));
}

test('a video from its submission to its end', async t => {
  let look;
  const looked = new Promise(done => { look = done; });
  const host = await open(t, { tool: async (name, args) => { // the end is told once the test has seen the player without it
    const result = await server.call(name, args);
    if (result.structuredContent?.done) await looked;
    return result;
  } });
  const begun = Date.now();
  await host.run(server, 'generate_video', { prompt: 'A friendly presenter explains tides in 30 seconds, on a beach at dusk.', orientation: 'landscape' });
  assert.match(await host.text('state'), /^(Queued|Processing)$/);
  await host.reads('time', /^\d+ s since submission$/);
  assert.equal(await host.frame.locator('[role=progressbar]').isVisible(), true);
  assert.equal(await host.frame.locator('[role=progressbar]').getAttribute('aria-valuenow'), null, 'nobody knows how far it is');
  await screenshot(host.page.locator('iframe'), 'working');
  look();
  await host.reads('state', 'Your video is ready');
  const asked = host.calls('get_status').length, most = 1 + (Date.now() - begun) / 900;
  assert.ok(asked >= 2 && asked <= most, `${asked} polls, at most ${most}`);
  await plays(host, 640, 360);
  assert.match(await host.text('facts'), /^5 s long · 640 × 360 · done after \d+ s$/);
  assert.equal(await host.text('prompt'), 'A friendly presenter explains tides in 30 seconds, on a beach at dusk.');
  const polls = host.calls('get_status').length;
  await new Promise(done => setTimeout(done, 1500));
  assert.ok(host.calls('get_status').length <= polls + 1, 'a finished video is not polled, but it is looked whether it was saved');
  await host.resize(1000);
  await screenshot(host.page.locator('iframe'), 'ready-wide');
  await host.resize(640);
  const box = await host.frame.locator('main').boundingBox();
  const file = path.join(process.env.PLAYER_PICTURES || path.join(root, 'e2e/screenshots'), 'player.png');
  await host.page.screenshot({ path: file, clip: { ...box } });
  assert.ok(statSync(picture).size < 200e3, 'the picture in docs is small');
});

test('a portrait video stands beside the words where there is room', async t => {
  const host = await open(t, { tool: (name, args) => server.call(name, args) });
  await host.show({ request_id: (await made('portrait')).request_id }, structured(await made('portrait')));
  await plays(host, 360, 640);
  const at = async selector => host.frame.locator(selector).boundingBox();
  let video = await at('video'), words = await at('#about');
  assert.ok(words.x >= video.x + video.width, 'beside');
  assert.ok(video.height > video.width);
  await screenshot(host.page.locator('iframe'), 'ready-portrait');
  await host.resize(392); // MCP Inspector's pane
  [video, words] = [await at('video'), await at('#about')];
  assert.ok(words.x >= video.x + video.width, 'beside, also in a narrow one');
  assert.ok(video.height > 300, `a height of ${video.height}`);
  await screenshot(host.page.locator('iframe'), 'ready-portrait-pane');
  await host.resize(320);
  [video, words] = [await at('video'), await at('#buttons')];
  assert.ok(words.y >= video.y + video.height, 'below');
  assert.ok(words.y + words.height < 500, 'and in sight');
  await screenshot(host.page.locator('iframe'), 'ready-portrait-narrow');
});

test('a job that fails says why and what to do', async t => {
  const host = await open(t, { tool: (name, args) => server.call(name, args) });
  await host.run(server, 'generate_video', { prompt: 'sandbox:failed, a video about tides' });
  await host.reads('state', 'No video was made');
  assert.equal(await host.text('words'), 'The gateway said: the video agent could not render the storyboard');
  assert.match(await host.text('todo'), /another charge/);
  assert.equal(await host.text('time'), '');
  await screenshot(host.page.locator('iframe'), 'failed');
});

test('error results are shown in their words', async t => {
  const host = await open(t, { tool: () => working() });
  for (const [text, state, polled, todo] of [
    ['video_failed: the job ended with status FAILED; the gateway said: no. Tell the user why.', 'No video was made', false, /another charge/],
    ['submission_uncertain: the connection broke. It may have been accepted and charged.', 'It is not certain whether this was submitted', false, /charged.*dashboard/],
    ['duplicate_uncertain: the same request was sent. Ask the user.', 'It is not certain whether this was submitted', false, /dashboard/],
    ['missing_api_key: there is no key. Nothing was submitted and nothing was charged: then call generate_video again.', 'Nothing was submitted', false, /key.*settings/],
    [`unauthorized: the key was refused. Ask. request_id: ${id}`, 'The status can\'t be seen', false, /key/],
    ['out_of_credits: none. Nothing was submitted', 'Nothing was submitted', false, /Add some/],
    ['something else altogether', 'That did not work', false, /^$/],
    ['', 'That did not work', false, /^$/],
    [`submission_uncertain: no answer. It was very likely accepted. request_id: ${id}`, 'Processing', true, /^$/],
    [`gateway_unreachable: no answer. Call again. request_id: ${id}`, 'Processing', true, /^$/],
  ]) {
    await host.frame.evaluate(() => { delays.length = 0; });
    await host.show({ prompt: 'tides' }, failure(text));
    await host.reads('state', state);
    if (!polled) assert.equal(await host.text('words'), text || 'There is no word on why.');
    assert.match(await host.text('todo'), todo, text);
    assert.equal(await host.frame.evaluate(() => delays.length > 0), polled, text);
  }
});

test('passing failures of a poll are told, and it goes on', async t => {
  let answer = failure(`gateway_unreachable: no connection. The video itself is not affected: call get_status again in a minute. request_id: ${id}`);
  const host = await open(t, { tool: () => answer });
  await host.show({ prompt: 'tides' }, working());
  await host.reads('words', /^gateway_unreachable: no connection/);
  assert.equal(await host.text('state'), 'Processing');
  answer = working({ elapsed_seconds: 1, status: 'RENDERING_STILL' });
  await host.reads('state', 'Rendering still');
  assert.equal(await host.text('words'), '');
  answer = finished('https://media.invalid/1.mp4');
  await host.reads('state', 'Your video is ready');
});

test('a host that refuses to ask is left alone after three times', async t => {
  const host = await open(t, { tool: () => { throw new Error('denied by the user'); } });
  await host.show({ request_id: id }, working());
  await host.reads('todo', /Ask for the status in the chat/);
  assert.match(await host.text('note'), /denied by the user/);
  assert.doesNotMatch(await host.text('todo'), /next check/);
  assert.equal(await host.text('time'), 'Seen 0 s after submission');
  assert.equal(await host.frame.locator('[role=progressbar]').isVisible(), false);
  await new Promise(done => setTimeout(done, 1500));
  assert.equal(host.calls('get_status').length, 3);
  await host.show({ request_id: id });
  await until('polling of a new call', () => host.calls('get_status').length > 3);
});

test('a host without tool calls shows what it was given, and says so', async t => {
  const host = await open(t, { capabilities: {} });
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 3 }));
  await host.reads('todo', /does not let the player check again/);
  assert.equal(await host.text('time'), 'Seen 3 s after submission');
  assert.equal(await host.frame.locator('[role=progressbar]').isVisible(), false);
  await new Promise(done => setTimeout(done, 1500));
  assert.equal(host.saw('tools/call').length, 0);
  assert.equal(host.saw('resources/read').length, 0);
  await host.show({ prompt: 'tides' }, structured(await made('landscape')));
  await plays(host, 640, 360);
  assert.equal(await host.frame.locator('#save').isVisible(), false);
  // Without openLinks the browser opens it.
  assert.deepEqual(await host.frame.locator('#open').evaluate(a => [a.href, a.target, a.rel]), [(await made('landscape')).video_urls[0], '_blank', 'noopener noreferrer']);
});

test('a blocked media origin leaves the address and the open button', async t => {
  const { video_urls: [url] } = await made('landscape');
  const opened = [];
  const host = await open(t, { blocked: true, answer: { 'ui/open-link': p => { opened.push(p.url); return {}; } } });
  await host.show({ prompt: 'tides' }, finished(url));
  await host.reads('address', url);
  assert.match(await host.text('todo'), /can't be shown here/);
  assert.equal(await host.frame.locator('video').isVisible(), false);
  await host.frame.locator('#open').click();
  await until('the link', () => opened.length);
  assert.deepEqual(opened, [url]);
  await screenshot(host.page.locator('iframe'), 'blocked');
});

test('what comes from a job stays text', async t => {
  const markup = '<img src=x onerror="document.title=\'hacked\'"><script>document.title=\'hacked\'</script><a href="javascript:alert(1)">x</a>';
  const long = markup + 'w'.repeat(5000) + ' long '.repeat(800);
  const host = await open(t, { tool: () => working() });
  const harmless = async () => {
    assert.deepEqual(await host.frame.evaluate(() => [document.title, document.images.length, document.scripts.length, document.querySelectorAll('a').length]), ['Pixazo video', 0, 1, 1]);
    assert.equal(await host.frame.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth), false, 'no sideways scroll');
  };
  for (const width of [280, 760]) {
    await host.resize(width);
    await host.show({ prompt: long }, structured({ request_id: markup, status: markup, done: true, error: long, media_type: markup, next_step: markup, saved_path: markup }));
    await host.reads('state', 'No video was made');
    assert.equal(await host.frame.locator('#prompt').textContent(), long);
    assert.equal(await host.frame.locator('#words').textContent(), `The gateway said: ${long}`);
    assert.equal(await host.frame.locator('#id').textContent(), `request_id: ${markup}`);
    await harmless();
  }
  await host.show({ prompt: long }, failure(`video_failed: ${long} request_id: ${id}`));
  await host.reads('words', /^video_failed: <img/);
  await harmless();
  await host.show({ prompt: 'x' }, working({ status: markup }));
  await host.reads('state', /^<img/);
  await harmless();
  // Fields of a kind that nobody sends.
  await host.show({ prompt: { a: 1 } }, structured({ request_id: id, done: true, status: 7, video_urls: [{}, 3, null], error: { a: 1 }, elapsed_seconds: 'long', created_at: {}, typical_seconds: 'x', __proto__: { x: 1 } }));
  await host.reads('state', 'No video was made');
  await host.show(null, { content: 'none', structuredContent: 5 });
  await host.show(undefined, failure(undefined));
  await host.tell('constructor', {});
  await host.tell('ui/notifications/tool-cancelled', { reason: markup });
  await host.reads('note', /^The call was cancelled: <img/);
  await harmless();
});

test('the sandbox\'s hostile error stays text', async t => {
  const host = await open(t, { tool: (name, args) => server.call(name, args) });
  await host.run(server, 'generate_video', { prompt: 'sandbox:hostile tides' });
  await host.reads('state', 'No video was made');
  await host.reads('words', /<img src=x onerror=/);
  assert.equal(await host.frame.evaluate(() => document.images.length), 0);
});

test('only https addresses, and http ones of the sandbox, become a source or a link', async t => {
  const host = await open(t, { tool: () => working() });
  for (const url of ['javascript:alert(1)', 'JaVa\nScript:alert(1)', 'data:text/html,<script>alert(1)</script>', 'http://media.example/1.mp4', 'http://127.0.0.1.example/1.mp4',
    'http://localhost@media.example/1.mp4', 'blob:https://media.example/1', 'file:///etc/passwd', '//media.example/1.mp4', 'not an address', ' ',
    'http://localhost:1/1.mp4', 'http://127.0.0.1:1/1.mp4', 'http://[::1]:1/1.mp4']) {
    await host.show({ prompt: 'tides' }, finished(url));
    await host.reads('todo', /not https/);
    assert.equal(await host.frame.locator('#address').textContent(), url);
    assert.deepEqual(await host.frame.evaluate(() => [document.querySelector('video').hasAttribute('src'), document.querySelector('#open').hasAttribute('href')]), [false, false]);
    for (const button of ['open', 'copy', 'save']) {
      if (button !== 'save') assert.equal(await host.frame.locator(`#${button}`).isVisible(), false, `${button} ${url}`);
    }
  }
  for (const url of ['https://media.invalid/1.mp4', new URL('/none.mp4', (await made('landscape')).video_urls[0]).href]) {
    await host.show({ prompt: 'tides' }, finished(url));
    await host.reads('todo', /can't be shown here/); // there is nothing at that address
    assert.equal(await host.frame.locator('#open').getAttribute('href'), url);
  }
});

test('the buttons', async t => {
  const done = await made('landscape');
  const prompt = 'A video <b>about</b> tides.\nIn two lines.';
  const asked = {};
  const keep = name => p => { asked[name] = p; return {}; };
  const host = await open(t, {
    answer: { 'ui/open-link': keep('open'), 'ui/message': keep('message') },
    tool: (name, args) => { asked[name] = args; return structured({ request_id: done.request_id, saved_path: '/home/me/Videos/Pixazo/tides.mp4' }); },
  });
  await host.show({ prompt }, structured(done));
  const button = name => host.frame.getByRole(name === 'Open' ? 'link' : 'button', { name, exact: true });

  await button('Open').click();
  await until('the link', () => asked.open);
  assert.deepEqual(asked.open, { url: done.video_urls[0] });
  host.options.answer['ui/open-link'] = () => ({ isError: true });
  await button('Open').click();
  await host.reads('note', /refused/);
  assert.equal(await host.text('address'), done.video_urls[0]);

  await button('Copy link').click();
  await host.reads('note', 'Link copied.');
  await host.frame.evaluate(() => { document.execCommand = () => false; navigator.clipboard.writeText = () => Promise.reject(new Error('no')); });
  await button('Copy link').click();
  await host.reads('note', /does not let this page copy/);
  assert.equal(await host.frame.evaluate(() => String(getSelection())), done.video_urls[0]);

  await button('Make another').click();
  await host.reads('note', 'Sent to the chat.');
  assert.equal(asked.message.role, 'user');
  assert.equal(asked.message.content[0].type, 'text');
  assert.ok(asked.message.content[0].text.endsWith(`\n\n${prompt}`));
  delete host.options.answer['ui/message'];
  await button('Make another').click();
  await host.reads('note', /^That did not work: ui\/message is not offered/);

  const save = host.options.tool;
  host.options.tool = () => failure('file_refused: the file exists. Use overwrite.');
  await button('Save').click();
  await host.reads('file', 'Could not be saved: file_refused: the file exists. Use overwrite.');
  assert.equal(await host.text('state'), 'Your video is ready');
  host.options.tool = () => structured({ ...done, wait_expired: true });
  await button('Save').click();
  await host.reads('file', /^Still being saved/);
  host.options.tool = save;
  await button('Save').click();
  await host.reads('note', 'Saved.');
  assert.deepEqual(asked.download_video, { request_id: done.request_id });
  assert.equal(await host.text('where'), 'Saved to /home/me/Videos/Pixazo/tides.mp4');
  assert.equal(await host.text('file'), '');
  assert.equal(await host.frame.evaluate(() => document.activeElement.id), 'save');
  await button('Copy path').click();
  await host.reads('note', /does not let this page copy/);
  assert.equal(await host.frame.evaluate(() => String(getSelection())), '/home/me/Videos/Pixazo/tides.mp4');
});

test('every button is reached by keyboard', async t => {
  const host = await open(t, { tool: () => working(), answer: { 'ui/open-link': () => ({}) } });
  await host.show({ prompt: 'w '.repeat(4000) }, finished((await made('landscape')).video_urls[0]));
  await until('the video to load', () => host.frame.evaluate(() => document.querySelector('video').readyState === 4));
  await host.page.locator('iframe').focus();
  const reached = new Set();
  for (let i = 0; i < 20; i++) {
    await host.page.keyboard.press('Tab');
    const at = await host.frame.evaluate(() => document.activeElement.id);
    reached.add(at);
    if (at === 'copy') assert.notEqual(await host.frame.locator('#copy').evaluate(e => getComputedStyle(e).outlineStyle), 'none', 'the focus is seen');
    if (at === 'prompt') break;
  }
  assert.deepEqual([...reached].filter(Boolean), ['video', 'open', 'copy', 'save', 'again', 'prompt']);
  await host.frame.locator('#open').focus();
  await host.page.keyboard.press('Enter');
  await until('the link', () => host.saw('ui/open-link').length);
});

test('several videos can be chosen from', async t => {
  const urls = [(await made('landscape')).video_urls[0], (await made('portrait')).video_urls[0]];
  const host = await open(t, { tool: () => working() });
  await host.show({ prompt: 'tides' }, finished(urls[0], { video_urls: urls }));
  await plays(host, 640, 360);
  await host.frame.getByRole('button', { name: 'Video 2' }).click();
  await until('the other one', () => host.frame.evaluate(() => document.querySelector('video').videoWidth === 360));
  assert.equal(await host.frame.locator('#open').getAttribute('href'), urls[1]);
  assert.equal(await host.frame.getByRole('button', { name: 'Video 2' }).getAttribute('aria-pressed'), 'true');
});

test('the prompt and the shape of a known job come with its status', async t => {
  const host = await open(t, { tool: () => working({ orientation: 'portrait', prompt: 'tides' }) });
  await host.show({ request_id: id });
  await host.reads('prompt', 'tides');
  assert.equal(await host.frame.locator('#player').getAttribute('data-shape'), 'portrait');
});

test('while a wait or a download runs, the player shows how the job is', async t => {
  const done = await made('landscape');
  let look;
  const looked = new Promise(end => { look = end; });
  const host = await open(t, { tool: name => name === 'get_status' ? looked.then(() => structured(done)) : failure('not_found: no') });
  await host.show({ request_id: done.request_id, timeout_seconds: 45 });
  assert.equal(await host.text('state'), 'Checking');
  look();
  await host.reads('state', 'Your video is ready');
  await host.show({ request_id: done.request_id, filename: 'tides.mp4' }, structured({ request_id: done.request_id, saved_path: '/videos/tides.mp4' }));
  await host.reads('state', 'Your video is ready');
  await host.reads('where', 'Saved to /videos/tides.mp4');
  assert.equal(await host.text('save'), 'Copy path');
});

test('polling keeps the schedule: an eighth of the age, 1 s to 15 s, give or take a tenth', async t => {
  const host = await open(t, { tool: () => working() });
  for (const [age, base] of [[0, 1000], [2, 1000], [40, 5000], [100, 12500], [4000, 15000]]) {
    for (const random of [0, 0.5, 0.999]) {
      const now = Date.now(); // where the time stands still, the age is exact
      await host.frame.evaluate(({ random, now }) => { delays.length = 0; Math.random = () => random; Date.now = () => now; }, { random, now });
      await host.show({ prompt: 'tides' }, working({ elapsed_seconds: age, created_at: new Date(now - age * 1000).toISOString() }));
      const delay = await until('a plan', () => host.frame.evaluate(() => delays.at(-1)));
      const want = base * (0.9 + 0.2 * random);
      assert.ok(Math.abs(delay - want) < 50, `${age} s: ${delay} ms, want ${want}`);
    }
  }
  // An old chat shows an old result: it is checked at once.
  await host.frame.evaluate(() => { delays.length = 0; });
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 5, created_at: new Date(Date.now() - 3600e3).toISOString() }));
  assert.equal(await until('a plan', async () => (await host.frame.evaluate(() => delays)).includes(0)), true);
});

test('the typical time is shown as such, and never beyond', async t => {
  const host = await open(t, { tool: () => working({ elapsed_seconds: 50, typical_seconds: 200 }) });
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 50, typical_seconds: 200 }));
  await host.reads('typical', 'Finished videos took about 3 min 20 s.');
  const bar = host.frame.locator('[role=progressbar]');
  assert.equal(await bar.getAttribute('aria-valuemax'), '200');
  assert.match(await bar.getAttribute('aria-valuetext'), /^5\d s of about 3 min 20 s$/);
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 300, typical_seconds: 200 }));
  await host.reads('typical', /This one takes longer/);
  assert.equal(await bar.getAttribute('aria-valuenow'), null);
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 3700, stalled: true }));
  await host.reads('typical', 'A video takes 5 to 45 minutes. This one takes longer.');
  await host.reads('time', /^1 h 1 min since submission$/);
  await host.reads('todo', /^Nothing has changed for an hour/);
});

test('a hidden page does not poll, and a visible one goes on', async t => {
  const host = await open(t, { tool: () => working() });
  const turn = state => host.frame.evaluate(s => {
    Object.defineProperty(document, 'visibilityState', { value: s, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
  const begun = Date.now();
  await host.show({ prompt: 'tides' }, working());
  await until('a poll', () => host.calls('get_status').length);
  await turn('hidden');
  await host.ask('ping'); // a poll that was sent before comes before the answer
  const polls = host.calls('get_status').length;
  const due = Math.max((Date.now() - begun) / 8, 1000) * 1.1; // after the last one, at most
  await pause(1500);
  assert.equal(host.calls('get_status').length, polls);
  await host.frame.evaluate(() => { delays.length = 0; });
  await turn('visible');
  const [delay] = await host.frame.evaluate(() => delays);
  assert.ok(delay <= Math.max(due - 1500, 0) + 100, `${delay} ms, though a poll was due`);
  await until('a poll', () => host.calls('get_status').length > polls);
});

test('teardown is answered, and ends polling and play', async t => {
  const host = await open(t, { tool: () => working() });
  assert.deepEqual((await host.ask('ping')).result, {});
  assert.equal((await host.ask('ui/none')).error.code, -32601);
  await host.show({ prompt: 'tides' }, working());
  await until('a poll', () => host.calls('get_status').length);
  assert.deepEqual((await host.ask('ui/resource-teardown', { reason: 'closed' })).result, {});
  const polls = host.calls('get_status').length;
  await new Promise(done => setTimeout(done, 1500));
  assert.equal(host.calls('get_status').length, polls);

  const player = await open(t, { tool: () => working() });
  await player.show({ prompt: 'tides' }, structured(await made('landscape')));
  await until('the video to load', () => player.frame.evaluate(() => document.querySelector('video').readyState === 4));
  await player.frame.evaluate(() => { const v = document.querySelector('video'); v.muted = true; v.loop = true; return v.play(); });
  await player.ask('ui/resource-teardown', { reason: 'closed' });
  assert.equal(await player.frame.evaluate(() => document.querySelector('video').paused), true);
});

test('only the host is listened to', async t => {
  const host = await open(t, { tool: () => working() });
  await host.show({ prompt: 'tides' });
  await host.frame.evaluate(() => window.postMessage({ jsonrpc: '2.0', method: 'ui/notifications/tool-input', params: { arguments: { prompt: 'forged' } } }, '*'));
  await host.page.evaluate(() => { // a frame beside the player
    const other = document.body.appendChild(document.createElement('iframe'));
    const script = other.contentDocument.createElement('script');
    script.textContent = `parent.frames[0].postMessage({ jsonrpc: '2.0', method: 'ui/notifications/tool-input', params: { arguments: { prompt: 'forged' } } }, '*')`;
    other.contentDocument.body.append(script);
  });
  await new Promise(done => setTimeout(done, 300));
  assert.equal(await host.text('prompt'), 'tides');
});

test('the host hears of the size, and its theme and styles are taken', async t => {
  const host = await open(t, { tool: () => working(), context: { theme: 'dark', styles: { variables: { '--color-background-primary': 'rgb(1, 2, 3)', '--color-text-primary': 'light-dark(rgb(4, 5, 6), rgb(7, 8, 9))', 'color': 'red' } } } });
  await host.show({ prompt: 'tides' }, working());
  const colours = () => host.frame.evaluate(() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]; });
  assert.deepEqual(await colours(), ['rgb(1, 2, 3)', 'rgb(7, 8, 9)']);
  await host.tell('ui/notifications/host-context-changed', { theme: 'light' });
  await until('the theme', async () => (await colours())[1] === 'rgb(4, 5, 6)');
  const sizes = () => host.saw('ui/notifications/size-changed').map(m => m.params);
  await until('a size', () => sizes().length);
  const height = sizes().at(-1).height;
  await until('a poll', () => host.calls('get_status').length);
  assert.equal(sizes().at(-1).width, 760);
  await host.show({ prompt: 'tides' }, finished((await made('landscape')).video_urls[0]));
  await until('a larger size', () => sizes().at(-1).height > height + 200);
  await until('the size that it has', async () => await host.frame.evaluate(() => Math.ceil(document.documentElement.getBoundingClientRect().height)) === sizes().at(-1).height);
  assert.equal(sizes().some((size, i) => i && size.width === sizes()[i - 1].width && size.height === sizes()[i - 1].height), false, 'each size is told once');
});

test('the video leaves room where the host has little', async t => {
  const host = await open(t, { tool: () => working() });
  await host.resize(800);
  await host.show({ prompt: 'tides' }, finished((await made('portrait')).video_urls[0]));
  await until('the video to load', () => host.frame.evaluate(() => document.querySelector('video').readyState === 4));
  const high = () => host.frame.locator('video').evaluate(v => v.clientHeight);
  for (const [context, most] of [
    [{ containerDimensions: { maxHeight: 500, width: 400 } }, 280],
    [{ containerDimensions: { height: 400, width: 400 } }, 620], // perhaps what the player told
    [{ displayMode: 'fullscreen' }, 180],
    [{ displayMode: 'inline' }, 620],
    [{ containerDimensions: { maxHeight: 50 } }, 160],
  ]) {
    await host.tell('ui/notifications/host-context-changed', context);
    const wanted = Math.min(most, Math.round(330 * 16 / 9));
    await until(`a height of ${wanted}`, async () => Math.abs(await high() - wanted) < 2);
  }
});

test('motion is left out where the system says so', async t => {
  const host = await open(t, { tool: () => working() });
  const animation = () => host.frame.locator('#fill').evaluate(e => getComputedStyle(e).animationName);
  await host.show({ prompt: 'tides' }, working());
  assert.equal(await animation(), 'slide');
  await host.page.emulateMedia({ reducedMotion: 'reduce' });
  assert.equal(await animation(), 'none');
});

// pause lets time pass in which something must not happen.
const pause = ms => new Promise(done => setTimeout(done, ms));

test('the age is told only where it is known', async t => {
  const bare = more => structured({ request_id: id, status: 'PROCESSING', done: false, ...more });
  const host = await open(t, { tool: () => bare() });
  for (const [what, args, wait, result, time] of [
    ['an old chat', { prompt: 'tides' }, 0, bare(), /^Checking for \d s$/],
    ['another job', { request_id: id }, 300, bare(), /^Checking for \d s$/],
    ['a duplicate', { prompt: 'tides' }, 300, bare({ duplicate: true }), /^Checking for \d s$/],
    ['a live call', { prompt: 'tides' }, 300, bare(), /^\d s since submission$/],
    ['created_at', { request_id: id }, 0, bare({ created_at: new Date(Date.now() - 90e3).toISOString() }), /^1 min 3\d s since submission$/],
    ['a number that is no age', { request_id: id }, 0, bare({ elapsed_seconds: 1e308, typical_seconds: 0.4 }), /^Checking for \d s$/],
    ['a negative one', { request_id: id }, 0, bare({ elapsed_seconds: -5, created_at: '1970-01-01T00:00:00Z' }), /^Checking for \d s$/],
  ]) {
    if (wait === 0) { // one right after the other, however busy the machine is
      await host.page.evaluate(both => both.forEach(m => toView(m)), [['input', { arguments: args }], ['result', result]]
        .map(([what, params]) => ({ jsonrpc: '2.0', method: `ui/notifications/tool-${what}`, params })));
    } else {
      await host.show(args);
      await pause(wait);
      await host.tell('ui/notifications/tool-result', result);
    }
    await host.reads('time', time).catch(error => { throw new Error(`${what}: ${error.message}`); });
    assert.equal(await host.text('typical'), 'A video takes 5 to 45 minutes.', what);
  }
});

test('a call that is never answered holds up no other job', async t => {
  const host = await open(t, { tool: () => new Promise(() => {}) });
  await host.show({ request_id: id });
  await until('a poll', () => host.calls('get_status').length);
  await host.show({ request_id: 'other' });
  await until('a poll of the other', () => host.calls('get_status').some(c => c.params.arguments.request_id === 'other'));
  await host.show({ prompt: 'tides' }, structured(await made('landscape')));
  await host.frame.locator('#save').click();
  assert.equal(await host.frame.locator('#save').getAttribute('aria-disabled'), 'true');
  await host.show({ request_id: id }, finished('https://media.invalid/1.mp4'));
  assert.equal(await host.frame.locator('#save').getAttribute('aria-disabled'), null);
});

test('a poll without an answer ends after a minute', async t => {
  const answers = [() => new Promise(() => {}), () => broken];
  const host = await open(t, { tool: name => name === 'get_status' ? answers.shift()() : broken, hurry: true });
  const noted = await host.follow('note');
  await host.show({ request_id: id }, working());
  await noted(/no answer for 60 s/);
  await host.reads('state', 'No video was made');
});

test('what comes before the handshake is taken up after it', async t => {
  let answer;
  const host = await open(t, { tool: (name, args) => server.call(name, args), early: true, initialize: () => new Promise(done => { answer = done; }) });
  const job = await made('landscape');
  await host.show({ request_id: job.request_id }, working({ request_id: job.request_id }));
  await host.reads('state', 'Processing');
  answer();
  await host.reads('state', 'Your video is ready');
});

test('a result that comes before its arguments is kept', async t => {
  const job = await made('landscape');
  const host = await open(t, { capabilities: {} });
  await host.tell('ui/notifications/tool-result', structured({ ...job, prompt: '' }));
  await host.tell('ui/notifications/tool-input', { arguments: { prompt: 'tides' } });
  await host.reads('prompt', 'tides');
  assert.equal(await host.text('state'), 'Your video is ready');
  await host.show({ prompt: 'ebb' });
  await host.reads('state', 'Submitting');
  const list = await open(t, { capabilities: {} });
  await list.tell('ui/notifications/tool-result', structured({ videos: [job] }));
  await list.tell('ui/notifications/tool-input', { arguments: { status: 'completed' } });
  await list.reads('count', /1 .*video$/);
});

test('what is chosen and how far it is are seen in forced colours', async t => {
  const host = await open(t, { tool: () => working({ elapsed_seconds: 50, typical_seconds: 200 }) });
  await host.page.emulateMedia({ forcedColors: 'active' });
  const background = selector => host.frame.locator(selector).evaluate(e => getComputedStyle(e).backgroundColor);
  await host.show({ prompt: 'tides' }, working({ elapsed_seconds: 50, typical_seconds: 200 }));
  assert.notEqual(await background('#fill'), await background('#bar'));
  const { video_urls: [url] } = await made('landscape');
  await host.show({ prompt: 'tides' }, finished(url, { video_urls: [url, url + '?2'] }));
  assert.notEqual(await background('#choice [aria-pressed=true]'), await background('#choice [aria-pressed=false]'));
});

test('a host that refuses the handshake is named, and one that is late is waited for', async t => {
  const host = await open(t, { early: true, initialize: () => { throw new Error('not now'); } });
  await host.reads('state', 'The host does not answer');
  await host.reads('note', /not now/);
  let answer;
  const late = await open(t, { early: true, hurry: true, initialize: () => new Promise(done => { answer = done; }), tool: () => working() });
  await late.reads('note', /no answer for 10 s/);
  answer();
  await until('the handshake', () => late.saw('ui/notifications/initialized').length);
  assert.equal(await late.text('note'), '');
  await late.show({ request_id: id });
  await late.reads('state', 'Processing');
});

test('a player that is scrolled out of sight does not poll', async t => {
  const host = await open(t, { tool: () => working() });
  await host.show({ request_id: id }, working());
  await until('a poll', () => host.calls('get_status').length);
  await host.page.evaluate(() => { view.style.marginTop = '3000px'; });
  // The player's own observer is older, and hears of it before this one.
  await host.frame.evaluate(() => new Promise(unseen => new IntersectionObserver(all => { if (!all.at(-1).isIntersecting) unseen(); }).observe(document.documentElement)));
  await host.ask('ping'); // a poll that was sent before comes before the answer
  const polls = host.calls('get_status').length;
  await pause(2000);
  assert.equal(host.calls('get_status').length, polls);
  await host.page.evaluate(() => scrollTo(0, 3000));
  await until('a poll', () => host.calls('get_status').length > polls);
});

test('another one is offered only where the host can, and with the whole prompt', async t => {
  const job = await made('landscape');
  const again = host => host.frame.locator('#again').isVisible();
  const without = await open(t, { capabilities: { serverTools: {} }, tool: () => working() });
  await without.show({ prompt: 'tides' }, structured(job));
  await without.reads('state', 'Your video is ready');
  assert.equal(await again(without), false);
  const cut = await open(t, { tool: () => working() });
  await cut.show({ request_id: job.request_id }, structured({ ...job, prompt: 'tides '.repeat(33) + 'a…' }));
  await cut.reads('prompt', /…$/);
  assert.equal(await again(cut), false);
});

test('a failed wait shows the reason that the status has', async t => {
  const host = await open(t, { tool: () => broken });
  await host.show({ request_id: id, timeout_seconds: 45 }, failure(`video_failed: the job ended. Tell the user. request_id: ${id}`));
  await host.reads('words', 'The gateway said: the storyboard could not be rendered');
  await pause(1500);
  assert.equal(host.calls('get_status').length, 1);
});

test('a video that could not be saved says so beside the video', async t => {
  const done = await made('landscape');
  const host = await open(t, { tool: () => structured(done) });
  await host.show({ request_id: done.request_id }, failure(`download_failed: the disk is full. Mend it. request_id: ${done.request_id}`));
  await host.reads('state', 'Your video is ready');
  assert.match(await host.text('file'), /^Could not be saved: .*the disk is full/);
  await host.show({ request_id: done.request_id, save: true }, structured({ ...done, wait_expired: false, save_error: 'the disk is full' }));
  await host.reads('file', 'Not saved so far: the disk is full');
  await host.show({ request_id: done.request_id }, structured({ ...done, wait_expired: true }));
  await host.reads('file', /^Still being saved/);
  await host.show({ request_id: done.request_id }, structured({ ...done, saved_path: '/v/1.mp4', further_files: [{ path: '/v/2.mp4' }] }));
  await host.reads('where', 'Saved to /v/1.mp4 and /v/2.mp4');
});

test('a video that is saved by itself says where, a while after its end', async t => {
  const done = { ...await made('landscape'), completed_at: new Date().toISOString() };
  const answers = [{}, { save_error: 'the disk is full' }, { save_error: '', saved_path: '/v/tides.mp4' }];
  let look;
  const looked = new Promise(end => { look = end; });
  const host = await open(t, { tool: async () => {
    const answer = answers.shift();
    if (answer?.saved_path) await looked;
    return structured({ ...done, ...answer });
  } });
  await host.frame.evaluate(() => { const real = setTimeout; setTimeout = (f, ms) => real(f, f.name === 'poll' ? Math.min(ms, 600) : ms); });
  await host.show({ prompt: 'tides' }, structured(done));
  await host.reads('file', 'Not saved so far: the disk is full');
  look();
  await host.reads('where', 'Saved to /v/tides.mp4');
  assert.equal(await host.text('file'), '');
  await pause(1000);
  assert.equal(host.calls('get_status').length, 3);
  // One that ended long ago is saved, or never will be by itself.
  await host.show({ request_id: done.request_id }, structured({ ...done, completed_at: '2026-01-01T00:00:00Z' }));
  await pause(1000);
  assert.equal(host.calls('get_status').length, 3);
});

test('a submission that the gateway has not answered yet is looked for in the list', async t => {
  const sent = { status: 'SUBMITTING', done: false, created_at: new Date().toISOString(), prompt: 'tides' };
  const lists = [[], [{ ...sent, request_id: 'other', prompt: 'ebb' }, { ...sent }], [{ ...sent, request_id: id, status: 'QUEUED' }]];
  let look;
  const looked = new Promise(end => { look = end; });
  const host = await open(t, { tool: name => name === 'list_videos' ? looked.then(() => structured({ videos: lists.shift() })) : working() });
  await host.show({ prompt: 'tides' }, structured(sent));
  await host.reads('state', 'Submitting');
  look();
  await host.reads('state', 'Processing');
  await host.reads('id', `request_id: ${id}`);
  assert.deepEqual(host.calls('list_videos').map(c => c.params.arguments), [{ limit: 20 }, { limit: 20 }, { limit: 20 }]);
  await host.show({ prompt: 'tides' }, structured({ ...sent, status: 'UNCERTAIN' }));
  await host.reads('state', 'It is not certain whether this was submitted');
  await host.reads('todo', /dashboard/);
});

test('a save that ends late says nothing of another job', async t => {
  let answer;
  const done = await made('landscape');
  const host = await open(t, { tool: () => new Promise(end => { answer = end; }) });
  await host.show({ prompt: 'tides' }, structured(done));
  await host.frame.locator('#save').click();
  await until('the call', () => answer);
  await host.show({ prompt: 'other' }, finished('https://media.invalid/1.mp4'));
  answer(structured({ ...done, saved_path: '/v/1.mp4' }));
  await pause(300);
  assert.equal(await host.text('save'), 'Save');
  assert.doesNotMatch(await host.text('where') + await host.text('note'), /saved/i);
});

test('an expired link is replaced once', async t => {
  const done = await made('landscape');
  const host = await open(t, { tool: () => structured(done) });
  await host.show({ prompt: 'tides' }, structured({ ...done, video_urls: ['https://media.invalid/old.mp4'] }));
  await plays(host, 640, 360);
  const gone = await open(t, { tool: () => finished('https://media.invalid/newer.mp4', { saved_path: '/v/1.mp4' }) }); // so that it is not looked whether it was saved
  await gone.show({ prompt: 'tides' }, finished('https://media.invalid/old.mp4'));
  await gone.reads('address', 'https://media.invalid/newer.mp4');
  await pause(1000);
  assert.equal(gone.calls('get_status').length, 1);
});

test('Open shows the address where the host opens no links', async t => {
  const host = await open(t, { capabilities: {} });
  const { video_urls: [url] } = await made('landscape');
  await host.show({ prompt: 'tides' }, finished(url));
  await host.frame.evaluate(() => document.querySelector('#open').addEventListener('click', event => event.preventDefault()));
  await host.frame.locator('#open').click();
  await host.reads('address', url);
});

test('a result for another job takes nothing over', async t => {
  const host = await open(t, { capabilities: {} });
  await host.show({ prompt: 'tides', orientation: 'portrait' }, structured({ ...await made('portrait'), saved_path: '/v/1.mp4' }));
  await until('its shape', () => host.frame.evaluate(() => document.querySelector('video').style.aspectRatio));
  await host.tell('ui/notifications/tool-result', working({ request_id: 'other' }));
  await host.reads('state', 'Processing');
  assert.deepEqual([await host.text('prompt'), await host.text('where'), await host.frame.evaluate(() => document.querySelector('video').style.aspectRatio)], ['', '', '']);
});

test('a result without structure is read from its text', async t => {
  const host = await open(t, { capabilities: {} });
  assert.equal(await host.text('state'), 'Waiting for the call');
  await host.show({ prompt: 'tides' });
  await host.reads('state', 'Submitting');
  for (const content of [[], undefined, 'none', [{ type: 'text', text: 'Hello' }]]) {
    await host.tell('ui/notifications/tool-result', { content });
    await host.reads('state', 'There is no status to show');
    assert.match(await host.text('note'), /nothing that can be shown/);
  }
  await host.tell('ui/notifications/tool-result', { content: [{ type: 'text', text: `request_id: ${id}\nstatus: QUEUED\ndone: false\nsave_error: "no \\"room\\""\nnext_step: Wait.` }] });
  await host.reads('state', 'Queued');
  assert.equal(await host.text('file'), 'Not saved so far: no "room"');
  assert.equal(await host.text('note'), '');
  assert.equal(await host.text('id'), `request_id: ${id}`);
  await host.tell('ui/notifications/tool-result', structured({ request_id: id, status: 'COMPLETED', done: 'yes' }));
  assert.notEqual(await host.text('state'), 'No video was made');
});

test('after teardown nothing is taken, shown or sent', async t => {
  let answer;
  const host = await open(t, { tool: () => new Promise(end => { answer = end; }) });
  await host.show({ request_id: id }, working());
  await until('a poll', () => answer);
  await host.ask('ui/resource-teardown');
  const sent = host.sent.length, shown = await host.frame.evaluate(() => document.body.innerText);
  answer(broken);
  await host.show({ prompt: 'other' }, broken);
  await host.resize(500);
  await pause(1500);
  assert.equal(host.sent.length, sent);
  assert.equal(await host.frame.evaluate(() => document.body.innerText), shown);
});

test('text and background are the host\'s, or neither is', async t => {
  const host = await open(t, { context: { theme: 'light', styles: { variables: { '--color-text-primary': 'rgb(255, 255, 255)' } } } });
  assert.equal(await host.frame.evaluate(() => getComputedStyle(document.body).color), 'rgb(25, 25, 29)');
});

// Each state of the player, in both themes and at both ends of its width.
const states = {
  waiting: [{}, undefined],
  submitting: [{ prompt: 'A video about tides.' }, undefined],
  working: [{ prompt: 'A video about tides. '.repeat(200) }, working({ elapsed_seconds: 50, typical_seconds: 200 })],
  ready: [{ prompt: 'A video about tides.' }, async () => finished((await made('landscape')).video_urls[0])],
  'ready-portrait': [{ prompt: 'A video about tides.' }, async () => finished((await made('portrait')).video_urls[0])],
  unplayable: [{ prompt: 'A video about tides.' }, finished('https://media.invalid/' + 'a'.repeat(300) + '.mp4')],
  failed: [{ prompt: 'A video about tides.' }, broken],
  error: [{ prompt: 'A video about tides.' }, failure('submission_uncertain: the connection broke. ' + 'Look at the dashboard. '.repeat(60))],
};
for (const theme of ['light', 'dark']) {
  test(`axe finds nothing, ${theme}`, async t => {
    const host = await open(t, { tool: () => working({ elapsed_seconds: 50, typical_seconds: 200 }), context: { theme } });
    await host.frame.evaluate(axe);
    for (const [name, [args, result]] of Object.entries(states)) {
      await host.show(args, typeof result === 'function' ? await result() : result);
      if (name.startsWith('ready')) await until('the video to load', () => host.frame.evaluate(() => document.querySelector('video').readyState === 4));
      for (const width of [1200, 280]) {
        await host.resize(width);
        const overflow = await host.frame.evaluate(() => [document.documentElement, ...document.querySelectorAll('body *')]
          .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !['auto', 'hidden'].includes(getComputedStyle(e).overflowX)).map(e => e.id || e.localName));
        assert.deepEqual(overflow, [], `${name} at ${width} px`);
        await screenshot(host.page.locator('iframe'), `${name}-${theme}-${width}`);
      }
      const found = await host.frame.evaluate(() => window.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
      assert.ok(found.passes.length > 10, 'it looked');
      assert.deepEqual(found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`), [], name);
    }
  });
}
