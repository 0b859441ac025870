"""All that scoring needs beside the model, as bytes: a run that goes on, and other machines, take exactly these.

A product's last digits depend on how its factors lie in memory. So an engine that has just been fitted is read from
its stored bytes too, and scores like one that was fitted long ago.
"""

from dataclasses import astuple, dataclass, fields

import torch
from safetensors.torch import load, save
from torch import Tensor

from oresight.tasks.scoring.formula import Directions
from oresight.tasks.scoring.index import Basis
from oresight.tasks.scoring.reference import Reference
from oresight.tasks.scoring.signals import Neighbours


@dataclass(frozen=True)
class Measured:
    """How good the index is: the correlation of its products with exact pairwise values, on rows outside the fit."""

    correlation: float
    """NaN where there are too few pairs."""
    pairs: int


@dataclass(frozen=True)
class Fitted:
    """The fits of one reference and one model."""

    reference: Reference
    """In its cheap form."""
    basis: Basis
    neighbours: Neighbours
    index: Measured

    def stored(self) -> bytes:
        """The fits as safetensors."""
        reference = self.reference
        numbers = [getattr(reference, name) for name in NUMBERS]
        tensors: dict[str, Tensor | None] = {
            "numbers": torch.tensor([*numbers, *astuple(self.index)], dtype=torch.float64),
            "tokens_A": reference.along.tokens_A,
            "u_AR": reference.along.u_AR,
            "b_rD": reference.b_rD,
            "vector_RM": self.neighbours.vector_RM,
            "state_RS": self.neighbours.state_RS,
            **{f"basis.{f.name}": getattr(self.basis, f.name) for f in fields(Basis)},
        }
        return save({name: tensor.cpu().contiguous() for name, tensor in tensors.items() if tensor is not None})

    @staticmethod
    def read(content: bytes, device: torch.device) -> "Fitted":
        """The fits from the bytes that `stored` gave. Each tensor gets memory of its own, which torch aligns."""
        tensors = {name: tensor.clone() for name, tensor in load(content).items()}
        *numbers, correlation, pairs = tensors["numbers"].tolist()
        facts = {name: kind(number) for (name, kind), number in zip(NUMBERS.items(), numbers, strict=True)}
        along = Directions(tensors["tokens_A"], tensors["u_AR"])
        return Fitted(
            reference=Reference(along=along, b_rD=tensors.get("b_rD"), **facts).to(device),
            basis=Basis(*(tensors[f"basis.{f.name}"] for f in fields(Basis))).to(device),
            neighbours=Neighbours(tensors["vector_RM"], tensors["state_RS"]),
            index=Measured(correlation, int(pairs)),
        )


NUMBERS: dict[str, type] = {
    "rows": int,
    "norm": float,
    "rank": int,
    "tokens": int,
    "residual": float,
    "deviation": float,
}
"""The numbers of a reference."""
