-- What decided about a row, as a word: verdict, unscored, flag, near duplicate, draw, rank. Reasons are for people.
ALTER TABLE store.split_rows ADD COLUMN cause VARCHAR;
UPDATE store.split_rows SET cause = CASE
    WHEN starts_with(reason, 'dropped by hand: ') OR starts_with(reason, 'kept by hand: ') THEN 'verdict'
    WHEN starts_with(reason, 'not scored: ') THEN 'unscored'
    WHEN starts_with(reason, 'flagged by ') THEN 'flag'
    WHEN starts_with(reason, 'nearly the same as ') THEN 'near duplicate'
    WHEN starts_with(reason, 'kept: drawn ') THEN 'draw'
    WHEN starts_with(reason, 'kept: rank ') OR starts_with(reason, 'over budget: rank ') THEN 'rank'
END;
