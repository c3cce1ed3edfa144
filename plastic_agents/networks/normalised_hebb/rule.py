"""Hebbian fast weights whose rows are kept at unit norm: a plain loop, and an exact, much faster dual form.

The rule, for one sample (H units; key k, value v, query q, all in R^H; rows of the matrix P belong to
the units that are written):

    write:  P <- P + v k^T, then every row of P <- row / max(||row||, 1e-8)
    read:   y = P q

Keys, values and queries do not depend on P, so a whole sequence of writes and reads can be worked out from
inner products alone. Let N_t be the product of the norms that write 1 ... t divided by, per row, and U_t =
N_t P_t. Then U_t = P_0 + sum_{s<=t} beta_s k_s^T with beta_t = v_t N_{t-1}, and

    z_t = P_0 k_t + sum_{s<t} (k_s . k_t) beta_s                      (= U_{t-1} k_t)
    N_t^2 = ||rows of U_t||^2 = N_{t-1}^2 + beta_t (2 z_t + ||k_t||^2 beta_t)
    y    = (P_0 q + sum_{s<=t} (k_s . q) beta_s) / N_t                 for a read after write t,

products of vectors over units being meant elementwise. No matrix is touched between the first step and the
last; sequences are cut into chunks, at whose ends P itself is formed once, to bound both the cost (T^2) and
the range of N.

Shapes: B samples, W writes, R reads, H units; keys and queries may be of another size J, P being (B, H, J).
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch

from plastic_agents.networks.derivatives import graph_of_gradients, only_backward

EPS = 1e-8
"""Smallest norm that a row is divided by (the published system's)."""

_LOG2_RANGE = {torch.float32: 58.0, torch.float64: 500.0}
"""Largest log2 of N within a chunk, so that N^2 (and its products with keys) stays finite."""

_SMALLEST_START = 1e-3
"""Rows of P_0 with a smaller norm take the loop: the dual form does not know the clamp at `EPS`."""

_CANCELLATION = {torch.float32: 1e-2, torch.float64: 1e-6}
"""Smallest share of its own running maximum to which N^2, a running sum, may fall before digits are lost."""

_BLOCK = 16
"""Steps whose contributions to later steps are brought in together, by one matrix product."""


def write(
    weights: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """One write and normalisation; returns new weights.

    Args:
        weights: (B, H, J).
        keys: (B, J).
        values: (B, H).
        mask: (B,) bool, samples that write; the others keep their weights. None: all.
    """
    added = weights + values.unsqueeze(2) * keys.unsqueeze(1)
    norms = torch.linalg.vector_norm(added, dim=2, keepdim=True).clamp_min(EPS)
    # In place where no graph is being recorded: a streaming step then makes one new matrix, not two.
    unit_rows = added / norms if added.requires_grad else added.div_(norms)
    return unit_rows if mask is None else torch.where(mask.view(-1, 1, 1), unit_rows, weights)


def read(weights: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """The product of weights (B, H, J) and queries (B, J), as (B, H).

    Written as a row times the transposed matrix: several times faster on CPU than a matrix times a column.
    """
    return torch.bmm(queries.unsqueeze(1), weights.transpose(1, 2)).squeeze(1)


def normalised_hebbian_loop(
    keys: torch.Tensor,
    values: torch.Tensor,
    queries: torch.Tensor,
    start: torch.Tensor,
    writes_before: list[int],
    write_mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rule step by step, left to autograd. Arguments and result as in `normalised_hebbian`."""
    weights, done, reads = start, 0, []
    for index, due in enumerate(writes_before):
        while done < due:
            mask = None if write_mask is None else write_mask[:, done]
            weights = write(weights, keys[:, done], values[:, done], mask)
            done += 1
        reads.append(read(weights, queries[:, index]))
    for late in range(done, keys.shape[1]):
        mask = None if write_mask is None else write_mask[:, late]
        weights = write(weights, keys[:, late], values[:, late], mask)
    nothing = queries.new_zeros(queries.shape[0], 0, start.shape[1])
    return torch.stack(reads, dim=1) if reads else nothing, weights


def normalised_hebbian(
    keys: torch.Tensor,
    values: torch.Tensor,
    queries: torch.Tensor,
    start: torch.Tensor,
    writes_before: list[int],
    write_mask: torch.Tensor | None = None,
    *,
    path: Literal["fast", "loop"] = "fast",
    chunk: int = 48,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write and read a whole sequence; differentiable in all tensors, in any way and any number of times.

    The two paths compute one function and differ in the order of floating-point operations only. The fast
    one has a hand-written backward pass. It takes the loop by itself for gradients of gradients and
    forward-mode derivatives, and where it would not be exact or not be faster: rows of `start` near zero, a
    single write too large for the number format, a row that a write all but cancels, other number formats
    than float32 and float64, a few steps without gradients.

    Args:
        keys: (B, W, J).
        values: (B, W, H).
        queries: (B, R, J).
        start: Weights before the first write, (B, H, J); rows of unit norm as a rule, but not zero.
        writes_before: R numbers in ascending order: how many of the W writes precede each read.
        write_mask: (B, W) bool, which samples take part in which write. None: all in all.
        path: "loop" to take the plain loop, the reference.
        chunk: Largest number of writes between two formations of the weights.

    Returns:
        What was read, (B, R, H), and the weights after all writes, (B, H, J).
    """
    if path not in ("fast", "loop"):
        raise ValueError(f"path={path!r}: choose 'fast' or 'loop'.")
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: needs at least 1 write per chunk.")
    num_writes, num_reads = keys.shape[1], queries.shape[1]
    if len(writes_before) != num_reads or writes_before != sorted(writes_before):
        raise ValueError(
            f"writes_before={writes_before}: needs {num_reads} numbers (one per query), ascending."
        )
    if writes_before and not 0 <= writes_before[0] <= writes_before[-1] <= num_writes:
        raise ValueError(f"writes_before={writes_before}: each must lie in 0 ... {num_writes}.")
    arguments = (keys, values, queries, start, writes_before, write_mask)
    recorded = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (keys, values, queries, start)
    )
    small = not recorded and num_writes + num_reads <= 4
    if path == "loop" or small or not only_backward(keys, values, queries, start):
        return normalised_hebbian_loop(*arguments)
    bounds = _chunk_bounds(keys, values, start, chunk)
    if bounds is None:
        return normalised_hebbian_loop(*arguments)
    if write_mask is not None:
        # A sample that sits a write out writes nothing: with unit rows that changes nothing.
        values = values * write_mask.unsqueeze(2)
    reads, weights, smallest = _Dual.apply(  # type: ignore[no-untyped-call]
        keys, values, queries, start, writes_before, write_mask, bounds
    )
    if not float(smallest) > _CANCELLATION[keys.dtype]:
        return normalised_hebbian_loop(*arguments)
    return reads, weights


@torch.no_grad()
def _chunk_bounds(
    keys: torch.Tensor, values: torch.Tensor, start: torch.Tensor, chunk: int
) -> list[int] | None:
    """Bounds of the chunks, `[0, ..., W]`; None if the dual form cannot be used.

    A write divides by at most 1 + |v_i| ||k||; chunks are closed before the product of these bounds
    leaves the number format. One transfer from the device.
    """
    if keys.dtype not in _LOG2_RANGE:
        return None
    limit, num_writes = _LOG2_RANGE[keys.dtype], keys.shape[1]
    if num_writes == 0 or values.shape[2] == 0 or values.shape[0] == 0:
        return None
    norms = torch.linalg.vector_norm(keys, dim=2)
    growth = torch.log2(1 + values.abs().amax(dim=2) * norms).amax(dim=0)  # (W,)
    smallest = torch.linalg.vector_norm(start, dim=2).amin()
    *steps, smallest_norm = torch.cat([growth, smallest.reshape(1)]).tolist()
    if not smallest_norm >= _SMALLEST_START or not all(step <= limit for step in steps):
        return None  # NaN ends here as well
    bounds, total = [0], 0.0
    for index, step in enumerate(steps):
        if total + step > limit or index - bounds[-1] == chunk:
            bounds.append(index)
            total = 0.0
        total += step
    return [*bounds, num_writes]


class _Dual(torch.autograd.Function):
    """The dual form, chunk by chunk, with its adjoint written out."""

    @staticmethod
    def forward(
        ctx: Any,
        keys: torch.Tensor,
        values: torch.Tensor,
        queries: torch.Tensor,
        start: torch.Tensor,
        writes_before: list[int],
        write_mask: torch.Tensor | None,
        bounds: list[int],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns reads (B, R, H), final weights (B, H, J) and the least N^2 / running maximum of N^2 ()."""
        # Until a sample's first write its rows need not be of unit norm exactly, and N must stay 1.
        started = None if write_mask is None else write_mask.cummax(dim=1).values
        reads = queries.new_empty(queries.shape[0], queries.shape[1], start.shape[1])
        weights, chunks, smallest = start, [], []
        for first, last in itertools.pairwise(bounds):
            span = _reads_within(writes_before, first, last, is_last=last == bounds[-1])
            chunk = _Chunk(
                keys[:, first:last],
                values[:, first:last],
                queries[:, span],
                weights,
                [writes - first for writes in writes_before[span]],
                None if started is None else started[:, first:last],
                is_first=first == 0,
            )
            reads[:, span] = chunk.run()
            smallest.append(chunk.smallest)
            weights = chunk.end()
            chunks.append((span, chunk))
        ctx.chunks, ctx.bounds, ctx.order = chunks, bounds, (writes_before, write_mask)
        ctx.save_for_backward(keys, values, queries, start, reads, weights)
        ctx.set_materialize_grads(False)
        share = torch.stack(smallest).amin()
        ctx.mark_non_differentiable(share)
        return reads, weights, share

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Adjoint of `forward`, from the last chunk to the first."""
        keys, values, queries, start, reads, end = ctx.saved_tensors
        if torch.is_grad_enabled():

            def loop(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                keys, values, queries, start = inputs
                return normalised_hebbian_loop(keys, values, queries, start, *ctx.order)

            derivatives = graph_of_gradients(loop, (keys, values, queries, start), grads[:2])
            return *derivatives, None, None, None
        grad_reads = grads[0] if grads[0] is not None else torch.zeros_like(reads)
        grad_weights = grads[1]
        grad_keys, grad_values = torch.empty_like(keys), torch.empty_like(values)
        grad_queries = torch.empty_like(queries)
        for index in reversed(range(len(ctx.chunks))):
            span, chunk = ctx.chunks[index]
            rows = slice(ctx.bounds[index], ctx.bounds[index + 1])
            grad_keys[:, rows], grad_values[:, rows], grad_queries[:, span], grad_weights = chunk.backward(
                reads[:, span], grad_reads[:, span], end, grad_weights, index > 0 or ctx.needs_input_grad[3]
            )
            end = chunk.weights
        return grad_keys, grad_values, grad_queries, grad_weights, None, None, None


def _reads_within(writes_before: list[int], first: int, last: int, is_last: bool) -> slice:
    """The reads right after a write of [first, last - 1] (first chunk: or earlier; last: or later)."""
    begin = sum(writes < first for writes in writes_before) if first else 0
    end = len(writes_before) if is_last else sum(writes < last for writes in writes_before)
    return slice(begin, end)


class _Chunk:
    """One chunk of the dual form: what its forward pass found and what its backward pass needs.

    Every tensor is batch first; C writes and R reads fall in this chunk.
    """

    def __init__(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        queries: torch.Tensor,
        weights: torch.Tensor,
        writes_before: list[int],
        started: torch.Tensor | None,
        is_first: bool,
    ) -> None:
        self.keys, self.values, self.queries, self.weights = keys, values, queries, weights
        self.started = started
        # The weights that a chunk hands on have unit rows: their norm is 1 whatever came before, and
        # nothing flows through it.
        self.norm_is_free = is_first or started is not None
        self.after = torch.tensor(writes_before, dtype=torch.long, device=keys.device)
        self.visible = torch.arange(keys.shape[1], device=keys.device) < self.after.unsqueeze(1)  # (R, C)

    def run(self) -> torch.Tensor:
        """Reads (B, R, H). Sets `smallest`, a scalar; then `end` and `backward` may be called."""
        keys, weights = self.keys, self.weights
        batch, count = keys.shape[:2]
        both = torch.cat([keys, self.queries], dim=1)  # (B, C + R, J)
        products = torch.bmm(both, keys.transpose(1, 2))  # (B, C + R, C)
        self.gram = products[:, :count]
        self.overlap = products[:, count:].mul_(self.visible)
        through = torch.bmm(both, weights.transpose(1, 2))  # (B, C + R, H)

        units = weights.shape[1]
        self.beta = keys.new_empty(batch, count, units)
        self.scale = keys.new_empty(batch, count + 1, units)  # N_0 ... N_C
        self.slope = keys.new_empty(batch, count, units)  # d N_t^2 / d beta_t
        self._recur(through[:, :count])
        raw = through[:, count:].baddbmm_(self.overlap, self.beta)
        return raw.div_(self.scale.index_select(1, self.after))

    def _recur(self, z: torch.Tensor) -> None:
        """Find beta, N and the slopes, given P_0 k_t as `z` (B, C, H), which is overwritten."""
        count, gram, beta, scale = z.shape[1], self.gram, self.beta, self.scale
        square = (
            torch.linalg.vector_norm(self.weights, dim=2).square_()
            if self.norm_is_free
            else torch.ones_like(z[:, 0])
        )
        scale[:, 0] = 1.0
        norm, largest, smallest = scale[:, 0], square, torch.ones_like(square)
        self_overlap = gram.diagonal(dim1=1, dim2=2)  # (B, C)
        for begin in range(0, count, _BLOCK):
            end = min(begin + _BLOCK, count)
            if begin:
                z[:, begin:end].baddbmm_(gram[:, begin:end, :begin], beta[:, :begin])
            for t in range(begin, end):
                z_t = z[:, t]
                if t > begin:
                    within = torch.bmm(gram[:, t : t + 1, begin:t], beta[:, begin:t])
                    z_t = z_t + within.squeeze(1)
                beta_t = torch.mul(self.values[:, t], norm)
                slope = torch.addcmul(z_t, self_overlap[:, t : t + 1], beta_t).mul_(2)
                beta[:, t], self.slope[:, t] = beta_t, slope
                # beta (2 z + |k|^2 beta), the slope holding 2 z + 2 |k|^2 beta
                slope = slope.addcmul(self_overlap[:, t : t + 1], beta_t, value=-1)
                square = torch.addcmul(square, beta_t, slope)
                largest = torch.maximum(largest, square)
                smallest = torch.minimum(smallest, square / largest)
                norm = square.clamp_min(0).sqrt()
                if self.started is not None:
                    norm = torch.where(self.started[:, t : t + 1], norm, 1.0)
                scale[:, t + 1] = norm
        self.smallest = smallest.amin()

    def end(self) -> torch.Tensor:
        """The weights after the chunk's last write, (B, H, J)."""
        weights = torch.baddbmm(self.weights, self.beta.transpose(1, 2), self.keys)
        norms = torch.linalg.vector_norm(weights, dim=2, keepdim=True)
        if self.started is not None:
            norms = torch.where(self.started[:, -1].view(-1, 1, 1), norms, 1.0)
        return weights.div_(norms)

    def backward(
        self,
        reads: torch.Tensor,
        grad_reads: torch.Tensor,
        end: torch.Tensor,
        grad_end: torch.Tensor | None,
        wants_start: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Gradients of keys, values, queries and, if wanted, of the weights the chunk began with.

        Args:
            reads: Result of `run`.
            grad_reads: Its gradient.
            end: What `end` returned, (B, H, J).
            grad_end: Its gradient; None for zero.
            wants_start: Whether the last result is wanted.
        """
        count, keys, queries = self.keys.shape[1], self.keys, self.queries
        grad_raw = grad_reads / self.scale.index_select(1, self.after)  # of N y
        grad_scale = torch.zeros_like(self.scale)
        grad_scale.index_add_(1, self.after, grad_raw * reads, alpha=-1)
        grad_beta = torch.bmm(self.overlap.transpose(1, 2), grad_raw)
        grad_overlap = torch.bmm(grad_raw, self.beta.transpose(1, 2)).mul_(self.visible)
        if grad_end is not None:
            grad_end = grad_end / self.scale[:, -1].unsqueeze(2)
            grad_scale[:, -1] -= torch.linalg.vecdot(grad_end, end)
            grad_beta.baddbmm_(keys, grad_end.transpose(1, 2))
        if self.started is not None:
            grad_scale[:, 1:] *= self.started.unsqueeze(2)

        both = torch.cat([grad_beta, grad_raw], dim=1)  # room for grad_z, and grad_raw
        grad_z = both[:, :count]
        grad_square = self._recur_back(grad_beta, grad_scale, grad_z)
        gram = torch.bmm(grad_z, self.beta.transpose(1, 2))  # (B, C, C), of k_t . k_s for s < t
        gram = gram.tril() + gram.tril(-1).transpose(1, 2)
        through = torch.bmm(both, self.weights)  # (B, C + R, J)
        grad_keys = through[:, :count].baddbmm_(gram, keys)
        grad_keys.baddbmm_(grad_overlap.transpose(1, 2), queries)
        grad_queries = through[:, count:].baddbmm_(grad_overlap, keys)
        if grad_end is not None:
            grad_keys.baddbmm_(self.beta, grad_end)
        grad_values = self.grad_values
        del self.grad_values
        if not wants_start:
            return grad_keys, grad_values, grad_queries, None
        sources = torch.cat([keys, queries], dim=1)
        start = torch.bmm(both.transpose(1, 2), sources)
        if grad_end is not None:
            start += grad_end
        if self.norm_is_free:
            start.addcmul_(grad_square.unsqueeze(2), self.weights, value=2)
        return grad_keys, grad_values, grad_queries, start

    def _recur_back(
        self, grad_beta: torch.Tensor, grad_scale: torch.Tensor, grad_z: torch.Tensor
    ) -> torch.Tensor:
        """The recursion's adjoint, from the last write to the first.

        Args:
            grad_beta: (B, C, H), what reads and the chunk's end ask of beta.
            grad_scale: (B, C + 1, H), the same of N.
            grad_z: (B, C, H), to be filled in.

        Returns:
            Gradient (B, H) of the squared row norms the chunk began with.
        """
        count, gram = grad_beta.shape[1], self.gram
        self.grad_values = torch.empty_like(grad_beta)
        grad_square = torch.zeros_like(grad_beta[:, 0])
        half_inverse = torch.reciprocal(self.scale[:, 1:]).mul_(0.5)
        if self.started is not None:
            half_inverse *= self.started.unsqueeze(2)
        carried = grad_scale[:, count]
        for end in range(count, 0, -_BLOCK):
            begin = max(end - _BLOCK, 0)
            if end < count:
                grad_beta[:, begin:end].baddbmm_(gram[:, begin:end, end:], grad_z[:, end:])
            for t in reversed(range(begin, end)):
                grad_square = torch.addcmul(grad_square, carried, half_inverse[:, t])
                grad_t = torch.addcmul(grad_beta[:, t], self.slope[:, t], grad_square)
                if t + 1 < end:
                    within = torch.bmm(gram[:, t : t + 1, t + 1 : end], grad_z[:, t + 1 : end])
                    grad_t += within.squeeze(1)
                torch.mul(self.beta[:, t], grad_square, out=grad_z[:, t]).mul_(2)
                torch.mul(grad_t, self.scale[:, t], out=self.grad_values[:, t])
                carried = torch.addcmul(grad_scale[:, t], grad_t, self.values[:, t])
        return grad_square
