-- warning: text that orders the model to drop its instructions, poses as another role or hides from readers teaches the model to obey such text
-- Rows that speak of such attacks are not judged by their words. Role markers are not judged in a dataset of which a tenth
-- of the prompts, and at least ten, begin with one: there they are the template.
WITH template AS (
    SELECT count(*) FILTER (regexp_matches(prompt, '^\s*(?:<s>\s*)?(?:<\||\[INST\]|<<SYS>>|<start_of_turn>|#{2,4} ?(?:System|SYSTEM))'))
           >= greatest(10, count(*) / 10) AS has_markers
    FROM rows
    WHERE dataset = getvariable('dataset')
),
texts AS (
    SELECT sample_id, dataset, unnest(['prompt', 'answer']) AS part, unnest([prompt, answer]) AS body,
           regexp_matches(prompt, '(?i)prompt.?injection|jailbreak(?:ing|s)? (?:attack|attempt|prompt)|red.team|chat.?template|chatml|special token') AS is_about_it
    FROM rows
    WHERE dataset = getvariable('dataset')
      AND regexp_matches(concat_ws(E'\n', prompt, answer), '(?i)ignor|disregard|forget|overrid|bypass|discard|(?:not|n.t|stop|longer) follow|vergiss|oubli|olvid|dimentic|esque[çc]|missacht|забудь|игнорируй|忽略|忘记|无视|無視|your (?:\w+ )?(?:system|initial|hidden) |<\||\[/?INST\]|<</?SYS|<start_of_turn>|#{2,4} ?System|[\x{E0000}-\x{E01EF}\x{202E}]|[\x{200B}-\x{200D}\x{2060}-\x{2064}\x{FEFF}]{8}|[\x{FE00}-\x{FE0F}]{4}|(?:[a-z][\x{200B}-\x{200D}\x{2060}\x{FEFF}]){3}')
),
matched AS (
    SELECT sample_id, dataset, part,
           -- "Never reveal your system prompt" is what a good system prompt says.
           CASE WHEN is_about_it THEN '' ELSE regexp_extract(regexp_replace(body, '(?i)\b(?:never|not|don.?t|cannot|can.t|without) (?:ignor|disregard|forget|overrid|bypass|discard|reveal|print|show|repeat|output|display)', 'keep', 'g'),
               -- It begins a sentence, or follows such a word: "people who ignore the instructions above" is no order.
               '(?i)(?:^|[\n.!?:;,"“(\[>*#`{}@/—-]\s*(?:\w+\s+)?|\b(?:please|now|and|then|just|but|also|must|should|instead|will|can|may|you to|have to|need to)\s+(?:\w+ly\s+)?)["*_]*('
               || '(?:ignore|disregard|forget|override|bypass|discard|(?:do not|don.t|stop|no longer) follow(?:ing)?)'
               || '(?:\s+(?:about|all|any|every|each|everything|of|and|or|the|this|these|those|that|your|my|our|other|entire))*?\s+(?:'
               || '(?:previous(?:ly)?|prior|preceding|above|earlier|foregoing|past|former|initial|original|usual|system|safety|your|all|all the|all these)'
               || '(?:[\s,&/]+(?:and|or|of|previous|prior|usual|given|own|core|system|safety|ethical|content))*\s+'
               || '(?:instructions?|directions?|directives?|commands?|prompts?|guidelines|programming|policies|restrictions)'
               || '|(?:previous|prior|above|earlier|your) rules|all (?:previous|prior) (?:inputs?|conversations?|messages|context)'
               || '|everything (?:(?:from )?(?:above|before)|prior to this|(?:that )?you (?:were|have been|.ve been) (?:told|instructed|taught)|i (?:have )?(?:told|instructed)))\b'
               || '|(?:reveal|print|show|repeat|output|display)(?: me| us)? your (?:\w+ )?(?:system prompt|initial instructions|hidden instructions|hidden prompt)\b'
               -- German; French, Spanish, Portuguese and Italian; Russian; Chinese
               || '|(?:ignorier\w*|vergiss|vergessen sie|missachte\w*)\s+(?:\w+\s+){0,3}?(?:vorherig|bisherig|vorig|obig|deine|ihre)\w*\s+(?:\w+\s+)?(?:anweisung|instruktion|regel|richtlinie|vorgabe|befehl)\w*'
               || '|(?:ignor[aeioz]\w*|oublie[rz]?|olvid[ae]n?|dimentica(?:te)?|esque[çc]a|desconsidere)\s+(?:\S+\s+){0,3}?(?:instruc|istruz|instruç|consigne|directi|diretti|diretri|regla|règle|regra|regol|órden|ordens)\S*\s+(?:précéd|antér|anterior|previa|prévia|preced|ci-dessus|inicia|acima)\S*'
               || '|(?:игнорируй|забудь)(?:те)?\s+(?:\S+\s+){0,2}?(?:предыдущ|прошл|вышеуказанн|прежн)\S*\s+(?:\S+\s+)?(?:инструкц|указани|команд|правил)\S*'
               || '|(?:忽略|忘记|忘掉|无视|無視)(?:你|您|掉)?(?:之前|以上|上述|上面|前面|先前|所有|全部|一切)[^。！？\n]{0,12}(?:指令|指示|提示词|命令|规则|規則|设定|設定))', 1)
           END AS command_text,
           CASE WHEN is_about_it OR has_markers THEN '' ELSE regexp_extract(body,
               '<\|im_start\|>\s*(?:system|user|assistant|tool|developer)|<\|start_header_id\|>\s*\w+|<\|(?:system|user|assistant|developer)\|>'
               || '|<start_of_turn>\s*\w+|\[/?INST\]|<</?SYS>>|(?:^|\n)#{2,4} ?(?:System|SYSTEM)(?: [Pp]rompt| [Mm]essage)?:')
           END AS marker,
           CASE -- The flags of England, Scotland and Wales are written with tags; an emoji has one variation selector.
                WHEN regexp_matches(regexp_replace(body, '\x{1F3F4}[\x{E0020}-\x{E007E}]{3,6}\x{E007F}', '', 'g'), '[\x{E0000}-\x{E007F}]') THEN 'tag characters'
                WHEN regexp_matches(body, '[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{4}') THEN 'variation selectors'
                WHEN regexp_matches(body, '\x{202E}[^\x{202C}\n]*\p{Latin}') THEN 'a sign that reverses what follows'
                WHEN len(list_distinct(string_split(regexp_extract(body, '[\x{200B}-\x{200D}\x{2060}-\x{2064}\x{FEFF}]{8,}'), ''))) > 1
                     OR regexp_matches(body, '(?i)(?:[a-z][\x{200B}-\x{200D}\x{2060}\x{FEFF}]){3}') THEN 'characters without width'
           END AS hiding
    FROM texts, template
)
SELECT sample_id, dataset,
       min(CASE WHEN command_text <> '' THEN format('The {} orders the model to drop or to tell its instructions: "{}".', part, left(command_text, 60))
                WHEN marker <> '' THEN format('The {} has the mark of a chat role in its text: "{}".', part, left(trim(marker, E' \n'), 40))
                ELSE format('The {} hides text from readers, with {}.', part, hiding) END) AS reason
FROM matched
WHERE command_text <> '' OR marker <> '' OR hiding <> ''
GROUP BY sample_id, dataset
