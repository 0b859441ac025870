"""Configuration schema for YAML, `--set`, the Prefect form and the docs.

The docstring under a field is the help of that field everywhere.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Section(BaseModel):
    """What all parts of the configuration share: unknown keys are refused, docstrings become help."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, str_strip_whitespace=True)


class Dataset(Section):
    """Rows to read: the raw dataset, or the rows you trust."""

    name: str = Field(pattern=NAME, max_length=100)
    """What the rows are called in the database."""
    path: str
    """A file, folder or glob (JSONL, JSON, Parquet, CSV, an Arrow folder; .gz and .zst too), or hf:owner/name.
    With pictures also a folder with its metadata file, and webdataset shards (.tar)."""
    columns: dict[Literal["prompt", "answer", "system", "messages", "image"], str] = {}
    """Which column holds what, when the layout is not recognised: {prompt: q, answer: a, image: file}."""
    root: str | None = None
    """The folder that paths of pictures start from and stay inside; by default the folder of the file."""
    allow_download: bool = False
    """Fetch pictures that are given as http or https URLs, once; otherwise such rows are rejected."""


class Model(Section):
    """The model whose view of the data counts: best the one that you will finetune."""

    name: str = "smollm2-135m-instruct"
    """The embedded default, a folder, a .gguf file, or a hub id."""
    adapter: str | None = None
    """A PEFT adapter's folder or hub id, merged into the model; one that changes weights, such as LoRA."""
    revision: str | None = None
    """The revision of a hub id: a branch, a tag or a commit."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in. auto: bfloat16 for a model saved in half precision if it is measured to be faster,
    else float32. Softmax and sums are in float32 whatever stands here."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Where the model runs; auto takes every cuda device, then mps, then cpu."""


class Scoring(Section):
    """How rows are scored."""

    batch_tokens: int = Field(4096, ge=16)
    """Tokens in one batch, padding included."""
    max_tokens: int = Field(2048, ge=8)
    """Longer rows lose the beginning of their prompt, then the end of their answer, and are marked `truncated`."""
    rank_tolerance: float = Field(1e-3, ge=0, lt=1)
    """How far values may be off for the cheap form of the reference, as a share of the largest value; 0 is exact."""
    conditional_gain: bool = True
    """Also measure how much the prompt helps to predict the answer: one more forward of the answer alone."""


class Flagging(Section):
    """When a row is suspicious."""

    false_discovery_rate: float = Field(0.1, gt=0, lt=1)
    """Wanted share of good rows among the rows that are flagged as looking mislabeled."""
    canaries: float = Field(0.1, ge=0, le=1)
    """Copies of trusted rows with a planted defect, of each kind, as a share of the trusted rows; at least 50 of each,
    none at 0. From them the flags learn what a bad row looks like."""
    checks_folder: str | None = None
    """A folder with checks of your own: SQL files, those in its subfolder raw run before the rows are scored."""
    parameters: dict[str, bool | int | float | str] = {}
    """Values for the parameters that your checks declare: {min_words: 3}."""
    drift: float = Field(0.1, ge=0, le=1)
    """Give notice when the share of flagged rows differs by more than this from that of the version before."""


class Require(Section):
    """What must hold, or else nothing is published and the run ends with exit code 1."""

    false_flags: float | None = Field(None, ge=0, le=1)
    """At most this share of trusted rows may be flagged when they are judged as if they were new."""
    detectability: float | None = Field(None, ge=0, le=1)
    """At least one kind of planted defect must be told from trusted rows with this AUC."""
    dropped: float | None = Field(None, ge=0, le=1)
    """At most this share of the rows may be dropped."""
    better_than_random: bool = False
    """Finetunes must have shown that the version's rows teach more than as many tokens of random ones, with a paired p
    below 0.05. `oresight settle CONFIG.yaml --test FILE` makes them."""


class Splitting(Section):
    """Which rows stay."""

    name: str = Field("curated", pattern=NAME, max_length=100)
    """What the split is called; its versions are v1, v2, ..."""
    drop: Literal["flagged", "nothing"] = "flagged"
    """Drop every row with a flag of severity warning or critical, or none for being flagged."""
    keep: float | None = Field(None, gt=0, le=1)
    """At most this share of the dataset's rows. One of keep, rows and tokens at most; none keeps all."""
    rows: int | None = Field(None, ge=1)
    """At most so many rows."""
    tokens: int | None = Field(None, ge=1)
    """At most so many answer tokens."""
    by: Literal["value", "value_per_token", "random"] = "value"
    """What decides which rows stay when not all may."""
    length_penalty: float = Field(0, ge=0, le=1)
    """With by: value, the value is divided by the number of answer tokens to this power: 1 is the value per token."""
    distinct: float | None = Field(None, gt=0, le=1)
    """Drop a row if a better one teaches nearly the same: the cosine of their index vectors is at least this."""
    random_share: float = Field(0, ge=0, lt=1)
    """This share of the budget goes to rows drawn at random from those that are not among the best."""
    per: str | None = None
    """A metadata column: every one of its values keeps the same share of its rows (stratified)."""
    seed: int = 0
    """Decides ties, and everything when by is random."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [key for key in ("keep", "rows", "tokens") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of keep, rows and tokens, not {' and '.join(given)}")
        if self.random_share and not given:
            raise ValueError("random_share is a share of a budget; give one of keep, rows and tokens")
        if self.length_penalty and self.by != "value":
            raise ValueError(f"length_penalty goes with by: value, not {self.by}")
        return self

    def rule(self) -> str:
        """What decides, in words."""
        merit = self.by if not self.length_penalty else f"value / answer tokens^{self.length_penalty:g}"
        words = ["drawn at random" if self.by == "random" else f"the highest by {merit}"]
        words += [f"{key} {value:g}" for key in ("keep", "rows", "tokens") if (value := getattr(self, key)) is not None]
        words += [f"per {self.per}"] if self.per else []
        words += [f"{self.random_share:g} of the budget at random"] if self.random_share else []
        words += [f"none within cosine {self.distinct:g} of a better one"] if self.distinct else []
        return ", ".join([*words, f"drop {self.drop}", f"seed {self.seed}"])


class Publishing(Section):
    """Where a split goes."""

    folder: str = "out"
    """Versions are written to FOLDER/SPLIT/vN."""
    formats: list[Literal["parquet", "jsonl"]] = Field(default=["parquet", "jsonl"], min_length=1)
    """Files to write, each in the layout that the rows came in; rows in LLaVA's layout get train.json too."""
    copy_images: bool = False
    """Copy the rows' pictures to images/ beside the files; otherwise rows go on naming them where they are."""
    require: Require = Require()
    """What must hold before a version is published; `require: better_than_random` alone will do."""
    approval: Literal["none", "required"] = "none"
    """Whether a person is asked before a version is published."""
    approval_hours: float = Field(24, gt=0)
    """How long the question waits for an answer; then it is a no."""

    @field_validator("require", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {given: True} if isinstance(given, str) else given


class Evaluating(Section):
    """How `oresight evaluate` measures the method on these data."""

    share: float = Field(0.2, gt=0, lt=1)
    """The share of the rows drawn for a seed that gets a planted defect."""
    rows: int = Field(400, ge=20)
    """Rows drawn from the dataset for a seed."""
    seeds: int = Field(8, ge=2)
    """How often that is done."""


class Finetuning(Section):
    """How `oresight settle` finetunes."""

    tokens: int = Field(10_000, ge=1)
    """Answer tokens that each finetune learns from."""
    seeds: int = Field(5, ge=2)
    """How often it is done: each seed draws half of the rows."""
    rate: float = Field(1e-3, gt=0)
    """The highest learning rate."""
    epochs: int = Field(1, ge=1)
    """How often a row is shown."""
    lora: bool = True
    """Train LoRA matrices, or else all weights."""
    against: list[str] = []
    """Ways to choose rows that are compared, beside kept and random rows; by default all."""


class Curate(Section):
    """The configuration of a curation run."""

    database: str = "oresight.duckdb"
    """The DuckDB file that holds rows, scores, flags and splits."""
    dataset: Dataset
    """The rows to choose from."""
    reference: Dataset
    """The rows you trust."""
    model: Model = Model()
    """The model that scores."""
    scoring: Scoring = Scoring()
    """How rows are scored."""
    flagging: Flagging = Flagging()
    """When a row is suspicious."""
    splitting: Splitting = Splitting()
    """Which rows stay."""
    publishing: Publishing = Publishing()
    """Where a split goes."""
    evaluating: Evaluating = Evaluating()
    """How the method is measured."""
    finetuning: Finetuning = Finetuning()
    """How finetunes compare ways to choose rows."""

    @model_validator(mode="after")
    def _two_names(self) -> Self:
        if self.dataset.name == self.reference.name:
            raise ValueError(f"dataset.name and reference.name are both {self.dataset.name!r}: give each its own name")
        return self
