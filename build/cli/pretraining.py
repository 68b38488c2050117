"""pretrain: weights for a small ConvNeXt from drawn images and a teacher that knows ImageNet."""

import click

from build.cli.options import seed_option
from build.console import muffled


@click.command(short_help="Make first weights for a ConvNeXt from drawn images.")
@click.option("--size", metavar="S", default="atto", show_default=True, help="A ConvNeXt size, atto ... xlarge.")
@click.option(
    "--images", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="Images that are drawn in all."
)
@click.option("--batch", type=click.IntRange(min=2), default=64, show_default=True, help="Images in a step.")
@click.option(
    "--weights",
    metavar="W",
    default="none",
    show_default=True,
    help="Go on from these, at half the learning rate: drawn (those that ship), imagenet, or a file.",
)
@seed_option
def pretrain(size: str, images: int, batch: int, weights: str, seed: int) -> None:
    """Pretrain a ConvNeXt on drawn images; leaves weights in runs/pretraining/, for train --weights PATH.

    It learns the features of EfficientNet-Lite2 with ImageNet weights. Nobody's pictures take part.
    """
    with muffled():
        from build.pretrain import distill
    distill.pretrain(size=size, images=images, seed=seed, batch=batch, weights=weights)
