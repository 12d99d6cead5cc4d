"""Mode collapse without classes: `diversity` is the distance of generated images to their nearest neighbours."""

from worker.models.acgan.health import ModeCollapse


class GanModeCollapse(ModeCollapse):
    """The generator repeats a few images."""

    images = "Neighbouring generated images"
    hint = "Use a smaller learning_rate, or continue an earlier checkpoint with init_from."
