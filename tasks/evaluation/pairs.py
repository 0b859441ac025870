"""How much each row helps each query, by our forms and by others', on the same rows: N rows, Q queries.

    value             <G(i), G(q)>, exact (formula.py); value_cosine is that over both norms
    index             products of index vectors, fitted on every second row and query
    embedding cosine  of the mean final states of the answer tokens
    gradient          products of the gradients of LoRA matrices (kronfluence, strategy identity)
    ekfac             influence by eigenvalue-corrected Kronecker factors of the same (kronfluence, strategy ekfac)

LoRA matrices start as B A with B = 0, so the gradient of A is zero and that of B is the layer's own gradient, seen
through the random A: what DataInf and LESS compare too.
"""

import logging
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize

from oresight.tasks.evaluation.trainable import Trainable, trainable
from oresight.tasks.scoring.engine import SAMPLE, select_rows
from oresight.tasks.scoring.formula import errors, token_pairs
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.index import fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.source import Source
from oresight.tasks.workload.clock import Clock

Floats = NDArray[np.float64]
TILE = 4096
"""Answer tokens of rows that meet all queries at a time."""
ROWS = 8
"""Rows in a batch of a backward pass."""


@dataclass(frozen=True)
class Paired:
    """What a method found, and what it took."""

    scores: dict[str, Floats]
    """By name, [N, Q]."""
    seconds: float
    """Without loading the model."""
    peak_mb: float
    """The most memory that the process had, on the accelerator where the model is on one."""


def paired(
    method: str, source: Source, device: str, dtype: str, rows: Sequence[Encoded], queries: Sequence[Encoded]
) -> Paired:
    """Score rows against queries. Called in a process of its own, so that its peak is the method's.

    Raises ImportError if the method's library is not there.
    """
    if method in FORWARD:
        model = load(source, device, dtype)
        clock = Clock(model.device)
        scores, seconds = clock.timed(lambda: FORWARD[method](model, rows, queries))
    else:
        made = trainable(source, device)
        clock = Clock(made.device)
        scores, seconds = clock.timed(lambda: {method: _kronfluence(made, method, rows, queries)})
    found = {name: one.double().cpu().numpy() for name, one in scores.items()}
    return Paired(found, seconds, clock.peak() / 2**20)


@dataclass(frozen=True)
class _Tokens:
    """Answer tokens of N rows, those once that stand behind the same ids and pictures: S different ones, which have the
    same state and the same error."""

    h_SD: Tensor
    y_S: Tensor
    row_E: Tensor
    token_E: Tensor
    """Row row_E[e] has the token token_E[e]."""
    size_N: Tensor
    """|G(row)|."""


def _tokens(model: Loaded, rows: Sequence[Encoded]) -> _Tokens:
    place: dict[tuple[Hashable, int], int] = {}  # a tree: of what stands before and the token
    h, y, has, size_N = list[Tensor](), list[Tensor](), list[tuple[int, int]](), torch.zeros(len(rows))
    for part in visit(model, rows, 4096, lambda part: part):
        size_N[part.rows] = _sizes(model, part)
        new, j = list[int](), 0
        for i in part.rows:
            before: Hashable = tuple(rows[i].key[: rows[i].start])
            for token in rows[i].answer:
                if (before, token) not in place:
                    place[before, token] = len(place)
                    new.append(j)
                before = place[before, token]
                has.append((i, before))
                j += 1
        h.append(part.h_TD[new])
        y.append(part.y_T[new])
    row_E, token_E = torch.tensor(has, device=model.device).T
    return _Tokens(torch.cat(h), torch.cat(y), row_E, token_E, size_N)


def _values(model: Loaded, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> dict[str, Tensor]:
    ours, theirs = _tokens(model, rows), _tokens(model, queries)
    value_NQ = ours.h_SD.new_zeros(len(rows), len(queries))
    for s in range(0, len(ours.y_S), TILE):
        tile = slice(s, s + TILE)
        pairs_ST = token_pairs((ours.h_SD[tile], ours.y_S[tile]), (theirs.h_SD, theirs.y_S), model.head)
        pairs_SQ = pairs_ST.new_zeros(len(pairs_ST), len(queries))
        pairs_SQ.index_add_(1, theirs.row_E, pairs_ST[:, theirs.token_E])
        here_E = (ours.token_E >= s) & (ours.token_E < s + TILE)
        value_NQ.index_add_(0, ours.row_E[here_E], pairs_SQ[ours.token_E[here_E] - s])
    value_NQ = value_NQ.float().cpu()
    return {"value": value_NQ, "value_cosine": value_NQ / (ours.size_N[:, None] * theirs.size_N).clamp_min(1e-12)}


def _indexed(model: Loaded, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> dict[str, Tensor]:
    parts = [_visited(model, some) for some in (rows, queries)]
    fitted = [
        one
        for kept, some in zip(parts, (rows, queries), strict=True)
        for one in select_rows(kept, range(0, len(some), 2)[:SAMPLE])
    ]
    basis = fit_basis(fitted, model.head)
    vectors = []
    for kept, n in zip(parts, (len(rows), len(queries)), strict=True):
        vector_NM = None
        for part in kept:
            for tile in part.tiles(TILE):
                along = errors(tile.h_TD, tile.y_T, model.head, basis.along).along_TR
                assert along is not None
                found = basis.vectors(along, tile.h_TD, tile.lengths).float().cpu()
                vector_NM = torch.zeros(n, found.shape[1]) if vector_NM is None else vector_NM
                vector_NM[tile.rows] = found
        assert vector_NM is not None
        vectors.append(vector_NM)
    return {"index": vectors[0] @ vectors[1].T}


def embeddings(model: Loaded, rows: Sequence[Encoded]) -> Tensor:
    """The mean final state of each row's answer tokens, of length one [N, D]."""
    found: list[Tensor] = [torch.empty(0)] * len(rows)

    def means(part: Answers) -> list[tuple[int, Tensor]]:
        return [(row, h.mean(0).cpu()) for row, h in zip(part.rows, part.h_TD.split(part.lengths), strict=True)]

    for batch in visit(model, rows, 4096, means):
        for row, mean in batch:
            found[row] = mean
    return normalize(torch.stack(found).float(), dim=1)


def _cosines(model: Loaded, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> dict[str, Tensor]:
    return {"embedding cosine": embeddings(model, rows) @ embeddings(model, queries).T}


FORWARD: dict[str, Callable[[Loaded, Sequence[Encoded], Sequence[Encoded]], dict[str, Tensor]]] = {
    "value": _values, "index": _indexed, "embedding cosine": _cosines,
}  # fmt: skip
BACKWARD = ("gradient", "ekfac")


def full_gradient(made: Trainable, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> Floats:
    """Products [N] of each row's gradient with the queries' mean one, of the summed cross-entropy by all parameters.

    No row's own gradient is made: its product with the mean is the derivative of its loss along the mean, which a
    forward pass in forward mode gives for a batch of rows.
    """
    parameters = {name: one for name, one in made.model.named_parameters() if one.requires_grad}
    mean = {name: torch.zeros_like(one) for name, one in parameters.items()}
    for _, batch in _batches(made, queries):
        loss = made.losses(batch).sum() / len(queries)
        parts = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for total, part in zip(mean.values(), parts, strict=True):
            if part is not None:
                total += part
    found = np.zeros(len(rows))
    for some, batch in _batches(made, rows):

        def each(moved: dict[str, Tensor], batch: dict[str, Any] = batch) -> Tensor:
            def model(**inputs: Any) -> Any:
                return functional_call(made.model, moved, (), inputs)

            return replace(made, model=model).losses(batch)

        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the other kernels have no forward mode
            found[some] = jvp(each, (parameters,), (mean,))[1].cpu()
    return found


def _batches(made: Trainable, rows: Sequence[Encoded]) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Rows of like length together, where the model is, and which they are."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    for start in range(0, len(order), ROWS):
        some = order[start : start + ROWS]
        yield some, made.placed(made.batch([rows[i] for i in some]))


def _kronfluence(made: Trainable, strategy: str, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> Tensor:
    """Rows are taken by length, as many together as ROWS; all queries' gradients are kept while they pass."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task
    from kronfluence.utils.dataset import DataLoaderKwargs

    matrices = [name for name, _ in made.model.named_modules() if name.endswith("lora_B.default")]

    class Answering(Task):  # type: ignore[misc]
        """The cross-entropy of answer tokens."""

        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Tensor:
            assert not sample, "the empirical Fisher matrix is asked for, whose labels are the data's own"
            return replace(made, model=model).losses(batch).sum()

        def compute_measurement(self, batch: Any, model: Any) -> Tensor:
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            return matrices

        def get_attention_mask(self, batch: Any) -> Tensor:
            mask: Tensor = batch["attention_mask"]
            return mask

    order_N, order_Q = (sorted(range(len(some)), key=lambda i: len(some[i].ids)) for some in (rows, queries))
    logging.getLogger("kronfluence").setLevel(logging.ERROR)
    task = Answering()
    with TemporaryDirectory(prefix="oresight-kronfluence-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzer = Analyzer(
            "rows", prepare_model(made.model, task), task, cpu=made.device.type == "cpu", output_dir=folder,
            disable_tqdm=True, disable_model_save=True,
        )  # fmt: skip
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=made.batch))
        ordered = [rows[i] for i in order_N]
        factors = FactorArguments(strategy="ekfac" if strategy == "ekfac" else "identity", use_empirical_fisher=True)
        analyzer.fit_all_factors("factors", ordered, per_device_batch_size=ROWS, factor_args=factors)
        analyzer.compute_pairwise_scores(
            "scores", "factors", query_dataset=[queries[i] for i in order_Q], train_dataset=ordered,
            per_device_query_batch_size=ROWS, per_device_train_batch_size=ROWS,
            score_args=ScoreArguments(query_gradient_accumulation_steps=-(-len(queries) // ROWS)),
        )  # fmt: skip
        score_QN = analyzer.load_pairwise_scores("scores")["all_modules"]
    score_NQ = torch.zeros(len(rows), len(queries))
    score_NQ[torch.tensor(order_N)[:, None], torch.tensor(order_Q)] = score_QN.T.float()
    return score_NQ


def _visited(model: Loaded, rows: Sequence[Encoded]) -> list[Answers]:
    return list(visit(model, rows, 4096, lambda part: part))


def _sizes(model: Loaded, part: Answers) -> Tensor:
    """|G(row)| of each row."""
    squares = [
        square
        for tile in part.tiles(TILE // 16)
        for square in errors(tile.h_TD, tile.y_T, model.head, lengths=tile.lengths).self_values or []
    ]
    return torch.tensor(squares).clamp_min(0).sqrt()
