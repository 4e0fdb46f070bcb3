// What a scripted model does with our tools, and what must come of it. Each
// scenario has the flags of the server, the model's script, and a check of the
// run: { results, wire, output, state, list() }, as run.mjs makes it.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const requestID = /heygen-video-agent_[0-9a-f-]{36}/;
const id = (seen) => seen.results.map((r) => r.text.match(requestID)?.[0]).find(Boolean);

export function must(truth, what) {
  if (!truth) throw new Error(typeof what === 'string' ? what : `got ${JSON.stringify(what)}`);
}

// steps plays one call after the other, whatever they answer; wait: true repeats
// wait_for_video while the video is not done.
function steps(...list) {
  return (seen) => {
    let n = 0;
    for (const step of list) {
      const next = { tool: step.tool, args: typeof step.args === 'function' ? step.args(seen) : (step.args ?? {}) };
      if (n >= seen.results.length) return next;
      n++;
      while (step.wait && n < seen.results.length && /wait_expired\W+true/.test(seen.results[n - 1].text)) n++;
      if (step.wait && n === seen.results.length && /wait_expired\W+true/.test(seen.results[n - 1].text)) return next;
    }
    return { text: 'That is all.' };
  };
}

const generate = (prompt, more) => ({ tool: 'generate_video', args: { prompt, ...more } });
const wait = (more) => ({ tool: 'wait_for_video', wait: true, args: (seen) => ({ request_id: id(seen) ?? 'none', ...more }) });

// called checks which tools the model got answers of, in order.
function called(run, ...tools) {
  must(run.results.map((r) => r.tool).join() === tools.join(), `the model saw results of ${run.results.map((r) => r.tool)}; want ${tools}`);
}

const videos = (folder) => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.mp4')) : []);

// eventually is true when f is within some seconds.
async function eventually(f, seconds) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) {
    if (await f()) return true;
  }
  return f();
}

export const scenarios = {
  'the whole job': {
    flags: ['--sandbox-duration=3s'],
    script: steps(
      generate('A presenter explains tides in 30 seconds.', { orientation: 'portrait' }), wait(), { tool: 'get_status', args: (seen) => ({ request_id: id(seen) }) },
      { tool: 'download_video', args: (seen) => ({ request_id: id(seen), filename: 'tides.mp4' }) }, { tool: 'list_videos', args: { limit: 5 } },
    ),
    check(run) {
      called(run, 'generate_video', 'wait_for_video', 'get_status', 'download_video', 'list_videos');
      const [made, waited, , saved, list] = run.results.map((r) => r.text);
      must(requestID.test(made), made);
      must(/COMPLETED/.test(waited) && /https?:\/\/[^"\s]+\.mp4/.test(waited), waited);
      must(saved.includes(join(run.output, 'tides.mp4')) && readFileSync(join(run.output, 'tides.mp4')).toString('latin1', 4, 8) === 'ftyp', saved);
      must(list.includes(made.match(requestID)[0]), list);
    },
  },

  // Three waits: Gemini CLI takes five equal calls for a loop and ends.
  'a job longer than one wait': {
    flags: ['--sandbox-duration=20s'],
    script: steps(generate('A presenter explains currents.'), wait({ timeout_seconds: 8 })),
    check(run) {
      const waits = run.results.slice(1);
      must(waits.length >= 2 && waits.every((r) => r.tool === 'wait_for_video'), run.results);
      must(waits.slice(0, -1).every((r) => !r.error && /wait_expired\W+true/.test(r.text)) && /COMPLETED/.test(waits.at(-1).text), waits);
    },
  },

  // Two waits as long as they are by default, 45 s.
  'a job of a minute': {
    slow: true,
    flags: ['--sandbox-duration=60s'],
    script: steps(generate('A presenter explains the moon.'), wait()),
    check(run) {
      called(run, 'generate_video', 'wait_for_video', 'wait_for_video');
      must(/COMPLETED/.test(run.results[2].text), run.results);
    },
  },

  'a submission that is slow to be answered': {
    slow: true,
    flags: ['--sandbox-duration=3s'],
    script: steps(generate('A presenter explains the sun. sandbox:slow-forever')),
    check(run) {
      called(run, 'generate_video');
      must(/SUBMITTING/.test(run.results[0].text), run.results);
    },
  },

  'what fails': {
    flags: ['--sandbox-duration=1s'],
    script: steps(
      generate('A presenter explains wind. sandbox:failed'), wait(), generate('A presenter.', { orientation: 'diagonal' }),
      generate('A presenter explains rain. sandbox:402'), { tool: 'get_status', args: { request_id: 'heygen-video-agent_nonsense' } },
    ),
    check(run) {
      const texts = run.results.slice(1).map((r) => r.text);
      const codes = ['video_failed', 'invalid_argument', 'out_of_credits', 'not_found'];
      // An application may refuse a wrong argument by our schema, in words of its own.
      must(texts.length === 4 && codes.every((code, i) => texts[i].includes(code + ': ') || (i === 1 && /orientation/.test(texts[i]))), run.results);
      must(requestID.test(texts[0]), texts[0]);
    },
  },

  attachments: {
    flags: ['--sandbox-duration=1s', '--files-dir=WORK'],
    files: ['deck.pdf'],
    script: steps(
      generate('A presenter explains the attached deck.pdf.', { files: ['deck.pdf'] }), wait(),
      generate('A presenter explains the attached file.', { files: ['/etc/hostname'] }),
    ),
    check(run) {
      called(run, 'generate_video', 'wait_for_video', 'generate_video');
      must(/COMPLETED/.test(run.results[1].text) && /deck\.pdf/.test(run.results[1].text), run.results[1]);
      must(/file_refused: /.test(run.results[2].text), run.results[2]);
    },
  },

  // Without a person these applications can't show the question.
  'a user who would be asked first': {
    flags: ['--confirm-spend'],
    script: steps(generate('A presenter explains money.')),
    check(run) {
      called(run, 'generate_video');
      must(/not_confirmed: /.test(run.results[0].text) && run.list().length === 0, run.results);
    },
  },

  // The application ends in the ordinary way, and the video is saved all the same.
  'a video that is done after the application has ended': {
    direct: true,
    flags: ['--sandbox-duration=6s'],
    script: steps(generate('A presenter explains ice.')),
    async check(run) {
      called(run, 'generate_video');
      must(await eventually(() => videos(run.output).length === 1, 90), 'no video was saved');
    },
  },
};

// interrupted is a submission during which the application is interrupted: end
// does that.
export const interrupted = (end) => ({
  direct: true,
  flags: ['--sandbox-duration=2s'],
  script: steps(generate('A presenter explains snow. sandbox:slow')),
  async during(run, child) {
    must(await eventually(() => run.list().length === 1, 60), 'nothing was submitted');
    await sleep(Math.random() * 1500);
    // The answer takes 3 s, which a busy computer may need for less.
    if (run.list()[0].request_id) throw Object.assign(new Error('it was submitted before it could be interrupted'), { late: true });
    await end(child);
  },
  async check(run) {
    must(await eventually(() => run.list()[0].request_id, 60), `the request_id is lost: ${JSON.stringify(run.list())}`);
    must(run.list().length === 1, run.list());
    must(await eventually(() => videos(run.output).length === 1, 90), 'no video was saved');
  },
});
