#!/usr/bin/env node
// Runs the program, which lies in the package of this platform. npm installs
// that one alone, since it is an optional dependency with os and cpu.
"use strict";
const { spawn } = require("node:child_process");
const { name } = require("./package.json");

const platform = `${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}-${platform}/pixazo-mcp${process.platform === "win32" ? ".exe" : ""}`);
} catch {
  console.error(`pixazo-mcp: the package ${name}-${platform} is not installed. Either npm left optional dependencies out (--omit=optional), or there is no program for ${platform}.`);
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    // A terminal sends its own SIGINT to the program as well.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("error", (err) => {
  console.error(`pixazo-mcp: ${err.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
