"""Adapters of all forms in one pack: each ends as it does alone, resumes, and leaves the others untouched."""

import pytest
import torch

from lora_lab.errors import ModelError
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.optim import build as optimizers

pytestmark = pytest.mark.slow
DOUBLE = torch.float64
SPECS = {
    "lora": AdapterSpec(8, 4.0, conv_dim=2, seed=1),
    "loha": AdapterSpec(3, 2.0, conv_dim=2, seed=2, form="loha"),
    "loha large": AdapterSpec(5, 5.0, preset="full", seed=3, form="loha", train_text_encoder=False),
    "lokr": AdapterSpec(2, 1.0, conv_dim=1, seed=4, form="lokr"),
    "lokr 4": AdapterSpec(1, 1.0, conv_dim=1, seed=5, form="lokr", factor=4, decompose_both=True),
    "dora": AdapterSpec(4, 2.0, conv_dim=2, seed=6, form="dora"),
    "dora in": AdapterSpec(2, 2.0, seed=7, form="dora", wd_on_output=False, rank_dropout=0.2),
    "dropping": AdapterSpec(2, 2.0, seed=8, form="loha", rank_dropout=0.3, module_dropout=0.2),
}
SIZES = {name: 1 + number % 2 for number, name in enumerate(SPECS)}


def batch_of(name, step):
    g, n = torch.Generator().manual_seed(100 * len(name) + ord(name[-1]) + step), SIZES[name]
    noisy = torch.randn(n, 4, 8, 8, generator=g, dtype=DOUBLE)
    return noisy, torch.randint(0, 1000, (n,), generator=g), torch.randint(0, 98, (n, 8), generator=g)


class Runs:
    """A pack of named runs with an optimizer each."""

    def __init__(self, models, names, optimizer="adamw", slots=None, **changes) -> None:
        self.models, self.names = models, list(names)
        specs = [SPECS[name] for name in self.names]
        types = {"compute_dtype": DOUBLE, "master_dtype": DOUBLE, **changes}
        self.pack = Pack(models[0], models[1:], "sd1", specs, slots=slots, **types).attach()
        self.optimizers = []
        layout = optimizers.layout(optimizer, {})
        for slot, spec in enumerate(specs):
            self.pack.occupy(slot, spec)
            params = [p for group in self.pack.param_groups(slot, layout) for p in group.params]
            group = {"params": params, "lr": 1e-2, "part": "all"}
            self.optimizers.append(optimizers.build(optimizer, [group], {}))

    def step(self, number):
        batches = [batch_of(name, number) for name in self.names]
        slots = [slot for slot, name in enumerate(self.names) for _ in range(SIZES[name])]
        self.pack.new_draw({slot: 7 * number + len(name) for slot, name in enumerate(self.names)})
        self.pack.route(slots)
        noisy, times, ids = (torch.cat(parts) for parts in zip(*batches, strict=True))
        dtype = self.pack.parameters.compute.dtype
        pred = self.models[0](noisy.to(dtype), times, self.models[1](ids).last_hidden_state).sample
        losses = (pred - noisy.to(dtype).flip(-1)).square().mean((1, 2, 3))
        sum(part.mean() for part in losses.split([SIZES[name] for name in self.names])).backward()
        self.pack.collect_grads()
        for optimizer in self.optimizers:
            optimizer.step()
        self.pack.sync()
        self.pack.zero_grad()

    def trained(self, steps=3):
        for number in range(steps):
            self.step(number)
        self.pack.detach()
        return {name: self.pack.export(slot) for slot, name in enumerate(self.names)}


def worst(one, other):
    assert one.keys() == other.keys()
    return max((one[key] - other[key]).abs().max().item() for key in one)


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "adafactor"])
def test_pack_equals_solo(unet, text_encoder, optimizer):
    """Flat, stacked and single leaves, all forms side by side, with dropout."""
    models = (unet, text_encoder)
    packed = Runs(models, SPECS, optimizer).trained()
    for name in SPECS:
        alone = Runs(models, [name], optimizer)
        start = alone.pack.export(0)
        solo = alone.trained()[name]
        assert worst(solo, start) > 1e-3, name
        assert worst(solo, packed[name]) < 1e-9, name


def test_padding_and_strangers_stay_zero(unet, text_encoder):
    runs = Runs((unet, text_encoder), SPECS)
    for slot, tensors in enumerate(runs.trained().values()):
        own = sum(t.numel() for key, t in tensors.items() if not key.endswith("alpha"))
        used = runs.pack.parameters.masters[slot].count_nonzero().item()
        assert own * 0.9 < used <= own


def test_a_broken_neighbour_disturbs_nobody(unet, text_encoder):
    """A run full of NaN; the others are what they are without it."""
    names = ["loha", "dora", "lokr", "lora"]
    runs = Runs((unet, text_encoder), names)
    runs.pack.parameters.masters[0].fill_(float("nan"))
    runs.pack.sync()
    broken = runs.trained(2)
    assert not torch.isfinite(next(iter(broken["loha"].values()))).all()
    for name in names[1:]:
        assert worst(broken[name], Runs((unet, text_encoder), [name]).trained(2)[name]) < 1e-9


@pytest.mark.parametrize("name", ["loha", "lokr 4", "dora", "dora in"])
def test_previews_scale_the_difference(unet, text_encoder, name):
    """Half the strength is the base with half the weight difference, whatever made the difference."""
    runs = Runs((unet, text_encoder), [name])
    runs.step(0)
    runs.pack.new_draw({})
    module = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q
    x = torch.randn(3, 5, module.in_features, dtype=DOUBLE)
    runs.pack.route([0, 0, -1], [1.0, 0.5, 1.0])
    full, half, base = (module(x.clone()[[0, 0, 0]])[index] for index in range(3))
    assert (full - base).abs().max() > 1e-4
    assert torch.allclose(half - base, (full - base) / 2, rtol=0, atol=1e-12)
    runs.pack.detach()


def test_slots_can_change_their_form(unet, text_encoder):
    """A slot left by one form and taken by another starts clean."""
    names = ["loha", "dora", "lokr"]
    runs = Runs((unet, text_encoder), names)
    fresh = {name: runs.pack.export(slot) for slot, name in enumerate(names)}
    runs.step(0)
    for slot, name in enumerate(reversed(names)):
        runs.pack.occupy(slot, SPECS[name])
        assert worst(runs.pack.export(slot), fresh[name]) == 0
    runs.pack.detach()
    with pytest.raises(ModelError, match="not built for this adapter"):
        runs.pack.occupy(0, SPECS["loha large"])


def test_gradient_checkpointing(unet, text_encoder):
    """Recomputation sees the same dropout and gives the same gradients."""
    models, found = (unet, text_encoder), []
    for enabled in (False, True):
        if enabled:
            unet.train().enable_gradient_checkpointing()
        found.append(Runs(models, ["dropping", "dora in", "lokr"]).trained(2))
    unet.disable_gradient_checkpointing()
    unet.eval()
    for name in found[0]:
        assert worst(found[0][name], found[1][name]) < 1e-12


def test_bfloat16_compute_follows_float32(unet, text_encoder):
    """The differences are made from float32 masters: DoRA's magnitudes are not rounded."""
    import copy

    names, results = ["dora", "loha", "lokr"], []
    for dtype in (torch.float32, torch.bfloat16):
        models = copy.deepcopy(unet).to(dtype), copy.deepcopy(text_encoder).to(dtype)
        runs = Runs(models, names, "sgdnesterov", compute_dtype=dtype, master_dtype=torch.float32)
        start = runs.pack.parameters.masters.clone()
        runs.trained(2)
        results.append(runs.pack.parameters.masters - start)
    for slot, name in enumerate(names):
        moved = results[0][slot].norm()
        assert moved > 0 and (results[1][slot] - results[0][slot]).norm() < 0.2 * moved, name
