// Fields of a form by the JSON Schema of a contract: bounds in words, and the value that a text stands for.

/** The schema of a property without the branch for null. */
export const core = (schema) => schema.anyOf?.find((branch) => branch.type !== "null") ?? schema;
export const nullable = (schema) => Boolean(schema.anyOf?.some((branch) => branch.type === "null"));

/** The bounds of a property in words: "1 to 4,096". */
export function bounds(schema) {
  const [low, high] = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum ?? schema.exclusiveMaximum];
  if (low == null && high == null) return "";
  const text = (value) => value.toLocaleString("en");
  if (low == null) return `at most ${text(high)}`;
  return `${schema.exclusiveMinimum != null ? "above " : ""}${text(low)} to ${schema.exclusiveMaximum != null ? "below " : ""}${text(high)}`;
}

/** The value that a field's text stands for. Throws a sentence. */
export function parse(text, schema) {
  const { type, items, minItems = 0, maxItems = Infinity } = core(schema);
  const trimmed = text.trim();
  if (["", "null"].includes(trimmed) && nullable(schema)) return null;
  if (type === "integer" || type === "number") return bounded(number(trimmed.replaceAll(",", ""), type), core(schema));
  if (type === "array") {
    const parts = trimmed.replace(/^\[|\]$/g, "").split(/[\s,]+/).filter(Boolean);
    if (parts.some((part) => !Number.isFinite(Number(part)))) throw new Error("Give numbers, separated by commas.");
    if (parts.length < minItems) throw new Error(`Give at least ${minItems} of them.`);
    if (parts.length > maxItems) throw new Error(`Give at most ${maxItems} of them.`);
    return parts.map((part) => bounded(number(part, items?.type), items ?? {}));
  }
  return trimmed;
}

function number(text, type) {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new Error("Give a number.");
  if (type === "integer" && !Number.isInteger(value)) throw new Error("Give a whole number.");
  return value;
}

function bounded(value, { minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const refuse = (words, bound) => { throw new Error(`Give a number ${words} ${bound.toLocaleString("en")}.`); };
  if (minimum != null && value < minimum) refuse("greater than or equal to", minimum);
  if (exclusiveMinimum != null && value <= exclusiveMinimum) refuse("greater than", exclusiveMinimum);
  if (maximum != null && value > maximum) refuse("less than or equal to", maximum);
  if (exclusiveMaximum != null && value >= exclusiveMaximum) refuse("less than", exclusiveMaximum);
  return value;
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
export const shown = (value) => (value == null ? "" : Array.isArray(value) ? value.join(", ") : String(value));
