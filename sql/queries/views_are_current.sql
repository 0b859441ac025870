-- Whether all views are there, and made from the text with this digest. The macro is created with them.
SELECT store.views_digest() = $digest || ' ' || count(*) AS are_current
FROM duckdb_views() WHERE NOT internal AND database_name = current_database()
