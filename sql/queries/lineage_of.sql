-- The lineage of a version of a split, edge by edge, files first.
WITH RECURSIVE above AS (
    SELECT *, 0 AS depth FROM lineage WHERE child_kind = 'split' AND child = $split || '/v' || $version
    UNION
    SELECT l.*, a.depth + 1 FROM lineage AS l JOIN above AS a ON l.child_kind = a.parent_kind AND l.child = a.parent
)
SELECT child_kind, child, parent_kind, parent FROM above GROUP BY ALL ORDER BY max(depth) DESC, parent_kind, parent;
