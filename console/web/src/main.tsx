/** Starts the page. */

import { render } from "preact";
import { start } from "./api/session";
import { App } from "./app";
import { listenToHash } from "./router";
import { applyTheme } from "./shell/theme";
import "./ui/ui.css";
import "./shell/shell.css";

applyTheme();
listenToHash();
void start();

const root = document.getElementById("app");
if (root) {
  render(<App />, root);
}
