/** Starts the page. */

import { render } from "preact";
import { takeProviderAnswer } from "./api/provider-redirect";
import { start } from "./api/session";
import { App } from "./app";
import { listenToHash, replace } from "./router";
import { applyTheme } from "./shell/theme";
import "./ui/ui.css";
import "./shell/shell.css";

applyTheme();
listenToHash();
const answer = takeProviderAnswer();
replace(location.hash);
void start(answer);

const root = document.getElementById("app");
if (root) {
  render(<App />, root);
}
