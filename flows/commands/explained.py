"""The layout of `oresight explain` and `oresight diff`: labels with texts, the decision first."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from oresight.flows.commands.output import rounded, shortened
from oresight.tasks.pages.texts import short_id

Record = dict[str, Any]
Facts = Iterator[tuple[str, str]]
BESIDE = 70
"""Characters that are shown of a text that stands beside another one."""
DECISIONS = {"keep": "kept", "drop": "dropped", None: "absent"}


def row_facts(row: Record, full: bool) -> Facts:
    """The facts about a row, from sql/queries/explain.sql, in the order in which people ask for them."""
    if row["splits"] or not row["forgotten"]:  # to forget a row deletes what was decided about it
        yield from _decisions(row["splits"] or [])
    if forgotten := row["forgotten"]:
        when = f"{forgotten['forgotten_at']:%Y-%m-%d %H:%M}"
        yield "forgotten", f"by {forgotten['who']} at {when}: {forgotten['reason']}; its text is deleted"
    yield from _places(row)
    for text in _texts(row):
        yield "prompt", shortened(text["prompt"], full)
        yield "answer", shortened(text["answer"], full)
    for picture in {image["path"]: image for held in row["rows"] or [] for image in held["images"] or []}.values():
        yield "picture", f"{picture['path']} ({picture['width']} x {picture['height']})"
    for flag in row["flags"] or []:
        yield "flag", f"{flag['check_name']} ({flag['severity']}): {flag['reason']}"
    if row["rows"] and not row["flags"]:
        yield "flag", "none"
    for verdict in row["verdicts"] or []:
        yield "verdict", _verdict(verdict, full)
    yield from _values(row)
    yield from _pulls(row, full)
    for suspicion in row["suspicions"] or []:
        yield "suspicion", _suspicion(suspicion)
    for near in row["nearest"] or []:
        yield (
            "nearest",
            f"accepted row {short_id(near['sample_id'])}, cosine {rounded(near['cosine'])}: {_pair(near, full)}",
        )
    yield from _versions(row["splits"] or [])


def changed_facts(change: Record, version_a: int, version_b: int, full: bool) -> Facts:
    """The facts about a row that two versions of a split decide differently, from sql/queries/diff.sql."""
    yield short_id(change["sample_id"]), f"{transition(change['decision_a'], change['decision_b'])}: {change['cause']}"
    if change["prompt"] is not None:
        yield "  prompt", shortened(change["prompt"], full)
        yield "  answer", shortened(change["answer"], full)
    for version, reason in ((version_a, change["reason_a"]), (version_b, change["reason_b"])):
        if reason is not None:
            yield f"  v{version}", reason
    before, after = rounded(change["value_a"]), rounded(change["value_b"])
    yield "  value", before if change["value_a"] == change["value_b"] else f"{before} -> {after}"


def transition(before: str | None, after: str | None) -> str:
    """How a decision changed."""
    return f"{before or 'absent'} -> {after or 'absent'}"


def _decisions(splits: Sequence[Record]) -> Facts:
    """What the newest version of each split decided."""
    if not splits:
        yield "decision", "none: no version of a split has decided about this row"
    for split, decided in groupby(splits, lambda each: each["split"]):
        last = next(decided)
        if last["version"] == last["newest"]:
            yield "decision", f"{DECISIONS[last['decision']]} in {split}/v{last['version']}: {last['reason']}"
        else:
            yield "decision", f"none in {split}/v{last['newest']}, the newest version: it does not have this row"


def _places(row: Record) -> Facts:
    """Where the row is, or was."""
    for held in row["rows"] or []:
        if held["retired_at"]:
            yield (
                "where",
                f"was in {held['dataset']} until {held['retired_at']:%Y-%m-%d %H:%M}; its files no longer hold it",
            )
            continue
        sources = [f"{source['file']}, line {source['line']}" for source in held["sources"] or []]
        more = f", and {len(sources) - 3} more" if len(sources) > 3 else ""
        yield "where", f"{held['dataset']} ({held['role']}): {'; '.join(sources[:3])}{more}"
    for canary in row["canaries"] or []:
        defect = canary["canary"].replace("_", " ")
        yield "where", f"a canary: a copy of the trusted row {short_id(canary['twin'])} with the defect {defect}"


def _texts(row: Record) -> list[Record]:
    """The different texts of the row. Datasets that hold it have the same, as a rule."""
    held = [*(row["rows"] or []), *(row["canaries"] or [])]
    return list({(each["prompt"], each["answer"]): each for each in held}.values())


def _verdict(verdict: Record, full: bool) -> str:
    trusted = " and trust" if verdict["trusted_as"] else ""
    why = f": {verdict['why']}" if verdict["why"] else ""
    answer = f", with the answer: {shortened(verdict['answer'], full)}" if verdict["answer"] else ""
    return f"{verdict['verdict']}{trusted} by {verdict['who']} at {verdict['decided_at']:%Y-%m-%d %H:%M}{why}{answer}"


def _values(row: Record) -> Facts:
    """The value against each reference, or why there is none."""
    for score in row["scores"] or []:
        numbers = {"per token": "value_per_token", "nll": "nll", "worst token": "worst_token",
                   "gain of the prompt": "conditional_gain", "gain of the picture": "image_gain"}  # fmt: skip
        shown = [f"{name} {rounded(score[key])}" for name, key in numbers.items() if score[key] is not None]
        cut = ["the text was cut off at max_tokens"] if score["truncated"] else []
        value = "no value" if score["value"] is None else rounded(score["value"])
        yield "value", f"{value} against {score['reference']}, by {score['model']}: {', '.join([*shown, *cut])}"
    for refusal in row["unscorable"] or []:
        yield "value", f"none by {refusal['model']}: {refusal['reason']}"
    for stale in row["stale_scores"] or []:
        yield "value", f"not current, against {stale['reference']}, by {stale['model']}: {stale['why']}"
    if row["rows"] and not (row["scores"] or row["unscorable"] or row["stale_scores"]):
        yield "value", "none: this row was never scored; `oresight score CONFIG.yaml` scores it"


def _pulls(row: Record, full: bool) -> Facts:
    """The trusted rows, and the tokens of the answer, that raise and lower the value most."""
    for label, sign in (("raised by", 1), ("lowered by", -1)):
        for pull in sorted(row["influences"] or [], key=lambda pull: -sign * pull["value"]):
            if sign * pull["value"] > 0:
                yield label, f"trusted row {short_id(pull['sample_id'])}, {rounded(pull['value'])}: {_pair(pull, full)}"
        tokens = sorted((t for t in row["tokens"] or [] if sign * t["value"] > 0), key=lambda t: -sign * t["value"])
        names = dict.fromkeys(f"{token['token'] or '(no text)'!r} {rounded(token['value'])}" for token in tokens)
        if names:
            yield label, f"tokens {', '.join(names)}"


def _suspicion(suspicion: Record) -> str:
    if suspicion["is_unlike"]:
        if suspicion["unlike_because"] in ("shorter", "longer"):
            return f"not judged: its answer is {suspicion['unlike_because']} than those of the trusted rows"
        return f"not judged: it asks nothing that a trusted row asks; nearest is {short_id(suspicion['nearest'] or '')}"
    signals = ", ".join(suspicion["signals"] or []) or "nothing"
    return (
        f"{rounded(suspicion['suspicion'])}, p {rounded(suspicion['p_value'])}, q {rounded(suspicion['q_value'])}; most"
        f" like {(suspicion['looks_like'] or 'no known defect').replace('_', ' ')}; what weighs most: {signals}"
    )


def _versions(splits: Sequence[Record]) -> Facts:
    """The versions in which the row was kept, and those in which it was dropped."""
    for split, decided in groupby(splits, lambda each: each["split"]):
        versions: dict[str, list[str]] = {"keep": [], "drop": []}
        for each in sorted(decided, key=lambda each: int(each["version"])):
            versions[each["decision"]].append(f"v{each['version']}")
        parts = [f"{DECISIONS[name]} in {', '.join(numbers)}" for name, numbers in versions.items() if numbers]
        yield "versions", f"{split}: {'; '.join(parts)}"


def _pair(row: Record, full: bool) -> str:
    """Prompt and answer of another row, in a line."""
    return " -> ".join(" ".join(shortened(row[part], full, BESIDE).split()) for part in ("prompt", "answer"))
