// A registry on loopback that has the given tarballs and nothing else, so that
// npm installs them as it will from its own. Prints its address.
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const packages = new Map();
const server = createServer((request, response) => {
  const path = decodeURIComponent(request.url.slice(1));
  const found = packages.get(path.replace(/\.tgz$/, ""));
  if (!found) return response.writeHead(404, { "Content-Type": "application/json" }).end("{}");
  if (path.endsWith(".tgz")) return response.end(found.data);
  const { manifest, data } = found;
  const tarball = `http://${request.headers.host}/${path}.tgz`;
  const integrity = "sha512-" + createHash("sha512").update(data).digest("base64");
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({
    name: manifest.name, "dist-tags": { latest: manifest.version }, versions: { [manifest.version]: { ...manifest, dist: { tarball, integrity } } },
  }));
});
for (const file of process.argv.slice(2)) {
  const manifest = JSON.parse(execFileSync("tar", ["-xOzf", file, "package/package.json"], { encoding: "utf8" }));
  packages.set(manifest.name, { manifest, data: readFileSync(file) });
}
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
