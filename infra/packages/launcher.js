#!/usr/bin/env node
// Runs the program in the package of this platform, as if it had been called itself.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");
const { isatty } = require("node:tty");
const { optionalDependencies } = require("./package.json");

const name = `@neapdb/${process.platform}-${process.arch}`;

function fail(message) {
  console.error(`neapdb: ${message}`);
  process.exit(1);
}

function programPath() {
  if (!(name in optionalDependencies)) {
    const supported = Object.keys(optionalDependencies).map((it) => it.replace("@neapdb/", ""));
    fail(`there is no program for ${process.platform}-${process.arch}, only for ${supported.join(", ")}`);
  }
  try {
    return require.resolve(`${name}/bin/neap`);
  } catch {
    fail(`the package ${name} with the program is missing. Install without --omit=optional, with glibc`);
  }
}

// Before the program starts, because a signal may follow at once. A terminal sends Ctrl-C to both processes, and a second
// SIGINT would abort the graceful shutdown of the server.
const hasTerminal = [0, 1, 2].some(isatty);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => (signal === "SIGINT" && hasTerminal) || program.kill(signal));
}

const program = spawn(programPath(), process.argv.slice(2), { stdio: "inherit" });
program.on("error", (error) => fail(error.message));

// npx passes a signal to the shell that is the parent of this process. Some shells end without passing it on.
if (process.env.npm_command === "exec") {
  const shell = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== shell) {
      clearInterval(timer);
      program.kill("SIGTERM");
    }
  }, 200);
}

// Shells report a signal in this way.
program.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
