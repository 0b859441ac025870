-- warning: an answer about a picture that the model finds less likely than nearly every trusted one is often wrong
-- Of rows with pictures only: of free text, what is unlikely may be what is worth learning.
SELECT u.sample_id, getvariable('dataset') AS dataset,
       format('The answer "{}" has a log-probability of {:.2f} a token: {:.0f} of the {:.0f} trusted answers are as'
              || ' unlikely (p = {:.3g}, q = {:.3g}).',
              left(r.answer, 40), u.good, u.as_low, u.n_trusted, u.p_value, u.q_value) AS reason,
       u.p_value, u.q_value
FROM store.unlike_trusted('likelihood', ['vqa']) AS u
JOIN rows AS r ON r.sample_id = u.sample_id AND r.dataset = getvariable('dataset')
WHERE u.q_value <= getvariable('false_discovery_rate')
