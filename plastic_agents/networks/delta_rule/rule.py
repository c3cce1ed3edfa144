"""A fast-weight memory, written and read along a sequence, without a loop over time.

The memory of one episode is a matrix S (values x keys). A write with key k, value v and strength b is

    Hebb:   S <- S + b v k^T
    delta:  S <- S + b (v - S k) k^T        (writes what differs from what is read)

and S fades by `decay` per time step. A read with query q returns S q.

With inputs known in advance neither rule needs S inside the sequence: a read is a sum over earlier writes,
and the corrections u of the delta rule solve one unit-triangular system,

    (I + diag(b) (D * tril(K K^T, -1))) U = diag(b) (V - D_0 K S_0^T),
    S_t = D_0 S_0 + sum_s D_ts u_s k_s^T,

with D the decay between two writes (Schlag, Irie & Schmidhuber, "Linear transformers are secretly fast weight
programmers", ICML 2021, for the rule; the solve is the standard WY form of a product of rank-one
corrections). Long sequences are cut into chunks that hand S on, so the cost grows linearly with their length.
`associate_loop` is the rule itself, one write at a time.
"""

from __future__ import annotations

import torch


def associate(
    keys: torch.Tensor,
    values: torch.Tensor,
    strengths: torch.Tensor,
    write_times: torch.Tensor,
    queries: torch.Tensor,
    read_times: torch.Tensor,
    memory: torch.Tensor,
    log_decay: torch.Tensor,
    num_steps: int,
    *,
    delta: bool,
    chunk: int = 128,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write and read a fast-weight memory along a sequence of `num_steps` time steps.

    Args:
        keys: (B, W, K) keys of the writes, in order of time.
        values: (B, W, V) values of the writes.
        strengths: (B, W) write strengths; 0 leaves the memory as it is.
        write_times: (W,) int64 time step of each write, not decreasing, in [0, num_steps).
        queries: (B, R, K) queries.
        read_times: (R,) int64 time step of each read, not decreasing. A read sees the writes of its own step.
        memory: (B, V, K), S before the first step.
        log_decay: Scalar tensor <= 0, logarithm of the share of S kept per time step.
        num_steps: T, so that the memory returned is the one after step T - 1.
        delta: Delta rule, or plain Hebb.
        chunk: Largest number of writes solved at once.

    Returns:
        Reads (B, R, V) and the memory (B, V, K) after the last step.
    """
    num_writes = keys.shape[1]
    visible = torch.searchsorted(write_times, read_times, right=True)  # writes seen by each read
    reads, read_from, time = [], 0, -1
    for start in range(0, max(num_writes, 1), chunk):
        stop = min(start + chunk, num_writes)
        last = stop == num_writes
        read_to = len(read_times) if last else int(torch.searchsorted(visible, stop).item())
        now, reading = slice(start, stop), slice(read_from, read_to)
        written_at, read_at = write_times[now], read_times[reading]
        k, q = keys[:, now], queries[:, reading]
        corrections = values[:, now] * strengths[:, now, None]
        if delta and stop > start:
            lag = (written_at[:, None] - written_at[None, :]).clamp(min=0)
            gram = torch.tril(k @ k.mT, -1) * torch.exp(lag * log_decay)
            prediction = (k @ memory.mT) * torch.exp((written_at - time) * log_decay)[:, None]
            system = gram * strengths[:, now, None]  # unit diagonal implied
            rest = corrections - prediction * strengths[:, now, None]
            corrections = torch.linalg.solve_triangular(system, rest, upper=False, unitriangular=True)
        recall = (q @ memory.mT) * torch.exp((read_at - time) * log_decay)[:, None]
        if stop > start:
            order = torch.arange(start, stop, device=keys.device)
            earlier = order[None, :] < visible[reading, None]  # (R, W)
            lag = (read_at[:, None] - written_at[None, :]).clamp(min=0)
            recall = recall + ((q @ k.mT) * (earlier * torch.exp(lag * log_decay))) @ corrections
        reads.append(recall)
        if stop > start or last:
            end = num_steps - 1 if last else int(written_at[-1].item())
            memory = memory * torch.exp((end - time) * log_decay)
            if stop > start:
                fade = torch.exp((end - written_at) * log_decay)[:, None]
                memory = memory + (corrections * fade).mT @ k
            time = end
        read_from = read_to
    return torch.cat(reads, dim=1), memory


def associate_loop(
    keys: torch.Tensor,
    values: torch.Tensor,
    strengths: torch.Tensor,
    write_times: torch.Tensor,
    queries: torch.Tensor,
    read_times: torch.Tensor,
    memory: torch.Tensor,
    log_decay: torch.Tensor,
    num_steps: int,
    *,
    delta: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`associate`, one time step after another: the reference, and the form for streaming."""
    writes, reads_at = write_times.tolist(), read_times.tolist()
    decay = torch.exp(log_decay)
    reads: list[torch.Tensor] = []
    next_write = next_read = 0
    for step in range(num_steps):
        memory = memory * decay
        while next_write < len(writes) and writes[next_write] == step:
            k, v, b = keys[:, next_write, None, :], values[:, next_write], strengths[:, next_write, None]
            change = v - (k @ memory.mT)[:, 0] if delta else v  # row products: (B, 1, K) x (B, K, V)
            memory = memory + (b * change)[:, :, None] * k
            next_write += 1
        while next_read < len(reads_at) and reads_at[next_read] == step:
            reads.append((queries[:, next_read, None, :] @ memory.mT)[:, 0])
            next_read += 1
    if not reads:
        return queries.new_zeros(queries.shape[0], 0, values.shape[2]), memory
    return torch.stack(reads, dim=1), memory
