"""A pack: K adapters on one frozen base model, trained in one forward and backward pass.

    pack = Pack(unet, [text_encoder], family, specs, slots=8)
    pack.attach()
    pack.occupy(0, specs[0]) ...
    optimizer = AdamW([{"params": g.params, ...} for g in pack.param_groups(0, "flat")])
    each micro-step: pack.new_draw({slot: seed}); pack.route([0, 0, 1, 2]); ...; loss.backward()
                     pack.collect_grads()
    each step:       optimizer.step(); pack.sync(); pack.zero_grad()

Optimizers must not drop the gradients themselves (`zero_grad(set_to_none=True)`): they are views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lora_lab.errors import ModelError
from lora_lab.lora_files.reading import LoraFile, from_tensors
from lora_lab.models.families import FAMILIES
from lora_lab.networks import file_tensors, groups, norms
from lora_lab.networks.dense import DenseLayer
from lora_lab.networks.dropout import Draw, stream_seed
from lora_lab.networks.flat_parameters import FlatParameters, Layout, Site, plan_layout
from lora_lab.networks.forms import SIDES, initial, scale_of
from lora_lab.networks.groups import ParamGroup
from lora_lab.networks.layers import PackedLayer
from lora_lab.networks.norms import MaxNorm
from lora_lab.networks.routes import Routes
from lora_lab.networks.siblings import Siblings, cross_attentions, find_siblings
from lora_lab.networks.spec import FORMS, AdapterSpec
from lora_lab.networks.targets import Target, find_targets


class Pack:
    """Slots for adapters on a base model. `specs` are all adapters that may ever occupy a slot, `slots` how
    many at once. Adapters of all forms can share a pack.

    Weights live in `parameters`; `compute_dtype` is what layers multiply with (the base model's dtype),
    `master_dtype` what optimizers see. The base model's parameters are frozen (`requires_grad_(False)`).
    """

    def __init__(
        self,
        unet: nn.Module,
        text_encoders: Sequence[nn.Module],
        family: str,
        specs: Sequence[AdapterSpec],
        *,
        slots: int | None = None,
        compute_dtype: torch.dtype = torch.float32,
        master_dtype: torch.dtype = torch.float32,
    ) -> None:
        self._models, self._family = (unet, list(text_encoders)), family
        self.specs: list[AdapterSpec | None] = [None] * (slots if slots is not None else len(specs))
        self.layouts = {
            form: self._plan(own) for form in FORMS if (own := [s for s in specs if s.form == form])
        }
        device = next(unet.parameters()).device
        length = max(layout.length for layout in self.layouts.values())
        self.parameters = FlatParameters(length, len(self.specs), device, compute_dtype, master_dtype)
        self._routes = {
            part: Routes(device, compute_dtype) for part in ("unet", *FAMILIES[family].text_parts)
        }
        self._layers = {
            (form, site.target.name): self._layer(site)
            for form, layout in self.layouts.items()
            for site in layout.sites
        }
        parts = dict(zip(("unet", *FAMILIES[family].text_parts), (unet, *text_encoders), strict=False))
        linear = [one for one in self._layers.values() if isinstance(one, PackedLayer)]
        for related in find_siblings(linear, cross_attentions(parts)):
            Siblings(related)
        self._attached = False
        for model in (unet, *text_encoders):
            model.requires_grad_(False)

    # -- the base model --------------------------------------------------------------------------------------

    def attach(self) -> Pack:
        """Let the base model's modules add the routed adapters' terms."""
        if not self._attached:
            for layer in self._layers.values():
                layer.patch.attach()
            self._attached = True
        return self

    def detach(self) -> None:
        """Give the base model its own forwards back."""
        if self._attached:
            for layer in reversed(self._layers.values()):
                layer.patch.detach()
            self._attached = False

    # -- slots -----------------------------------------------------------------------------------------------

    def occupy(self, slot: int, spec: AdapterSpec) -> None:
        """Start a new adapter in `slot`, without effect: lora's downs kaiming-uniform (a = sqrt 5), ups zero.

        Every module draws from a stream of its own, seeded by (spec.seed, module name), on the CPU in
        float32: the values do not depend on pack-mates, padding or device. Raises `ModelError` if the pack
        was not built for it.
        """
        self.vacate(slot)
        targets = self._targets(spec)
        unknown = [t.name for t in targets if (spec.form, t.name) not in self._layers]
        too_large = [t.name for t in targets if t.name not in unknown and not self._has_room(t, spec)]
        if unknown or too_large:
            raise ModelError(
                f"the pack was not built for this adapter: too large {too_large[:3]}, modules {unknown[:3]}"
            )
        self.specs[slot] = spec
        for target in targets:
            layer = self._layers[spec.form, target.name]
            layer.users |= 1 << slot
            generator = torch.Generator().manual_seed(stream_seed(spec.seed, target.name))
            for side, values in initial(target, spec, generator).items():
                place = self.parameters.factor(
                    self.parameters.masters, layer.site.pieces[side], (values.numel(),)
                )
                place[slot] = values.flatten().to(self.parameters.masters)
        self._changed(slot)

    def vacate(self, slot: int) -> None:
        """Empty a slot: its row becomes zero, and samples routed to it see the bare base."""
        self.specs[slot] = None
        for layer in self._layers.values():
            layer.users &= ~(1 << slot)
        for numbers in (
            self.parameters.masters,
            self.parameters.grads,
            self.parameters.compute_grads,
        ):
            numbers[slot].zero_()
        self._changed(slot)

    def sites(self, slot: int) -> list[Site]:
        """The modules of the adapter in `slot`, in the order of the base model."""
        return [layer.site for layer in self._layers.values() if layer.users >> slot & 1]

    # -- a forward pass --------------------------------------------------------------------------------------

    def route(
        self,
        slots: Sequence[int],
        strengths: Sequence[float] | None = None,
        parts: Iterable[str] | None = None,
    ) -> None:
        """Say which slot each sample of the following forward passes uses, and how strongly (1 by default).

        Slot -1, an empty slot and strength 0 mean the bare base, exactly. Sorted samples with equal numbers
        per slot are fastest. `parts` limits it to some of "unet", "te1", "te2", which may see other batches;
        a route stays in force until the next one, also for recomputation in a backward pass.
        """
        for slot in slots:
            if not -1 <= slot < len(self.specs):
                raise ValueError(f"slot {slot} is not in -1..{len(self.specs) - 1}")
        for part in self._routes if parts is None else parts:
            self._routes[part].set(slots, strengths)

    def new_draw(self, seeds: Mapping[int, int]) -> None:
        """Begin a micro-step: fresh dropout masks for the runs in `seeds` (slot -> a number from the run's
        own stream).

        Runs that are not named, and all after `new_draw({})` (previews, validation), have no dropout. The
        masks stay the same until the next call, so that recomputation in a backward pass sees them again.
        """
        draws = {}
        for slot, seed in seeds.items():
            spec = self.specs[slot]
            if spec is not None and spec.has_dropout:
                draws[slot] = Draw(spec, seed)
        for routes in self._routes.values():
            routes.draws = draws

    # -- training --------------------------------------------------------------------------------------------

    def param_groups(self, slot: int, layout: str = "flat") -> list[ParamGroup]:
        """Zero-copy leaves for the run's optimizer; see `groups.make_groups` for the layouts."""
        spec = self._spec(slot)
        plan = self.layouts[spec.form]
        return groups.make_groups(self.parameters, plan, self.sites(slot), slot, spec, layout)

    def collect_grads(self) -> None:
        """After every backward pass: bring the gradients to the masters (free when the dtypes are equal)."""
        self.parameters.collect()

    def zero_grad(self, slots: Iterable[int] | None = None) -> None:
        """Zero the gradients of some slots, or of all."""
        some = range(len(self.specs)) if slots is None else sorted(slots)
        if len(some) and list(some) == list(range(some[0], some[-1] + 1)):
            self.parameters.grads[some[0] : some[-1] + 1].zero_()
        else:
            for slot in some:
                self.parameters.grads[slot].zero_()

    def sync(self) -> None:
        """After every change of the masters: bring them to the layers (free when the dtypes are equal)."""
        self.parameters.sync()

    def max_norm(self, slot: int, limit: float | None) -> MaxNorm:
        """`scale_weight_norms`: scale down modules of a norm above `limit` (None: measure); then `sync`."""
        return norms.limit_norms(self.parameters, self.sites(slot), slot, self._spec(slot), limit)

    def unpad(self, slot: int, part: str, side: str, flat: Tensor) -> Tensor:
        """State of the "flat" leaf of (part, side), unpadded and in an order that no pack changes."""
        segment = self._segment(slot, part, side)
        return groups.unpad(segment, self.sites(slot), part, side, self._spec(slot), flat)

    def pad(self, slot: int, part: str, side: str, canonical: Tensor) -> Tensor:
        """The inverse of `unpad`, in this pack."""
        segment = self._segment(slot, part, side)
        return groups.pad(segment, self.sites(slot), part, side, self._spec(slot), canonical)

    def gradients(self, slot: int) -> dict[str, Tensor]:
        """What the run in `slot` has accumulated for its next update, without padding, on the CPU."""
        grads = self.parameters.grads[slot]
        segments = self.layouts[self._spec(slot).form].segments
        return {
            f"{part} {side}": self.unpad(slot, part, side, grads[segment]).cpu()
            for (part, side), segment in segments.items()
            if self._uses(slot, part, side)
        }

    def set_gradients(self, slot: int, stored: Mapping[str, Tensor]) -> None:
        """Go on accumulating from what `gradients` gave, in this or another pack."""
        for place, numbers in stored.items():
            part, side = place.split()
            padded = self.pad(slot, part, side, numbers.to(self.parameters.grads))
            self.parameters.grads[slot, self._segment(slot, part, side)] = padded

    # -- files -----------------------------------------------------------------------------------------------

    def export(self, slot: int, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The adapter as tensors with kohya's names, on the CPU."""
        return file_tensors.to_file(self.parameters, self.sites(slot), slot, self._spec(slot), dtype)

    def load(self, slot: int, source: LoraFile | Mapping[str, Tensor]) -> None:
        """Continue from a LoRA, a file that was read or its tensors: see `file_tensors.from_file`."""
        file = source if isinstance(source, LoraFile) else from_tensors(source)
        sites = self.sites(slot)
        paths = {site.target.name: site.target.path for site in sites}
        modules = file_tensors.trainable(file, paths, self._family, self._models[0])
        file_tensors.from_file(self.parameters, sites, slot, self._spec(slot), modules)
        self._changed(slot)

    # -- inside ----------------------------------------------------------------------------------------------

    def _targets(self, spec: AdapterSpec) -> list[Target]:
        unet, text_encoders = self._models
        return find_targets(unet, text_encoders, self._family, spec)

    def _plan(self, specs: Sequence[AdapterSpec]) -> Layout:
        return plan_layout(self._union(specs), specs)

    def _layer(self, site: Site) -> PackedLayer | DenseLayer:
        routes = self._routes[site.target.part]
        if site.form != "lora":
            return DenseLayer(site, self.parameters, routes, self._spec)
        return PackedLayer(
            site, self.parameters, routes, lambda slot: scale_of(site.target, self._spec(slot))
        )

    def _has_room(self, target: Target, spec: AdapterSpec) -> bool:
        site = self._layers[spec.form, target.name].site
        needed = {side: used for side in SIDES[spec.form] if (used := site.used(side, spec))}
        return all(
            side in site.pieces and used <= site.pieces[side].rank * site.pieces[side].width
            for side, used in needed.items()
        )

    def _uses(self, slot: int, part: str, side: str) -> bool:
        spec = self._spec(slot)
        return any(site.target.part == part and site.used(side, spec) for site in self.sites(slot))

    def _segment(self, slot: int, part: str, side: str) -> slice:
        return self.layouts[self._spec(slot).form].segments[part, side]

    def _union(self, specs: Sequence[AdapterSpec]) -> list[Target]:
        union: dict[str, Target] = {}
        for choice in {
            (
                s.preset,
                s.conv_dim > 0,
                s.train_unet,
                s.train_text_encoder,
                frozenset(s.modules or ()),
                s.blocks,
            ): s
            for s in specs
        }.values():
            union.update({target.name: target for target in self._targets(choice)})
        return list(union.values())

    def _spec(self, slot: int) -> AdapterSpec:
        spec = self.specs[slot]
        if spec is None:
            raise ValueError(f"slot {slot} is empty")
        return spec

    def _changed(self, slot: int) -> None:
        if not self.parameters.shared:
            self.parameters.compute[slot].copy_(self.parameters.masters[slot])
        for routes in self._routes.values():
            routes.forget()
            routes.draws = {s: draw for s, draw in routes.draws.items() if s != slot}
