// What a driver of a client prints: one line a check, with tabs between.
let failed = false;

export const ok = (name) => console.log(`ok\t${name}`);
export const note = (name, why) => console.log(`note\t${name}\t${why}`);
export function fail(name, why) {
  failed = true;
  console.log(`FAIL\t${name}\t${String(why).slice(0, 2000).replace(/\s*\n\s*/g, ' | ')}`);
}

// connect runs the step without which there is nothing to check.
export async function connect(step) {
  await check('it connects', step);
  if (failed) leave();
}

// check runs one step; a step that throws has failed, and the next one runs.
export async function check(name, step) {
  try {
    const value = await step();
    ok(name);
    return value;
  } catch (error) {
    fail(name, error);
  }
}

export function must(truth, what) {
  if (!truth) throw new Error(what instanceof Error ? `${what} (${what.code})` : typeof what === 'string' ? what : `got ${JSON.stringify(what)}`);
}

export const leave = () => process.exit(failed ? 1 : 0);

// arguments of a driver behind its own: OUTPUT_DIR, and then COMMAND [ARG...] of
// a server over stdio, or URL [TOKEN OTHER_TOKEN] of one over HTTP.
export function place([outputDir, first, ...rest]) {
  return /^http:/.test(first) ? { outputDir, url: new URL(first), token: rest[0], otherToken: rest[1] } : { outputDir, command: first, args: rest };
}

// headers are those that a token goes in.
export const headers = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
