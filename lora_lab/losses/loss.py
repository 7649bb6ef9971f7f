"""The loss of each sample: a distance between prediction and target, times a weight of its time.

Shape suffixes: B samples, C channels, H and W latent size.
"""

import torch
from torch import Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.losses.process import NoiseProcess


def distance(
    pred_BCHW: Tensor, target_BCHW: Tensor, loss_type: str, huber_c_B: Tensor | None = None
) -> Tensor:
    """The elementwise loss: l2, l1, or pseudo-Huber in two scalings (arXiv 2403.16728).

    huber: 2 c (sqrt(d^2 + c^2) - c), which is d^2 for small d; smooth_l1: the same without the factor c.
    """
    difference = pred_BCHW - target_BCHW
    if loss_type == "l2":
        return difference.square()
    if loss_type == "l1":
        return difference.abs()
    assert huber_c_B is not None, "huber losses need huber_c for each sample"
    c = huber_c_B.to(difference).view(-1, *[1] * (difference.dim() - 1))
    bend = 2 * ((difference.square() + c.square()).sqrt() - c)
    return bend * c if loss_type == "huber" else bend


def per_sample_loss(
    pred_BCHW: Tensor,
    target_BCHW: Tensor,
    times_B: Tensor,
    settings: LossConfig,
    process: NoiseProcess,
    mask_B1HW: Tensor | None = None,
) -> Tensor:
    """The weighted loss of each sample, (B,), in fp32 or wider; `prior_loss_weight` is left to the caller.

    A mask from 0 to 1 multiplies the elementwise loss; the mean is still over all elements, as in sd-scripts,
    so that an image counts by how much of it is unmasked.
    """
    if pred_BCHW.dtype in (torch.float16, torch.bfloat16):
        pred_BCHW = pred_BCHW.float()
    target_BCHW = target_BCHW.to(pred_BCHW.dtype)
    huber_c_B = process.huber_c(settings, times_B, pred_BCHW)
    loss_BCHW = distance(pred_BCHW, target_BCHW, settings.loss_type, huber_c_B)
    if mask_B1HW is not None:
        loss_BCHW = loss_BCHW * mask_B1HW.to(loss_BCHW)
    loss_B = loss_BCHW.flatten(1).mean(dim=1)
    weights_B = process.weights(settings, times_B, loss_B)
    return loss_B if weights_B is None else loss_B * weights_B
