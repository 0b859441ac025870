FROM comparisons ORDER BY evaluation, dataset, model, setting, method, against;
