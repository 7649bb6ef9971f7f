"""A low-rank regression whose parameters come in any layout: n products up @ down against n goals."""

import torch

COUNT, RANK, INNER, OUTER = 3, 4, 6, 5


class Toy:
    """`groups` are what `build` takes: part unet is the down matrices, part text_encoder the up matrices."""

    def __init__(self, layout, dtype=torch.float32):
        generator = torch.Generator().manual_seed(11)

        def draw(*shape):
            return torch.randn(COUNT, *shape, generator=generator)

        self.layout = layout
        self.parts = [self._cut(draw(RANK, INNER), dtype), self._cut(0.1 * draw(OUTER, RANK), dtype)]
        self.wide = torch.promote_types(dtype, torch.float32)
        self.inputs, self.goal = draw(INNER, 32).to(self.wide), draw(OUTER, INNER).to(self.wide)

    def _cut(self, stack, dtype):
        stack = stack.to(dtype)
        if self.layout == "tensors":
            pieces = list(stack.clone())
        else:
            pieces = [stack.flatten().clone() if self.layout == "flat" else stack.clone()]
        return [piece.detach().clone().requires_grad_() for piece in pieces]

    def groups(self, *rates):
        named = zip(self.parts, rates, ("unet", "text_encoder"), strict=True)
        return [{"params": part, "lr": rate, "part": name} for part, rate, name in named]

    def loss(self):
        """The loss as a number; its gradients are in the parameters."""
        for parameter in self.parameters():
            parameter.grad = None
        shapes = (COUNT, RANK, INNER), (COUNT, OUTER, RANK)
        down, up = (
            torch.stack(part).to(self.wide) if self.layout == "tensors" else part[0].to(self.wide).view(shape)
            for part, shape in zip(self.parts, shapes, strict=True)
        )
        loss = ((up @ down - self.goal) @ self.inputs).square().mean()
        loss.backward()
        return loss.item()

    def parameters(self):
        return [parameter for part in self.parts for parameter in part]

    def weights(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.parameters()]).clone()

    def load(self, weights):
        with torch.no_grad():
            for parameter, piece in zip(
                self.parameters(), weights.split([p.numel() for p in self.parameters()]), strict=True
            ):
                parameter.copy_(piece.view_as(parameter))

    def train(self, optimizer, steps):
        """Losses of so many steps."""
        losses = []
        for _ in range(steps):
            losses.append(self.loss())
            optimizer.step()
        return losses
