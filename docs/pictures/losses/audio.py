"""The pictures of docs/losses/audio.md."""

import jax.numpy as jnp
from kinds import OfPoint, Picture, Plane, Points

import jaxloss

TARGET: Points = {"target": (1.0, 1.0)}
AXES = ("the prediction's first sample", "its second sample")


def of_two_samples(loss: jaxloss.Loss) -> OfPoint:
    return lambda x, y: loss(jnp.stack([x, y]), jnp.array(TARGET["target"]))


PICTURES: dict[str, Picture] = {
    "si_sdr_loss": Plane(
        AXES, (-3, 3), (-2, 2), (-20, -10, 0, 10, 20), of_two_samples(jaxloss.SISDRLoss(zero_mean=False)), TARGET
    ),
    "snr_loss": Plane(
        AXES, (-3, 3), (-2, 2), (-20, -10, -5, 0, 5), of_two_samples(jaxloss.SNRLoss(zero_mean=False)), TARGET
    ),
}
