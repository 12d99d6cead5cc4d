// Files that the page gives to its user.

/** Save text or a Blob as a file. type: of text. */
export function save(content, name, type = content.type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
