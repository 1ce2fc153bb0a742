"""Training in bf16 with float32 master weights, and checkpoints that can be resumed."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn


class MixedPrecision:
    """A float32 model that is stepped and a bf16 twin that runs forward and backward.

    AMX (and a GPU) multiply bf16 about ten times as fast as float32; Adam needs the float32 copy.

    Args:
        rounded: (steps done, name, parameter) to what the twin runs with, for weights that will be stored with few
            bits; the gradient is taken as if it were the parameter.
    """

    def __init__(
        self,
        model: nn.Module,
        rate: float,
        steps: int,
        device: str,
        warmup: float = 0.06,
        rounded: Callable[[int, str, Tensor], Tensor] | None = None,
    ) -> None:
        self.master = model.to(device).float()
        self._rounded = rounded or (lambda step, name, parameter: parameter)
        self.twin = copy.deepcopy(self.master).bfloat16()
        self.step_count = 0
        self.pairs = [
            (m, t)
            for m, t in zip(self.master.parameters(), self.twin.parameters(), strict=True)
            if m.requires_grad
        ]
        self._named = [(name, m) for name, m in self.master.named_parameters() if m.requires_grad]
        matrices = [m for m, _ in self.pairs if m.dim() > 1]
        vectors = [m for m, _ in self.pairs if m.dim() <= 1]
        self._optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
            lr=rate,
            fused=True,
        )
        ramp = max(1, int(steps * warmup))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda s: min((s + 1) / ramp, max(0.02, (steps - s) / max(1, steps - ramp)))
        )

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Apply float32 gradients of the parameters that learn."""
        for (master, _), gradient in zip(self.pairs, gradients, strict=True):
            master.grad = gradient
        nn.utils.clip_grad_norm_([m for m, _ in self.pairs], 1.0)
        self._optimiser.step()
        self._schedule.step()
        self.step_count += 1
        self._renew_twin()

    @torch.no_grad()
    def _renew_twin(self) -> None:
        for (name, master), (_, twin) in zip(self._named, self.pairs, strict=True):
            twin.copy_(self._rounded(self.step_count, name, master))

    def save(self, path: Path) -> None:
        """Write everything a resumed run needs; the old file stays until the new one is whole."""
        state = {
            "model": self.master.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "step": self.step_count,
        }
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def resume(self, path: Path) -> None:
        """Continue from a file that `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.master.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self.step_count = state["step"]
        self._renew_twin()


Part = Callable[[nn.Module], Tensor]


class Workers:
    """Threads that share the parts of a step, each running its operators on one core.

    Two threads taking parts as they become free lose far less to other programs on the machine than one
    operator split over two cores, which waits for the slower core every time.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        self._count = count

    def gradients(self, model: nn.Module, parts: Sequence[Part]) -> tuple[list[Tensor], float]:
        """Sum over the parts. Returns: float32 gradients of the parameters that learn, and the loss."""
        waiting = iter(parts)
        lock = threading.Lock()
        parameters = [p for p in model.parameters() if p.requires_grad]

        def work(_: int) -> tuple[list[Tensor] | None, float]:
            total: list[Tensor] | None = None
            loss_sum = 0.0
            while True:
                with lock:
                    part = next(waiting, None)
                if part is None:
                    return total, loss_sum
                loss = part(model)
                loss_sum += float(loss.detach())
                # autograd.grad, not backward(): concurrent backward() would race on .grad
                found = torch.autograd.grad(loss, parameters)
                if total is None:
                    total = [g.float() for g in found]
                else:
                    for sum_, g in zip(total, found, strict=True):
                        sum_ += g

        results = list(self._pool.map(work, range(self._count)))
        sums = [total for total, _ in results if total is not None]
        for other in sums[1:]:
            for sum_, g in zip(sums[0], other, strict=True):
                sum_ += g
        return sums[0], sum(loss for _, loss in results)


def train(
    mixed: MixedPrecision,
    steps: int,
    parts_of_step: Callable[[int], Sequence[Part]],
    checkpoint: Path,
    log: Callable[[str], None],
    every: int = 25,
) -> None:
    """Run to `steps`, resuming from `checkpoint` if it is there; log the mean loss every `every` steps.

    parts_of_step: independent parts of one step, whose losses add up to the loss of the step.
    """
    if checkpoint.exists():
        mixed.resume(checkpoint)
        log(f"resumed at step {mixed.step_count}")
    mixed.twin.train()
    on_cpu = next(mixed.twin.parameters()).device.type == "cpu"
    workers = Workers(len(os.sched_getaffinity(0)) if on_cpu else 1)
    total, count = 0.0, 0
    while mixed.step_count < steps:
        gradients, loss = workers.gradients(mixed.twin, parts_of_step(mixed.step_count))
        mixed.step(gradients)
        total, count = total + loss, count + 1
        if mixed.step_count % every == 0 or mixed.step_count == steps:
            log(f"step {mixed.step_count}/{steps} loss {total / count:.4f}")
            total, count = 0.0, 0
            if mixed.step_count % (every * 4) == 0 or mixed.step_count == steps:
                mixed.save(checkpoint)
