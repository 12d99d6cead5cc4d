// Numbers, times and names as people read them.
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (value) => (value == null ? "–" : whole.format(value));

/** A metric's value with four significant digits; powers of ten for very large and small ones. */
export function figure(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return number.format(value);
}

/** Seconds in words: "8 s", "3 min", "2 h 5 min". */
export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** Time since a moment: "3 min ago". */
export function ago(text) {
  if (!text) return "–";
  const seconds = (Date.now() - Date.parse(text)) / 1000;
  return seconds < 5 ? "now" : `${duration(seconds)} ago`;
}

export const bytes = (value) => {
  if (value == null) return "–";
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB") return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1000;
  }
};

/** "1st", "2nd", "23rd". */
export function ordinal(value) {
  const rest = value % 100;
  const suffix = rest >= 11 && rest <= 13 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[value % 10] ?? "th";
  return `${count(value)}${suffix}`;
}

export const titleOf = (job) => job.name ?? job.id;
