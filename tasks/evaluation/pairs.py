"""How much each of N rows helps each of Q queries, by Oresight's own methods and by published ones.

    value             <G(i), G(q)>, exact (formula.py); value_cosine divides it by both norms
    index             products of index vectors, fitted on every second row and query
    embedding cosine  cosine of the mean final states of the answer tokens
    gradient          products of the gradients of LoRA matrices (kronfluence, strategy identity)
    ekfac             influence by eigenvalue-corrected Kronecker factors of them (kronfluence, strategy ekfac)

LoRA matrices start as B A with B = 0. The gradient of A is therefore zero, and the gradient of B is the layer's own
gradient projected by the random A. DataInf and LESS compare the same gradients.
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

from oresight.tasks.evaluation.trainable import ModelSpec, Trainable, trainable
from oresight.tasks.scoring.engine import SAMPLE, select_rows
from oresight.tasks.scoring.formula import errors, token_pairs
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.index import fit_basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.workload.clock import Clock

Floats = NDArray[np.float64]
TILE = 4096
"""Answer tokens of rows that are multiplied with all queries at once."""
BATCH_TOKENS = 4096
"""Tokens in a batch of a forward pass."""
BATCH_ROWS = 8
"""Rows in a batch of a backward pass."""


@dataclass(frozen=True)
class PairScores:
    """The scores of a method, with its cost."""

    scores: dict[str, Floats]
    """By name, [N, Q]."""
    seconds: float
    """Without loading the model."""
    peak_mb: float
    """Peak memory of the process, or of the accelerator if the model is on one."""


def score_pairs(method: str, spec: ModelSpec, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> PairScores:
    """Score rows against queries. Call it in a process of its own, so that the peak memory is the method's.

    Raises ImportError if the method's library is not installed.
    """
    if method in FORWARD:
        model = load(spec.source, spec.device, spec.dtype)
        clock = Clock(model.device)
        scores, seconds = clock.timed(lambda: FORWARD[method](model, rows, queries))
    else:
        to_train = trainable(spec.source, spec.device)
        clock = Clock(to_train.device)
        scores, seconds = clock.timed(lambda: {method: _kronfluence(to_train, method, rows, queries)})
    matrices = {name: score_NQ.double().cpu().numpy() for name, score_NQ in scores.items()}
    return PairScores(matrices, seconds, clock.peak() / 2**20)


@dataclass(frozen=True)
class _Tokens:
    """The S different answer tokens of N rows.

    Tokens behind the same ids and pictures have the same state and the same error, so they are kept once.
    """

    h_SD: Tensor
    y_S: Tensor
    row_E: Tensor
    token_E: Tensor
    """Row row_E[e] has the token token_E[e]."""
    size_N: Tensor
    """|G(row)|."""


def _tokens(model: Loaded, rows: Sequence[Encoded]) -> _Tokens:
    numbers: dict[tuple[Hashable, int], int] = {}  # a prefix tree: (what stands before, token) -> number of the token
    h, y, has, size_N = list[Tensor](), list[Tensor](), list[tuple[int, int]](), torch.zeros(len(rows))
    for part in visit(model, rows, BATCH_TOKENS, lambda part: part):
        size_N[part.rows] = _sizes(model, part)
        new, j = list[int](), 0
        for i in part.rows:
            before: Hashable = tuple(rows[i].key[: rows[i].start])
            for token in rows[i].answer:
                if (before, token) not in numbers:
                    numbers[before, token] = len(numbers)
                    new.append(j)
                before = numbers[before, token]
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
    parts = [_visited(model, encoded) for encoded in (rows, queries)]
    fitted = [
        part
        for visited, encoded in zip(parts, (rows, queries), strict=True)
        for part in select_rows(visited, range(0, len(encoded), 2)[:SAMPLE])
    ]
    basis = fit_basis(fitted, model.head)
    vectors = []
    for visited, n in zip(parts, (len(rows), len(queries)), strict=True):
        vector_NM = None
        for part in visited:
            for tile in part.tiles(TILE):
                along = errors(tile.h_TD, tile.y_T, model.head, basis.along).along_TR
                assert along is not None
                tile_vectors = basis.vectors(along, tile.h_TD, tile.lengths).float().cpu()
                vector_NM = torch.zeros(n, tile_vectors.shape[1]) if vector_NM is None else vector_NM
                vector_NM[tile.rows] = tile_vectors
        assert vector_NM is not None
        vectors.append(vector_NM)
    return {"index": vectors[0] @ vectors[1].T}


def embed_rows(model: Loaded, rows: Sequence[Encoded]) -> Tensor:
    """The mean final state of each row's answer tokens, normalised to length 1 [N, D]."""
    mean_of: list[Tensor] = [torch.empty(0)] * len(rows)

    def means(part: Answers) -> list[tuple[int, Tensor]]:
        return [(row, h.mean(0).cpu()) for row, h in zip(part.rows, part.h_TD.split(part.lengths), strict=True)]

    for batch in visit(model, rows, BATCH_TOKENS, means):
        for row, mean in batch:
            mean_of[row] = mean
    return normalize(torch.stack(mean_of).float(), dim=1)


def _cosines(model: Loaded, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> dict[str, Tensor]:
    return {"embedding cosine": embed_rows(model, rows) @ embed_rows(model, queries).T}


FORWARD: dict[str, Callable[[Loaded, Sequence[Encoded], Sequence[Encoded]], dict[str, Tensor]]] = {
    "value": _values, "index": _indexed, "embedding cosine": _cosines,
}  # fmt: skip
"""Methods that need forward passes only."""
BACKWARD = ("gradient", "ekfac")
"""Methods that need backward passes, and kronfluence."""


def full_gradient(model: Trainable, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> Floats:
    """Products [N] of each row's gradient with the mean gradient of the queries, by all parameters of the model.

    The gradients are those of the summed cross-entropy. No row's own gradient is computed: its product with the mean
    is the derivative of its loss along the mean, which a forward-mode pass gives for a batch of rows.
    """
    parameters = {name: weight for name, weight in model.model.named_parameters() if weight.requires_grad}
    mean = {name: torch.zeros_like(weight) for name, weight in parameters.items()}
    for _, batch in _batches(model, queries):
        loss = model.losses(batch).sum() / len(queries)
        parts = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for total, part in zip(mean.values(), parts, strict=True):
            if part is not None:
                total += part
    product_N = np.zeros(len(rows))
    for numbers, batch in _batches(model, rows):

        def losses(weights: dict[str, Tensor], batch: dict[str, Any] = batch) -> Tensor:
            def call(**inputs: Any) -> Any:
                return functional_call(model.model, weights, (), inputs)

            return replace(model, model=call).losses(batch)

        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the other kernels have no forward mode
            product_N[numbers] = jvp(losses, (parameters,), (mean,))[1].cpu()
    return product_N


def _batches(model: Trainable, rows: Sequence[Encoded]) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Batches of rows of similar length, on the model's device, each with the numbers of its rows."""
    order = _by_length(rows)
    for start in range(0, len(order), BATCH_ROWS):
        numbers = order[start : start + BATCH_ROWS]
        yield numbers, model.to_device(model.batch([rows[i] for i in numbers]))


def _kronfluence(to_train: Trainable, strategy: str, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> Tensor:
    """Products [N, Q] by kronfluence. Rows are ordered by length; the gradients of all queries stay in memory."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task
    from kronfluence.utils.dataset import DataLoaderKwargs

    matrices = [name for name, _ in to_train.model.named_modules() if name.endswith("lora_B.default")]

    class Answering(Task):  # type: ignore[misc]
        """The cross-entropy of answer tokens."""

        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Tensor:
            assert not sample, "the empirical Fisher matrix takes its labels from the data"
            return replace(to_train, model=model).losses(batch).sum()

        def compute_measurement(self, batch: Any, model: Any) -> Tensor:
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            return matrices

        def get_attention_mask(self, batch: Any) -> Tensor:
            mask: Tensor = batch["attention_mask"]
            return mask

    order_N, order_Q = (_by_length(encoded) for encoded in (rows, queries))
    logging.getLogger("kronfluence").setLevel(logging.ERROR)
    task = Answering()
    with TemporaryDirectory(prefix="oresight-kronfluence-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzer = Analyzer(
            "rows", prepare_model(to_train.model, task), task, cpu=to_train.device.type == "cpu", output_dir=folder,
            disable_tqdm=True, disable_model_save=True,
        )  # fmt: skip
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=to_train.batch))
        ordered = [rows[i] for i in order_N]
        factors = FactorArguments(strategy="ekfac" if strategy == "ekfac" else "identity", use_empirical_fisher=True)
        analyzer.fit_all_factors("factors", ordered, per_device_batch_size=BATCH_ROWS, factor_args=factors)
        analyzer.compute_pairwise_scores(
            "scores", "factors", query_dataset=[queries[i] for i in order_Q], train_dataset=ordered,
            per_device_query_batch_size=BATCH_ROWS, per_device_train_batch_size=BATCH_ROWS,
            score_args=ScoreArguments(query_gradient_accumulation_steps=-(-len(queries) // BATCH_ROWS)),
        )  # fmt: skip
        score_QN = analyzer.load_pairwise_scores("scores")["all_modules"]
    score_NQ = torch.zeros(len(rows), len(queries))
    score_NQ[torch.tensor(order_N)[:, None], torch.tensor(order_Q)] = score_QN.T.float()
    return score_NQ


def _by_length(rows: Sequence[Encoded]) -> list[int]:
    """The numbers of the rows, the shortest row first."""
    return sorted(range(len(rows)), key=lambda i: len(rows[i].ids))


def _visited(model: Loaded, rows: Sequence[Encoded]) -> list[Answers]:
    return list(visit(model, rows, BATCH_TOKENS, lambda part: part))


def _sizes(model: Loaded, part: Answers) -> Tensor:
    """|G(row)| of each row."""
    squares = [
        square
        for tile in part.tiles(TILE // 16)
        for square in errors(tile.h_TD, tile.y_T, model.head, lengths=tile.lengths).self_values or []
    ]
    return torch.tensor(squares).clamp_min(0).sqrt()
