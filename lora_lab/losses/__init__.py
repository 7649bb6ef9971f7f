"""Noise, targets and weights of the diffusion loss: pure functions that cite their source.

`settings` imports without torch. `schedule` holds the noise schedule, `noise` draws, `loss` weighs.
"""
