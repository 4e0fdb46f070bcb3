// Starts a server and stands between it and its client: every byte passes as
// it is, and every line is kept. Usage: node tee.mjs RECORDS COMMAND [ARG...]
//
// A new file in the folder RECORDS gets one JSON array a line: [">", line] from the client, ["<", line]
// from the server, ["signal", name] when the client had to send one, ["eof"]
// when it closed the input, and ["exit", code, signal] at the end.
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

const [records, command, ...args] = process.argv.slice(2);
const record = `${records}/${Date.now()}-${process.pid}.jsonl`;
const keep = (...entry) => appendFileSync(record, JSON.stringify(entry) + '\n');
const server = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });

// lines keeps what comes through in pieces, a line at a time. What is left at
// the end has no newline; that shows in the record as a line of its own kind.
function lines(mark) {
  let rest = Buffer.alloc(0);
  return {
    take(chunk) {
      rest = Buffer.concat([rest, chunk]);
      for (let end; (end = rest.indexOf(10)) >= 0; rest = rest.subarray(end + 1)) {
        keep(mark, rest.subarray(0, end).toString('utf8'));
      }
    },
    end() {
      if (rest.length > 0) keep(mark + ' cut off', rest.toString('utf8'));
    },
  };
}

const sent = lines('>');
process.stdin.on('data', (chunk) => {
  sent.take(chunk); // before it is passed on, so that no answer comes first
  server.stdin.write(chunk);
});
process.stdin.on('end', () => {
  sent.end();
  keep('eof');
  server.stdin.end();
});
server.stdin.on('error', () => {}); // the server has left; its exit tells

const came = lines('<');
server.stdout.on('data', (chunk) => {
  came.take(chunk);
  process.stdout.write(chunk);
});
process.stdout.on('error', () => {}); // the client has left

for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(name, () => {
    keep('signal', name);
    server.kill(name);
  });
}
server.on('error', (error) => {
  keep('exit', String(error), null);
  process.exit(127);
});
server.on('close', (code, signal) => {
  came.end();
  keep('exit', code, signal);
  process.exitCode = code ?? 1;
  process.stdin.destroy();
});
