-- Dataset and reference of a version. Counts and files are null if the dataset has changed since.
SELECT d.dataset, d.role, d.source, d.layout, d.kind, v.content_hash,
       CASE WHEN d.content_hash = v.content_hash THEN d.rows END AS rows,
       CASE WHEN d.content_hash = v.content_hash THEN d.rejected END AS rejected,
       CASE WHEN d.content_hash = v.content_hash THEN d.duplicates END AS duplicates,
       CASE WHEN d.content_hash = v.content_hash THEN d.files::VARCHAR END AS files
FROM (
    SELECT unnest([{'dataset': dataset, 'content_hash': dataset_hash}, {'dataset': reference, 'content_hash': reference_hash}]) AS v
    FROM store.splits WHERE split = $split AND version = $version
)
JOIN store.datasets AS d ON d.dataset = v.dataset
ORDER BY d.role;
