// Lays the npm packages out below OUT: one for each platform, with its program
// inside, which build.sh compiles there, and the main one, which depends on them.
// Prints a line for each platform: GOOS GOARCH and the program's path.
//
//	node packages.mjs OUT [PLATFORM...]   platforms as Node.js names them, such as linux-x64; default: all
//
// Names and version come from ../release.mjs and its environment.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { identity, npm, registryName, version } from "../release.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const goos = { linux: "linux", darwin: "darwin", win32: "windows" };
const goarch = { x64: "amd64", arm64: "arm64" };
const all = Object.keys(goos).flatMap((os) => Object.keys(goarch).map((cpu) => `${os}-${cpu}`));

const [out, ...some] = process.argv.slice(2);
// Without access, npm takes a package with a scope for a private one, which it refuses or hides.
const shared = { ...identity, name: undefined, version, engines: { node: ">=18" }, publishConfig: { access: "public" } };

function lay(dir, manifest, files) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "package.json"), JSON.stringify(manifest, null, 2) + "\n");
  for (const [name, from] of Object.entries({ LICENSE: "../../LICENSE", ...files })) copyFileSync(join(here, from), join(dir, name));
}

for (const platform of some.length ? some : all) {
  const [os, cpu] = platform.split("-");
  if (!all.includes(platform)) throw new Error(`no platform of ours: ${platform}`);
  const program = os === "win32" ? "pixazo-mcp.exe" : "pixazo-mcp";
  lay(join(out, platform), { ...shared, name: `${npm}-${platform}`, description: `The program of ${npm} for ${platform}`, os: [os], cpu: [cpu], files: [program] }, {});
  console.log(goos[os], goarch[cpu], join(out, platform, program));
}

lay(join(out, "main"), {
  ...shared, name: npm, mcpName: registryName, bin: { "pixazo-mcp": "pixazo-mcp.js" }, files: ["pixazo-mcp.js"],
  optionalDependencies: Object.fromEntries(all.map((platform) => [`${npm}-${platform}`, version])),
}, { "pixazo-mcp.js": "pixazo-mcp.js" });
writeFileSync(join(out, "main", "README.md"), readFileSync(join(here, "README.md"), "utf8").replaceAll("NAME", npm));
