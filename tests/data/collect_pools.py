"""Joins the results of all pools in evaluate/pools.duckdb, and writes their page: collect_pools.py TARGET ...

Each target has a database of its own, so that several can be measured side by side.
"""

import sys
from pathlib import Path

from oresight.tasks.config import Curate, Publishing
from oresight.tasks.configfile import read_config
from oresight.tasks.database import turn, writing
from oresight.tasks.evaluation.page import write_evaluations

CONFIGS = Path(__file__).parent / "evaluate"


def collect(targets: list[str]) -> Curate:
    """Copy the results, and return the configuration of the joint database."""
    joint = "evaluate/pools.duckdb"
    config = read_config(CONFIGS / "pools.yaml", [f"database={joint}", "splitting.name=pools"])
    with turn(joint), writing(joint) as connection:
        connection.execute("DELETE FROM store.evaluations; DELETE FROM store.comparisons")
        for target in [*targets, "easy"]:
            connection.execute(f"ATTACH 'evaluate/pool-{target}.duckdb' AS part (READ_ONLY)")
            for table in ("evaluations", "comparisons"):
                connection.execute(f"INSERT INTO store.{table} BY NAME FROM part.store.{table}")
            connection.execute("DETACH part")
    return config.model_copy(update={"publishing": Publishing(folder="evaluate")})


if __name__ == "__main__":
    sys.stdout.write(f"report: {write_evaluations(collect(sys.argv[1:]))}\n")
