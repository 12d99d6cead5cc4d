"""What was found in uploaded images and what the preparation makes of them, in sentences."""

from shared.image_uploads.seen import Seen


def sentences(seen: Seen, train: list[int], test: list[int], *, channels: int, size: int, is_split: bool) -> list[str]:
    """The description of an upload, one fact a sentence."""
    small, large = ("×".join(map(str, each)) for each in (seen.smallest, seen.largest))
    classes = "one class" if len(train) == 1 else f"{len(train):,} classes"
    sizes = f"of {small}" if small == large else f"from {small} to {large}"
    colour = "grey" if channels == 1 else "colour"
    made = [f"{seen.images:,} images in {classes}, {sizes} pixels.", f"They become {size}×{size} in {colour}."]
    if seen.oblongs:
        made.append(f"{_were(seen.oblongs)} cut to the square in the middle.")
    made += [f"{_were(count)} {repair}." for repair, count in sorted(seen.repairs.items())]
    if channels == 1 and seen.greys < seen.images:
        made.append(f"{_were(seen.images - seen.greys)} converted from colour to grey.")
    how = "as the archive has them" if is_split else "a fifth of each class, chosen by content"
    made.append(f"{sum(train):,} are for training and {sum(test):,} for the test, {how}.")
    if len(train) == 1:
        made.append("With one class, a VAE or a GAN can be trained, and no ACGAN.")
    return made


def left_out_sentence(count: int) -> str:
    """What became of files that are not pictures."""
    if count == 1:
        return "1 file that is not a picture was left out."
    return f"{count:,} files that are not pictures were left out."


def _were(count: int) -> str:
    return f"{count:,} {'was' if count == 1 else 'were'}"
