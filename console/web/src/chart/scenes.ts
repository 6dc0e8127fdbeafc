// The scene of each kind of chart.

import { barScene } from "./bar-scene";
import { heatScene } from "./heat-scene";
import { lineScene } from "./line-scene";
import { scatterScene } from "./scatter-scene";
import type { Scene, SceneInput } from "./scene";

/** Builds the scene of a chart. */
export function buildScene(input: SceneInput): Scene {
  switch (input.settings.kind) {
    case "bar":
      return barScene(input);
    case "scatter":
      return scatterScene(input);
    case "heatmap":
      return heatScene(input);
    default:
      return lineScene(input);
  }
}

/** Returns a scene whose vertical axis has the ends that the settings fix. */
export function withFixedEnds(scene: Scene, { settings }: Pick<SceneInput, "settings">): Scene {
  const isLogarithmic = settings.logarithmic === true && settings.kind !== "heatmap";
  if (scene.rows !== undefined) {
    return scene;
  }
  let { min, max } = scene.extent;
  if (settings.kind !== "heatmap") {
    min = settings.yMin ?? min;
    max = settings.yMax ?? max;
  }
  if (isLogarithmic) {
    max = max > 0 ? max : 10;
    min = min > 0 ? min : Math.min(max / 1000, 1);
  }
  return { ...scene, extent: max > min ? { min, max } : { min, max: min + 1 } };
}
