"""Configuration schema for YAML, `--set`, the Prefect form and the docs.

The docstring under a field is the help of that field everywhere.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from oresight.tasks.clusterconfig import Cluster
from oresight.tasks.columns import Columns
from oresight.tasks.modelconfig import Model
from oresight.tasks.paths import DatabasePath, FolderPath, InputPath
from oresight.tasks.section import MANY, Section

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MATCHING = "the nearest to each trusted row in turn, suspicious rows last"
"""The order of rows by `by: match`."""
RULE_WITHOUT_TRUSTED = "a draw, the tenth whose prompt explains the answer least last"
"""The order that takes its place where there are no trusted rows."""


class Dataset(Section):
    """The files of a dataset: the raw dataset, or the rows you trust."""

    name: str = Field(pattern=NAME, max_length=100)
    """Name of these rows in the database."""
    path: InputPath
    """A file, a folder, a glob or hf:owner/name. Formats: JSONL, JSON, CSV and TSV (each also as .gz or .zst), Parquet,
    an Arrow folder, and webdataset shards (.tar). A folder of pictures is read by its metadata file, and a dataset from
    the hub by its card. See docs/files.md."""
    columns: Columns = Columns()
    """Names of the columns to read, where they have no usual name: {prompt: q, answer: a, image: file}."""
    root: InputPath | None = None
    """Folder that relative picture paths start from. Pictures outside it are refused. Default: the file's folder."""
    split: str | None = None
    """Split to read where the path holds several, as in train.jsonl and test.jsonl: train, or train+test for both."""
    allow_download: bool = False
    """Download pictures that are given as http or https URLs, once. If false, such rows are rejected."""


class Scoring(Section):
    """How rows are scored."""

    batch_tokens: int = Field(4096, ge=16, le=MANY)
    """Tokens in one batch, padding included."""
    max_tokens: int = Field(2048, ge=8, le=MANY)
    """Longest row, in tokens. A longer row loses the beginning of its prompt, then the end of its answer, and is marked
    `truncated`."""
    rank_tolerance: float = Field(1e-3, ge=0, lt=1)
    """Largest error of a value that the compressed reference may cause, as a share of the largest value. 0 is exact."""
    conditional_gain: bool = True
    """Also measure how much the prompt helps to predict the answer. This costs one more forward pass, of the answer
    alone."""
    token_values: Literal["all", "short", "none"] = "all"  # noqa: S105
    """Of which rows the database keeps each token with its value and log-probability: all, those with an answer of at
    most 16 tokens, or none. They take more space than all other results. Rows that have scores keep what they have."""


class Flagging(Section):
    """How suspicious rows are found."""

    false_discovery_rate: float = Field(0.1, gt=0, lt=1)
    """Target share of good rows among the rows that are flagged as probably mislabeled."""
    error: Literal["estimated", "guaranteed"] = "estimated"
    """estimated: how suspicious a good row can be is estimated from the trusted rows; a few dozen are enough.
    guaranteed: without this estimate; with fewer than hundreds of trusted rows, most often nothing is flagged. Both
    assume that good rows are like the trusted rows. Rows that are unlike all of them are not flagged."""
    canaries: float = Field(0.1, ge=0, le=1)
    """Number of canaries of each kind, as a share of the trusted rows, but at least 50; 0 makes none. Canaries are
    copies of trusted rows with a planted defect. The flags learn from them what a bad row looks like."""
    checks_folder: InputPath | None = None
    """Folder with your own checks, as SQL files. Checks in its subfolder `raw` run before the rows are scored."""
    parameters: dict[str, bool | int | float | str] = Field({})
    """Values for the parameters that your checks declare: {min_words: 3}."""
    drift: float = Field(0.1, ge=0, le=1)
    """Send a notice if the share of flagged rows differs by more than this from the previous version."""


class Require(Section):
    """Conditions for publishing. If one fails, nothing is published and the run ends with exit code 1."""

    false_flags: float | None = Field(None, ge=0, le=1)
    """Largest share of trusted rows that may be flagged when they are judged as if they were new."""
    detectability: float | None = Field(None, ge=0, le=1)
    """Smallest AUC with which at least one kind of planted defect must be distinguished from trusted rows."""
    dropped: float | None = Field(None, ge=0, le=1)
    """Largest share of the rows that may be dropped."""
    better_than_random: bool = False
    """Finetunes must have shown that the version's rows teach more than random rows with as many tokens (paired test,
    p below 0.05). `oresight settle CONFIG.yaml --test FILE` runs these finetunes."""


class DropSuspicious(Section):
    """The most suspicious rows are dropped, whether they are flagged or not."""

    suspicious: float = Field(gt=0, lt=1)
    """Share of the scored rows that is dropped, the most suspicious first. No error rate is claimed for them."""


def _drop_form(value: Any) -> str:
    """The form of splitting.drop that a value is meant to have, so that an error is about this form alone."""
    return "share" if isinstance(value, dict | DropSuspicious) else "word"


Drop = Annotated[
    Annotated[Literal["flagged", "nothing"], Tag("word")] | Annotated[DropSuspicious, Tag("share")],
    Discriminator(_drop_form),
]


class Splitting(Section):
    """Which rows are kept."""

    name: str = Field("curated", pattern=NAME, max_length=100)
    """Name of the split. Its versions are v1, v2, ..."""
    drop: Drop = "flagged"
    """flagged: drop every row with a flag of severity warning or critical. nothing: drop no row for its flags.
    {suspicious: 0.1}: drop the flagged rows and the most suspicious tenth, with no error rate claimed."""
    keep: float | None = Field(None, gt=0, le=1)
    """Budget: largest share of the dataset's rows to keep. Give at most one of keep, rows and tokens. Without a budget,
    all rows are kept."""
    rows: int | None = Field(None, ge=1)
    """Budget: largest number of rows to keep."""
    tokens: int | None = Field(None, ge=1)
    """Budget: largest number of answer tokens to keep."""
    by: Literal["match", "value", "value_per_token", "value_cosine", "random"] = "match"
    """Order in which rows fill the budget. match: each trusted row takes in turn the nearest row that is left, and rows
    that look wrong come last; this trains better models than the other orders. The others are for comparison and
    research. value, value_per_token and value_cosine: the highest first; they follow the loudest kind of trusted rows,
    and value prefers long and wrong answers. random: a draw."""
    length_penalty: float = Field(0, ge=0, le=1)
    """With by: value, divide the value by the number of answer tokens to this power. 1 gives the value per token."""
    distinct: float | None = Field(None, gt=0, le=1)
    """Drop a row if a better row teaches nearly the same: if the cosine of their index vectors is at least this."""
    random_share: float = Field(0, ge=0, lt=1)
    """Share of the budget that is filled with rows drawn at random from the rows that are not among the best."""
    per: str | None = None
    """Metadata column for a stratified split: the same share of rows is kept for each of its values."""
    seed: int = 0
    """Seed that breaks ties, and that decides everything with by: random."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [key for key in ("keep", "rows", "tokens") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of keep, rows and tokens, not {' and '.join(given)}")
        if self.random_share and not given:
            raise ValueError("random_share is a share of a budget; give one of keep, rows and tokens too")
        if self.length_penalty and self.by != "value":
            raise ValueError(f"length_penalty works with by: value only, not with by: {self.by}; remove one of them")
        return self

    def rule(self, *, has_trusted: bool = True) -> str:
        """The rule of the split in words."""
        merit = self.by if not self.length_penalty else f"value / answer tokens^{self.length_penalty:g}"
        words = {
            "random": ["drawn at random"],
            "match": [MATCHING if has_trusted else RULE_WITHOUT_TRUSTED],
        }.get(self.by, [f"the highest by {merit}"])
        words += [f"{key} {value:g}" for key in ("keep", "rows", "tokens") if (value := getattr(self, key)) is not None]
        words += [f"per {self.per}"] if self.per else []
        words += [f"{self.random_share:g} of the budget at random"] if self.random_share else []
        words += [f"none within cosine {self.distinct:g} of a better one"] if self.distinct else []
        words += [f"drop {self.dropped_rows}", f"seed {self.seed}"]
        return ", ".join([*words, *([] if has_trusted else ["no trusted rows, so no error rate is claimed"])])

    @property
    def suspicious_share(self) -> float:
        """Share of the scored rows that is dropped for its suspicion alone."""
        return self.drop.suspicious if isinstance(self.drop, DropSuspicious) else 0

    @property
    def needs_trusted(self) -> str | None:
        """The setting that has no meaning without trusted rows; None if there is no such setting."""
        if self.by.startswith("value"):
            return f"by: {self.by}"
        return "drop: suspicious" if self.suspicious_share else None

    @property
    def dropped_rows(self) -> str:
        """Which rows are dropped, in words."""
        if isinstance(self.drop, str):
            return self.drop
        return f"flagged and the most suspicious {self.suspicious_share:.0%} (no error rate is claimed for these)"


class Publishing(Section):
    """How a split is published."""

    folder: FolderPath = "out"
    """Folder of the published splits. Versions are written to FOLDER/SPLIT/vN."""
    formats: list[Literal["parquet", "jsonl"]] = Field(default=["parquet", "jsonl"], min_length=1)
    """Files to write. jsonl: the rows as they came in, and for LLaVA's layout also train.json. parquet: as columns."""
    copy_images: bool = False
    """Copy the pictures to images/ beside the files. If false, the rows refer to the pictures where they are."""
    require: Require = Require()
    """Conditions that must hold before a version is published. `require: better_than_random` is a valid short form."""
    sign: InputPath | None = None
    """File with an ed25519 private key that signs the manifests. Then people without the database can check folders."""
    approval: Literal["none", "required"] = "none"
    """required: a person must approve a version before it is published."""
    approval_hours: float = Field(24, gt=0, le=8760)
    """Hours to wait for the approval. Without an answer by then, the version is rejected."""

    @field_validator("require", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """The short form: the name of a condition that is a switch."""
        return {value: True} if isinstance(value, str) else value


class Evaluating(Section):
    """How `oresight evaluate` measures the method on your data."""

    share: float = Field(0.2, gt=0, lt=1)
    """Share of the drawn rows that get a planted defect."""
    rows: int = Field(400, ge=20)
    """Rows drawn from the dataset for each trial."""
    seeds: int = Field(8, ge=2)
    """Number of trials. Each has a seed of its own."""


class Finetuning(Section):
    """How `oresight settle` finetunes."""

    tokens: int = Field(10_000, ge=1)
    """Answer tokens that each finetune is trained on."""
    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field([])
    """Budgets instead of `tokens`: shares of the answer tokens of the rows that a seed draws, such as [0.1, 0.3]."""
    seeds: int = Field(5, ge=2)
    """Number of repetitions. Each seed draws half of the rows."""
    rate: float | None = Field(None, gt=0)
    """Peak learning rate. Without one, a sweep on rows of a separate draw decides it, for all methods alike."""
    epochs: int = Field(1, ge=1)
    """Passes over the rows."""
    lora: bool = True
    """Train LoRA matrices. If false, train all weights."""
    against: list[str] = Field([])
    """Ways to choose rows that are compared with the kept rows and with random rows. Empty: all of them."""
    metric: Literal["exact"] | None = None
    """exact: also let each finetuned model answer the test questions, and compare its answers with the right ones. If
    the right answer ends with a number after ####, as in GSM8K, only the numbers are compared."""


class Curate(Section):
    """The configuration of a curation run."""

    database: DatabasePath = "oresight.duckdb"
    """DuckDB file that holds rows, scores, flags and splits."""
    memory_limit: Annotated[str, Field(pattern=r"^(auto|[1-9]\d*(MB|GB))$")] = "auto"
    """Most memory for DuckDB, such as 8GB. auto: 2 GB, or a quarter of the machine's memory if that is less."""
    dataset: Dataset
    """The rows to curate."""
    reference: Dataset | None = None
    """The rows you trust. Without this section they are the rows that people have made trusted with `oresight trust`;
    if there are none either, rows are checked but neither valued nor judged, and no error rate is claimed."""
    model: Model = Model()
    """The model that scores the rows."""
    scoring: Scoring = Scoring()
    """How rows are scored."""
    cluster: Cluster | None = None
    """The Ray cluster that scores the rows. Without this section they are scored in this process."""
    flagging: Flagging = Flagging()
    """How suspicious rows are found."""
    splitting: Splitting = Splitting()
    """Which rows are kept."""
    publishing: Publishing = Publishing()
    """How a split is published."""
    evaluating: Evaluating = Evaluating()
    """How the method is measured."""
    finetuning: Finetuning = Finetuning()
    """How finetunes compare ways to choose rows."""

    @model_validator(mode="after")
    def _two_names(self) -> Self:
        if self.dataset.name == self.reference_name:
            raise ValueError(f"dataset.name and reference.name are both {self.dataset.name!r}: give each its own name")
        return self

    @model_validator(mode="after")
    def _gpus_of_an_actor(self) -> Self:
        if self.cluster and not self.model.spread and self.cluster.gpus not in (0, self.model.parallel):
            raise ValueError(
                f"cluster.gpus is {self.cluster.gpus}, and model.parallel is {self.model.parallel}: each process that"
                f" shares the model needs one GPU of its actor; set cluster.gpus: {self.model.parallel}, or 0 for CPUs"
            )
        return self

    @property
    def reference_name(self) -> str:
        """The name of the trusted rows in the database, at most 100 characters."""
        return self.reference.name if self.reference else f"{self.dataset.name[:92]}-trusted"
