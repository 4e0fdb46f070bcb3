// Writes what stores and clients want to know of a release, all of it from
// mcpb/manifest.json (name, version, description, tools, prompts) and from the
// tables below, so that no two of them differ.
//
//	node packaging/release.mjs           writes the files that are committed: plugin, marketplace, server.json, Docker entry
//	node packaging/release.mjs --check   says which of them are behind, and exits with 1
//	node packaging/release.mjs OUT       writes a release's below OUT
//
// Whose release it is stands in owner.json, once somebody publishes it, and in
// the environment, which goes first:
//
//	REPOSITORY  where the sources are, such as https://github.com/owner/pixazo-mcp
//	VERSION     default: that of mcpb/manifest.json
//	COMMIT      of the sources, for the Docker entry
//	NAME        in the MCP registry; default: io.github.OWNER/pixazo-mcp, or made of another host
//	NPM         npm package; default: @OWNER/pixazo-mcp. Where it is given, the plugin starts it with npx
//	IMAGE       container image; default: ghcr.io/OWNER/pixazo-mcp
//	DOCUMENTATION, SUPPORT, PRIVACY  pages about it; default: docs/clients.md, issues and PRIVACY.md of REPOSITORY
//	BUNDLES     folder with the .mcpb files of this version, whose hashes server.json needs
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const env = { ...JSON.parse(readFileSync(join(here, "owner.json"), "utf8")), ...process.env };
const source = JSON.parse(readFileSync(join(here, "mcpb/manifest.json"), "utf8"));
const { name, description, license, keywords, homepage, author } = source;
const title = source.display_name;

// form throws an error unless a parameter has its form: clients and registries refuse others, or
// links made of them lead nowhere. It does not show a password in a URL.
function form(name, value, allowed, words) {
  if (!allowed.test(value)) throw new Error(`${name} must be ${words}; got ${JSON.stringify(value.replace(/\/\/.*@/, "//…@"))}`);
}

export const version = env.VERSION || source.version;
// Links are made by adding to it, so it has no ".git" or slash at its end.
export const repository = (env.REPOSITORY || "https://example.com/owner/pixazo-mcp").replace(/(\.git)?\/*$/, "");
form("REPOSITORY", repository, /^https:\/\/[\w.-]+(:\d+)?(\/[\w.~-]+){2,}$/, "https://HOST/OWNER/NAME");
form("VERSION", version, /^\d+\.\d+\.\d+(-[\w.-]+)?$/, "a version such as 1.2.3, without a v");
const { hostname, pathname } = new URL(repository);
const owner = pathname.split("/")[1];
const github = hostname === "github.com";
export const registryName = env.NAME || (github ? `io.github.${owner}` : `${hostname.split(".").reverse().join(".")}.${owner}`) + `/${name}`;
export const npm = env.NPM || `@${owner.toLowerCase()}/${name}`;
const image = env.IMAGE || `${github ? "ghcr.io" : hostname}/${owner.toLowerCase()}/${name}`;
form("NAME", registryName, /^[a-zA-Z0-9.-]+\/[\w.-]+$/, "a host the other way round, a slash and a name, such as com.example.owner/pixazo-mcp");
form("NPM", npm, /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/, "the name of an npm package, in lower case");
form("IMAGE", image, /^[a-z0-9.-]+(:\d+)?(\/[a-z0-9._-]+)+$/, "HOST/OWNER/NAME, in lower case and without a tag");

// Links are in the manifests of a release alone.
const about = env.REPOSITORY ? { repository } : {};
const page = (path) => `${repository}/blob/v${version}/${path}`;
const privacy = env.PRIVACY || page("PRIVACY.md");
export const links = !env.REPOSITORY ? {} : {
  repository: { type: "git", url: repository },
  documentation: env.DOCUMENTATION || page("docs/clients.md"), support: env.SUPPORT || `${repository}/issues`, privacy_policies: [privacy],
};

// How a client starts the server: what npm has, or what is on the PATH.
const program = env.NPM ? { command: "npx", args: ["-y", `${npm}@${version}`] } : { command: name, args: [] };
const servers = { pixazo: program };

export const examples = [
  "Make a 30-second video for new customers that explains how our invoices work.",
  "Make a one-minute training video from ./safety.pdf for warehouse staff, in Spanish.",
  "Which of my videos are done, and where are they?",
];

const setting = (variable, text, more = {}) => ({ name: variable, description: text, ...more });
const environment = [
  setting("PIXAZO_API_KEY", "API key of Pixazo, from https://api-console.pixazo.ai/api_keys. Not needed in the sandbox.", { isSecret: true }),
  setting("PIXAZO_SANDBOX", "true: a built-in emulator without a key and without cost.", { format: "boolean", default: "false" }),
  setting("PIXAZO_FILES_DIR", "Folder from which local files may be attached.", { format: "filepath" }),
  setting("PIXAZO_OUTPUT_DIR", "Folder where videos are saved.", { format: "filepath" }),
  setting("PIXAZO_MAX_VIDEOS_PER_HOUR", "The most that may be submitted within an hour; 0 means any number.", { format: "number", default: "20" }),
];
const transport = { type: "stdio" };

// The bundles' hashes; without the bundles, those of nothing, so that the form is right.
const bundles = [`linux-amd64`, `windows-amd64`, `macos-universal`].map((system) => {
  const file = `${name}_${version}_${system}.mcpb`;
  const data = env.BUNDLES ? readFileSync(join(env.BUNDLES, file)) : "";
  return {
    registryType: "mcpb", identifier: `${repository}/releases/download/v${version}/${file}`,
    fileSha256: createHash("sha256").update(data).digest("hex"), transport,
  };
});

const json = (value) => JSON.stringify(value, null, 2) + "\n";
export const identity = { name, version, description, author, homepage, ...about, license, keywords };

const plugin = {
  // Claude Code finds skills/ and .mcp.json by itself.
  ".claude-plugin/plugin.json": json(identity),
  ".mcp.json": json({ mcpServers: servers }),
  ".codex-plugin/plugin.json": json({
    ...identity, skills: "./skills/", mcpServers: "./.mcp.json",
    interface: {
      displayName: title, shortDescription: "Narrated videos from a prompt", longDescription: description, developerName: author.name,
      category: "Creativity", capabilities: ["Interactive", "Write"], websiteURL: homepage, ...(env.REPOSITORY && { privacyPolicyURL: privacy }),
      defaultPrompt: examples, logo: "./icon.png",
    },
  }),
  // Cursor removes what its manifest does not name.
  ".cursor-plugin/plugin.json": json({ ...identity, displayName: title, logo: "icon.png", skills: "./skills/", mcpServers: "./.mcp.json" }),
  // The open standard of agent-plugins.org, which several other clients read.
  "plugin.json": json({ $schema: "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json", ...identity }),
  "mcp.json": json({
    $schema: "https://agent-plugins.org/schemas/1.0.0/mcp.schema.json",
    mcpServers: { pixazo: { type: "stdio", ...program } },
  }),
  // Gemini CLI asks for these, and passes no other variable on that looks like a key.
  "gemini-extension.json": json({
    name, version, description, mcpServers: servers,
    settings: [
      { name: "Pixazo API key", description: environment[0].description, envVar: "PIXAZO_API_KEY", sensitive: true },
      { name: "Sandbox", description: environment[1].description, envVar: "PIXAZO_SANDBOX" },
    ],
  }),
};

const marketplace = json({
  name, owner: author, description,
  plugins: [{ name, source: "./packaging/plugin", description, version, category: "media", keywords }],
});

const server = json({
  $schema: "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
  name: registryName, title, description, version, websiteUrl: homepage,
  ...(env.REPOSITORY && { repository: { url: repository, source: github ? "github" : hostname } }),
  packages: [
    { registryType: "npm", identifier: npm, version, runtimeHint: "npx", transport, environmentVariables: environment },
    { registryType: "oci", identifier: `${image}:${version}`, runtimeHint: "docker", transport,
      runtimeArguments: [{ type: "named", name: "--volume", value: "pixazo:/data", description: "Volume of the journal and the videos" }],
      environmentVariables: environment.filter((e) => e.format !== "filepath") },
    ...bundles,
  ],
});

// For the catalogue of Docker's MCP Toolkit. Without longLived each call would have a container of its own,
// and nothing would watch the video.
const docker = `name: ${name}
image: mcp/${name}
type: server
longLived: true
meta:
  category: productivity
  tags:
${keywords.map((k) => `    - ${k}`).join("\n")}
about:
  title: ${title.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())}
  description: "${description}"
  icon: ${repository}/raw/v${version}/packaging/mcpb/icon.png
source:
  project: ${repository}
  commit: ${env.COMMIT || "0".repeat(40)}
run:
  volumes:
    - "pixazo:/data"
config:
  description: A key makes real videos, which cost money. Without one, turn the sandbox on.
  secrets:
    - name: ${name}.api_key
      env: PIXAZO_API_KEY
      example: YOUR_KEY
  env:
    - name: PIXAZO_SANDBOX
      example: "true"
      value: "{{${name}.sandbox}}"
    - name: PIXAZO_MAX_VIDEOS_PER_HOUR
      example: "20"
      value: "{{${name}.max_videos_per_hour}}"
  parameters:
    type: object
    properties:
      sandbox:
        type: boolean
        description: A built-in emulator without a key and without cost.
      max_videos_per_hour:
        type: integer
        description: The most that may be submitted within an hour; 0 means any number.
`;

const packaged = {
  ...Object.fromEntries(Object.entries(plugin).map(([path, text]) => [`packaging/plugin/${path}`, text])),
  ".claude-plugin/marketplace.json": marketplace,
  "packaging/server.json": server,
  "packaging/docker/server.yaml": docker,
};

function main([arg]) {
  const root = join(here, "..");
  const checked = arg === "--check";
  let behind = 0;
  for (const [path, text] of Object.entries(packaged)) {
    const file = join(arg && !checked ? arg : root, path);
    if (!checked) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    } else if (!existsSync(file) || readFileSync(file, "utf8").replaceAll("\r\n", "\n") !== text) {
      console.log(`${path} is behind packaging/mcpb/manifest.json or packaging/release.mjs; run: node packaging/release.mjs`);
      behind = 1;
    }
  }
  process.exitCode = behind;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
