"""Cases of losses of images."""

import gold_vision
import inputs
import torch_formulas
from case import Case
from inputs import Inputs
from measured import Measured
from mistakes import f, row
from references import Torch

import jaxloss

FEW = {"batched": Inputs((3,)), "unbatched": Inputs(()), "extra": Inputs((2, 1), size=2)}
TWO_SCALES = {"window_size": 3, "scale_weights": (0.5, 0.25)}

CASES = [
    Case(
        jaxloss.SSIMLoss,
        inputs.two_images,
        element="image",
        options=({}, {"window_size": 5, "data_range": 2.0, "window_sigma": 1.0, "k1": 0.125, "k2": 0.25}),
        inputs=FEW,
        differentiable=(0, 1),
        reference=Torch(torch_formulas.ssim),
        accuracy=(
            Measured(
                gold_vision.ssim_loss,
                gold_vision.image_pairs,
                gold_vision.ordinary_image_pairs,
                options={"window_size": 3},
                inputs=Inputs((8,)),
                differentiable=(0, 1),
            ),
        ),
        mistakes=(
            row(
                "ssim_loss-image_smaller_than_window",
                lambda: jaxloss.ssim_loss(f(2, 8, 16, 3), f(2, 8, 16, 3)),
                ValueError,
                "`predictions` has shape (2, 8, 16, 3), whose height and width must fit `window_size` 11.",
            ),
            row(
                "ssim_loss-no_channels",
                lambda: jaxloss.ssim_loss(f(16, 16), f(16, 16)),
                ValueError,
                "`predictions` has shape (16, 16), but images have the shape (..., height, width, channels).",
            ),
        ),
    ),
    Case(
        jaxloss.MSSSIMLoss,
        inputs.two_images,
        element="image",
        required=TWO_SCALES,
        options=(TWO_SCALES, {**TWO_SCALES, "data_range": 2.0, "window_sigma": 1.0, "k1": 0.125, "k2": 0.25}),
        inputs=FEW,
        differentiable=(0, 1),
        reference=Torch(torch_formulas.ms_ssim),
        mistakes=(
            row(
                "ms_ssim_loss-image_smaller_than_window",
                lambda: jaxloss.ms_ssim_loss(f(2, 64, 64, 3), f(2, 64, 64, 3)),
                ValueError,
                "At the coarsest of 5 scales its shorter side has 4 pixels.",
            ),
            row(
                "ms_ssim_loss-no_scales",
                lambda: jaxloss.ms_ssim_loss(f(2, 64, 64, 3), f(2, 64, 64, 3), scale_weights=()),
                ValueError,
                "`scale_weights` is (), but must hold numbers above 0, one for each scale.",
            ),
        ),
    ),
    Case(
        jaxloss.TotalVariationLoss,
        inputs.one_image,
        element="image",
        options=({}, {"normalize": True}),
        inputs=FEW,
        reference=Torch(torch_formulas.total_variation),
        accuracy=(
            Measured(
                gold_vision.total_variation_loss,
                gold_vision.images,
                gold_vision.ordinary_images,
                inputs=Inputs((20,)),
            ),
        ),
    ),
]
