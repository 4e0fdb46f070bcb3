// Joins macOS programs into a universal ("fat") one, as Apple's lipo does: a
// header that names each architecture's part, and the parts. All numbers of the
// header are big-endian (mach-o/fat.h). Usage: node universal.mjs OUT IN...
import { readFileSync, writeFileSync } from "node:fs";

const [out, ...paths] = process.argv.slice(2);
const align = 14; // log2 of where a part may begin: the 16 KiB pages of arm64
const pages = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & ((1 << align) - 1))]);
const numbers = (...all) => {
  const bytes = Buffer.alloc(4 * all.length);
  all.forEach((n, i) => bytes.writeUInt32BE(n, 4 * i));
  return bytes;
};

const header = [numbers(0xcafebabe, paths.length)];
const parts = [];
const known = new Set();
let offset = 1 << align; // the header has a page of its own
for (const path of paths) {
  const part = readFileSync(path);
  if (part.length < 32 || part.readUInt32LE(0) !== 0xfeedfacf) throw new Error(`${path} is no 64-bit program of macOS`);
  const cpu = part.readUInt32LE(4);
  if (known.has(cpu)) throw new Error(`${path} is of the same architecture as another`);
  known.add(cpu);
  header.push(numbers(cpu, part.readUInt32LE(8), offset, part.length, align));
  parts.push(pages(part));
  offset += parts.at(-1).length;
}
writeFileSync(out, Buffer.concat([pages(Buffer.concat(header)), ...parts]), { mode: 0o755 });
