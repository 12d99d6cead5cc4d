"""The pictures, texts and figures of docs/gallery.md, made from finished runs of the trainer."""
