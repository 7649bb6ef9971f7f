"""A run trained in a pack and alone, by an independent implementation, ends with the same weights."""

import pytest
import torch

from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

SPECS = {
    "locon": AdapterSpec(4, 2.0, conv_dim=2, conv_alpha=1.0, seed=1),
    "lora": AdapterSpec(8, 8.0, seed=2),
    "full": AdapterSpec(2, 1.0, preset="full", seed=3, train_text_encoder=False),
    "text": AdapterSpec(5, 3.0, seed=4, train_unet=False),
}
SIZES = {"locon": 1, "lora": 2, "full": 1, "text": 3}


class SignDescent:
    """Lion without weight decay, for 1-D leaves and for tensors alike."""

    def __init__(self, params, lr) -> None:
        self.params, self.lr = list(params), lr
        self.momentum = [torch.zeros_like(p) for p in self.params]

    def step(self) -> None:
        for param, momentum in zip(self.params, self.momentum, strict=True):
            if param.grad is not None:
                param.data.sub_(self.lr * (0.9 * momentum + 0.1 * param.grad).sign())
                momentum.mul_(0.99).add_(param.grad, alpha=0.01)


OPTIMIZERS = {
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.1),
    "sgd": lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9, nesterov=True),
    "lion": lambda params: SignDescent(params, 1e-3),
}


class Stream:
    """A run's own data: images, times, captions and targets from its own generator."""

    def __init__(self, name: str, seed: int) -> None:
        self.size, self.generator = SIZES[name], torch.Generator().manual_seed(seed)

    def batch(self):
        g, n = self.generator, self.size
        noisy = torch.randn(n, 4, 8, 8, generator=g, dtype=torch.float64)
        target = torch.randn(n, 4, 8, 8, generator=g, dtype=torch.float64)
        return (
            noisy,
            torch.randint(0, 1000, (n,), generator=g),
            torch.randint(0, 98, (n, 8), generator=g),
            target,
        )


def losses(unet, text_encoder, batches):
    noisy, times, ids, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    pred = unet(noisy, times, text_encoder(ids).last_hidden_state).sample
    return (pred - target).square().mean((1, 2, 3)).split([len(batch[1]) for batch in batches])


def train_packed(models, names, optimizer, layout, steps=3):
    pack = Pack(
        models[0],
        models[1:],
        "sd1",
        [SPECS[n] for n in names],
        compute_dtype=torch.float64,
        master_dtype=torch.float64,
    )
    pack.attach()
    streams = [Stream(name, 10 + len(name)) for name in names]
    for slot, name in enumerate(names):
        pack.occupy(slot, SPECS[name])
    starts = [pack.export(slot) for slot in range(len(names))]
    optimizers = [
        OPTIMIZERS[optimizer]([p for group in pack.param_groups(slot, layout) for p in group.params])
        for slot in range(len(names))
    ]
    for _ in range(steps):
        pack.route([slot for slot, stream in enumerate(streams) for _ in range(stream.size)])
        sum(loss.mean() for loss in losses(*models, [stream.batch() for stream in streams])).backward()
        pack.collect_grads()
        for each in optimizers:
            each.step()
        pack.sync()
        pack.zero_grad()
    pack.detach()
    return starts, [pack.export(slot) for slot in range(len(names))], pack


def train_alone(models, name, start, optimizer, reference, steps=3):
    lora = reference(models, "sd1", SPECS[name], start)
    stream, step = Stream(name, 10 + len(name)), OPTIMIZERS[optimizer](lora.parameters())
    with lora:
        for _ in range(steps):
            for param in lora.parameters():
                param.grad = None
            losses(*models, [stream.batch()])[0].mean().backward()
            for param in lora.parameters():  # packs have zeros where autograd has none
                param.grad = torch.zeros_like(param) if param.grad is None else param.grad
            step.step()
    return lora.tensors()


@pytest.mark.parametrize("layout", ["flat", "stacked", "tensors"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pack_equals_solo(unet, text_encoder, reference, optimizer, layout):
    models, names = (unet, text_encoder), list(SPECS)
    starts, packed, _ = train_packed(models, names, optimizer, layout)
    for name, start, mine in zip(names, starts, packed, strict=True):
        alone = train_alone(models, name, start, optimizer, reference)
        assert {key for key in mine if not key.endswith("alpha")} == alone.keys()
        moved = max((alone[key] - start[key]).abs().max().item() for key in alone)
        worst = max((alone[key] - mine[key]).abs().max().item() for key in alone)
        assert moved > 1e-3 and worst < 2e-12, (name, moved, worst)


def test_order_of_slots_and_gaps_do_not_matter(unet, text_encoder):
    """The same runs in other slots, some left empty between them, with their samples interleaved."""
    models, names = (unet, text_encoder), ["lora", "locon", "full"]
    _, expected, _ = train_packed(models, names, "sgd", "flat", steps=1)
    pack = Pack(
        unet,
        [text_encoder],
        "sd1",
        [SPECS[n] for n in names],
        slots=9,
        compute_dtype=torch.float64,
        master_dtype=torch.float64,
    )
    pack.attach()
    places = [7, 0, 3]
    for slot, name in zip(places, names, strict=True):
        pack.occupy(slot, SPECS[name])
    batches = [Stream(name, 10 + len(name)).batch() for name in names]
    mixed = [tuple(t[i : i + 1] for t in batches[b]) for b, i in ((0, 1), (1, 0), (0, 0), (2, 0))]
    pack.route([7, 0, 7, 3])
    values = torch.cat(losses(unet, text_encoder, mixed))
    (values[0] / 2 + values[1] + values[2] / 2 + values[3]).backward()
    for slot, name, tensors in zip(places, names, expected, strict=True):
        OPTIMIZERS["sgd"]([p for g in pack.param_groups(slot) for p in g.params]).step()
        mine = pack.export(slot)
        assert max((mine[key] - tensors[key]).abs().max().item() for key in tensors) < 1e-13, name


def test_gradients_add_up_over_micro_steps(unet, text_encoder):
    pack = Pack(
        unet, [text_encoder], "sd1", [SPECS["lora"]], compute_dtype=torch.float64, master_dtype=torch.float64
    )
    pack.attach().occupy(0, SPECS["lora"])
    stream, seen = Stream("lora", 5), []
    pack.route([0, 0])
    for _ in range(2):
        losses(unet, text_encoder, [stream.batch()])[0].mean().backward()
        pack.collect_grads()
        seen.append(pack.parameters.grads.clone())
    stream, fresh = Stream("lora", 5), []
    for _ in range(2):
        pack.zero_grad([0])
        losses(unet, text_encoder, [stream.batch()])[0].mean().backward()
        fresh.append(pack.parameters.grads.clone())
    assert torch.equal(seen[0], fresh[0])
    assert torch.allclose(seen[1], fresh[0] + fresh[1], rtol=0, atol=1e-14)


def test_padding_and_strangers_stay_zero(unet, text_encoder):
    """After training, exactly the run's own numbers differ from zero in its row."""
    names = list(SPECS)
    _, packed, pack = train_packed((unet, text_encoder), names, "adamw", "flat")
    for slot, tensors in enumerate(packed):
        own = sum(t.count_nonzero().item() for key, t in tensors.items() if not key.endswith("alpha"))
        assert pack.parameters.masters[slot].count_nonzero().item() == own


def test_bfloat16_compute_follows_float32(unet, text_encoder):
    """With a bfloat16 base the masters stay float32 and learn the same, up to bfloat16's precision."""
    import copy

    spec, results = SPECS["locon"], []
    for dtype in (torch.float32, torch.bfloat16):
        models = copy.deepcopy(unet).to(dtype), copy.deepcopy(text_encoder).to(dtype)
        pack = Pack(models[0], models[1:], "sd1", [spec], compute_dtype=dtype)
        pack.attach().occupy(0, spec)
        optimizer = torch.optim.SGD([p for g in pack.param_groups(0) for p in g.params], lr=1.0)
        stream = Stream("locon", 3)
        for _ in range(3):
            pack.route([0])
            noisy, times, ids, target = stream.batch()
            hidden = models[1](ids).last_hidden_state
            pred = models[0](noisy.to(dtype), times, hidden).sample
            (pred.float() - target.float()).square().mean().backward()
            pack.collect_grads()
            optimizer.step()
            pack.sync()
            pack.zero_grad()
        results.append(pack.parameters.masters[0].clone())
        assert results[-1].dtype == torch.float32
    start = Pack(unet, [text_encoder], "sd1", [spec])
    start.occupy(0, spec)
    moved = results[0] - start.parameters.masters[0]
    assert (results[1] - results[0]).norm() < 0.1 * moved.norm()
