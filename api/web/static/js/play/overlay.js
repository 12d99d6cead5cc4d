// Dots of test images, the point, and the marked pair, over a plane.
import { COLOURS } from "./cloud.js";

/** Draw on a canvas of the plane's displayed size. point, a, b: latents. */
export function drawOverlay(canvas, plane, { dots, point, a, b }) {
  const scale = devicePixelRatio || 1, { clientWidth: side } = canvas;
  canvas.width = canvas.height = side * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const place = (z) => plane.place(z).map((part) => part * side);
  for (const { z, label } of dots) circle(context, place(z), 3, COLOURS[label % COLOURS.length], "#000");
  if (a && b) {
    context.beginPath();
    context.moveTo(...place(a));
    context.lineTo(...place(b));
    stroke(context, 2);
  }
  for (const [name, z] of [["A", a], ["B", b]]) {
    if (!z) continue;
    const [x, y] = place(z);
    circle(context, [x, y], 9, "#B3A8FF", "#131218");
    context.fillStyle = "#131218";
    context.font = "bold 12px system-ui";
    context.textAlign = "center";
    context.fillText(name, x, y + 4);
  }
  const [x, y] = place(point);
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 4 * dx, y + 4 * dy);
    context.lineTo(x + 12 * dx, y + 12 * dy);
  }
  stroke(context, 2);
}

function circle(context, [x, y], radius, fill, edge) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  context.strokeStyle = edge;
  context.lineWidth = 1;
  context.stroke();
}

/** A light line with a dark edge, visible on any image. */
function stroke(context, width) {
  for (const [colour, extra] of [["#131218", 2], ["#F0A35E", 0]]) {
    context.strokeStyle = colour;
    context.lineWidth = width + extra;
    context.stroke();
  }
}
