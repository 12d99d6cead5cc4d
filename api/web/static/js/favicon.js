// The tab shows a job's progress: a ring around the icon, and the share in the title.

const SIZE = 32, WIDTH = 5;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let shown = "";

/** Show a job in the tab. title: its name; fraction: its progress, 0 to 1; null where none is shown. */
export function showProgress(title, fraction) {
  const percent = fraction == null ? null : Math.floor(fraction * 100);
  document.title = `${percent == null ? "" : `${percent} % · `}${title} · Mimeo`;
  const key = String(percent);
  if (key === shown) return;
  shown = key;
  const link = document.querySelector('link[rel="icon"]');
  link.dataset.usual ??= link.getAttribute("href");
  link.href = percent == null ? link.dataset.usual : ring(percent / 100);
  link.type = percent == null ? "image/svg+xml" : "image/png";
}

function ring(fraction) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const pen = canvas.getContext("2d"), middle = SIZE / 2, top = -Math.PI / 2;
  pen.lineWidth = WIDTH;
  for (const [style, end] of [[colour("--line"), 1], [colour("--accent"), fraction]]) {
    pen.beginPath();
    pen.strokeStyle = style;
    pen.arc(middle, middle, middle - WIDTH / 2, top, top + 2 * Math.PI * end);
    pen.stroke();
  }
  return canvas.toDataURL("image/png");
}
