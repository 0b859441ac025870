"""Other ways to value rows, for bench_scoring: the paper's scripts, backward passes, and dattri."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from oresight.tasks.scoring.formula import errors, pairwise
from oresight.tasks.scoring.forward import visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.reference import fit

PADDED = 300


class CompleteModel(nn.Module):
    """The model with its head put back, as a head of its own."""

    def __init__(self, model: Loaded) -> None:
        super().__init__()
        self.model = model
        self.body = model.body
        self.head = nn.Linear(*reversed(model.head.weight_VD.shape), bias=False, dtype=model.dtype)
        self.head.weight = nn.Parameter(model.head.weight_VD.detach().clone())

    def states(self, ids_NL: Tensor, mask_NL: Tensor | None = None) -> Tensor:
        self.body(input_ids=ids_NL, attention_mask=mask_NL, use_cache=False)
        return self.model.tap.take()

    def forward(self, ids_NL: Tensor) -> Tensor:
        return self.head(self.states(ids_NL))  # type: ignore[no-any-return]


class HeadOnly(nn.Module):
    """The same, with no parameters but the head's."""

    def __init__(self, complete: CompleteModel) -> None:
        super().__init__()
        self.head, self.behind = complete.head, [complete]

    def forward(self, ids_NL: Tensor) -> Tensor:
        return self.head(self.behind[0].states(ids_NL))  # type: ignore[no-any-return]


def paper(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded]) -> dict[str, Any]:
    """For-Value as its published script for streaming computes it by default.

    Every text padded to 300 tokens, two at a time, logits at all positions; the vocabulary cut to the 32 likeliest
    tokens of each position; of each row the sum of its errors times its states as a matrix [those tokens, D], kept in
    bfloat16; dot products in float32 of each row with each reference row, over the tokens that both have. A label that
    was not among the likeliest is missing from the row's errors.
    """
    complete = CompleteModel(model)

    def matrices(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(len(batch), PADDED, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(batch):
            cut = row.ids[:PADDED]
            ids[i, : len(cut)], mask[i, : len(cut)] = torch.tensor(cut), 1
        with torch.inference_mode():
            h = complete.states(ids, mask)[:, :-1]
            logits = complete.head(h).float()
            seen = logits.topk(32, dim=-1).indices[mask[:, :-1] > 0].unique()
            error = -logits.softmax(-1)[..., seen]
            labels = ids[:, 1:].contiguous()
            position = torch.searchsorted(seen, labels).clamp_max(len(seen) - 1)
            error.scatter_add_(2, position[..., None], (seen[position] == labels)[..., None].float())
            error *= mask[:, :-1, None]
            return seen, (error.mT @ h.float()).bfloat16()

    trusted = [matrices(reference[i : i + 2]) for i in range(0, len(reference), 2)]
    started, values = time.perf_counter(), []
    for i in range(0, len(rows), 2):
        seen, mine = matrices(rows[i : i + 2])
        products = []
        for other, theirs in trusted:
            common = seen[torch.isin(seen, other)]
            a = mine[:, torch.searchsorted(seen, common)].float().flatten(1)
            b = theirs[:, torch.searchsorted(other, common)].float().flatten(1)
            products.append(a @ b.T)
        values.append(torch.cat(products, 1).mean(1))
    seconds = time.perf_counter() - started
    note = f"{len(rows)} rows; correlation with ours {_correlation(model, rows, reference, torch.cat(values)):.4f}"
    return {"seconds": seconds, "tokens": _tokens(rows), "note": note}


def _correlation(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded], values: Tensor) -> float:
    """Correlation of values with our exact ones."""
    model.shares = False
    exact, _ = fit(model.head, list(visit(model, reference, 4096, lambda part: part)), probe=[], tolerance=0)
    ours = torch.zeros(len(rows))
    for part in visit(model, rows, 4096, lambda part: part):
        along = errors(part.h_TD, part.y_T, model.head, exact.along).along_TR
        assert along is not None
        for row, sums in zip(part.rows, (along * part.h_TD).sum(1).split(part.lengths), strict=True):
            ours[row] = sums.sum()
    return float(torch.corrcoef(torch.stack([ours, values.float()]))[0, 1])


def backward(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded]) -> dict[str, Any]:
    """TracIn at the last checkpoint: a backward pass a row through the whole model, times the reference's gradient."""
    complete = CompleteModel(model)
    parameters = [p.requires_grad_() for p in complete.parameters()]

    def gradient(row: Encoded) -> list[Tensor]:
        z = complete(torch.tensor([row.ids]))[0, row.start - 1 : row.end - 1]
        loss = cross_entropy(z.float(), torch.tensor(row.answer), reduction="sum")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]

    rows, mean = rows[:40], [torch.zeros_like(p) for p in parameters]
    for row in reference[:10]:
        for total, part in zip(mean, gradient(row), strict=True):
            total += part
    started = time.perf_counter()
    values = [sum(float((a * b).sum()) for a, b in zip(gradient(row), mean, strict=True)) for row in rows]
    correlation = _correlation(model, rows, reference[:10], torch.tensor(values))
    note = f"{len(values)} rows against 10; the head untied; correlation with ours {correlation:.4f}"
    return {"seconds": time.perf_counter() - started, "tokens": _tokens(rows), "note": note}


def library(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded]) -> dict[str, Any]:
    """dattri's TracIn on the head's weight: the same numbers as our pairwise values, by its own means.

    The whole model's gradients of a batch would not fit into memory. dattri computes the reference's gradients again
    for each batch of rows, so the batch is as large as the rows are many.
    """
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask
    from torch.utils.data import DataLoader, TensorDataset

    rows, reference = rows[:8], reference[:8]
    head_only = HeadOnly(CompleteModel(model))
    model.body.requires_grad_(False)
    model.body.set_attn_implementation("eager")  # type: ignore[operator]

    def loss(parameters: Any, data: Any) -> Tensor:
        ids_L, label_L = data
        z = torch.func.functional_call(head_only, parameters, (ids_L[None],))[0, :-1]
        return cross_entropy(z.float(), label_L[1:], reduction="sum", ignore_index=-100)

    def loader(encoded: Sequence[Encoded]) -> Any:
        longest = max(len(row.ids) for row in encoded)
        ids, labels = torch.zeros(len(encoded), longest, dtype=torch.int64), torch.full((len(encoded), longest), -100)
        for i, row in enumerate(encoded):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            labels[i, row.start : row.end] = torch.tensor(row.answer)
        return DataLoader(TensorDataset(ids, labels), batch_size=8)

    task = AttributionTask(loss_func=loss, model=head_only, checkpoints=[head_only.state_dict()])
    attributor = TracInAttributor(task=task, weight_list=torch.ones(1), normalized_grad=False)
    attributor.projector_kwargs = None  # exact products, no random projection
    started = time.perf_counter()
    products = attributor.attribute(loader(rows), loader(reference))
    seconds = time.perf_counter() - started
    note = f"8 rows, 8 of the reference; correlation with ours {_agreement(model, rows, reference, products):.4f}"
    return {"seconds": seconds, "tokens": _tokens(rows), "note": note}


def _agreement(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded], products: Tensor) -> float:
    """Correlation of pairwise products [rows, reference] with our exact ones."""
    model.shares = False
    a, b = (next(visit(model, encoded, 10**6, lambda part: part)) for encoded in (rows, reference))
    ours = pairwise((a.h_TD, a.y_T, a.lengths), (b.h_TD, b.y_T, b.lengths), model.head)
    both = torch.stack([ours.flatten(), products[a.rows][:, b.rows].flatten()])
    return float(torch.corrcoef(both)[0, 1])


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row.ids) for row in rows)
