/** Returns a value of an object that came from outside. Names such as `constructor` find nothing of the language. */
export function ownValue(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
