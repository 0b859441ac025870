"""The map, in the order in which rows move.

config.py     the configuration schema: YAML, --set, the Prefect form, the docs
section.py    the base of the configuration's sections: no unknown key, no endless number
paths.py      keys that hold a path: relative to the file that they stand in, or to the current folder if typed
columns.py    the configuration of columns: which column of a file holds which part of a row
modelconfig.py the configuration of the model: which one, its precision, its devices
clusterconfig.py the configuration of a cluster: where it is, what its nodes share, how many actors
configfile.py a YAML file and --set changes -> the configuration, or one sentence
draft.py      the first rows of a dataset -> a commented configuration
connection.py open a DuckDB file, and wait for others that have it open
database.py   migrate, copy, run a named .sql file
scope.py      which dataset, against which reference, by which model
trusted.py    the rows that people trust, as a JSONL file
sqlfile.py    an .sql file with a head of comment lines: a check, or a named question
runs/         the record of a run, its log lines, its progress, its faults in a sentence, an end to queries
formats/      files of any layout -> rows, and their pictures; nothing here knows the database
ingest.py     files -> rows keyed by content; what cannot be read -> rejects, with line and reason
check.py      every sql/checks/<stage>/*.sql as a Great Expectations expectation -> checks and flags
plant.py      trusted rows -> canaries: copies with a known defect, scored as rows are
scoring/      the mathematics: torch, transformers, Pillow and itself; a value is computed in scoring/formula.py
workload/     what lacks a score, cut into shards, encoded, committed, here or by a cluster; what it will cost
score.py      rows without a fresh score -> scores, shard by shard
merge.py      scores that a dead head of a cluster left in its store -> the database
plan.py       rows without a fresh score -> what scoring them would take
arrays/       arrays and tables on the disk: signals, states and vectors of scored rows
detection/    known defects, signals, labels, the detector, what checks ask of a text; nothing here knows the database
matching/     which rows teach what the trusted rows ask; nothing here knows the database
flag.py       scores and canaries -> how suspicious each row is, and what can be detected
split.py      flags and a budget -> keep or drop for every row, with its reason
pages/        charts, evidence, cards of rows, and the HTML templates with their colours and script
report.py     what was found, as an HTML file with the rows' pictures, and the page of checks that links to it
publishing/   what stands in a published folder: rows, pictures, card, Croissant, lineage, the gate
publish.py    a split -> a folder with its files, a card and a manifest, written last
push.py       a published version -> a dataset repository on the Hugging Face hub
reviewing/    the rows that a person reviews: queue, filter, evidence, export as a file
review.py     a person's verdict on a row, which the next split obeys
forget.py     permanently delete a row (erasure request)
ask.py        one question and the wanted answer -> the rows that teach it
evaluation/   is it true? trials, influence, finetunes, measures, the ledger of results and its tables
"""
