// What tests that start servers share.

import { once } from 'node:events';
import { createServer } from 'node:net';

// freePort returns a port that is free now, of those that the system gives to nobody by
// itself: it would give a port that was just freed to the next who asks. They are above
// 10080, to which neither fetch nor a browser connects.
export async function freePort() {
  for (;;) {
    const port = 11_000 + Math.floor(19_000 * Math.random());
    const server = createServer().listen(port, '127.0.0.1');
    if (!(await once(server, 'listening').catch(() => undefined))) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
