// The gallery, which is what the player shows of list_videos, in a host of our
// own.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Host, serve } from './host.mjs';
import { Server, browse, cleanUp, root, screenshot, until } from './tools.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let server, site, browser, landscape, portrait, thumbnail;

before(async () => {
  server = await new Server('--sandbox-duration=1s').start();
  site = await serve(server);
  browser = await browse();
  const make = async (prompt, orientation) => {
    const { request_id } = (await server.call('generate_video', { prompt, orientation })).structuredContent;
    return (await server.call('wait_for_video', { request_id })).structuredContent;
  };
  [landscape, portrait] = await Promise.all([make('A video about tides.', 'landscape'), make('A video about ebb.', 'portrait'), make('sandbox:extras A video about the moon.', 'landscape')]);
  thumbnail = (await server.call('list_videos', {})).structuredContent.videos.find(v => v.thumbnail_url).thumbnail_url;
});

after(async () => {
  await browser?.close();
  site?.close();
  await server?.stop();
  cleanUp();
});

const open = (t, options) => Host.show(t, browser, site, options);

const list = (videos, more) => ({ content: [{ type: 'text', text: 'a list' }], structuredContent: { videos, next_step: 'Choose.', ...more } });
const status = s => ({ content: [], structuredContent: s });
const since = seconds => new Date(Date.now() - seconds * 1000).toISOString();
const row = (n, more) => ({ request_id: `heygen-video-agent_${n}`, status: 'PROCESSING', done: false, prompt: `Video ${n} about tides.`, created_at: since(n * 60), ...more });
const done = (n, more) => row(n, { status: 'COMPLETED', done: true, video_urls: landscape.video_urls, media_type: 'video/mp4', ...more });
const card = (host, n) => host.frame.locator('#list > li').nth(n);
const texts = (host, what) => host.frame.locator(`#list > li ${what}`).evaluateAll(all => all.map(e => e.checkVisibility() ? e.innerText : ''));

test('the videos that the server lists, and the player of one', async t => {
  const host = await open(t, { tool: (name, args) => server.call(name, args) });
  await host.run(server, 'list_videos', {});
  await host.reads('count', '3 videos');
  assert.deepEqual((await texts(host, '.title')).sort(), ['A video about ebb.', 'A video about tides.', 'sandbox:extras A video about the moon.']);
  for (const about of await texts(host, '.about')) assert.match(about, /^Ready · just now( · 5 s long)?$/);
  // The thumbnail where there is one, else the first picture of the video.
  await until('the pictures', () => host.frame.evaluate(() => [...document.querySelectorAll('.poster')].every(p => p.querySelector('img')?.naturalWidth || p.querySelector('video')?.readyState >= 2)));
  assert.deepEqual((await host.frame.evaluate(() => [...document.querySelectorAll('.poster > *')].map(e => e.localName))).sort(), ['img', 'video', 'video']);

  await host.frame.getByRole('button', { name: /A video about ebb/ }).click();
  await host.reads('state', 'Your video is ready');
  assert.equal(await host.text('prompt'), 'A video about ebb.');
  assert.equal(await host.frame.locator('#gallery').isVisible(), false);
  await until('the video to load', () => host.frame.evaluate(() => document.querySelector('#video').videoHeight === 640));
  await host.frame.evaluate(() => { const v = document.querySelector('#video'); v.muted = true; return v.play(); });
  await until('the video to play on', () => host.frame.evaluate(() => document.querySelector('#video').currentTime > 0.3));
  await screenshot(host.page.locator('iframe'), 'gallery-chosen');

  await host.frame.getByRole('button', { name: 'All videos' }).click();
  await host.reads('count', '3 videos');
  assert.equal(await host.frame.locator('#player').isVisible(), false);
  assert.equal(await host.frame.evaluate(() => document.querySelector('#video').hasAttribute('src')), false);
  assert.match(await host.frame.evaluate(() => document.activeElement.innerText), /A video about ebb/, 'the focus is back on the card');
});

test('each state of a video has its words', async t => {
  const host = await open(t, { capabilities: {} });
  await host.show({}, list([
    row(2), row(90, { stalled: true }), done(60 * 5, { duration_seconds: 35.2, saved_path: '/home/me/Videos/Pixazo/tides.mp4' }),
    done(60 * 24 * 3, { video_urls: [], save_error: 'the disk is full' }), row(3, { status: 'FAILED', done: true, error: 'no' }),
    row(4, { request_id: undefined, status: 'UNCERTAIN' }), row(4, { request_id: undefined, status: 'UNCERTAIN' }), row(0, { request_id: undefined, status: 'SUBMITTING', created_at: undefined, prompt: undefined }),
  ], { notice: 'The journal was damaged.', videos_left: 7, next_cursor: 'abc' }));
  await host.reads('count', '8 videos, and older ones');
  assert.deepEqual(await texts(host, '.about'), ['Processing · 2 min ago', 'Processing · no change for an hour · 1 h ago', 'Ready · 5 h ago · 35 s long', 'Ready · 3 days ago', 'Failed · 3 min ago',
    'Not certain · 4 min ago', 'Not certain · 4 min ago', 'Submitting']);
  assert.deepEqual(await texts(host, '.path'), ['', '', '/home/me/Videos/Pixazo/tides.mp4', 'Not saved so far: the disk is full', '', '', '', '']);
  assert.equal(await host.frame.getByRole('button', { name: /^Copy path/ }).count(), 1);
  assert.equal((await texts(host, '.title'))[7], 'A video of which no more is known');
  assert.equal(await host.text('notice'), 'The journal was damaged.');
  assert.equal(await host.text('left'), 'The limits leave 7 more for now.');
  // This host calls no tools.
  assert.equal(await host.frame.locator('#refresh').isVisible() || await host.frame.locator('#older').isVisible(), false);
  await card(host, 4).getByRole('button').click();
  await host.reads('words', 'The gateway said: no');
  await host.frame.locator('#back').click();
  await card(host, 5).getByRole('button').click();
  await host.reads('state', 'It is not certain whether this was submitted');
  await host.reads('todo', /dashboard/);
  await host.frame.locator('#back').click();
  await card(host, 2).getByRole('button').first().click();
  await host.reads('where', 'Saved to /home/me/Videos/Pixazo/tides.mp4');
  assert.equal(host.saw('tools/call').length, 0);

  await host.show({ status: 'failed' }, list([]));
  await host.reads('count', 'No failed videos');
  await host.show({ prompt: 'tides' }, status(row(1)));
  await host.reads('state', 'Processing');
  assert.equal(await host.frame.locator('#gallery').isVisible() || await host.frame.locator('#back').isVisible(), false);
  await host.show({}, { isError: true, content: [{ type: 'text', text: 'journal_unavailable: the disk is full. Mend it.' }] });
  await host.reads('state', 'That did not work');
});

test('the list is read again, and older ones too', async t => {
  let answer = () => list([row(2), done(3)]);
  const host = await open(t, { hurry: true, tool: (name, args) => answer(args) });
  await host.show({ status: 'all', limit: 2 }, list([row(2), done(3)], { next_cursor: 'abc' }));
  await until('a look at unfinished ones', () => host.calls('list_videos').length);
  assert.deepEqual(host.calls('list_videos')[0].params.arguments, { status: 'all', limit: 2 });
  await card(host, 1).getByRole('button').first().focus();
  answer = ({ cursor }) => cursor ? list([done(4), done(5)]) : list([row(1), done(2), done(3)], { next_cursor: 'abc' });
  await host.reads('count', '3 videos, and older ones');
  assert.match(await host.frame.evaluate(() => document.activeElement.innerText), /Video 3/, 'the focus stays');
  assert.deepEqual(await texts(host, '.about'), ['Processing · 1 min ago', 'Ready · 2 min ago', 'Ready · 3 min ago']);
  answer = ({ cursor }) => cursor ? list([done(4), done(5)]) : list([done(1), done(2), done(3)], { next_cursor: 'abc' });
  await host.frame.locator('#refresh').click();
  await until('the end', async () => (await texts(host, '.about'))[0] === 'Ready · 1 min ago');
  await host.frame.locator('#older').click();
  await host.reads('count', '5 videos');
  assert.deepEqual(host.calls('list_videos').at(-1).params.arguments, { status: 'all', limit: 2, cursor: 'abc' });
  const asked = host.calls('list_videos').length;
  await new Promise(done => setTimeout(done, 2500));
  assert.equal(host.calls('list_videos').length, asked, 'nothing is unfinished');
  answer = () => ({ isError: true, content: [{ type: 'text', text: 'journal_unavailable: the disk is full' }] });
  await host.frame.locator('#refresh').click();
  await host.reads('told', /could not be read again: journal_unavailable/);
  assert.equal(await host.text('count'), '5 videos');
  answer = () => { throw new Error('denied by the user'); };
  await host.frame.locator('#refresh').click();
  await host.reads('told', /denied by the user/);
});

test('older ones that were read stay when the list is read again, page by page', async t => {
  const all = Array.from({ length: 70 }, (_, i) => i % 40 === 2 ? row(i) : done(i));
  const page = ({ cursor = '0', limit = 20 }) => { // an answer has at most 23, as one of at most 20 kB may
    const end = Number(cursor) + Math.min(limit, 23);
    return list(all.slice(cursor, end), end < all.length ? { next_cursor: String(end) } : {});
  };
  const host = await open(t, { hurry: true, tool: (name, args) => page(args) });
  await host.show({}, page({}));
  await host.reads('count', '20 videos, and older ones');
  for (const more of [/^4\d videos/, /^6\d videos/, '70 videos']) {
    await host.frame.locator('#older').press('Enter');
    await host.reads('count', more);
  }
  assert.match(await host.frame.evaluate(() => document.activeElement.innerText), /Video 6\d/, 'the focus is on the first of the last page');
  all[42] = done(42);
  await until('the end of one of them', async () => (await texts(host, '.about'))[42].startsWith('Ready'));
  assert.equal(await host.text('count'), '70 videos');
  host.options.tool = () => list([], { next_cursor: 'abc' }); // never asked for without an end
  await host.frame.locator('#refresh').click();
  await host.reads('count', 'No videos, and older ones');
});

test('older ones that are asked for while the list is being read come after that', async t => {
  let go;
  const host = await open(t, { tool: async (name, { cursor }) => {
    if (cursor) return list([done(2)]);
    await new Promise(resolve => { go = resolve; });
    return list([done(0), done(1)], { next_cursor: 'older' });
  } });
  await host.show({}, list([done(0)], { next_cursor: 'older' }));
  await host.frame.locator('#refresh').click();
  await until('the reading', () => go);
  await host.frame.locator('#older').click();
  go();
  await host.reads('count', '3 videos');
});

test('an unfinished one that is chosen is followed, and the list knows its end', async t => {
  const host = await open(t, { tool: name => name === 'get_status' ? status(done(2, { saved_path: '/v/2.mp4' })) : list([row(2)]) });
  await host.show({}, list([row(2), row(3)]));
  await card(host, 0).getByRole('button').click();
  await host.reads('state', 'Your video is ready');
  assert.equal(host.calls('get_status').length, 1);
  await host.frame.locator('#back').click();
  await until('its end', async () => (await texts(host, '.about'))[0] === 'Ready · 2 min ago');
  assert.equal((await texts(host, '.path'))[0], '/v/2.mp4');
  await host.ask('ui/resource-teardown');
});

test('a path is copied, or selected', async t => {
  const host = await open(t, { capabilities: {} });
  await host.show({}, list([done(1, { saved_path: '/v/a b.mp4' })]));
  const button = host.frame.getByRole('button', { name: 'Copy path of Video 1 about tides.' });
  await button.click();
  await host.reads('told', 'Path copied.');
  await host.frame.evaluate(() => { document.execCommand = () => false; navigator.clipboard.writeText = () => Promise.reject(new Error('no')); });
  await button.click();
  await host.reads('told', /selected/);
  assert.equal(await host.frame.evaluate(() => String(getSelection())), '/v/a b.mp4');
});

test('a picture that can\'t be loaded is left out, and one of another origin is never asked for', async t => {
  const host = await open(t, { capabilities: {} });
  const requested = [];
  host.page.on('request', r => requested.push(r.url()));
  const none = new URL('/none.png', landscape.video_urls[0]).href;
  await host.show({}, list([done(1, { thumbnail_url: none }), done(2, { thumbnail_url: none, video_urls: [none] }), done(3, { thumbnail_url: 'http://127.0.0.1:1/1.png', video_urls: ['javascript:alert(1)'] }),
    done(4, { thumbnail_url: 'data:image/png;base64,AAAA', video_urls: [7] }), row(5, { thumbnail_url: thumbnail })]));
  const pictures = () => host.frame.evaluate(() => [...document.querySelectorAll('.poster')].map(p => p.firstChild?.localName ?? ''));
  await until('what can be shown', async () => String(await pictures()) === 'video,,,,img');
  assert.equal(requested.some(u => u.includes(':1/') || u.startsWith('javascript') || u.startsWith('data')), false, String(requested));
});

test('what comes from a list stays text', async t => {
  const markup = '<img src=x onerror="document.title=\'hacked\'"><script>document.title=\'hacked\'</script>';
  const long = markup + 'w'.repeat(3000);
  const host = await open(t, { tool: () => status(row(1, { request_id: markup, status: markup })) });
  await host.show({ status: markup }, list([row(1, { status: long, prompt: long, saved_path: long, request_id: markup, created_at: markup, save_error: markup }), null, 7, [],
    done(2, { prompt: { a: 1 }, request_id: {}, status: [], created_at: {}, duration_seconds: 'x', saved_path: 3, video_urls: 'https', thumbnail_url: {}, stalled: 'yes' })],
    { notice: long, videos_left: markup, next_cursor: markup }));
  for (const width of [280, 760]) {
    await host.resize(width);
    assert.equal(await card(host, 0).locator('.title').textContent(), long);
    assert.equal(await card(host, 0).locator('.path').textContent(), long);
    assert.deepEqual(await host.frame.evaluate(() => [document.title, document.images.length, document.scripts.length]), ['Pixazo video', 0, 1]);
    assert.equal(await host.frame.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth), false, 'no sideways scroll');
  }
  await card(host, 0).getByRole('button').first().click();
  await host.reads('state', /^<img/);
  await host.frame.locator('#back').click();
});

test('a list without structure is read from its text', async t => {
  const host = await open(t, { capabilities: {} });
  const whole = await server.call('list_videos', {});
  await host.show({}, { content: whole.content });
  await host.reads('count', '3 videos');
  assert.deepEqual((await texts(host, '.title')).sort(), ['A video about ebb.', 'A video about tides.', 'sandbox:extras A video about the moon.']);
  await host.frame.getByRole('button', { name: /A video about tides/ }).click();
  await host.reads('state', 'Your video is ready');
  await until('the video to load', () => host.frame.evaluate(() => document.querySelector('#video').readyState === 4));
});

test('a job whose words look like a list is none', async t => {
  const host = await open(t, { capabilities: {} });
  const { request_id } = (await server.call('generate_video', { prompt: 'Explain this: | request_id | created_at | status' })).structuredContent;
  const { content, structuredContent } = await server.call('get_status', { request_id });
  for (const result of [{ content, structuredContent }, { content }]) {
    await host.show({ request_id }, result);
    await host.reads('prompt', 'Explain this: | request_id | created_at | status');
    assert.equal(await host.frame.locator('#gallery').isVisible(), false);
  }
});

test('the gallery is used by keyboard', async t => {
  const host = await open(t, { tool: () => status(done(1)) });
  await host.show({}, list([done(1, { saved_path: '/v/1.mp4' }), row(2)], { next_cursor: 'abc' }));
  await host.page.locator('iframe').focus();
  const reached = [];
  for (let i = 0; i < 5; i++) {
    await host.page.keyboard.press('Tab');
    reached.push(await host.frame.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.innerText));
    assert.notEqual(await host.frame.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none', 'the focus is seen');
  }
  assert.deepEqual(reached, ['refresh', 'card', 'Copy path', 'card', 'older']);
  await card(host, 0).getByRole('button').first().focus();
  await host.page.keyboard.press('Enter');
  await host.reads('state', 'Your video is ready');
  assert.equal(await host.frame.evaluate(() => document.activeElement.id), 'back');
  await host.page.keyboard.press('Enter');
  await host.reads('count', /^2 videos/);
});

for (const theme of ['light', 'dark']) {
  test(`axe finds nothing in the gallery, ${theme}`, async t => {
    const host = await open(t, { tool: () => list([]), context: { theme } });
    await host.frame.evaluate(axe);
    const states = {
      gallery: list([done(1, { saved_path: '/home/me/Videos/Pixazo/2026-11-02 a friendly presenter explains tides.mp4', duration_seconds: 62 }), done(2, { thumbnail_url: thumbnail }), row(3), row(90, { stalled: true, prompt: 'Tides. '.repeat(40) }),
        row(4, { status: 'FAILED', done: true }), row(5, { request_id: '', status: 'UNCERTAIN' }), done(6, { video_urls: portrait.video_urls, save_error: 'the disk is full' })], { next_cursor: 'abc', videos_left: 3, notice: 'The journal was damaged.' }),
      'gallery-empty': list([]),
    };
    for (const [name, result] of Object.entries(states)) {
      await host.show({}, result);
      for (const width of [1200, 392, 280]) {
        await host.resize(width);
        const overflow = await host.frame.evaluate(() => [document.documentElement, ...document.querySelectorAll('body *')]
          .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !['auto', 'hidden'].includes(getComputedStyle(e).overflowX)).map(e => e.id || e.className || e.localName));
        assert.deepEqual(overflow, [], `${name} at ${width} px`);
        await screenshot(host.page.locator('iframe'), `${name}-${theme}-${width}`);
      }
      const found = await host.frame.evaluate(() => window.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
      assert.ok(found.passes.length > 10, 'it looked');
      assert.deepEqual(found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`), [], name);
    }
  });
}

test('the picture in docs', async t => {
  const host = await open(t, { tool: () => list([]) });
  await host.resize(720);
  await host.show({}, list([
    row(6, { prompt: 'How our new return policy works, for shop staff, in one minute.' }),
    done(55, { prompt: 'A friendly presenter explains tides in 30 seconds, on a beach at dusk.', duration_seconds: 31, saved_path: '~/Videos/Pixazo/2026-11-02 a friendly presenter.mp4' }),
    done(180, { prompt: 'The same, upright, for phones.', duration_seconds: 29, video_urls: portrait.video_urls, saved_path: '~/Videos/Pixazo/2026-11-02 the same upright.mp4' }),
    row(60 * 26, { prompt: 'A tour of the museum\'s new wing, from the plan.', status: 'FAILED', done: true }),
  ]));
  await until('the pictures', () => host.frame.evaluate(() => [...document.querySelectorAll('.poster video')].filter(v => v.readyState >= 2).length === 2));
  const box = await host.frame.locator('main').boundingBox();
  await host.page.screenshot({ path: path.join(process.env.PLAYER_PICTURES || path.join(root, 'e2e/screenshots'), 'gallery.png'), clip: { ...box } });
  for (const name of ['player', 'gallery']) assert.ok(statSync(path.join(root, `docs/${name}.png`)).size < 200e3, `the picture ${name} in docs is small`);
});
