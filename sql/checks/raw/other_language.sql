-- warning: an answer in another language than its prompt, which asks for none, belongs to another prompt or was written by a model that slipped
-- Python tells languages apart. It is slow, so it judges only the rows with words or letters that are not English, and of
-- those only the rows whose prompt and answer share none of them.
WITH hinted AS (
    SELECT sample_id, dataset, prompt, answer,
           list_transform([prompt, answer], lambda t: regexp_extract_all(lower(left(t, 500)),
               '[^\P{L}\p{Latin}]|\b(?:und|der|nicht|ist|ein|eine|les|des|est|une|dans|los|las|una|que|el|por|para|uma|os|em|che|il|per|di|gli|het|een|van|niet|zijn|och|att|det|og|ikke|som'
               || '|nie|jest|jak|je|se|jsou|este|pentru|care|sunt|az|egy|hogy|nem|bir|ve|bu|yang|dan|untuk|dengan|ja|ei|ovat)\b|não|się|że|și|és|için|että|của|không|một')) AS hints
    FROM rows
    WHERE dataset = getvariable('dataset') AND length(prompt) >= 12 AND length(answer) >= 12
),
judged AS (
    SELECT sample_id, dataset,
           CASE WHEN len(hints[1]) + len(hints[2]) >= 2 AND NOT list_has_any(hints[1], hints[2]) THEN other_language(prompt, answer) END AS languages
    FROM hinted
)
SELECT sample_id, dataset, format('The prompt is in {}.', languages) AS reason
FROM judged
WHERE languages IS NOT NULL
