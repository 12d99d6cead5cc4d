// Numbers behind the curves: axes, columns for uPlot, smoothing, reference lines, CSV.

/** The place of a point on an axis: its step, its fractional epoch or its time. */
export const placing = (axis, stepsPerEpoch) =>
  axis === "time" ? (point) => point.at : axis === "epoch" && stepsPerEpoch ? (point) => point.step / stepsPerEpoch : (point) => point.step;

/** Exponential moving average; weight 0 returns the values. Gaps stay gaps. */
export function smooth(values, weight) {
  if (!weight) return values;
  let mean = 0, norm = 0;
  return values.map((value) => {
    if (value == null) return null;
    mean = mean * weight + (1 - weight) * value;
    norm = norm * weight + (1 - weight);
    return mean / norm;
  });
}

/** Columns for uPlot from lists of points: one x for all lists, null where a list has no point. */
export function columns(lists, place) {
  let total = 0;
  for (const points of lists) total += points.length;
  const all = new Float64Array(total);
  let filled = 0;
  for (const points of lists) for (const point of points) all[filled++] = place(point);
  all.sort();
  const xs = [];
  for (const x of all) if (x !== xs[xs.length - 1]) xs.push(x);
  const series = lists.map((points) => {
    const column = new Array(xs.length).fill(null);
    let index = 0;
    for (const point of points) {
      const x = place(point);
      if (xs[index] > x) index = 0; // the times of a resumed run may go back
      while (xs[index] < x) index += 1;
      column[index] = point.value;
    }
    return column;
  });
  return [xs, ...series];
}

/** Index of the last of some sorted points at or before a value of `key`; 0 before the first one. */
export function lastAt(points, key, value) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (key(points[middle]) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Reference lines for curves of text in nats per character: Shannon's estimate for English, and equal chances. */
export function textLines(names, vocabulary) {
  const nats = ["loss", "val_loss"].some((name) => names.includes(name));
  const bits = names.includes("bits_per_char");
  if (nats === bits) return []; // neither, or both units on one axis
  const unit = nats ? Math.LN2 : 1;
  const lines = [{ value: 1.3 * unit, label: "English, Shannon: 1.3 bits" }];
  if (vocabulary > 1) lines.push({ value: Math.log2(vocabulary) * unit, label: `all ${vocabulary} characters alike: ${Math.log2(vocabulary).toFixed(1)} bits` });
  return lines;
}

/** Curves as CSV: one row for each point. */
export function csv(curves) {
  const rows = Object.entries(curves).flatMap(([name, points]) => points.map((point) => [name, point.step, point.epoch, point.value, new Date(point.at * 1000).toISOString()].join(",")));
  return ["name,step,epoch,value,at", ...rows, ""].join("\n");
}
