"""What each choice of a `fast` preset is worth: the preset with one of them undone at a time."""
