// PNG files with text in them, and animated ones of pictures of one size (third edition: https://www.w3.org/TR/png-3/).

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRCS[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** A chunk: length, type, data, checksum. */
function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** Data of the chunks of one type in a PNG. */
function dataOf(png, type) {
  const view = new DataView(png.buffer, png.byteOffset), found = [];
  for (let at = SIGNATURE.length; at + 12 <= png.length; at += 12 + view.getUint32(at))
    if (new TextDecoder().decode(png.subarray(at + 4, at + 8)) === type) found.push(png.subarray(at + 8, at + 8 + view.getUint32(at)));
  return found;
}

/** Whether bytes are those of a PNG file. */
export const isPng = (bytes) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/** A copy of a PNG Blob with a text of Latin-1 characters under a keyword. */
export async function withText(blob, keyword, text) {
  const png = new Uint8Array(await blob.arrayBuffer());
  const header = SIGNATURE.length + 25; // IHDR is the first chunk
  const data = Uint8Array.from(`${keyword}\0${text}`, (character) => character.charCodeAt(0));
  return new Blob([png.subarray(0, header), chunk("tEXt", data), png.subarray(header)], { type: "image/png" });
}

/** The text under a keyword of a PNG file; null without one. */
export function textIn(png, keyword) {
  const texts = dataOf(png, "tEXt").map((data) => String.fromCharCode(...data));
  return texts.find((text) => text.startsWith(`${keyword}\0`))?.slice(keyword.length + 1) ?? null;
}

const joined = (...values) => new Uint8Array(values.flatMap((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]));

/** The frame's place in the sequence, size and duration; it replaces the one before. */
function control(sequence, [width, height], ms) {
  const data = new Uint8Array(26), view = new DataView(data.buffer);
  data.set(joined(sequence, width, height, 0, 0));
  view.setUint16(20, ms);
  view.setUint16(22, 1000);
  return chunk("fcTL", data);
}

/** The animation as a Blob. frames: [{png: Uint8Array, ms}], at least one. It repeats for ever. */
export function animated(frames) {
  const [header] = dataOf(frames[0].png, "IHDR"), view = new DataView(header.buffer, header.byteOffset);
  const size = [view.getUint32(0), view.getUint32(4)], parts = [SIGNATURE, chunk("IHDR", header), chunk("acTL", joined(frames.length, 0))];
  let sequence = 0;
  frames.forEach(({ png, ms }, i) => {
    parts.push(control(sequence++, size, ms));
    for (const data of dataOf(png, "IDAT")) {
      if (i === 0) parts.push(chunk("IDAT", data));
      else {
        const numbered = new Uint8Array(4 + data.length);
        numbered.set(joined(sequence++));
        numbered.set(data, 4);
        parts.push(chunk("fdAT", numbered));
      }
    }
  });
  return new Blob([...parts, chunk("IEND", new Uint8Array())], { type: "image/png" });
}
