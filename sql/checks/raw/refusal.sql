-- info: an answer that only refuses teaches the model to refuse; to a harmful question it may be the right answer
-- English only. The refusal begins the answer, and no "however" or "but" takes it back. The words alone are not enough: "I'm
-- sorry, but I can't come on Sunday" is a good answer, and so is any refusal that the prompt asks to write.
WITH matched AS (
    SELECT sample_id, dataset, prompt, answer,
           -- A CASE, because DuckDB may evaluate the conditions of a WHERE in any order, and the second pattern is slow.
           CASE WHEN length(answer) <= 1000 AND regexp_matches(answer, '^[\s"*]*(?i:i[ ''’]|sorry|as an? |being an? |my apolog|apolog|unfortunately|regrettably|no,? i)')
                THEN regexp_extract(translate(left(ltrim(answer, E' \t\r\n"*'), 400), E'’\n', ''' '), '^(?i)(?:no,? )?(?:'
               -- the nature of the assistant, and what it cannot do or has not
               || '(?:(?:i(?: a|'')m (?:very |really |truly )?sorry|sorry|i apologi[sz]e|unfortunately)[, ]+(?:but )?)?'
               || '(?:as|being|i am|i''m)(?: just| only| merely)? an? (?:[a-z-]+ ){0,3}?(?:ai|artificial intelligence|language model|chatbot|virtual assistant)'
               || '(?: (?:language )?model| assistant| chatbot)?(?: \w+ by \w+)?,? (?:and |so |but )?i\b[^.!?]{0,60}?(?:can''t|cannot|can not|don''t|do not|am not|''m not|unable to|won''t|will not)\b'
               -- an apology, and what it cannot do
               || '|(?:i(?: a|'')m (?:very |really |truly )?(?:sorry|afraid)|sorry|i apologi[sz]e|(?:my )?apologies|unfortunately|regrettably)[^.!?]{0,40}?'
               || '\bi(?: am|''m)? (?:\w+ly )?(?:(?:don''t|do not) (?:have (?:access to |the ability)|feel comfortable|provide|assist|engage)|(?:can''t|cannot|can not|won''t|will not|not|unable to)'
               || '(?: be| able| allowed| permitted| programmed| designed| going| comfortable| to| currently| directly| personally)*? (?:\w+ my (?:\w+ ){1,4}or )?'
               || '(?:assist|help|fulfil+|comply|complete|process|provid|answer|respond|generat|creat|writ|produc|engag|discuss|promot|endors|brows|perform|format|reveal|shar|disclos|analy|summari|do that|do this'
               || '|(?:see|view|access|open|read) (?:any |an |the |your |to )*(?:image|picture|photo|file|link|url|internet|web|attachment|video|audio|billing|account|current|that information|real|external)))'
               -- what it cannot do, without more words
               || '|i(?: am|''m)? (?:can''t|cannot|can not|won''t|will not|not able to|unable to)(?: and will not)?(?: be able to)? (?:(?:assist|help)(?: you)? (?:with|in)|fulfil+|comply with|process|analy[sz]e|share|engage in|engage with|participate in|provide|answer)'
               || ' (?:that|this|these|your|such|any|the (?:question|request|image)|guidance|instructions|information|advice|assistance|personal|medical|legal|financial)\b'
               || '|i (?:don''t|do not) have (?:the (?:ability|capability) to (?:browse|access|see|view|generate|provide|open)|access to (?:real|current|the internet|external|personal)|personal (?:opinions|feelings|experiences|preferences|beliefs))'
               || '|i (?:must|have to|need to)(?: respectfully| politely)? decline (?:to|this|that|your)'
               || ')[^.!?]*') END AS refusal
    FROM rows
    WHERE dataset = getvariable('dataset')
)
SELECT sample_id, dataset, format('The answer refuses: "{}".', left(refusal, 80)) AS reason
FROM matched
WHERE refusal <> ''
  AND NOT regexp_matches(refusal, '(?i)(?:n''t|not|unable) .*\bbut\b')
  AND NOT regexp_matches(answer, '(?i)\b(?:however|nevertheless|nonetheless|that said|here (?:is|are)|here[''’]s)\b')
  AND NOT regexp_matches(prompt, '(?i)\b(?:e-?mail|letter|reply|apolog|dialog|conversation|role.?play|act as|pretend|rewrite|rephrase|paraphrase|translate|grammar|story|script|poem|refus|declin|reject)')
