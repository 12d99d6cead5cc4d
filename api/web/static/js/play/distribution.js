// Distributions of the next character.

/** Softmax of logits at a temperature; 0 is the largest alone. */
export function softmax(logits, temperature) {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const weights = Array.from(logits, (value) => (temperature === 0 ? +(value === largest) : Math.exp((value - largest) / temperature)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Ids from the largest logit to the smallest. No temperature changes this order. */
export const descending = (logits) => Array.from(logits, (_, id) => id).sort((a, b) => logits[b] - logits[a] || a - b);

/** How many characters remain after top-k and then top-p, likeliest first; equal ones are treated alike. 0 is no limit. */
export function kept(order, logits, { temperature, topK, topP }) {
  const withEqual = (count) => {
    while (count < order.length && logits[order[count]] === logits[order[count - 1]]) count++;
    return count;
  };
  let count = topK && topK < order.length ? withEqual(topK) : order.length;
  if (topP && topP < 1 && temperature) {
    const drawn = softmax(order.slice(0, count).map((id) => logits[id]), temperature);
    let sum = 0, within = 0;
    while (within < count && sum < topP) sum += drawn[within++];
    count = Math.min(count, withEqual(Math.max(1, within)));
  }
  return count;
}

/** Surprise of a character in bits, −log2 of its probability at temperature 1. logits: float32 [V]. */
export function bitsOf(logits, id) {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const total = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  return (Math.log(total) - (logits[id] - largest)) / Math.LN2;
}

const NAMES = { " ": "␣", "\n": "↵", "\t": "⇥" };

/** A character as shown: white space as a sign. */
export const shown = (character) => NAMES[character] ?? character;
