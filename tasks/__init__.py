"""The map, in the order in which rows move.

config.py     all that a run may be told
database.py   open, migrate, run a named .sql file
fault.py      a full disk, a place that may only be read, too little memory -> a sentence
run.py        the record of a run, and the turn that it has on the database
progress.py   what a step says while it works
journal.py    what a run said, as JSON lines beside the database
formats/      one file per layout that users hold: messages, alpaca, sharegpt, tables; and where pictures stand in them
page.py       how an HTML page is written
album.py      the pictures that rows name -> files that were looked at, or the reason against them
staging.py    what ingest found, on its way into the database
ingest.py     files -> rows keyed by content; what cannot be read -> rejects, with line and reason
checkfile.py  a file of sql/checks, or of a user's folder -> a check
check.py      every sql/checks/<stage>/*.sql as a Great Expectations expectation -> checks and flags
defects.py    the known defects, by kind
plant.py      trusted rows -> canaries: copies with a known defect, scored as rows are
encode.py     rows of the database -> ids, as the model reads them
score.py      rows without a fresh score -> scores, shard by shard
commit.py     what scoring writes, each in one transaction
plan.py       rows without a fresh score -> what scoring them would take
scoring/      the mathematics, pure torch; a value is computed in scoring/formula.py
twins.py      what a canary's twin may not tell of it
labels.py     what other rows teach about answers that repeat
detector.py   signals of rows, trusted rows and canaries -> suspicion, p-values, what can be detected
flag.py       scores and canaries -> how suspicious each row is; the check looks_mislabeled gives the verdict
distinct.py   rows that teach nearly the same as a better one
split.py      flags and a budget -> keep or drop for every row, each with its reason
evidence.py   a row with all that speaks for and against it
verdict.py    what a person says of a row, which the next split obeys
charts.py     figures as SVG text
report.py     what was found, as one HTML file with the rows' pictures
measure.py    how well a signal marks wrong rows, and whether one does better than another
findings.py   what was found out about the method: rows, and markdown
evaluate.py   signals and flags against a known truth: AUC, recall and their intervals
influence.py  do rows help most what they were made like? our forms and others', with what they take
planted.py    rows of the dataset with planted defects, and how well each signal marks those
approximation.py  what the last layer stands for: values against whole gradients
settle.py     finetunes on kept rows and on others, removal curves, the linear datamodeling score
proof.py      all evaluations as one HTML file
forget.py     a row that must not be known any more
named.py      the library of questions that `oresight sql --named` asks
ask.py        one question and the wanted answer -> the rows that teach it
gallery.py    the pictures of a split: copied beside it, and put back into the columns they came in
croissant.py  a published split, described for other tools
lineage.py    what a published split was made from, as an OpenLineage event
gate.py       what must hold before a version is published
publish.py    a split -> a folder with its files, a card and a manifest, written last
"""
